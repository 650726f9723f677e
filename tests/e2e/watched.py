"""Somebody who watches the demo's desk in the background while its day is played, as a browser would."""

import http.client
import json
import re
import threading
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from .processes import PATIENCE_S

INVITATION = re.compile(r"the desk, .*: http://([\d.]+:\d+), name (\S+), password (\S+)")


@dataclass
class Watcher:
    """Signs in with what the demo prints, and keeps what the desk shows until the gateway ends.

    Attributes:
        pictures: What the stream told, in order.
        came_in: Whether the first try to sign in was let in.
        live_pages: The page Live as it was when each order was first seen running, by the order's bid.
    """

    pictures: list[dict[str, Any]] = field(default_factory=list)
    came_in: bool = False
    live_pages: dict[str, str] = field(default_factory=dict)
    _address: str = ""
    _cookie: str = ""
    _thread: threading.Thread | None = None

    def hear(self, line: str) -> None:
        """Take a line that the demo tells; at the one that says how to get in, begin to watch."""
        found = INVITATION.search(line)
        if found is not None:
            self._address = found[1]
            self._thread = threading.Thread(target=self._watch, args=found.groups()[1:], daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Wait until the stream has ended with its gateway."""
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _watch(self, user: str, password: str) -> None:
        self.came_in = self._signed_in(user, password)  # at the first try: it listens once that is told
        with suppress(OSError, http.client.HTTPException), closing(self._line()) as line:
            line.request("GET", "/v1/stream", headers={"Cookie": self._cookie})
            for told in line.getresponse():
                if told.startswith(b"data: {"):
                    self._see(json.loads(told.removeprefix(b"data: ")))

    def _see(self, picture: dict[str, Any]) -> None:
        if "states" in picture:
            self.pictures.append(picture)
            for bid in {zone["serving"] for zone in picture["zones"]} - {None, *self.live_pages}:
                self.live_pages[bid] = self._page("/live")

    def _page(self, path: str) -> str:
        with closing(self._line()) as line:
            line.request("GET", path, headers={"Cookie": self._cookie, "Accept": "text/html"})
            return line.getresponse().read().decode()

    def _signed_in(self, user: str, password: str) -> bool:
        said = json.dumps({"user": user, "password": password})
        with suppress(OSError, http.client.HTTPException), closing(self._line()) as line:
            line.request("POST", "/v1/session", said, {"Content-Type": "application/json"})
            answer = line.getresponse()
            self._cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
            return answer.status == http.HTTPStatus.OK
        return False

    def _line(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=PATIENCE_S)
