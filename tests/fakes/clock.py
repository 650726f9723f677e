"""A domain clock that a test sets by hand."""

from datetime import datetime, timedelta


class FakeClock:
    """Shows what it was told; whoever sleeps on it moves it."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def set(self, at: datetime) -> None:
        self._at = at

    def pass_by(self, span: timedelta) -> None:
        self._at += span

    def wall_seconds_until(self, at: datetime) -> float:
        return max(0.0, (at - self._at).total_seconds())

    def hold(self, worker: str, at: datetime | None) -> None:
        """Nobody but the test moves it."""

    async def sleep_until(self, at: datetime) -> None:
        self._at = max(self._at, at)
