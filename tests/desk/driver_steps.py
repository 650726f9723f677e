"""Steps that tests of the driver's page share: a driver who signs in with a token."""

from playwright.async_api import expect

from tests.desk.world import NOW, Person

CAR = "car-1"


def a_token(desk, car=CAR):
    """Make a token; return it and its text."""
    return desk.store.tokens.make(car, NOW)


async def a_driver(desk, car=CAR):
    """Sign a car's driver in, as a program does."""
    _, text = a_token(desk, car)
    session = desk.a_session()
    async with session.post(f"{desk.base}/v1/session", json={"token": text}) as response:
        assert response.status == 200, await response.text()
        body = await response.json()
    assert (body["user"], body["roles"]) == (car, ["driver"])
    return Person(session, desk.base, car, body["csrf"])


async def said(driver, topic, fields=(), **headers):
    """Send one of the page's forms; return status, where the browser is sent, and the page."""
    return await driver.form(f"/my-car/{topic}", list(dict(fields).items()), **headers)


async def driving(people, desk, **more):
    """Return the page of a driver who has signed in with a token."""
    page = await people.page(**more)
    await page.goto(f"{desk.base}/my-car")
    await page.fill("input[name=token]", a_token(desk)[1])
    await page.press("input[name=token]", "Enter")
    await expect(page.locator("#now-title")).to_contain_text(CAR)
    return page
