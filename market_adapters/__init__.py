"""Edges towards markets and network operators."""
