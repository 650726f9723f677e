"""A distribution network operator's platform, as a program of its own.

It shares no code with the gateway: what it asks, clears, instructs and settles is worked out here again,
from its own scenario and from the messages it received, so that the two can be held against each other.
"""
