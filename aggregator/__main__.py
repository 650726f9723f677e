"""``python -m aggregator``: the same as ``flexloop``."""

from aggregator.cli import main

main()
