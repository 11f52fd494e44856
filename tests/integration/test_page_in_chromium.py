"""The page in a real browser: it opens without an error or a request, and what is clicked leads to its evidence.

Screenshots go to `artifacts/page`, for people to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditor.cli.main import main
from auditor.page import render_page
from auditor.page.markup import TEXT_LIMIT
from auditor.report.layout import clean
from tests.integration.browsers import chromium
from tests.integration.programs import PATIENCE
from tests.page.test_page import HOSTILE, hostile_review

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "artifacts" / "page"
NOW = "2025-11-21T12:00:00Z"
LEGACY = "legacy-cert-01.eventide.net"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def eventide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page") / "review.html"
    estate = "sample_inventories/eventide"
    words = ["report", LEGACY, "-q", "--estate", estate, "--as", "read-only", "--now", NOW, "-o", str(target)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(words) == 1
    return target


def watched(context: BrowserContext, troubles: list[str]) -> Page:
    """A page that notes what it says on the console, and what it asks for besides a local file."""
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.clock.set_fixed_time(datetime.fromisoformat(NOW) + timedelta(minutes=5))
    page.on("console", lambda message: troubles.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda asked: None if re.match("file:|data:", asked.url) else troubles.append(f"request: {asked.url}"),
    )
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which any trouble fails the test."""
    troubles: list[str] = []
    context = browser.new_context(
        viewport={"width": 1360, "height": 900},
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    yield watched(context, troubles)
    context.close()
    assert troubles == []


def open_page(page: Page, path: Path) -> None:
    page.goto(path.as_uri())
    page.locator("#graph-canvas[data-ready=true]").wait_for()


def drawn(page: Page) -> int:
    return int(page.locator("#graph-canvas").get_attribute("data-nodes") or 0)


def width_of(page: Page) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth")
    return found


def shot(of: Page | Locator, name: str) -> None:
    of.screenshot(path=SHOTS / f"{name}.png")


def test_a_finding_is_clicked_through_to_its_evidence(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    assert page.locator("h1").inner_text().startswith("BLOCKED")
    page.get_by_role("link", name="finding 1").click()
    first = page.locator("#finding-1")
    assert first.locator(".where").first.is_visible()
    hook = page.locator("article", has_text="The deploy hook of *.eventide.net calls").first
    assert not hook.locator(".evidence").is_visible()
    hook.locator("summary").first.click()
    evidence = hook.locator(".evidence")
    assert evidence.is_visible()
    assert f"hosts/{LEGACY}/etc/letsencrypt/renewal/eventide.net.conf:17" in evidence.inner_text()
    assert "https://acme-hook.eventide.net/renewed" in evidence.locator("pre").first.inner_text()
    assert "dns/eventide.net.zone:27" in evidence.inner_text()
    assert hook.locator(".path .name").all_inner_texts()[-1] == LEGACY
    shot(hook, "finding")
    hook.get_by_role("button", name="Copy as Markdown").click()
    page.locator("#said", has_text="Copied").wait_for(state="attached")
    assert page.evaluate("navigator.clipboard.readText()").startswith("- [ ] ✗ ")


def test_filters_of_the_findings(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    shown = page.locator("[data-finding]:not([hidden])")
    every = shown.count()
    page.get_by_role("checkbox", name="Warnings").uncheck()
    page.get_by_role("checkbox", name="Notes").uncheck()
    blockers = shown.count()
    assert 0 < blockers < every
    assert set(shown.evaluate_all("all => all.map(one => one.dataset.severity)")) == {"block"}
    page.locator('[data-filter="area"]').select_option("webhooks")
    assert shown.count() == 1
    assert page.locator("#found").inner_text() == f"1 of {every} findings"
    page.locator('[data-filter="area"]').select_option("")
    page.get_by_role("searchbox", name="Search the findings").fill("csr-sync")
    assert shown.count() == 1
    assert page.locator("#findings li.item").first.is_visible() is False
    # A link to what a filter hides shows it.
    page.evaluate("location.hash = '#finding-1'")
    page.wait_for_function("!document.getElementById('finding-1').closest('[hidden]')")
    assert shown.count() == every


def test_the_graph_shows_the_path_of_the_renewal(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    assert 10 < drawn(page) < 100
    shot(page.locator("#graph"), "graph-light")
    hook = page.locator("article", has_text="The deploy hook of *.eventide.net calls").first
    hook.locator("summary").first.click()
    hook.get_by_role("button", name="Show in graph").click()
    details = page.locator("#graph-details")
    assert "certbot:eventide.net" in details.locator("h3").inner_text()
    steps = details.locator("ol.steps").inner_text()
    assert LEGACY in steps
    assert "eventide.net.conf:17" in steps
    assert "acme-hook.eventide.net" in steps
    assert "The path of finding" in page.locator("#said").inner_text()
    assert page.evaluate("document.activeElement.id") == "graph-canvas"
    page.locator("#graph").scroll_into_view_if_needed()
    shot(page.locator("#graph"), "graph-path")
    details.get_by_role("link", name=re.compile(r"^\d+\. The deploy hook")).first.click()
    page.wait_for_url(re.compile(r"#finding-\d+$"))


def test_filters_search_and_groups_of_the_graph(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    before = drawn(page)
    page.locator("#graph-area").select_option("webhooks")
    assert 0 < drawn(page) < before
    assert "fit" in page.locator("#graph-note").inner_text()
    page.locator("#graph-area").select_option("")
    page.locator("#graph-kind").select_option("alert")
    assert 0 < drawn(page) < before
    page.locator("#graph-kind").select_option("")
    page.locator("#graph-drawing").select_option("leading")
    assert drawn(page) > before
    page.locator("#graph-drawing").select_option("all")
    assert drawn(page) == 0
    assert "too many to draw" in page.locator("#graph-note").inner_text()
    owner = page.locator("#graph-owner")
    owner.select_option(index=1)
    assert drawn(page) > 0
    # A search finds what is not drawn, and a group that is expanded shows its members.
    page.locator("#graph-drawing").select_option("findings")
    search = page.get_by_role("combobox", name="Search the graph")
    search.fill("host api007")
    page.locator("#graph-results li").first.wait_for()
    search.press("Enter")
    details = page.locator("#graph-details")
    assert "340" in details.locator(".kind").first.inner_text()
    shown = drawn(page)
    details.get_by_role("button", name="Expand 340").click()
    assert drawn(page) == shown + 339
    details.get_by_role("button", name="Collapse").click()
    assert drawn(page) == shown


def test_frames_around_what_has_something_in_common(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    before = drawn(page)
    page.locator("#graph-frames").select_option("host")
    assert drawn(page) == before
    assert page.locator("#said").inner_text() == "There is a frame around each host"
    shot(page.locator("#graph"), "graph-frames")
    page.locator("#graph-frames").select_option("")
    assert page.locator("#said").inner_text() == "There are no frames"


def test_a_graph_alone_as_it_was_asked_for(page: Page, tmp_path: Path) -> None:
    target = tmp_path / "graph.html"
    words = ["graph", "-q", "--estate", str(ROOT / "sample_inventories/nagios-data-centre"), "-o", str(target)]
    words += ["--focus", "core-02.gro.eventide.net", "--now", "2026-11-26T09:00:00Z"]
    assert main([*words, "--group-by", "owner", "--no-collapse", "--max-nodes", "30"]) == 0
    open_page(page, target)
    assert page.locator("#graph-frames").input_value() == "owner"
    assert page.locator("[data-graph=expand]").count() == 0
    assert page.locator("#graph-drawing").input_value() == "nearest"
    assert 1 < drawn(page) <= 30
    page.locator("#graph-drawing").select_option("harmed")
    assert drawn(page) == 0
    assert "up to 30 are drawn at once" in page.locator("#graph-note").inner_text()
    shot(page, "graph-alone")
    # The owner's page on paper says the same, with its frames.
    page.emulate_media(media="print")
    assert page.locator("svg.drawing .frame").count() > 0
    assert page.get_by_text("Asked for: what needs core-02").is_visible()
    page.emulate_media(media="screen")
    assert main([*words, "--group-by", "owner"]) == 0
    open_page(page, target)
    assert page.locator("[data-graph=expand]").count() == 1
    assert page.locator("#graph-drawing").input_value() == "harmed"


def test_the_keyboard(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#graph-canvas").focus()
    page.keyboard.press("ArrowRight")
    details = page.locator("#graph-details")
    assert details.locator(".chip").first.inner_text() == "■ going"
    page.keyboard.press("ArrowLeft")
    left = details.locator("h3").inner_text()
    assert left != LEGACY or "name" in details.locator(".kind").inner_text()
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "graph-details"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "graph-canvas"
    page.keyboard.press("Escape")
    assert not details.is_visible()
    page.locator("#finding-2 summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#finding-2 .evidence").is_visible()


def test_light_dark_print_and_narrow(page: Page, eventide: Path) -> None:
    open_page(page, eventide)
    shot(page, "light")
    shot(page.locator("#timeline"), "timeline-light")
    shot(page.locator("#coverage"), "coverage-light")
    light = page.evaluate("getComputedStyle(document.body.querySelector('.sheet')).backgroundColor")
    page.get_by_role("button", name="Dark colours").click()
    shot(page, "dark")
    shot(page.locator("#graph"), "graph-dark")
    assert page.evaluate("getComputedStyle(document.body.querySelector('.sheet')).backgroundColor") != light
    page.get_by_role("button", name="Light colours").click()
    page.emulate_media(media="print")
    assert page.locator("svg.drawing").is_visible()
    assert not page.locator("#graph-canvas").is_visible()
    shot(page, "print")
    page.emulate_media(media="screen")
    page.pdf(path=SHOTS / "print.pdf", prefer_css_page_size=True, print_background=True)
    page.set_viewport_size({"width": 400, "height": 860})
    page.locator("[data-action=open]").click()
    assert width_of(page) == 400
    shot(page, "narrow")
    for part in ("findings", "graph", "timeline", "coverage"):
        page.evaluate(f"document.getElementById('{part}').scrollIntoView()")
        shot(page, f"narrow-{part}")


def test_without_scripts(browser: Browser, eventide: Path) -> None:
    troubles: list[str] = []
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1360, "height": 900})
    page = watched(context, troubles)
    page.goto(eventide.as_uri())
    assert page.locator("svg.drawing").is_visible()
    assert not page.locator("button").first.is_visible()
    page.locator("#finding-2 summary").first.click()
    assert page.locator("#finding-2 .evidence").is_visible()
    page.get_by_text("The same as a table").click()
    assert page.locator("table.edges").get_by_text("certbot:eventide.net").first.is_visible()
    shot(page, "without-scripts")
    context.close()
    assert troubles == []


def test_hostile_text_does_nothing(page: Page, tmp_path: Path) -> None:
    target = tmp_path / "hostile.html"
    target.write_text(render_page(hostile_review()), encoding="utf-8")
    open_page(page, target)
    for one in page.locator("details").all():
        one.evaluate("one => { one.open = true; }")
    page.locator("#graph-canvas").focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "n", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.locator("#graph-details h3").inner_text()
    page.get_by_role("button", name="Show in graph").first.click()
    for by in ("host", "kind", ""):
        page.locator("#graph-frames").select_option(by)
    assert page.evaluate("window.owned") is None
    assert (
        page.evaluate("document.querySelectorAll('img, iframe, object, embed, base, [onerror], [onload]').length") == 0
    )
    texts = page.locator("#findings h4").evaluate_all("all => all.map(one => one.textContent)")
    for text in HOSTILE:
        wanted = clean(text)[: TEXT_LIMIT // 2]
        assert any(wanted in said for said in texts), wanted
    page.set_viewport_size({"width": 400, "height": 860})
    assert width_of(page) == 400
    shot(page, "hostile")
