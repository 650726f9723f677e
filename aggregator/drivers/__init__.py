"""The drivers' door: each driver sees and says what concerns the own car, over HTTP, with a token."""
