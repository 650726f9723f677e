"""The desk's actions as programs ask for them: roles, drafts, keys, four eyes, the trail."""

import pytest

from aggregator.model.opportunity import Stage
from aggregator.web.actions import ACTIONS
from aggregator.web.routes import LOOKS
from tests.desk.world import PEOPLE, PRODUCT, ZONE, a_desk

PROBLEM = "application/problem+json"


def digest(desk, name):
    return desk.bid(name).draft.digest


async def test_four_eyes_from_draft_to_approval(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        seen = {"draft": digest(desk, "bid-1")}
        status, refused = await ben.post("/v1/bids/bid-1/approve", seen)
        assert (status, refused["detail"]) == (
            409,
            "two people approve a bid: somebody else must check this draft first",
        )
        status, done = await anna.post("/v1/bids/bid-1/check", seen)
        assert (status, done["said"]) == (200, "checked by anna; somebody else must approve it")
        status, refused = await anna.post("/v1/bids/bid-1/approve", seen)
        assert (status, refused["detail"]) == (
            409,
            "anna has checked this draft; somebody else must approve it",
        )
        status, done = await ben.post("/v1/bids/bid-1/approve", seen)
        assert (status, done["said"]) == (200, "approved by ben; the bid leaves now")
        assert desk.bid("bid-1").stage is Stage.APPROVED
        trail = [(one.user, one.action, one.status) for one in desk.store.desk_trail.about("bid-1")]
        assert trail == [
            ("ben", "approve", 409),
            ("anna", "check", 200),
            ("anna", "approve", 409),
            ("ben", "approve", 200),
        ]
        assert {one.draft for one in desk.store.desk_trail.about("bid-1")} == {seen["draft"]}


async def test_a_stale_draft_is_refused_as_such_whatever_else_is_missing(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        seen = {"draft": digest(desk, "bid-1")}
        assert (await anna.post("/v1/bids/bid-1/check", seen))[0] == 200
        assert (await anna.post("/v1/bids/bid-1/amend", {**seen, "kw": 20}))[0] == 200
        status, refused = await ben.post("/v1/bids/bid-1/approve", seen)
        assert (status, refused["detail"]) == (409, "the draft changed after it was shown")


async def test_a_small_bid_needs_one_person_and_nobody_approves_an_own_draft(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        body = {"draft": digest(desk, "bid-1"), "kw": 11}
        status, done = await anna.post("/v1/bids/bid-1/amend", body)
        assert status == 200, done
        assert "11 kW" in done["said"]
        assert done["said"].endswith("it must be approved")
        mine = {"draft": digest(desk, "bid-1")}
        status, refused = await anna.post("/v1/bids/bid-1/approve", mine)
        assert (status, refused["detail"]) == (409, "anna wrote this draft; somebody else must approve it")
        ben = await desk.sign_in("ben")
        assert (await ben.post("/v1/bids/bid-1/approve", mine))[0] == 200


async def test_a_draft_that_changed_is_not_approved(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        old = {"draft": digest(desk, "bid-3")}
        assert (await anna.post("/v1/bids/bid-3/amend", {**old, "gbp_per_mwh": 250}))[0] == 200
        for verb, more in (("approve", {}), ("check", {}), ("reject", {"reason": "too low"})):
            status, refused = await ben.post(f"/v1/bids/bid-3/{verb}", {**old, **more})
            assert status == 409
            assert "the draft changed after it was shown" in refused["detail"]
        assert desk.bid("bid-3").stage is Stage.IN_REVIEW


async def test_a_price_is_taken_as_it_is_told(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        asked = {"draft": digest(desk, "bid-1"), "gbp_per_mwh": "199.50"}
        assert (await anna.post("/v1/bids/bid-1/amend", asked))[0] == 200
        _, body = await anna.get("/v1/bids/bid-1")
        assert body["utilisation_gbp_per_mwh"] == "199.50"
        asked = {"draft": digest(desk, "bid-1"), "gbp_per_mwh": "dear"}
        status, problem = await anna.post("/v1/bids/bid-1/amend", asked)
        assert (status, problem["faults"][0]["field"]) == (422, "body: gbp_per_mwh")


async def test_the_same_key_is_the_same_action_and_answered_the_same(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        body = {"draft": digest(desk, "bid-1"), "kw": 20}
        first = await anna.post("/v1/bids/bid-1/amend", body, key="once")
        again = await anna.post("/v1/bids/bid-1/amend", body, key="once")
        assert first == again
        assert first[0] == 200
        assert desk.bid("bid-1").last_draft_version == 2
        status, problem = await anna.post("/v1/bids/bid-1/amend", {**body, "kw": 21}, key="once")
        assert (status, problem["faults"][0]["field"]) == (422, "Idempotency-Key")
        ben = await desk.sign_in("ben")
        status, _ = await ben.post("/v1/bids/bid-1/check", {"draft": digest(desk, "bid-1")}, key="once")
        assert status == 200, "a key is its person's own"
        status, problem = await anna.post("/v1/bids/bid-1/amend", body, headers={"Idempotency-Key": None})
        assert (status, problem["faults"][0]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("bids/bid-1/amend", {"draft": "0" * 64, "kw": "20"}, "body: kw"),
        ("bids/bid-1/amend", {"draft": "0" * 64, "kw": 20, "price": 3}, "body: price"),
        ("bids/bid-1/check", {}, "body: draft"),
        ("bids/bid-1/check", {"draft": "short"}, "body: draft"),
        ("bids/bid-1/reject", {"reason": ""}, "body: reason"),
        ("bids/bid-1/reject", {"reason": " "}, "body: reason"),
        ("bids/bid-1/amend", {"draft": "0" * 64}, "body: kw"),
        ("stops", {"reason": "a recall", "zone": "Mars"}, "body: zone"),
        ("alarms/acknowledge", {"alarms": []}, "body: alarms"),
        ("approvals", {"bids": [{"bid": "bid-1"}]}, "body: bids[0].draft"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_done(tmp_path, path, body, field):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        before = desk.store.journal.versions()
        status, problem = await anna.post(f"/v1/{path}", body)
        assert (status, problem["faults"][0]["field"]) == (422, field)
        assert "--" not in str(problem)
        assert desk.store.journal.versions() == before


@pytest.mark.parametrize("reason", ["   ", "", "x" * 501])
async def test_a_reason_that_says_nothing_is_answered_beside_its_field(tmp_path, reason):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        draft, before = digest(desk, "bid-1"), desk.store.journal.versions()
        words = "at most 500" if reason.strip() else "say why, in words"
        for verb in ("reject", "withdraw"):
            form = [("draft", draft), ("reason", reason)]
            came_from = f"{desk.base}/bids/bid-1?kw=20&price=200"
            status, _, page = await anna.form(f"/v1/bids/bid-1/{verb}", form, Referer=came_from)
            assert status == 422
            assert 'id="act">Decide' in page, "it is the bid's page"
            assert 'value="20"' in page, "what was typed in other fields stays"
            if verb == "reject":
                wrong = page.partition('id="wrong-reject-reason"')[2].partition("</p>")[0]
                assert words in wrong
                assert f'value="{reason}" aria-invalid="true"' in page
        status, _, page = await anna.form("/v1/stops", [("reason", reason)], Referer=f"{desk.base}/live")
        assert status == 422
        assert words in page.partition('id="wrong-stop-reason"')[2].partition("</p>")[0]
        assert desk.store.journal.versions() == before
        assert desk.store.halts.standing() == ()
        for path, page in (("/v1/approvals", "/bids"), ("/v1/alarms/acknowledge", "/live")):
            status, _, told = await anna.form(path, [], Referer=f"{desk.base}{page}")
            assert (status, "Nothing is ticked" in told) == (422, True)
        again = [("draft", draft), ("reason", "too little")]
        came_from = f"{desk.base}/v1/bids/bid-1/reject"  # without scripts a page that came back is there
        status, where, _ = await anna.form("/v1/bids/bid-1/reject", again, Referer=came_from)
        assert (status, where.partition("?")[0]) == (303, "/bids/bid-1")


async def test_a_program_is_told_of_what_is_no_json_or_not_there(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        seen = {"draft": digest(desk, "bid-1")}
        assert (await anna.post("/v1/bids/nothing/check", seen))[0] == 404
        assert (await anna.get("/v1/bids/nothing"))[0] == 404
        headers = {"X-CSRF-Token": anna.csrf, "Idempotency-Key": "raw"}
        for text, kind, expected in (("{", "application/json", 400), ("{}", "text/plain", 415)):
            async with anna._session.post(
                f"{desk.base}/v1/bids/bid-1/check",
                data=text,
                headers={**headers, "Content-Type": kind},
            ) as response:
                assert (response.status, response.content_type) == (expected, PROBLEM)


async def test_the_tables_roles_are_the_rules_roles(tmp_path):
    """Whom the table refuses the rules refuse, too: 403 stands for exactly the roles of the desk."""
    async with a_desk(tmp_path) as desk:
        bodies = {
            "check": {"draft": digest(desk, "bid-1")},
            "approve": {"draft": digest(desk, "bid-1")},
            "amend": {"draft": digest(desk, "bid-1"), "kw": 20},
            "reject": {"reason": "no"},
            "withdraw": {"reason": "no"},
            "acknowledge": {"alarms": [99]},
            "stop": {"reason": "a recall", "zone": "Mars"},
            "restart": {},
            "settle": {"from": "2025-01-14", "to": "2025-01-15"},
            "audit": {},
        }
        assert bodies.keys() == {action.name for action in ACTIONS}
        for user in PEOPLE:
            person = await desk.sign_in(user.name)
            for action in ACTIONS:
                if action.name in ("check", "approve", "amend", "reject") and set(user.roles) & set(
                    action.roles
                ):
                    continue  # would be done
                path = action.path.replace("{bid}", "bid-1")
                status, _ = await person.post(path, bodies[action.name])
                allowed = not action.roles or bool(set(user.roles) & set(action.roles))
                assert (status == 403) is not allowed, (user.name, action.name, status)


def refusals(desk, user):
    rows = [one for one in desk.store.desk_trail.all() if one.user == user and one.status == 403]
    return [(one.action, one.subject, one.draft) for one in rows]


async def test_who_lacks_the_role_is_refused_and_that_is_kept(tmp_path):
    async with a_desk(tmp_path) as desk:
        sue, seen = await desk.sign_in("sue"), digest(desk, "bid-1")
        status, told = await sue.post("/v1/bids/bid-1/amend", {"draft": seen, "kw": 20})
        assert status == 403
        assert (await sue.post("/v1/restarts", {"zone": "Canvey"}))[0] == 403
        assert (await sue.form("/v1/bids/bid-1/approve", [("draft", seen)]))[0] == 403
        many = [{"bid": name, "draft": digest(desk, name)} for name in ("bid-1", "bid-2")]
        assert (await sue.post("/v1/approvals", {"bids": many}))[0] == 403
        assert (await sue.post("/v1/bids/bid-1/withdraw", {"reason": " "}))[0] == 403
        assert refusals(desk, "sue") == [
            ("amend", "bid-1", seen),
            ("restart", "Canvey", ""),
            ("approve", "bid-1", seen),
            ("approve", "bid-1", seen),
            ("approve", "bid-2", digest(desk, "bid-2")),
            ("withdraw", "bid-1", ""),
        ]
        (row, *_) = [one for one in desk.store.desk_trail.all() if one.status == 403]
        assert row.said == told["detail"] == "sue is no trader, which it takes to amend"
        assert desk.store.desk_trail.verify().holds
        for path in ("/audit", "/v1/audit/trail.csv"):
            _, text = await sue.get(path)
            assert "sue is no trader, which it takes to amend" in text
        assert "sue is no trader" in (await sue.get("/bids/bid-1"))[1]


async def test_what_another_page_sent_or_a_stranger_asked_fills_no_trail(tmp_path):
    async with a_desk(tmp_path) as desk:
        sue = await desk.sign_in("sue")
        before = desk.store.desk_trail.length()
        elsewhere = {"Origin": "http://elsewhere.test"}
        assert (await sue.post("/v1/restarts", headers=elsewhere))[0] == 403
        assert (await sue.post("/v1/restarts", headers={"X-CSRF-Token": None}))[0] == 403
        async with desk.a_session().post(f"{desk.base}/v1/restarts", json={}) as response:
            assert response.status == 401
        assert desk.store.desk_trail.length() == before


async def test_many_are_approved_each_as_it_was_seen(tmp_path):
    async with a_desk(tmp_path) as desk:
        ben = await desk.sign_in("ben")
        many = [
            {"bid": "bid-2", "draft": digest(desk, "bid-2")},
            {"bid": "bid-3", "draft": "0" * 64},
            {"bid": "bid-1", "draft": digest(desk, "bid-1")},
        ]
        status, done = await ben.post("/v1/approvals", {"bids": many}, key="many")
        assert (status, [one["status"] for one in done["done"]]) == (200, [200, 409, 409])
        stages = [desk.bid(name).stage for name in ("bid-1", "bid-2", "bid-3")]
        assert stages == [Stage.IN_REVIEW, Stage.APPROVED, Stage.IN_REVIEW]
        assert await ben.post("/v1/approvals", {"bids": many}, key="many") == (status, done)
        found = [{"bid": "bid-1", "draft": digest(desk, "bid-1")}]
        assert (await ben.post("/v1/checks", {"bids": found}))[1]["done"][0]["status"] == 200
        assert desk.bid("bid-1").checked_by == "ben"
        boxes = [("bids", f"{digest(desk, 'bid-3')} bid-3")]
        status, where, _ = await ben.form("/v1/approvals", boxes, Referer=f"{desk.base}/bids?sort=zone")
        assert status == 303
        assert where.startswith("/bids?did=")
        assert "approved by ben; the bid leaves now" in (await ben.get(where))[1]
        assert desk.bid("bid-3").stage is Stage.APPROVED


async def test_one_stops_two_restart_and_alarms_are_acknowledged(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, ben, otto = [await desk.sign_in(name) for name in ("vera", "ben", "otto")]
        assert (await vera.post("/v1/stops", {"reason": "smoke"}))[0] == 200
        desk.parts.gateway.book.refresh(desk.parts.clock.now())
        zones = (await vera.get("/v1/live"))[1]["zones"]
        assert all(zone["stopped"] for zone in zones)
        assert (await vera.post("/v1/restarts"))[0] == 403
        assert (await otto.post("/v1/restarts"))[1]["said"].endswith("a second person must")
        status, refused = await otto.post("/v1/restarts")
        assert (status, refused["detail"]) == (409, "otto has said so already: a second person must")
        assert (await ben.post("/v1/restarts"))[1]["said"] == "all zones: restarted by otto and ben"
        assert desk.store.halts.standing() == ()
        numbers = [alarm.alarm_id for alarm in desk.store.alarms.open()]
        assert (await vera.post("/v1/alarms/acknowledge", {"alarms": numbers}))[0] == 403
        assert "Acknowledge" not in (await vera.get("/live"))[1]
        assert "Acknowledge" in (await otto.get("/live"))[1]
        assert (await otto.post("/v1/alarms/acknowledge", {"alarms": [*numbers, 99]}))[0] == 409
        assert len(desk.store.alarms.open()) == len(numbers)
        assert (await otto.post("/v1/alarms/acknowledge", {"alarms": numbers}))[0] == 200
        assert desk.store.alarms.open() == []


async def test_the_description_names_every_route_and_is_whole(tmp_path):
    async with a_desk(tmp_path, empty=True) as desk:
        vera = await desk.sign_in("vera")
        status, found = await vera.get("/v1/openapi.json")
        assert (status, found["openapi"]) == (200, "3.1.0")
        assert "holds" in found["paths"]["/v1/stops"]["post"]["responses"]["202"]["description"]
        for action in ACTIONS:
            post = found["paths"][action.path]["post"]
            name = post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
            assert name in found["components"]["schemas"]
        assert all(look.is_page or look.path in found["paths"] for look in LOOKS)
        begun = found["paths"]["/v1/session"]["post"]
        assert begun["security"] == []
        assert begun["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/SignIn")
        assert {"user", "password", "token"} == found["components"]["schemas"]["SignIn"]["properties"].keys()
        said = {one["name"]: one for one in found["paths"]["/v1/bids"]["get"]["parameters"]}
        assert said.keys() == {"shown", "zone", "product"}
        assert said["shown"]["schema"]["enum"] == ["open", "todo", "all"]


async def test_every_query_that_a_look_declares_is_taken_and_any_other_is_refused(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, anna = await desk.sign_in("vera"), await desk.sign_in("anna")
        for look in LOOKS:
            if look.is_page or look.name in ("stream", "my_car_json"):
                continue
            path = look.path.format(bid="bid-5", car="car-1", name="x.csv", month="2025-01")
            for ask in look.asks:
                for value in ask.one_of or ("",):
                    status, body = await vera.get(f"{path}?{ask.name}={value}")
                    assert "known here" not in str(body), (path, ask, body)
                if ask.one_of:
                    status, body = await vera.get(f"{path}?{ask.name}=most")
                    assert (status, body["faults"][0]["allowed"]) == (422, f"one of {', '.join(ask.one_of)}")
            status, body = await vera.get(f"{path}?colour=red")
            assert (status, body["faults"][0]["field"]) == (422, "query: colour")
            names = ", ".join(ask.name for ask in look.asks)
            assert f"unknown key; known here: {names or 'none'}" == body["faults"][0]["allowed"]
        for look in LOOKS:
            if look.is_page and look.name != "my_car":
                path = look.path.format(bid="bid-5", car="car-1")
                assert (await vera.get(f"{path}?colour=red&utm_source=post"))[0] == 200, path
        assert (await anna.post("/v1/stops?zone=Canvey", {"reason": "smoke"}))[0] == 422
        assert desk.store.halts.standing() == ()
        async with desk.a_session().post(f"{desk.base}/v1/session?user=anna", json={}) as response:
            assert response.status == 422


async def test_a_program_that_names_a_zone_or_product_there_is_none_of_is_told_which_there_are(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        zones = "one of Canvey, Hendon Way, Wrotham"
        for path in ("/v1/fleet", "/v1/bids", "/v1/settlement"):
            status, body = await vera.get(f"{path}?zone=Nowhere")
            fault = {"field": "query: zone", "value": "Nowhere", "allowed": zones}
            assert (status, body["faults"]) == (422, [fault]), path
            assert body["detail"] == f"query: zone: 'Nowhere' is not allowed; {zones}"
        status, body = await vera.get("/v1/bids?product=ebay")
        assert (status, body["faults"][0]["value"]) == (422, "ebay")
        parameters = (await vera.get("/v1/openapi.json"))[1]["paths"]["/v1/fleet"]["get"]["parameters"]
        assert ["Canvey", "Hendon Way", "Wrotham"] in [one["schema"].get("enum") for one in parameters]


async def test_bids_as_json_are_filtered_as_the_page_is(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")

        async def bids(query):
            return [one["opportunity"] for one in (await anna.get(f"/v1/bids?{query}"))[1]["bids"]]

        assert await bids("shown=todo") == ["bid-1", "bid-2", "bid-3"]
        assert await bids("zone=Canvey") == []
        assert await bids("") == await bids(f"zone={ZONE}&product={PRODUCT}&shown=")
