"""Messages that no platform should send, each by name, and what must come of it."""
