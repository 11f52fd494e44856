"""The diagram of the README is what its command writes: the same nodes and the same dependencies."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from auditor.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def drawn(text: str) -> tuple[set[str], set[tuple[str, str, str]]]:
    """Labels with their colours, and dependencies between labels: the numbers of nodes may differ."""
    nodes = dict(re.findall(r"^ +(n\d+)(\[.*)$", text, re.MULTILINE))
    edges = re.findall(r"^ +(n\d+) -->(\|.*\|) (n\d+)$", text, re.MULTILINE)
    return set(nodes.values()), {(nodes[consumer], said, nodes[provider]) for consumer, said, provider in edges}


def test_the_diagram_of_the_readme_is_what_the_command_draws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- graph: begin -->")[1].split("<!-- graph: end -->")[0]
    command = re.search(r"^\$ auditor (graph .*)$", readme, re.MULTILINE)
    assert command is not None
    assert main([*shlex.split(command[1]), "--quiet"]) == 0
    nodes, edges = drawn(capsys.readouterr().out)
    assert len(edges) > 20
    assert (nodes, edges) == drawn(shown)
