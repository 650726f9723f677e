"""The desk of ``flexloop serve``: a password by command, a session that outlives a kill, and a clean end."""

import http.client
import json
import re
import socket
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import pytest

from aggregator.cli import run
from aggregator.clock import Pace, start_fast_clock
from aggregator.demo.run import prepare
from aggregator.web.live_view import STATES

from .processes import PATIENCE_S, fork_gateway, wait

pytestmark = pytest.mark.slow

STARTS_AT = datetime(2025, 1, 8, 12, tzinfo=UTC)


class Browser:
    """Asks with the session's cookie."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookie = ""

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Cookie": self.cookie, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        with closing(self._line()) as line:
            line.request("GET" if body is None else "POST", path, data, headers)
            answer = line.getresponse()
            if found := answer.getheader("Set-Cookie"):
                self.cookie = found.partition(";")[0]
            return answer.status, json.loads(answer.read())

    def stream(self, stack: ExitStack) -> http.client.HTTPResponse:
        line = stack.enter_context(closing(self._line()))
        line.request("GET", "/v1/stream", headers={"Cookie": self.cookie})
        return stack.enter_context(closing(line.getresponse()))

    def _line(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)

    def until_open(self) -> None:
        def is_open() -> bool:
            try:
                return self.ask("/v1/live")[0] in (200, 401)
            except OSError:
                return False

        wait(is_open)


def test_a_session_outlives_a_kill_and_an_open_stream_does_not_hold_the_end_up(tmp_path, capfd) -> None:
    stage = prepare(tmp_path / "out")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = stage.out / "gateway.toml"
    config.write_text(config.read_text().replace("[desk]\n", f'[desk]\nlisten = "127.0.0.1:{port}"\n', 1))
    (stage.out / "clock.json").write_text(start_fast_clock([Pace(STARTS_AT, 1.0)]).to_json())
    user = re.findall(r'(?m)^name = "(.+)"$', config.read_text())[0]
    capfd.readouterr()
    assert run(["desk", "password", user, "--config", str(config), "--database", stage.url]) == 0
    password = capfd.readouterr().out.strip()
    browser = Browser(port)
    with ExitStack() as stack:
        gateway = fork_gateway(stage, stack)
        browser.until_open()
        assert browser.ask("/v1/session", {"user": user, "password": "wrong"})[0] == 401
        status, session = browser.ask("/v1/session", {"user": user, "password": password})
        assert (status, session["user"]) == (200, user)
        gateway.kill()
        gateway.join(PATIENCE_S)

        again = fork_gateway(stage, stack)
        browser.until_open()
        status, live = browser.ask("/v1/live")
        assert (status, set(live["states"])) == (200, set(STATES))
        stream = browser.stream(stack)
        assert stream.getheader("Content-Type") == "text/event-stream"
        assert any(stream.readline().startswith(b"data: {") for _ in range(10))
        again.terminate()
        again.join(PATIENCE_S)
        assert again.exitcode == 0
    log = (stage.out / "gateway.log").read_text()
    assert "desk_listens" in log
    assert password not in log
