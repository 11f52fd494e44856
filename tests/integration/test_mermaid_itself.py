"""Mermaid reads what is written for it, draws it, and takes nothing in it for more than text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from auditor.export.picture import GroupBy, Wanted, select
from tests.export.test_export_formats import HOSTILE, view_of, written
from tests.integration.browsers import chromium
from tests.integration.programs import PATIENCE, node_package

pytestmark = pytest.mark.integration

ROOT: Final = Path(__file__).parents[2]
MERMAID: Final = (
    "mermaid",
    "11.17.2",
    "V6K3C8EBdEsPFZXSKMJe6ppQOENxuHARr9GvHX4hh47lAbhMRD9qf4oEK7LoaRQxULMa80/qt5gHO73aCleBBg==",
    "dist/mermaid.min.js",
)

Draw = Callable[[str], dict[str, Any]]
LOOK: Final = """
async text => {
  await mermaid.parse(text);
  const here = document.getElementById("here");
  here.innerHTML = (await mermaid.render("drawn", text)).svg;
  const all = [...here.querySelectorAll("*")];
  return {
    nodes: Object.fromEntries([...here.querySelectorAll("g.node")].map(one => [one.id, one.textContent])),
    edges: here.querySelectorAll("path.flowchart-link").length,
    elements: [...new Set(all.map(one => one.localName))],
    handlers: all.flatMap(one => one.getAttributeNames()).filter(name => name.startsWith("on")),
  };
}
"""
"""Draws a text, and says what is in the picture: the text of each node, and each kind of element."""


@pytest.fixture(scope="module")
def draw() -> Iterator[Draw]:
    """Gives Mermaid a text in a browser. What Mermaid refuses fails the test."""
    script = node_package(*MERMAID)
    troubles: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: None if re.match("about:|data:", asked.url) else troubles.append(asked.url))
        page.set_content("<!doctype html><div id=here></div>")
        page.add_script_tag(content=script.read_text(encoding="utf-8"))
        page.evaluate(
            "mermaid.initialize({startOnLoad: false, securityLevel: 'strict', maxTextSize: 500000, maxEdges: 5000})"
        )

        def drawn(text: str) -> dict[str, Any]:
            found: dict[str, Any] = page.evaluate(LOOK, text)
            assert troubles == []
            assert found["handlers"] == []
            assert not {"a", "script", "img", "iframe", "object", "embed", "form"} & set(found["elements"])
            return found

        yield drawn


def test_the_diagram_of_the_readme(draw: Draw) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    found = draw(diagram)
    assert any("acme-hook.eventide.net" in text for text in found["nodes"].values())
    assert found["edges"] == diagram.count(" -->|")


@pytest.mark.parametrize("by", ["", "kind", "host"])
def test_hostile_names_are_text(draw: Draw, by: str) -> None:
    """Each node is there with its text, and there is no link, script or handler."""
    picture = select(view_of(HOSTILE), Wanted(group_by=GroupBy(by)))
    found = draw(written(picture, "mermaid")[""])
    texts = {name.split("flowchart-", 1)[1].split("-", 1)[0]: text for name, text in found["nodes"].items()}
    rows = list(picture.node_rows())
    assert set(texts) == {row.id for row in rows}
    for row in rows:
        shown = row.text if len(row.text) <= 80 else row.text[:79] + "…"
        assert "".join(shown.split()) in "".join(texts[row.id].split())
    assert found["edges"] == len(picture.edges)
