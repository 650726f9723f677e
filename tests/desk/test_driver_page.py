"""A driver's own page over HTTP: who is let in, what is seen and said, and that nothing else is."""

import re

import pytest

from aggregator.cli import run
from aggregator.model.drivers import Topic
from aggregator.web.actions import ACTIONS, MANY
from aggregator.web.routes import FORMS, LOOKS
from tests.desk.driver_steps import CAR, a_driver, a_token, said
from tests.desk.world import NOW, a_desk
from tests.unit.config_steps import a_config

NAMES = {"{bid}": "bid-1", "{car}": CAR, "{topic}": "boost", "{month}": "2025-01", "{name}": "drivers.json"}


def a_path(path):
    for name, value in NAMES.items():
        path = path.replace(name, value)
    return path


async def test_a_driver_sees_nothing_of_the_desk_and_the_desk_speaks_for_no_car(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver, other = await a_driver(desk), await a_driver(desk, "car-2")
        people = [await desk.sign_in(name) for name in ("anna", "ben", "vera", "otto")]
        own = [look for look in LOOKS if "driver" in look.roles]
        assert [look.path for look in own] == ["/my-car", "/v1/my-car"]
        for look in LOOKS:
            status, answer = await driver.get(a_path(look.path))
            if look in own:
                assert status == 200, look
                assert "car-2" not in str(answer)
                assert "bid-" not in str(answer), "what is awarded to its zone is the desk's"
                for person in people:
                    assert (await person.get(look.path))[0] == 403, look
            else:
                assert status == 403, look
                for secret in ("bid-1", "Hendon", "car-2", "leaf"):
                    assert secret not in str(answer), look
        for path in (*(action.path for action in ACTIONS), *MANY):
            assert (await driver.post(a_path(path), {}))[0] == 403, path
        for form in FORMS:
            for person in people:
                assert (await person.form(a_path(form.path), []))[0] == 403
        assert desk.store.drivers.all() == ()
        assert desk.store.halts.standing() == ()
        assert (await other.get("/v1/my-car"))[1]["car_id"] == "car-2"


async def test_what_a_driver_stated_is_told_everywhere_as_it_is_kept(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver, anna = await a_driver(desk), await desk.sign_in("anna")
        await said(driver, "floor", {"level": "50.5", "unit": "percent"})
        await said(
            driver, "departure", {"depart_at": "2025-01-15T07:30", "amount": "80.25", "unit": "percent"}
        )
        week = {"mon_at": "07:30", "mon_amount": "85.5", "unit": "percent"}
        await said(driver, "week", week)
        assert (await driver.get("/v1/my-car"))[1]["floor_soc"] == 0.505
        _, mine = await driver.get("/my-car?said=floor")
        for told in ("50.5%", "80.25%", 'value="50.5"', 'value="80.25"', 'value="85.5"', "floor 50.5%"):
            assert told in mine, told
        for path in ("/fleet", f"/fleet/{CAR}", "/audit"):
            _, page = await anna.get(path)
            assert "50.5%" in page, path
            assert not re.search(r"(?:floor|below) (?:50|51)%", page), path
        assert "never below 50.5%" in [row.said for row in desk.store.desk_trail.all()]


async def test_every_route_says_who_may(tmp_path):
    for one in (*LOOKS, *FORMS, *ACTIONS):
        assert one.roles, one
        assert "driver" not in one.roles or one.roles == ("driver",), one


async def test_a_session_is_a_token_s_and_ends_with_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        assert (await driver.get("/my-car"))[0] == 200
        (token,) = desk.store.tokens.all()
        desk.store.tokens.revoke(token.token_id, NOW)
        assert (await driver.get("/v1/my-car"))[0] == 401
        assert (await driver.form("/my-car/boost", []))[0] in (303, 401)
        assert desk.store.drivers.all() == ()
        again = await a_driver(desk)
        assert (await again.form("/sign-out", []))[:2] == (303, "/sign-in?next=/my-car")
        assert (await again.get("/v1/my-car"))[0] == 401


async def test_signing_in_by_form_leads_to_the_own_car_and_wrong_tokens_are_slowed_down(tmp_path):
    async with a_desk(tmp_path) as desk:
        session = desk.a_session()
        async with session.get(f"{desk.base}/my-car", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/sign-in?next=/my-car")
        async with session.get(f"{desk.base}/sign-in?next=/my-car") as response:
            page = await response.text()
            assert "Driver's token" in page
            assert "flexloop" not in page.partition("<main")[2], "its command is its operator's"
            assert "ask them for another" in page
        _, text = a_token(desk)
        for where in ("/my-car", "/", "/bids", "//evil.example"):
            form = {"token": f"  {text}\n", "next": where}
            async with session.post(f"{desk.base}/sign-in", data=form, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (303, "/my-car"), where
            assert "HttpOnly" in response.headers["Set-Cookie"]
        statuses = []
        for wrong in ["", "x", text[:-1] + "g", "flx_" + "0" * 12 + "_" + "0" * 64] * 10:
            form = {"token": wrong, "next": "/my-car"}
            async with desk.a_session().post(f"{desk.base}/sign-in", data=form) as response:
                statuses.append(response.status)
                assert "flx_0" not in await response.text()
        assert statuses[0] == 401
        assert statuses[-1] == 429
        async with session.post(f"{desk.base}/v1/session", json={"token": text, "user": "anna"}) as response:
            assert response.status == 422


async def test_what_is_said_goes_the_way_of_the_door(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver, loop = await a_driver(desk), desk.parts.controller
        loop._wake.clear()
        fields = {"depart_at": "2025-01-15T06:45", "amount": "120", "unit": "miles"}
        status, where, _ = await said(driver, "departure", fields)
        assert (status, where) == (303, "/my-car")
        assert loop._wake.is_set()
        (word,) = desk.store.drivers.all()
        (token,) = desk.store.tokens.all()
        assert (word.car_id, word.topic, word.told_by) == (CAR, Topic.DEPARTURE, token.token_id)
        assert word.saying.target_soc == pytest.approx(120 / 3.33 / 60)
        _, page = await driver.get(where)
        assert "Heard" in page
        assert "Needed <time" in page
        assert ">Wed 15 Jan 06:45<" in page
        for _ in range(2):
            await said(driver, "boost", {"hours": "2"})
        assert (await driver.get("/v1/my-car"))[1]["boost"] is True
        await said(driver, "boost/take-back")
        await said(driver, "v2g", {"on": "off"})
        _, page = await driver.get("/my-car")
        assert "V2G is off: your car gives no energy" in page
        _, again = await driver.get("/my-car")
        assert "Heard" not in again, "once only"
        await said(driver, "floor", {"level": "45 %", "unit": "percent"})
        await said(driver, "departure/take-back")
        _, body = await driver.get("/v1/my-car")
        assert (body["boost"], body["v2g"], body["floor_soc"]) == (False, False, 0.45)
        assert body["departure_said"] == "default"
        await said(driver, "v2g", {"on": "on"})
        await said(driver, "floor/take-back")
        assert (await driver.get("/v1/my-car"))[1]["floor_soc"] == 0.3
        await desk.parts.controller.cycle()


async def test_a_usual_week_is_kept_and_taken_back(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        days = {"wed_at": "06:15", "wed_amount": "95", "sun_at": "10:00:00", "sun_amount": "60"}
        assert (await said(driver, "week", days))[0] == 303
        (word,) = desk.store.drivers.all()
        assert [(row.day, row.target_soc) for row in word.saying.days] == [(2, 0.95), (6, 0.6)]
        _, body = await driver.get("/v1/my-car")
        assert (body["departure_said"], body["departs_at"]) == ("week", "2025-01-15T06:15:00Z")
        _, page = await driver.get("/my-car")
        assert 'value="06:15"' in page
        assert "Your usual week is kept" in page
        await said(driver, "week/take-back")
        assert (await driver.get("/v1/my-car"))[1]["departure_said"] == "default"


WRONG = [
    ("departure", {"depart_at": "", "amount": ""}, ["a date and time", "a number, such as 80"]),
    ("departure", {"depart_at": "half past <b>", "amount": "80"}, ["a date and time"]),
    ("departure", {"depart_at": "2025-01-14T11:00", "amount": "80"}, ["after Tue 14 Jan 2025 12:01 (now)"]),
    (
        "departure",
        {"depart_at": "2025-03-14T11:00", "amount": "80"},
        ["until Tue 28 Jan 2025 12:01, London time", "Fri 14 Mar 2025 11:00"],
    ),
    ("departure", {"depart_at": "2025-01-15T07:30", "amount": "101"}, ["101%: from 0 to 100%"]),
    ("departure", {"depart_at": "2025-01-15T07:30", "amount": "nan"}, ["from 0 to 100%"]),
    ("departure", {"depart_at": "2025-01-15T07:30", "amount": "full"}, ["a number, such as 80"]),
    (
        "departure",
        {"depart_at": "2025-01-15T07:30", "amount": "500", "unit": "miles"},
        ["500 miles: at most 199.8 miles: 60 kWh at 3.33 miles a kWh"],
    ),
    (
        "departure",
        {"depart_at": "2025-01-15T07:30", "amount": "80", "unit": "kWh"},
        ["one of percent, miles"],
    ),
    ("floor", {"level": "29"}, ["29%: at least 30%: the car"]),
    ("floor", {"level": "40", "unit": "miles"}, ["40 miles: at least 60 miles: the car"]),
    ("floor", {"level": ""}, ["a number, such as 80"]),
    ("week", {"mon_at": "07:30"}, ["a number, such as 80, or the day left empty"]),
    ("week", {"tue_amount": "80"}, ["a time, such as 07:30, or the day left empty"]),
    ("week", {"fri_at": "7.30", "fri_amount": "80"}, ["wrong-week-fri_at", "a local time of day"]),
    ("week", {"mon_at": "07:30", "mon_amount": "80", "sun_at": "9:00", "sun_amount": "8"}, ["week-sun_at"]),
    ("week", {"mon_at": "07:30", "mon_amount": "180"}, ["wrong-week-mon_amount", "180%: from 0 to 100%"]),
    ("week", {}, ["at least one day"]),
    ("v2g", {"on": "maybe"}, ["one of on, off"]),
    ("boost", {"hours": "99"}, ["one of 1, 2, 4, 8"]),
]


@pytest.mark.parametrize(("topic", "fields", "allowed"), WRONG)
async def test_what_is_wrong_comes_back_as_typed_with_what_is_allowed(tmp_path, topic, fields, allowed):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        status, _, page = await said(driver, topic, fields)
        assert status == 422
        for words in allowed:
            assert words in page
        assert "Nothing was changed" in page
        for name, value in fields.items():
            if value and name in ("depart_at", "amount", "level"):
                assert f'name="{name}"' in page
                assert f'value="{value.replace("<", "&lt;").replace(">", "&gt;")}"' in page
        wrong = "".join(re.findall(r'<p class="fault".*?</p>', page))
        assert wrong
        assert not re.search(r"\d:\d\d:\d\d|\dZ", wrong), "London's clocks, to the minute"
        assert 'type="datetime-local" name="depart_at"' in page
        assert page.count('aria-invalid="true"') == page.count("aria-describedby=")
        assert desk.store.drivers.all() == ()


UNKNOWN = [
    (
        "departure",
        {"depart_at": "2025-01-15T07:30", "amount": "80", "colour": "red"},
        "depart_at, amount, unit",
    ),
    ("departure/take-back", {"colour": "red"}, "no field"),
    ("boost", {"hours": "2", "colour": "red"}, "hours"),
    ("v2g", {"on": "off", "colour": ""}, "on"),
    ("floor", {"level": "50", "colour": "red"}, "level, unit"),
    ("week", {"mon_at": "07:30", "mon_amount": "80", "colour": "red"}, "mon_at, mon_amount, tue_at"),
]


@pytest.mark.parametrize(("topic", "fields", "known"), UNKNOWN)
async def test_a_field_that_no_form_has_is_refused_in_one_line(tmp_path, topic, fields, known):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        status, _, page = await said(driver, topic, fields)
        assert status == 422
        (wrong,) = re.findall(r'<p class="fault".*?</p>', page)
        assert "colour" in wrong
        assert f"unknown field; known here: {known}" in wrong
        assert desk.store.drivers.all() == ()


async def test_a_target_below_the_floor_is_told_so_where_it_is_said_and_shown(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver, vera = await a_driver(desk), await desk.sign_in("vera")
        await said(driver, "floor", {"level": "40"})
        assert "below your floor" not in (await driver.get("/my-car"))[1]
        assert (await driver.get("/v1/my-car"))[1]["target_below_floor"] is None
        await said(driver, "departure", {"depart_at": "2025-01-15T08:15", "amount": "20"})
        _, page = await driver.get("/my-car")
        flash = page.partition("Heard")[2].partition("</p>")[0]
        shown = (await driver.get("/my-car"))[1].partition('id="need-now"')[2].partition("</p>")[0]
        for told in (flash, shown):
            assert "That is below your floor, which outranks it: your car is kept at 40% or more." in told
        words = "20% is below the floor of 40%, which is kept"
        assert (await driver.get("/v1/my-car"))[1]["target_below_floor"] == words
        assert words in (await vera.get(f"/fleet/{CAR}"))[1]
        await said(driver, "departure/take-back")
        await said(
            driver, "week", {"sun_at": "10:00", "sun_amount": "35", "wed_at": "08:00", "wed_amount": "40"}
        )
        flash = (await driver.get("/my-car"))[1].partition("Heard")[2].partition("</p>")[0]
        assert "Sunday is below your floor, which outranks it: your car is kept at 40% or more." in flash


async def test_forms_of_other_sites_and_of_nobody_do_nothing(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        assert (await said(driver, "boost", Origin="https://evil.example"))[0] == 403
        assert (await said(driver, "boost", **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
        driver.csrf = "0" * 64
        assert (await said(driver, "boost"))[0] == 403
        assert desk.store.drivers.all() == ()


@pytest.mark.parametrize("topic", ["nothing", "v2g/take-back", "nothing/take-back"])
async def test_there_is_no_form_for_it(tmp_path, topic):
    async with a_desk(tmp_path) as desk:
        assert (await said(await a_driver(desk), topic))[0] == 404
        assert desk.store.drivers.all() == ()


async def test_the_address_of_a_form_leads_to_the_page(tmp_path):
    async with a_desk(tmp_path) as desk:
        for person in (await a_driver(desk), await desk.sign_in("vera")):
            for path in ("departure", "boost/take-back"):
                async with person._session.get(
                    f"{desk.base}/my-car/{path}", allow_redirects=False
                ) as response:
                    assert (response.status, response.headers.get("Location")) == (303, "/my-car"), path
            assert (await person.get("/my-car/nothing"))[0] == 404


async def test_what_will_be_missed_and_by_how_much(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        await said(driver, "departure", {"depart_at": "2025-01-14T12:10", "amount": "100"})
        _, page = await driver.get("/my-car")
        assert "Your target will be missed by 5\N{NO-BREAK SPACE}kWh" in page
        assert "It charges at full power" not in page, "it gives energy: nothing else was told to it yet"
        assert "not told to charge" in page or "told to give energy" in page
        _, body = await driver.get("/v1/my-car")
        assert body["shortfall"]["short"]["kwh"] == pytest.approx(6 - 7.4 * 0.92 * 9 / 60, abs=0.01)
        vera = await desk.sign_in("vera")
        await desk.parts.controller.cycle()
        _, body = await vera.get("/v1/fleet?shown=short")
        assert [row["car_id"] for row in body["cars"]] == [CAR]


async def test_a_driver_whose_car_is_no_more_is_told(tmp_path):
    async with a_desk(tmp_path) as desk:
        gone = await a_driver(desk, "car-77")
        status, page = await gone.get("/my-car")
        assert status == 404
        assert "not in the fleet" in page


async def test_who_asks_too_often_waits_but_boosts_at_once(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        statuses = [(await driver.get("/v1/my-car"))[0] for _ in range(40)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        assert (await said(driver, "boost"))[0] == 303


def test_a_driver_in_the_configuration_is_told_of_the_token(tmp_path, capsys):
    path = a_config(tmp_path) / "gateway.toml"
    row = '\n[[desk.user]]\nname = "dora"\nroles = ["driver"]\ncar = "leaf-001"\n'
    path.write_text(path.read_text() + row)
    assert run(["check-config", "--config", str(path)]) == 2
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "driver" in line]
    assert "gateway.toml: desk.user[" in told
    assert "flexloop drivers token CAR" in told


async def test_who_is_late_is_told_the_time_that_was_stated_and_what_became_of_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver, vera = await a_driver(desk), await desk.sign_in("vera")
        await said(driver, "departure", {"depart_at": "2025-01-14T12:10", "amount": "100"})
        words = "past; 90% by then: target missed; kept as promised until it leaves or hears more"
        words += ", at most until Tue 13:10"
        for _ in range(2):
            await desk.parts.minutes(12)
            _, body = await driver.get("/v1/my-car")
            assert (body["departs_at"], body["departure_overdue"]["met"]) == ("2025-01-14T12:10:00Z", False)
            assert body["departure_overdue"]["says"] == words
            assert body["shortfall"]["departs_at"]["utc"] == "2025-01-14T12:10:00Z"
            assert "late" in body["shortfall"]["says"]
            _, shown = await vera.get("/v1/fleet/car-1")
            assert shown["night"]["needed"] == {"at": "2025-01-14T12:10:00Z", "soc": 1.0}
            for person, path in ((driver, "/my-car"), (vera, "/fleet"), (vera, "/fleet/car-1")):
                _, page = await person.get(path)
                assert words in page, path
                assert re.search(r"12:10</time>", page), path
            (row,) = (await vera.get("/v1/fleet?text=car-1"))[1]["cars"]
            assert row["departs_at"] == "2025-01-14T12:10:00Z"
        await said(driver, "departure", {"depart_at": "2025-01-14T18:00", "amount": "80"})
        assert (await driver.get("/v1/my-car"))[1]["departure_overdue"] is None


async def test_a_car_that_rests_is_not_said_to_charge(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        driver, vera, parts = await a_driver(desk), await desk.sign_in("vera"), desk.parts
        await said(driver, "v2g", {"on": "off"})
        await parts.minute(obedient=True)
        await said(driver, "departure", {"depart_at": "2025-01-14T12:10", "amount": "100"})
        _, page = await driver.get("/my-car")
        assert "It is not told to charge at the moment. At full power from now on" in page
        assert "not told to charge yet, although your target needs it" in page
        assert "V2G is off: gives nothing" not in page.partition('class="plan"')[2].partition("</li>")[0]
        _, page = await vera.get("/fleet/car-1")
        assert "it is not told to charge at the moment" in page
        await parts.controller.cycle()
        _, page = await driver.get("/my-car")
        assert "It is told to charge with 7.4 kW and takes 0 kW" in page
        assert "Takes" in page.partition('class="plan"')[2].partition("</li>")[0]
        await parts.minute(obedient=True)
        _, page = await driver.get("/my-car")
        assert "It charges at full power" in page
