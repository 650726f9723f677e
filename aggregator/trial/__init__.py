"""A trial as its drivers and owners see it: months of nights, energy and credits, and a report on it all."""
