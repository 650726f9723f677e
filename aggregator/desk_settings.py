"""``[desk]``: who may act, the rules they wrote, and where the desk is served to browsers.

Drivers have the role ``driver``, and no line here: each signs in with the token that ``flexloop drivers token
CAR`` prints, the one that opens the drivers' door as well. So there is one way to be a car's driver: a fleet
of 135 needs no 135 passwords and no restart for a new one, and a revoked token shuts page and door at once.
"""

from typing import Literal, get_args

from pydantic import model_validator

from aggregator.files.inputs import Clash, Name, NotNegative, Positive, Row, YesNo
from aggregator.listening import SecuredSettings


class ApprovalRule(Row):
    """One ``[[rule]]``: a written rule that people approved; it approves drafts within its limits."""

    rule_id: Name
    written_by: Name
    approved_by: Name
    max_kw: Positive
    min_margin_gbp: NotNegative
    zones: tuple[Name, ...] | None = None
    products: tuple[Name, ...] | None = None

    @model_validator(mode="after")
    def _two_people(self) -> "ApprovalRule":
        if self.written_by == self.approved_by:
            raise Clash("approved_by", self.approved_by, "somebody else than who wrote the rule")
        return self


Role = Literal["viewer", "trader", "approver", "settlement", "operator"]
DESK_ROLES: tuple[str, ...] = get_args(Role)
DRIVER = "driver"


class User(Row):
    """One ``[[user]]`` who may look, or act, at the desk and on the command line."""

    name: Name
    roles: tuple[Role, ...]

    @model_validator(mode="before")
    @classmethod
    def _no_driver(cls, data: object) -> object:
        said = data.get("roles") if isinstance(data, dict) else None
        if isinstance(said, list | tuple) and DRIVER in said:
            allowed = (
                f"{', '.join(DESK_ROLES)}; a driver has no line here and signs in with the token"
                " that `flexloop drivers token CAR` prints"
            )
            raise Clash("roles", DRIVER, allowed)
        return data


class OnePersonRow(Row):
    """One ``[[one_person]]``: bids so small, of these zones and products, need no second person."""

    max_kw: Positive
    zones: tuple[Name, ...] | None = None
    products: tuple[Name, ...] | None = None


class DeskSettings(SecuredSettings):
    """``[desk]``: who may approve what, and where the desk is served to browsers."""

    two_people: YesNo = True
    user: tuple[User, ...] = ()
    rule: tuple[ApprovalRule, ...] = ()
    one_person: tuple[OnePersonRow, ...] = ()
