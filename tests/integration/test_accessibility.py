"""Pages are looked through by axe-core (https://github.com/dequelabs/axe-core), which checks them by the WCAG.

It goes in by the debugger's door: the policy of a page lets no other script in.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from auditor.cli.common import all_rules
from auditor.cli.main import main
from auditor.serve.app import App, server_of
from tests.integration.browsers import chromium
from tests.integration.programs import PATIENCE, node_package

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.integration

SAMPLES: Final = Path(__file__).parents[2] / "sample_inventories"
AXE: Final = (
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "axe.min.js",
)
LOOKS: Final = (("light", 1360), ("dark", 1360), ("light", 400))
HOST: Final = "core-02.gro.eventide.net"
LOOK: Final = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return {
    passed: found.passes.length,
    violations: found.violations.map(one => `${one.impact} ${one.id}: ${one.nodes.map(node => node.html)}`),
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def axe() -> str:
    return node_package(*AXE).read_text(encoding="utf-8")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


def violations(page: Page, axe: str) -> list[str]:
    """What axe finds on a page as it stands, whatever the impact, with all of it unfolded."""
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(LOOK)
    assert found["passed"] > 10
    return list(found["violations"])


def looked_through(page: Page, axe: str) -> None:
    """Fails with what axe finds on the page in light and dark, wide and narrow."""
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 860})
        assert violations(page, axe) == [], (scheme, width)


def test_axe_sees_what_is_wrong(page: Page, axe: str) -> None:
    content = "<main><h1>A</h1><button></button><p style='color:#ccc'>pale</p></main>"
    page.set_content(f"<html lang=en><title>A</title>{content}")
    assert {one.split(":")[0] for one in violations(page, axe)} == {"critical button-name", "serious color-contrast"}


@pytest.mark.parametrize("command", ["report", "graph"])
def test_a_page_of_a_file(command: str, page: Page, axe: str, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    words = [command, "-q", "--estate", str(SAMPLES / "nagios-data-centre"), "--now", "2026-11-26T09:00:00Z"]
    words += [HOST] if command == "report" else ["--format", "html", "--focus", HOST, "--group-by", "owner"]
    assert main([*words, "-o", str(target)]) == (1 if command == "report" else 0)
    page.goto(target.as_uri())
    page.locator("#graph-canvas[data-ready=true]").wait_for()
    page.locator("#graph-canvas").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#graph-details h3").wait_for()
    looked_through(page, axe)


@contextmanager
def served(store: Path, wave: Path) -> Iterator[str]:
    with server_of(App(store, [wave], lambda: all_rules([])), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_pages_that_are_served(page: Page, axe: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("before", "after"):
        shutil.copytree(SAMPLES / "windows-file-server", store / name)
    (store / "after/hosts/fs-core-01.eventide.net/etc").mkdir(parents=True)
    (store / "after/hosts/fs-core-01.eventide.net/etc/motd").write_text("instead of fs-old-01.eventide.net\n")
    (store / "unread").mkdir()
    (store / "unread/inventory.yaml").write_text("version: 7\n")
    wave = tmp_path / "week-49.txt"
    wave.write_text("fs-old-01.eventide.net\napp-win-01.eventide.net\n")
    with served(store, wave) as address:
        for asked in ("/", "/diff?old=before&new=after", "/wave?wave=week-49", "/waves", "/none"):
            page.goto(address + asked)
            looked_through(page, axe)
        page.goto(f"{address}/review?snapshot=after")
        assert violations(page, axe) == []
