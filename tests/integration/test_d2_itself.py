"""D2 compiles what is written for it, and takes nothing in it for more than text."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from auditor.export.d2 import LABEL_LIMIT
from auditor.export.picture import GroupBy, Picture, Wanted, select
from tests.export.test_export_formats import HOSTILE, view_of, written
from tests.integration.programs import need, node_package

pytestmark = pytest.mark.integration

D2: Final = (
    "@terrastruct/d2",
    "0.1.33",
    "eK5hyfGIJFolC7sUsiKvWdY9xGFctTe3d+PSijo09IYDso8psztC+A4SammizXtlwYZpnnW0AtDjfBYauceSeA==",
    "dist/node-esm",
    "package.json",
)
SCRIPT: Final = """
import { readFileSync } from "node:fs";
const { D2 } = await import(process.argv[2]);
const d2 = new D2();
const all = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const { diagram } = await d2.compile(text);
  all.push({
    shapes: diagram.shapes.map(one => [one.id, one.label, one.link ?? "", one.tooltip ?? ""]),
    connections: diagram.connections.map(one => [one.src, one.dst, one.label]),
  });
}
console.log(JSON.stringify(all));
process.exit(0);
"""


def compiled(pictures: list[Picture], directory: Path) -> list[dict[str, Any]]:
    """What D2 itself makes of them: its start takes longest, so all at once."""
    node = need("node", "nodejs")
    # A worker of Node inherits options of its command line, so the script is no option.
    script = directory / "compile.mjs"
    script.write_text(SCRIPT)
    # Node.js 18, that of Debian 12, has `crypto` for all behind an option; not every newer one knows it.
    option = "--experimental-global-webcrypto"
    known = f"process.exit(process.allowedNodeEnvironmentFlags.has('{option}') ? 0 : 1)"
    knows = subprocess.run([node, "-e", known], check=False, timeout=300).returncode == 0
    ended = subprocess.run(
        [node, script, (node_package(*D2) / "index.js").as_uri()],
        input=json.dumps([written(picture, "d2")[""] for picture in pictures]),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "NODE_OPTIONS": option if knows else ""},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def test_hostile_names_are_text(tmp_path: Path) -> None:
    """Each node and dependency is there with its text, and there is no link, tooltip, substitution or import."""
    pictures = [select(view_of(HOSTILE), Wanted(group_by=GroupBy(by))) for by in ("", "host")]
    for picture, found in zip(pictures, compiled(pictures, tmp_path), strict=True):
        rows = {row.id: row for row in picture.node_rows()}
        shapes = {name.rpartition(".")[2]: rest for name, *rest in found["shapes"]}
        assert rows.keys() <= shapes.keys()
        assert all(name in rows or name.startswith("c") for name in shapes)
        for name, row in rows.items():
            label, link, tooltip = shapes[name]
            shown = row.label if len(row.label) <= LABEL_LIMIT else row.label[: LABEL_LIMIT - 1] + "…"
            assert label.split() == shown.split()
            assert (link, tooltip) == ("", "")
        ends = {(src.rpartition(".")[2], dst.rpartition(".")[2], label) for src, dst, label in found["connections"]}
        assert ends == {(edge.consumer, edge.provider, edge.relation) for edge in picture.edge_rows()}
