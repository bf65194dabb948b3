"""The two pages of people with a scanner, in Debian's chromium: scan, offline and back, blind, hostile names, 360 px, axe."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.live import Live

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="apt-get install chromium")]
AXE = Path(__file__).parents[2] / "web" / "vendor" / "axe.min.js"
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
API = "/apis/facilities.cipo/v1"


@dataclass
class Dock:
    """A live plane with a small warehouse, and a browser that is signed in to it."""

    live: Live
    http: httpx.Client
    browser: Browser
    cookies: list[dict[str, str]]

    def make(self, plural: str, name: str, spec: dict[str, object]) -> None:
        answer = self.http.post(f"{API}/{plural}", json={"metadata": {"name": name}, "spec": spec})
        assert answer.status_code == 201, answer.text

    def act(self, plural: str, name: str, action: str, **given: object) -> dict[str, object]:
        answer = self.http.post(f"{API}/{plural}/{name}/{action}", json=given)
        assert answer.status_code < 300, answer.text
        body: dict[str, object] = answer.json()
        return body

    def status(self, plural: str, name: str) -> dict[str, object]:
        body: dict[str, object] = self.http.get(f"{API}/{plural}/{name}").json()["status"]
        return body

    def opened(self, path: str, *, width: int = 360, scheme: str = "light") -> tuple[Page, list[str]]:
        context = self.browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]
        context.add_cookies(self.cookies)  # type: ignore[arg-type]
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(self.live.base_url + path)
        return page, said

    def shipment(self, name: str, *, quantity: int = 5, serials: tuple[str, ...] = ()) -> None:
        line = {"line": 1, "model": "r650", "quantity": quantity, "serials": list(serials)}
        self.make("shipments", name, {"warehouse": "wh", "carrier": HOSTILE[:100], "packages": [{"lines": [line]}]})
        self.act("shipments", name, "arrive", dock="wh.dock")


@pytest.fixture(scope="module")
def dock(live_api: Live) -> Iterator[Dock]:
    link = live_api.login_link()
    with live_api.client() as http, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        made = Dock(live_api, http, browser, [])
        made.make("sites", "fra1", {"code": "FRA1", "title": HOSTILE})
        made.make("warehouses", "wh", {"site": "fra1"})
        for code in ("DOCK", "A-01", "A-02"):
            made.make("bins", f"wh.{code.lower()}", {"warehouse": "wh", "code": code})
        made.make("racks", "r1", {"site": "fra1", "room": HOSTILE})
        made.make("assetmodels", "r650", {"manufacturer": "Dell", "model": HOSTILE, "formFactor": {"uHeight": 1}})
        made.cookies = signed_in(browser, live_api, link)
        yield made
        browser.close()


def signed_in(browser: Browser, live: Live, link: str) -> list[dict[str, str]]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button").first.click()
    page.wait_for_url(re.compile(rf"^{re.escape(live.base_url)}/?$"))
    cookies = [dict(cookie) for cookie in context.cookies()]
    context.close()
    return cookies  # type: ignore[return-value]


def scan(page: Page, payload: str) -> None:
    page.fill("#code", payload)
    page.press("#code", "Enter")


def says(page: Page, word: str) -> None:
    page.locator("#verdict strong", has_text=re.compile(word)).wait_for(timeout=10_000)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def axe(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(
        "tags => axe.run(document, {runOnly: tags}).then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html.slice(0, 160)}`))", STANDARD
    )
    return found


def test_a_shipment_is_received_by_scan(dock: Dock) -> None:
    dock.shipment("s1", serials=("7XK29P3", "7XK29P4"))
    page, said = dock.opened("/u/1A/U-W1/receive")
    page.get_by_role("link", name="s1").first.click()
    scan(page, "BIN/wh.a-01")
    says(page, "Place")
    scan(page, "7xk2 9p3")
    says(page, "Received")
    assert page.locator("#line-1").inner_text() == "1 of 5"
    scan(page, "7XK29P3")
    says(page, "Scanned before")
    scan(page, "NEW1234")
    says(page, "Not announced")
    page.get_by_role("button", name="Accept").click()  # a reason is asked for first
    page.fill("#asks input", "a spare came along")
    page.get_by_role("button", name="Accept").click()
    says(page, "Received")
    assert dock.status("shipments", "s1")["accepted"] == 2
    assert not said
    page.context.close()


def test_scans_without_a_connection_wait_on_the_device_and_are_sent_in_order(dock: Dock) -> None:
    dock.shipment("s2")
    page, _ = dock.opened("/u/1A/U-W1/receive?shipment=s2")
    page.context.set_offline(True)
    for serial in ("OFF0001", "OFF0002", "OFF0001"):
        scan(page, serial)
    page.locator("#queue", has_text="3 scans wait on this device: no connection").wait_for(timeout=10_000)
    assert dock.status("shipments", "s2").get("scans", 0) == 0
    page.context.set_offline(False)
    until(lambda: dock.status("shipments", "s2").get("scans") == 3)
    page.locator("#queue").wait_for(state="hidden")
    assert dock.status("shipments", "s2")["accepted"] == 2
    verdicts = page.locator("#scans .badge").all_inner_texts()
    assert verdicts[0].startswith("Scanned before")
    assert verdicts[1:] == ["Received", "Received, late"] or all(text.startswith("Received") for text in verdicts[1:])
    page.context.close()


def test_scans_survive_the_page_and_are_sent_by_the_next_one(dock: Dock) -> None:
    dock.shipment("s3")
    page, _ = dock.opened("/u/1A/U-W1/receive?shipment=s3")
    page.route("**/scan", lambda route: route.abort())
    scan(page, "KEPT0001")
    page.locator("#queue", has_text="1 scan waits").wait_for(timeout=10_000)
    page.unroute("**/scan")
    page.reload()
    says(page, r"Received \(sent late\)")
    assert dock.status("shipments", "s3")["accepted"] == 1
    page.context.close()


def test_a_count_is_blind_and_knows_its_places(dock: Dock) -> None:
    dock.shipment("s4", quantity=2)
    asset = dock.act("shipments", "s4", "scan", payload="CNT00001", uuid="4d3f1a52-0000-4000-8000-0000000000aa")["output"]["asset"]  # type: ignore[index]
    dock.act("assets", str(asset), "putaway", bin="wh.a-02")
    dock.make("stockcounts", "c1", {"scope": {"bins": ["wh.a-01", "wh.a-02"]}})
    dock.act("stockcounts", "c1", "start")
    page, said = dock.opened("/u/1A/U-W2/count?count=c1")
    assert str(asset) not in page.content()
    scan(page, str(asset).upper())
    says(page, "Where are you")
    scan(page, "BIN/wh.a-02")
    says(page, "bin A-02")
    scan(page, str(asset).upper())
    says(page, "Counted")
    scan(page, "STRANGE77")
    says(page, "Unknown code")
    page.get_by_role("button", name="A thing that cannot be read").click()
    says(page, "Noted")
    scan(page, "BIN/wh.dock")
    says(page, "Another place")
    assert dock.status("stockcounts", "c1")["scans"] == 3
    assert not said
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_screens_are_accessible_fit_and_say_no_error(dock: Dock, width: int, scheme: str) -> None:
    if dock.http.get(f"{API}/shipments/s9").status_code == 404:
        dock.shipment("s9")
        dock.make("stockcounts", "c9", {"scope": {"bins": ["wh.dock"]}})
        dock.act("stockcounts", "c9", "start")
    faults = []
    for path in (
        "/u/1A/U-W1/receive",
        "/u/1A/U-W1/receive?shipment=s9",
        "/u/1A/U-W2/count",
        "/u/1A/U-W2/count?count=c9",
        "/r/racks/r1",
        "/r/bins/wh.dock",
    ):
        page, said = dock.opened(path, width=width, scheme=scheme)
        page.wait_for_load_state("load")
        sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        faults += [f"{path}: {sideways} px wider than the screen"] if sideways > 0 else []
        faults += [f"{path}: {violation}" for violation in axe(page)] + [f"{path}: {text}" for text in said]
        page.context.close()
    assert not faults


def test_the_rack_is_drawn_in_the_pages_own_colours(dock: Dock) -> None:
    dock.shipment("s5")
    asset = dock.act("shipments", "s5", "scan", payload="RCK00001", uuid="4d3f1a52-0000-4000-8000-0000000000bb")["output"]["asset"]  # type: ignore[index]
    dock.act("assets", str(asset), "place", rack="r1", unit=10.5)
    page, said = dock.opened("/r/racks/r1", width=1280)
    box = page.locator(f'svg.elevation a[href="/r/assets/{asset}"]').first
    box.wait_for()
    fill = page.locator("svg.elevation > g > rect").first.evaluate("node => getComputedStyle(node).fill")
    surface = page.evaluate("getComputedStyle(document.querySelector('.rail')).backgroundColor")
    assert fill == surface
    box.click()
    page.wait_for_url(f"**/r/assets/{asset}")
    assert not said
    page.context.close()
