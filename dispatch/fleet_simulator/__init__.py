"""Simulated two-way chargers and their cars, as a program of its own: it plays on when the gateway dies.

The gateway reaches it by one WebSocket only, as it would a site controller or a vendor's cloud. True states
of charge never pass through it; they are written to files for the audit afterwards.
"""

from dispatch.fleet_simulator.program import run

__all__ = ["run"]
