"""The aggregator's core: its words, its decisions, its record of what happened."""
