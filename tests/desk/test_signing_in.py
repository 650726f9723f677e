"""Who is let in, for how long, and what shows that a person and no other site asked."""

import json
import re
import subprocess
import sys
from datetime import timedelta

import pytest

from aggregator.cli import run
from aggregator.store import open_store
from tests.desk.world import HASHES, NOW, PASSWORDS, a_desk


async def tried(desk, user, password, **headers):
    session = desk.a_session()
    said = {"user": user, "password": password}
    async with session.post(f"{desk.base}/v1/session", json=said, headers=headers) as response:
        return response.status, await response.json(content_type=None), response.headers


@pytest.mark.parametrize(
    "said",
    [
        {"user": "anna", "password": ["hunter-2-and-more"]},
        {"user": "anna", "password": "hunter-2-and-more" * 20},
        {"user": "anna", "pasword": "hunter-2-and-more"},
        {"token": {"text": "hunter-2-and-more"}},
        ["anna", "hunter-2-and-more"],
        '{"user": "anna", "password": "hunter-2-and-more"',
    ],
)
async def test_what_is_wrong_with_a_sign_in_is_told_without_its_password(tmp_path, said):
    async with a_desk(tmp_path, empty=True, heard=False) as desk:
        text = said if isinstance(said, str) else json.dumps(said)
        kind = {"Content-Type": "application/json"}
        async with desk.a_session().post(f"{desk.base}/v1/session", data=text, headers=kind) as response:
            assert response.status in (400, 422)
            answer = await response.text()
        assert "hunter" not in answer
        assert "body" in answer


async def test_pages_send_to_sign_in_and_back_and_json_says_401(tmp_path):
    async with a_desk(tmp_path) as desk:
        session = desk.a_session()
        async with session.get(f"{desk.base}/bids/bid-1?kw=20", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (
                303,
                "/sign-in?next=/bids/bid-1?kw%3D20",
            )
        async with session.get(f"{desk.base}/v1/bids") as response:
            assert (response.status, response.content_type) == (401, "application/problem+json")
        form = {"user": "anna", "password": PASSWORDS["anna"], "next": "/bids/bid-1"}
        async with session.post(f"{desk.base}/sign-in", data=form, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/bids/bid-1")
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        async with session.get(f"{desk.base}/bids/bid-1") as response:
            assert response.status == 200


async def test_a_form_of_a_session_that_is_over_does_nothing_and_keeps_what_was_typed(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        desk.store.desk_people.set_password("anna", HASHES["anna"], NOW)
        form = [("draft", desk.bid("bid-1").draft.digest), ("reason", "too <b>little</b>")]
        status, _, page = await anna.form(
            "/v1/bids/bid-1/reject", form, Referer=f"{desk.base}/bids/bid-1?kw=20"
        )
        assert status == 401
        for words in ("Your session is over", "nothing was done", "too &lt;b&gt;little&lt;/b&gt;"):
            assert words in page
        assert 'href="/sign-in?next=%2Fbids%2Fbid-1%3Fkw%3D20" target="_blank"' in page
        assert "<b>" not in page
        ben = await desk.sign_in("ben")
        ben.csrf = anna.csrf
        status, _, page = await ben.form("/v1/bids/bid-1/reject", form)
        assert (status, "somebody signed in anew in this browser" in page) == (403, True)
        assert "too &lt;b&gt;little&lt;/b&gt;" in page
        assert desk.store.desk_trail.about("bid-1") == []


@pytest.mark.parametrize("where", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
async def test_nobody_is_sent_to_another_site(tmp_path, where):
    async with a_desk(tmp_path) as desk:
        form = {"user": "anna", "password": PASSWORDS["anna"], "next": where}
        async with desk.a_session().post(
            f"{desk.base}/sign-in", data=form, allow_redirects=False
        ) as response:
            assert response.headers["Location"] == "/"


async def test_a_wrong_password_and_a_stranger_look_the_same_and_are_slowed_down(tmp_path):
    async with a_desk(tmp_path) as desk:
        wrong, stranger = await tried(desk, "anna", "wrong"), await tried(desk, "nobody", "wrong")
        assert wrong[:2] == stranger[:2]
        assert wrong[0] == 401
        statuses = [(await tried(desk, "anna", "wrong"))[0] for _ in range(6)]
        assert statuses[-1] == 429
        status, _, headers = await tried(desk, "anna", PASSWORDS["anna"])
        assert status == 429
        assert int(headers["Retry-After"]) > 0
        assert {one.status for one in desk.store.desk_trail.all()} == {401}


async def test_a_session_ends_unused_at_sign_out_and_with_a_new_password(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        desk.wall.pass_by(timedelta(hours=7))
        assert (await anna.get("/v1/live"))[0] == 200
        desk.wall.pass_by(timedelta(hours=4))
        assert (await anna.get("/v1/live"))[0] == 200
        desk.wall.pass_by(timedelta(hours=2))
        assert (await anna.get("/v1/live"))[0] == 401, "12 hours in all"

        ben = await desk.sign_in("ben")
        desk.wall.pass_by(timedelta(hours=8, minutes=1))
        assert (await ben.get("/v1/live"))[0] == 401, "8 hours unused"

        ben = await desk.sign_in("ben")
        assert (await ben.form("/sign-out", []))[:2] == (303, "/sign-in")
        assert (await ben.get("/v1/live"))[0] == 401

        cleo = await desk.sign_in("cleo")
        desk.store.desk_people.set_password("cleo", "another", desk.wall.now())
        assert (await cleo.get("/v1/live"))[0] == 401


async def test_what_another_sites_page_sends_does_nothing(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        body = {"draft": desk.bid("bid-1").draft.digest}
        for headers in (
            {"X-CSRF-Token": None},
            {"X-CSRF-Token": "0" * 64},
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            status, problem = await anna.post("/v1/bids/bid-1/check", body, headers=headers)
            assert (status, problem["status"]) == (403, 403)
        form = [("draft", body["draft"])]
        assert (await anna.form("/v1/bids/bid-1/check", form, Origin="https://evil.example"))[0] == 403
        assert desk.bid("bid-1").checked_by is None
        status, *_ = await tried(desk, "anna", PASSWORDS["anna"], Origin="https://evil.example")
        assert status == 403
        assert (await anna.post("/v1/bids/bid-1/check", body, headers={"Origin": desk.base}))[0] == 200


async def test_every_answer_says_that_nothing_else_is_loaded(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        for path in ("/", "/nothing", "/v1/live", "/v1/nothing"):
            async with anna._session.get(desk.base + path) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert response.headers["Cache-Control"] == "no-store"
                page = await response.text()
        _, page = await anna.get("/")
        assert not re.findall(r"(?:src|href|action)=\"https?:", page)
        assert "<style" not in page
        assert " style=" not in page


async def test_tls_makes_the_cookie_the_hosts_own(tmp_path):
    async with a_desk(tmp_path, behind_tls_proxy=True) as desk:
        _, _, headers = await tried(desk, "anna", PASSWORDS["anna"])
        assert headers["Set-Cookie"].startswith("__Host-flexloop=")
        assert "Secure" in headers["Set-Cookie"]


def test_a_password_is_made_by_command_shown_once_and_kept_as_a_hash(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'flexloop.db'}"
    open_store(url, create=True).close()
    assert run(["desk", "password", "anna", "--database", url]) == 0
    shown = capsys.readouterr()
    assert re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}\n", shown.out)
    assert shown.err == "the new password of anna for the desk in the browser, shown this once:\n"
    text = shown.out.strip()
    with open_store(url, create=False) as store:
        known = store.desk_people.password_hash("anna")
        assert known.startswith("$argon2id$")
        (row,) = store.desk_trail.all()
        assert store.desk_trail.verify().holds
    assert (row.action, row.subject, row.via, row.status) == ("password", "anna", "command line", 200)
    assert row.user.startswith("account ")
    assert not {text, known} & {row.said, row.key, row.asked}
    assert run(["desk", "trail", "--database", url]) == 0
    assert "a new password was made for anna" in capsys.readouterr().out
    assert text.encode() not in (tmp_path / "flexloop.db").read_bytes()
    assert run(["desk", "password", "nobody", "--database", url]) == 2
    assert "a user of the configuration: anna, ben" in capsys.readouterr().err


def test_a_password_waits_for_no_solver_and_no_tables_to_load():
    heavy = "{'openleadr', 'pandas', 'pyarrow', 'pyomo', 'scipy'}"
    asked = f"import sys, aggregator.commands.desk; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
