"""Pages over the real store: they render, escape, refuse and explain. One organisation serves the whole module; writes use objects of their own."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import yaml

from tests.web.stage import HOSTILE, Stage, stage

pytestmark = pytest.mark.anyio

PAGES = [
    "/",
    "/?state=missed",
    "/d/1A",
    "/d/1G",
    "/s/1A/A-2",
    "/u/1A/U-W2",
    "/u/1B/U-C1",
    "/k/assets",
    "/k/assets?wide=1&field=status.lifecycle%3DInStock&label=lot%3DL1",
    "/k/kpis",
    "/new/assets",
    "/new/assets?as=yaml",
    "/r/assets/cipo-000004",
    "/r/sites/ams1",
    "/r/racks/fra1-r12",
    "/r/racks/fra1-r12/delete",
    "/kpi/inventory-accuracy",
    "/kpi/dev-bootstrap?days=7d",
    "/kpi/allocated-cost",
    "/kpi/durability",
    "/kpi/api-uptime?days=365d",
    "/kpi/api-uptime?from=2026-01-01&to=2026-01-02",
    "/scorecard",
    "/scorecard?state=missed",
    "/scorecard?month=2020-01",
    "/scorecard/1B",
    "/scorecard/1B/B-1",
    "/search",
    "/search?q=7XK",
    "/contracts",
    "/contracts?from=1A&to=1B",
    "/events",
    "/events?kind=assets&name=cipo-000004",
    "/todo",
    "/help",
]


@pytest.fixture(scope="module")
async def org(module_dsn: str, anyio_backend: str) -> AsyncIterator[Stage]:
    async with stage(module_dsn) as made:
        yield made


async def client(org: Stage, name: str = "cipo", *, act_as: str = "", units: tuple[str, ...] = ()) -> httpx.AsyncClient:
    cookies = {"cipo_session": await org.session(name, units=units)}
    if act_as:
        cookies["cipo_unit"] = act_as
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(org.app), base_url="http://cipo.test", cookies=cookies, headers={"accept": "text/html"}
    )


@pytest.fixture
async def cipo(org: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with await client(org) as made:
        yield made


@pytest.fixture
async def keeper(org: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """The CIPO acting as the unit that owns assets."""
    async with await client(org, act_as="1A/U-W2") as made:
        yield made


def token(page: str) -> str:
    found = re.search(r'name="csrf" content="([^"]+)"', page)
    assert found, "the page carries no CSRF token"
    return found[1]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_renders_small_and_closed(cipo: httpx.AsyncClient, path: str) -> None:
    answer = await cipo.get(path)
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.content) < 150_000
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text), "an inline script"
    assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", answer.text), "an inline style or handler"
    assert "http://" not in re.sub(r"http://(www\.w3\.org|cipo\.test)", "", answer.text), "something from another host"


async def test_the_map_says_the_state_of_every_promise_and_which_units_are_not_staffed(org: Stage, cipo: httpx.AsyncClient) -> None:
    page = (await cipo.get("/")).text
    items = (await org.resources.list(org.caller(), org.registry.by_gk["Kpi.org.cipo"])).items
    states = [item.object()["status"]["state"] for item in items]
    assert f"{states.count('met')} of {len(states)} promises kept" in page and f"{states.count('missed')} missed" in page
    for kpi in org.chart.kpis:
        assert f'href="/kpi/{kpi.name}"' in page
    assert "not staffed" in page and ">derived<" in page
    assert page.count('class="dept"') == 7


async def test_hostile_words_stay_words(cipo: httpx.AsyncClient) -> None:
    for path in (
        "/k/sites",
        "/r/sites/ams1",
        "/events",
        "/r/sites/ams1?as=yaml",
        f"/search?q={HOSTILE}",
        f"/k/sites?label={HOSTILE}",
        f"/kpi/{HOSTILE}",
    ):
        answer = await cipo.get(path)
        if answer.headers["content-type"].startswith("text/html"):
            assert "<script>alert" not in answer.text and "<img src=x" not in answer.text, path
        else:
            assert answer.headers["content-type"].startswith("text/plain")


async def test_without_a_session_the_door_opens_and_leads_back(org: Stage) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(org.app), base_url="http://cipo.test") as nobody:
        answer = await nobody.get("/k/assets?wide=1")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=/k/assets%3Fwide%3D1"
        page = await nobody.get(answer.headers["location"])
        assert "cipo login-link" in page.text
        assert (await nobody.post("/theme", data={"theme": "dark"})).status_code == 401


async def test_opening_a_sign_in_link_does_not_spend_it_and_its_button_does(org: Stage) -> None:
    from cipo.kernel import tokens  # noqa: PLC0415

    link = re.split("[/=]", await tokens.create_login_link(org.db, "http://cipo.test", "cipo"))[-1]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(org.app), base_url="http://cipo.test") as nobody:
        for _ in range(2):
            assert (await nobody.get(f"/sign-in/{link}")).status_code == 200
        entered = await nobody.post(f"/sign-in/{link}", data={"next": "https://evil.example/"})
        assert entered.status_code == 303 and entered.headers["location"] == "/"
        assert (await nobody.get("/")).status_code == 200
        again = await nobody.post(f"/sign-in/{link}")
        assert again.status_code == 401 and "used already" in again.text


async def test_a_write_without_the_pages_token_is_refused(keeper: httpx.AsyncClient) -> None:
    for path in ("/theme", "/act-as", "/r/assets/cipo-000001/act/lost", "/r/assets/cipo-000001/delete", "/new/sites", "/sign-out"):
        answer = await keeper.post(path, data={"theme": "dark"})
        assert answer.status_code == 403, path
        assert "CSRF" in answer.text


async def test_an_action_runs_from_its_form_and_says_what_it_recorded(keeper: httpx.AsyncClient) -> None:
    page = (await keeper.get("/r/assets/cipo-000001")).text
    assert "Leaves the fact asset.transition" in page
    answer = await keeper.post("/r/assets/cipo-000001/act/putaway", data={"csrf": token(page), "in.bin": "fra1.a-02"})
    assert answer.status_code == 303 and answer.headers["location"].endswith("?done=putaway")
    after = (await keeper.get(answer.headers["location"])).text
    assert "Putaway: done" in after and "fra1.a-02" in after
    assert re.search(r"<del>fra1\.a-01</del> → <ins>fra1\.a-02</ins>", after), "the timeline shows the field that changed"


async def test_the_same_form_sent_twice_acts_once(keeper: httpx.AsyncClient) -> None:
    page = (await keeper.get("/r/assets/cipo-000002")).text
    form = {"csrf": token(page), "in.bin": "fra1.a-02", "key": "k-1"}
    assert (await keeper.post("/r/assets/cipo-000002/act/putaway", data=form)).status_code == 303
    before = (await keeper.get("/r/assets/cipo-000002")).text.count("<b>Putaway")
    assert (await keeper.post("/r/assets/cipo-000002/act/putaway", data=form)).status_code == 303
    assert (await keeper.get("/r/assets/cipo-000002")).text.count("<b>Putaway") == before


async def test_a_wrong_input_comes_back_beside_its_field_with_what_was_typed(keeper: httpx.AsyncClient) -> None:
    page = (await keeper.get("/r/assets/cipo-000003")).text
    answer = await keeper.post("/r/assets/cipo-000003/act/putaway", data={"csrf": token(page), "in.bin": "no-such-bin"})
    assert answer.status_code in (404, 409, 422)
    assert 'value="no-such-bin"' in answer.text
    assert "no-such-bin" in re.sub(r'value="[^"]*"', "", answer.text), "the reason names the value"


async def test_why_an_action_is_not_possible_is_said(cipo: httpx.AsyncClient, keeper: httpx.AsyncClient) -> None:
    assert "only while" in (await keeper.get("/r/assets/cipo-000004")).text
    lead = (await cipo.get("/r/assets/cipo-000004?asUnit=1F/U-OB1")).text
    assert "1A" in lead


async def test_an_edit_shows_the_difference_first_and_applies_it_then(keeper: httpx.AsyncClient) -> None:
    page = (await keeper.get("/r/assets/cipo-000005/edit")).text
    fields = dict(re.findall(r'<input [^>]*name="((?:spec|version)[^"]*)" value="([^"]*)"', page)) | {
        "spec.ownership": "leased",
        "metadata.labels": "lot: L2",
    }
    checked = await keeper.post("/r/assets/cipo-000005/edit", data={"csrf": token(page), "step": "check", **fields})
    assert checked.status_code == 200 and "This would change 1 field" in checked.text, checked.text[:3000]
    assert "owned" in (await keeper.get("/r/assets/cipo-000005?as=yaml")).text, "a check changes nothing"
    manifest = re.search(r'<textarea name="manifest"[^>]*>(.*?)</textarea>', checked.text, re.S)
    assert manifest
    applied = await keeper.post(
        "/r/assets/cipo-000005/edit", data={"csrf": token(page), "step": "apply", "manifest": html.unescape(manifest[1])}
    )
    assert applied.status_code == 303
    assert "ownership: leased" in (await keeper.get("/r/assets/cipo-000005?as=yaml")).text
    late = await keeper.post(
        "/r/assets/cipo-000005/edit", data={"csrf": token(page), "step": "apply", "manifest": html.unescape(manifest[1])}
    )
    assert late.status_code == 409 and "modified" in late.text, "somebody wrote in between"


async def test_a_new_object_is_made_from_the_form_and_from_yaml(keeper: httpx.AsyncClient) -> None:
    csrf = token((await keeper.get("/new/sites")).text)
    bad = await keeper.post("/new/sites", data={"csrf": csrf, "metadata.name": "muc1", "spec.code": "lower"})
    assert bad.status_code == 422 and 'aria-invalid="true"' in bad.text and 'value="lower"' in bad.text
    made = await keeper.post("/new/sites", data={"csrf": csrf, "metadata.name": "muc1", "spec.code": "MUC1", "spec.latitude": "48.1"})
    assert made.headers.get("location") == "/r/sites/muc1", made.text[:2000]
    text = "metadata: {name: ber1}\nspec: {code: BER1}\n"
    assert (await keeper.post("/new/sites?as=yaml", data={"csrf": csrf, "manifest": text})).headers["location"] == "/r/sites/ber1"
    bomb = "a: &a [1,1]\nb: *a\n"
    assert (await keeper.post("/new/sites?as=yaml", data={"csrf": csrf, "manifest": bomb})).status_code == 400


async def test_a_delete_names_who_refers_to_it(keeper: httpx.AsyncClient) -> None:
    page = await keeper.get("/r/racks/fra1-r12/delete")
    assert "10 objects refer to it" in page.text and 'href="/r/assets/cipo-000004"' in page.text
    refused = await keeper.post("/r/racks/fra1-r12/delete", data={"csrf": token(page.text)})
    assert refused.status_code == 409
    csrf = token((await keeper.get("/new/sites")).text)
    await keeper.post("/new/sites", data={"csrf": csrf, "metadata.name": "gone1", "spec.code": "GONE1"})
    assert (await keeper.post("/r/sites/gone1/delete", data={"csrf": csrf})).headers["location"] == "/k/sites"
    assert (await keeper.get("/r/sites/gone1")).status_code == 404


async def test_a_list_filters_by_address_pages_by_key_and_goes_out_as_csv_json_yaml(cipo: httpx.AsyncClient) -> None:
    first = (await cipo.get("/k/assets?limit=15")).text
    assert first.count("data-href=") == 15
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = (await cipo.get("/k/assets" + following[1].replace("&amp;", "&"))).text
    assert "cipo-000016" in second and "cipo-000015" not in second
    faulty = (await cipo.get("/k/assets?field=status.lifecycle%3DFaulty")).text
    assert faulty.count("data-href=") == 3 and 'aria-current="true"' in faulty
    lines = (await cipo.get("/k/assets?as=csv&field=status.lifecycle%3DFaulty")).text.strip().splitlines()
    assert len(lines) == 4 and lines[0].startswith("name,")
    assert len(json.loads((await cipo.get("/k/assets?as=json")).text)["items"]) == 40
    assert sum(1 for _ in yaml.safe_load_all((await cipo.get("/k/assets?as=yaml&label=lot%3DL1")).text)) == 14
    assert (await cipo.get("/k/assets?field=spec.nonsense%3D1")).status_code == 400
    assert (await cipo.get("/k/nothings")).status_code == 404


async def test_a_formula_in_a_name_does_not_reach_a_spreadsheet(keeper: httpx.AsyncClient) -> None:
    csrf = token((await keeper.get("/new/sites")).text)
    await keeper.post("/new/sites", data={"csrf": csrf, "metadata.name": "calc1", "spec.code": "CALC1", "spec.title": "=HYPERLINK(1)"})
    assert "'=HYPERLINK(1)" in (await keeper.get("/k/sites?as=csv")).text


async def test_the_box_finds_serials_units_and_promises(cipo: httpx.AsyncClient) -> None:
    assert 'href="/r/assets/cipo-000007"' in (await cipo.get("/search?q=7XK0007&drop=1")).text
    assert 'href="/u/1A/U-W2"' in (await cipo.get("/search?q=cmdb&drop=1")).text
    assert 'href="/kpi/inventory-accuracy"' in (await cipo.get("/search?q=inventory+acc&drop=1")).text
    assert 'href="/k/assets"' in (await cipo.get("/search?q=assets&drop=1")).text


async def test_1f_sees_that_it_has_no_interface_to_1d_and_nothing_of_it(org: Stage) -> None:
    async with await client(org, "olga", units=("1F/U-OB1",)) as olga:
        page = (await olga.get("/")).text
        assert "No interface: 1F does not directly interface with 1D" in page
        for squad in org.chart.department("1D").squads:
            assert squad.title not in page.replace("&amp;", "&")
        for path in (
            "/d/1D",
            "/s/1D/D-1",
            "/u/1D/U-DP1",
            "/kpi/namenode-uptime",
            "/kpi/namenode-uptime.png",
            "/scorecard/1D",
            "/scorecard.pdf?of=1D/D-1",
        ):
            refused = await olga.get(path)
            assert refused.status_code == 403 and "does not directly interface" in refused.text, path
        for path in ("/scorecard", "/scorecard.json", "/scorecard?month=2026-10"):
            assert "namenode" not in (await olga.get(path)).text.lower(), path
        assert "NameNode" not in (await olga.get("/search?q=namenode&drop=1")).text.replace("“namenode”", "")
        assert "?from=1F&amp;to=1D" not in (await olga.get("/contracts")).text
        assert "1D" not in (await olga.get("/contracts?from=1C&to=1D")).text.split('id="edges"')[1].split("<section")[0]


async def test_the_acting_unit_is_chosen_among_those_held(org: Stage, cipo: httpx.AsyncClient) -> None:
    csrf = token((await cipo.get("/")).text)
    chosen = await cipo.post("/act-as", data={"csrf": csrf, "unit": "1A/U-W2", "next": "//evil.example"})
    assert chosen.headers["location"] == "/" and "cipo_unit=" in chosen.headers["set-cookie"]
    async with await client(org, "otto", units=("1F/U-OB1",)) as otto:
        mine = token((await otto.get("/")).text)
        assert (await otto.post("/act-as", data={"csrf": mine, "unit": "1A/U-W2"})).status_code == 403


async def test_files_are_kept_for_ever_by_their_hash_and_nothing_else_is_served(cipo: httpx.AsyncClient) -> None:
    page = (await cipo.get("/")).text
    sheet = re.search(r'href="(/static/app\.css\?v=[0-9a-f]+)"', page)
    assert sheet
    answer = await cipo.get(sheet[1])
    assert "immutable" in answer.headers["cache-control"]
    assert (await cipo.get("/static/app.css", headers={"if-none-match": answer.headers["etag"]})).status_code == 304
    for path in (
        "/static/../console.py",
        "/static/%2e%2e/console.py",
        "/assets/unit/facilities/warehouse/..%2fcmdb.py",
        "/assets/unit/kernel/store/read.py",
    ):
        assert (await cipo.get(path)).status_code == 404, path


async def test_a_page_that_is_not_there_says_so(cipo: httpx.AsyncClient) -> None:
    for path in ("/nowhere", "/u/1A/U-Z9", "/d/9Z", "/kpi/none", "/r/assets/none", "/u/1A/U-W2/none"):
        answer = await cipo.get(path)
        assert answer.status_code in (400, 404), path
        assert "<h1>" in answer.text
