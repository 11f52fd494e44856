"""Estates in which something depends on a host that is going, in a way that is easily overlooked.

Each is a line of `never_clear.yaml`: the files on top of an estate that is CLEAR by itself, what is asked, and either
where the dependency must be pointed at (`found`), or that the verdict must not be CLEAR (`open`), or both.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditor.api import Collector, Lifecycle, Rule
from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.model import PLAIN, Report, Severity, Verdict
from auditor.phrases import parse_time
from auditor.registry import load_collectors, load_rules

CASES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("never_clear.yaml").read_text())
CALM = CASES.pop("calm")
KEYS = {"why", "files", "bytes", "links", "folders", "without", "whole", "ask", "as", "on", "must_see"}
CLAIMS = {"found", "blocked", "open", "gap", "no_gap", "clear", "not"}


@cache
def parts() -> tuple[list[Collector], list[Rule]]:
    return load_collectors()[0], load_rules()[0]


def run(case: dict[str, Any], root: Path) -> Report:
    files = {**CALM["files"], **case.get("files", {})}
    # Of the other hosts there is no file because they have none, as a collection says that saw all of them.
    whole = [json.dumps({"path": f"hosts/{host}", "outcome": "ok"}) for host in case.get("whole", CALM["whole"])]
    if whole:
        files["captures.jsonl"] = "\n".join([*files.get("captures.jsonl", "").splitlines(), *whole])
    for path, text in files.items():
        if path not in case.get("without", ()):
            write(root / path, text.encode())
    for path, text in case.get("bytes", {}).items():
        write(root / path, base64.b64decode(text))
    for path, target in case.get("links", {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    for path in case.get("folders", ()):
        (root / path).mkdir(parents=True)
    now, on = parse_time("2025-11-21T12:00:00Z"), parse_time(case.get("on"))
    assert now is not None
    asked = tuple(parse_host(word) for word in case.get("ask", ["old.example.net"]))
    areas = tuple(replace(area, must_see=area.id in case.get("must_see", ())) for area in PLAIN.areas)
    profile = replace(PLAIN, areas=areas)
    request = Request(root, asked, Lifecycle(case.get("as", "retired")), now, on, profile=profile)
    return audit(request, *parts()).report


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_estate_beneath_is_clear(tmp_path: Path) -> None:
    report = run({}, tmp_path)
    assert report.verdict is Verdict.CLEAR
    assert not report.findings


@pytest.mark.parametrize("name", CASES)
def test_never_clear(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert set(case) <= KEYS | CLAIMS, "a key that means nothing"
    assert CLAIMS & set(case), "a case that can't fail"
    report = run(case, tmp_path)
    shown = {f"{one.path}:{one.line}" for finding in report.findings for one in finding.evidence}
    assert set(case.get("found", ())) <= shown, f"{report.verdict}: {sorted(shown)}"
    assert not set(case.get("not", ())) & shown
    blockers = {
        f"{one.path}:{one.line}"
        for finding in report.findings
        if finding.severity is Severity.BLOCK
        for one in finding.evidence
    }
    assert set(case.get("blocked", ())) <= blockers, f"{report.verdict}: {sorted(blockers)}"
    if case.get("open"):
        assert report.verdict is not Verdict.CLEAR
    if case.get("clear"):
        assert report.verdict is Verdict.CLEAR, [
            (one.what, one.detail) for one in report.coverage if one.needed and not one.seen
        ]
    unseen = [f"{one.what} {one.detail}" for one in report.coverage if not one.seen]
    assert all(any(wanted in line for line in unseen) for wanted in case.get("gap", ())), unseen
    assert not any(wanted in line for line in unseen for wanted in case.get("no_gap", ())), unseen
