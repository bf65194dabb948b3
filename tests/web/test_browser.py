"""The console in Debian's chromium: axe in both schemes and two widths, no errors, no sideways scrolling, keyboard, live values, no JavaScript."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="apt-get install chromium")]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ROUTES = [
    "/",
    "/d/1A",
    "/s/1A/A-2",
    "/u/1A/U-W2",
    "/u/1B/U-C1",
    "/k/assets",
    "/k/stockcounts",
    "/new/assets",
    "/new/sites?as=yaml",
    "/r/assets/cipo-000004",
    "/r/racks/fra1-r12",
    "/r/assets/cipo-000004/edit",
    "/r/racks/fra1-r12/delete",
    "/kpi/inventory-accuracy",
    "/kpi/api-uptime",
    "/kpi/thanos-availability?days=30d",
    "/kpi/durability",
    "/scorecard",
    "/scorecard/1B",
    "/search?q=7XK",
    "/contracts?from=1A&to=1B",
    "/events",
    "/todo",
    "/help",
]


@dataclass(frozen=True, slots=True)
class Site:
    """A console on a port."""

    url: str
    session: str
    dsn: str


@pytest.fixture(scope="module")
def site(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("stage")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "CIPO_STAGE_URL": module_dsn, "CIPO_STAGE_HOME": str(home)}
    log = (home / "log").open("w")
    server = subprocess.Popen([sys.executable, "-m", "tests.web.stage", str(port)], env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: (home / "session").exists() and _answers(f"{url}/sign-in"), 90, (home / "log").read_text)
        yield Site(url, (home / "session").read_text(), module_dsn)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def until(holds, seconds: float, why) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, why()
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=1).status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield started
        started.close()


def opened(
    browser: Browser, site: Site, *, width: int = 1280, scheme: str = "light", unit: str = "", script: bool = True
) -> tuple[Page, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=script)  # type: ignore[arg-type]
    cookies = {"cipo_session": site.session} | ({"cipo_unit": unit} if unit else {})
    context.add_cookies([{"name": name, "value": value, "url": site.url} for name, value in cookies.items()])
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_every_page_is_accessible_quiet_and_fits(browser: Browser, site: Site, width: int, scheme: str) -> None:
    page, said = opened(browser, site, width=width, scheme=scheme)
    faults: list[str] = []
    for route in ROUTES:
        page.goto(site.url + route)
        page.wait_for_load_state("load")
        sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if sideways > 0:
            faults.append(f"{route}: {sideways} px wider than the screen")
        if width != 768:
            page.evaluate(AXE.read_text())
            found = page.evaluate(
                "tags => axe.run(document, {runOnly: tags}).then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html.slice(0, 120)}`))",
                STANDARD,
            )
            faults += [f"{route}: {violation}" for violation in found]
    page.context.close()
    assert not faults
    assert not said


def test_the_course_is_drawn_without_a_script_and_read_with_a_pointer(browser: Browser, site: Site) -> None:
    plain, _ = opened(browser, site, script=False)
    plain.goto(f"{site.url}/kpi/api-uptime")
    assert plain.locator("#course .value").first.is_visible()
    assert plain.locator("#course rect[fill*='hatch']").count() > 0, "what was unknown is hatched"
    plain.get_by_text("As a table").click()
    assert plain.locator("#history tbody tr").count() > 50
    page, said = opened(browser, site)
    page.goto(f"{site.url}/kpi/api-uptime")
    page.locator("#course .hover rect").nth(60).hover()
    page.locator("#course .readout", has_text="%").wait_for(timeout=3000)
    assert not said


def test_a_day_of_the_calendar_is_reached_with_the_keys_and_opens_its_facts(browser: Browser, site: Site) -> None:
    page, said = opened(browser, site)
    page.goto(f"{site.url}/kpi/api-uptime")
    page.locator(".days a[tabindex='0']").focus()
    newest = page.evaluate("document.activeElement.href.baseVal")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.href.baseVal") != newest
    page.keyboard.press("Enter")
    page.wait_for_url("**from=*")
    page.get_by_role("heading", name="Facts of").wait_for()
    assert not said


def test_a_value_changes_on_its_page_without_a_reload(browser: Browser, site: Site) -> None:
    page, said = opened(browser, site)
    page.goto(f"{site.url}/kpi/doa-rate")
    page.evaluate("window.stayed = true")
    before = page.locator("#figures").inner_text()
    subprocess.run([sys.executable, "-m", "tests.web.facts", site.dsn, "again"], check=True, timeout=60)
    page.wait_for_function("before => document.querySelector('#figures').innerText !== before", arg=before, timeout=10_000)
    assert page.evaluate("window.stayed") is True
    assert not said


def test_a_change_shows_without_reloading_and_new_rows_wait_behind_a_pill(browser: Browser, site: Site) -> None:
    viewer, said = opened(browser, site)
    viewer.goto(f"{site.url}/k/assets")
    viewer.evaluate("window.stayed = true")
    actor, _ = opened(browser, site, unit="1A/U-W2")
    actor.goto(f"{site.url}/r/assets/cipo-000006")
    actor.get_by_text("Lost", exact=True).first.click()
    actor.locator("details[open] [name='in.reason']").fill("not in its bin")
    actor.locator("details[open] button").click()
    actor.get_by_text("Lost: done").wait_for()
    viewer.locator("tr[data-name='cipo-000006'] .badge", has_text="Lost").wait_for(timeout=3000)
    actor.goto(f"{site.url}/new/assets")
    for name, value in {"metadata.name": "cipo-000900", "spec.model": "dell-poweredge-r650", "spec.tag": "CIPO-000900"}.items():
        actor.locator(f"[name='{name}']").fill(value)
    actor.get_by_role("button", name="Create").click()
    actor.get_by_role("heading", name="cipo-000900").wait_for()
    viewer.locator("#newrows a", has_text="1 new").wait_for(timeout=3000)
    assert viewer.evaluate("window.stayed") is True
    assert not said


def test_the_five_commonest_walks_need_no_mouse(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, site, unit="1A/U-W2")
    page.goto(site.url)
    page.keyboard.press("/")
    page.keyboard.type("7XK0007")
    page.locator("#found .hits a").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/r/assets/cipo-000007")
    page.keyboard.press("e")
    page.wait_for_url("**/edit")
    page.goto(f"{site.url}/k/assets")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/r/assets/cipo-000002")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/todo")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url(f"{site.url}/")
    page.keyboard.press("?")
    page.wait_for_url("**/help")


def test_without_javascript_the_work_can_still_be_done(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, site, width=360, unit="1A/U-W2", script=False)
    page.goto(f"{site.url}/r/assets/cipo-000010")
    page.locator("summary", has_text="Putaway").click()
    page.locator("details[open] [name='in.bin']").fill("fra1.a-02")
    page.locator("details[open] button").click()
    page.get_by_text("Putaway: done").wait_for()
    page.locator(".menu").click()
    page.locator("#rail a[href='/todo']").click()
    page.wait_for_url("**/todo")
    page.locator("#find").fill("cmdb")
    page.locator("#find").press("Enter")
    page.locator("a[href='/u/1A/U-W2']").first.wait_for()
    page.locator("#theme").click()
    assert page.locator("html").get_attribute("data-theme") == "light"


def test_a_lost_connection_is_said_with_the_time_of_the_last_truth(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, site)
    page.route("**/live*", lambda route: route.abort())
    page.goto(f"{site.url}/k/assets")
    page.locator("#live", has_text="Not connected. True at").wait_for(timeout=6000)
