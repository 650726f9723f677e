"""A sign-in whose answer was lost with the database: the trail does not say that somebody got in."""

import asyncio
import socket
import socketserver
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aggregator.web.people import UNANSWERED
from tests.desk.world import PASSWORDS, a_desk
from tests.postgres import running

SOCKET = ".s.PGSQL.5432"


class Relay(socketserver.ThreadingUnixStreamServer):
    """Stands before a server; once it is armed, the first commit of a sign-in's row is never heard of."""

    daemon_threads = True

    def __init__(self, folder, server):
        self.server_socket, self.is_armed = f"{server._folder}/{SOCKET}", False
        super().__init__(str(folder / SOCKET), Passing)


class Passing(socketserver.BaseRequestHandler):
    """One connection, both ways."""

    def handle(self):
        with socket.socket(socket.AF_UNIX) as there:
            there.connect(self.server.server_socket)
            self.is_lost = False
            back = threading.Thread(target=self.backward, args=(there,))
            back.start()
            has_row = False
            while some := self.request.recv(65536):
                has_row |= b"sign-in" in some
                if self.server.is_armed and has_row and b"COMMIT" in some:
                    self.server.is_armed, self.is_lost = False, True
                there.sendall(some)
            there.shutdown(socket.SHUT_WR)
            back.join()

    def backward(self, there):
        while some := there.recv(65536):
            if self.is_lost:
                self.request.shutdown(socket.SHUT_RDWR)
                return
            self.request.sendall(some)


@contextmanager
def a_relay(server):
    with TemporaryDirectory(prefix="relay-") as folder, Relay(Path(folder), server) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield relay, folder
        relay.shutdown()


async def test_a_sign_in_whose_commit_was_never_heard_of_is_said_to_have_come_to_nothing(tmp_path):
    with running() as server, a_relay(server) as (relay, folder):
        url = server.create().replace(str(server._folder), folder)
        async with a_desk(tmp_path, database=url) as desk:
            said = {"user": "anna", "password": PASSWORDS["anna"]}
            relay.is_armed = True
            async with desk.a_session().post(f"{desk.base}/v1/session", json=said) as response:
                assert response.status == 503
                assert not response.cookies
            assert not relay.is_armed
            async with asyncio.timeout(20):
                while len(rows := desk.store.desk_trail.all()) < 2:  # noqa: ASYNC110 - it is soon back
                    await asyncio.sleep(0.05)
            assert [(one.user, one.status) for one in rows] == [("anna", 200), ("anna", 503)]
            assert rows[1].said == UNANSWERED
            name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
            assert server.execute("SELECT count(*) FROM desk_sessions", name) == [(0,)]
