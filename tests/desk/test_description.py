"""The description of the JSON routes wants no sign-in, as it tells how to; and how a program signs out."""

from tests.desk.driver_steps import a_driver
from tests.desk.world import a_desk

DESCRIPTION, SESSION = "/v1/openapi.json", "/v1/session"


async def described(desk, session):
    async with session.get(desk.base + DESCRIPTION) as response:
        assert response.status == 200, await response.text()
        return await response.json(), await response.text()


async def ended(person, **headers):
    async with person._session.delete(person.base + SESSION, headers=headers) as response:
        return response.status


async def test_who_has_not_signed_in_reads_how_to(tmp_path):
    async with a_desk(tmp_path) as desk:
        found, text = await described(desk, desk.a_session())
        assert found["paths"][SESSION]["post"]["security"] == []
        assert {"user", "password", "token"} <= found["components"]["schemas"]["SignIn"]["properties"].keys()
        assert found["paths"][DESCRIPTION]["get"]["security"] == []
        assert found["paths"]["/v1/bids"]["get"]["security"] == [{"session": []}]
        settings = desk.parts.gateway.settings
        names = [*settings.products, "Hendon Way", "Wrotham", *(user.name for user in settings.desk.user)]
        assert [name for name in names if f'"{name}"' in text] == [], "nothing of this desk is in it"
        driver = await a_driver(desk)
        assert (await described(desk, driver._session))[0] == found
        vera = await desk.sign_in("vera")
        assert "Hendon Way" in (await described(desk, vera._session))[1]
        async with desk.a_session().get(f"{desk.base}{DESCRIPTION}?what=all") as response:
            assert response.status == 422


async def test_a_session_is_ended_by_who_began_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        for person, path in ((await desk.sign_in("vera"), "/v1/bids"), (await a_driver(desk), "/v1/my-car")):
            assert (await described(desk, person._session))[0]["paths"][SESSION]["delete"]
            assert await ended(person) == 403
            assert (await person.get(path))[0] == 200
            assert await ended(person, **{"X-CSRF-Token": person.csrf}) == 204
            assert (await person.get(path))[0] == 401
            assert await ended(person, **{"X-CSRF-Token": person.csrf}) == 401
        other = await desk.sign_in("vera")
        secret = {cookie.key: cookie.value for cookie in other._session.cookie_jar}
        assert await ended(other, **{"X-CSRF-Token": other.csrf}) == 204
        session = desk.a_session()
        async with session.get(f"{desk.base}/v1/bids", cookies=secret) as response:
            assert response.status == 401, "the server has ended it, not only the cookie"
