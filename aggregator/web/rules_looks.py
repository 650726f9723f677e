"""The page of rules, and the same as JSON."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from aggregator.web.answers import as_json
from aggregator.web.frame import Frame
from aggregator.web.people import Person
from aggregator.web.routes import Answer
from aggregator.web.rules_view import RulesView, rules_body, rules_view


class RulesLooks:
    """Answers who looks at rules.

    Args:
        frame: What is around every page.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def answers(self) -> Mapping[str, Answer]:
        """Return what answers each look of ``aggregator/web/routes.py``, by name."""
        return {"rules": self._rules, "rules_json": self._rules_json}

    async def _rules(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped = self._frame.stamp()
            return self._frame.page("rules", person, request, stamp=stamped, view=self._view())

        return await asyncio.to_thread(made)

    async def _rules_json(self, _request: web.Request, _: Person) -> web.Response:
        return await asyncio.to_thread(lambda: as_json(rules_body(self._view())))

    def _view(self) -> RulesView:
        gateway = self._frame.gateway
        return rules_view(gateway.workflow, gateway.settings.desk.user)
