"""The desk in the browser while the demo's day is played, for one user with a new password."""

import socket
from dataclasses import dataclass
from pathlib import Path

from aggregator.config import read_settings
from aggregator.demo import day
from aggregator.files.inputs import is_loopback
from aggregator.model.errors import BadMessage, Fault
from aggregator.serving import listen_on
from aggregator.store import open_store
from aggregator.web.passwords import hashed, new_password

OPTION = "demo: --desk"
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Invitation:
    """How to get into the demo's desk, once its gateway serves it.

    Attributes:
        address: Where, as ``HOST:PORT``.
        text: What people are told.
    """

    address: str
    text: str

    def holds(self) -> bool:
        """Whether somebody listens there."""
        host, _, port = self.address.rpartition(":")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as line:
            line.settimeout(PATIENCE_S)
            return line.connect_ex((host.strip("[]"), int(port))) == 0


def open_desk(out: Path, url: str, address: str) -> Invitation:
    """Let the demo's gateway serve its desk at an address; return how to get in, then.

    Args:
        out: The demo's folder, prepared.
        url: Its store.
        address: ``HOST:PORT`` of this machine; port 0 is any free one.

    Raises:
        BadMessage: If nothing can be served there.
    """
    where = _free(address)
    config = out / "gateway.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[desk]\n", f'[desk]\nlisten = "{where}"\n', 1), encoding="utf-8")
    user, password = read_settings(config, url).desk.user[0], new_password()
    with open_store(url, create=False) as store:
        store.desk_people.set_password(user.name, hashed(password), day.STARTS_AT)
    said = f"the desk, while the day is played: http://{where}, name {user.name}, password {password}"
    return Invitation(where, said)


def _free(address: str) -> str:
    allowed = "a free address of this machine alone, such as 127.0.0.1:8600"
    try:
        if not address or not is_loopback(address):
            raise BadMessage(Fault(OPTION, address, allowed))
    except ValueError:
        raise BadMessage(Fault(OPTION, address, allowed)) from None
    with listen_on(address, OPTION) as listener:
        return f"{address.rpartition(':')[0]}:{listener.getsockname()[1]}"
