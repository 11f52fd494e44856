from __future__ import annotations

import json

import pytest

from auditor.errors import UsageError
from auditor.model import Provenance, Step
from auditor.report.layout import columns
from auditor.report.why import Other, render_why
from tests.report.constructed import HOOK_FINDING, LEGACY

SCRIPT = "/usr/local/sbin/push-wildcard"


def test_each_step_with_its_evidence() -> None:
    text = render_why(SCRIPT, LEGACY, HOOK_FINDING.path)
    assert " ".join(text.splitlines()[:2]) == f"{SCRIPT} depends on {LEGACY}, in 5 steps:"
    order = [text.index(step.provider, 100) for step in HOOK_FINDING.path[:4]]
    assert order == sorted(order)
    assert "     dns/eventide.net.zone:41\n       acme-hook  IN CNAME legacy-cert-01\n" in text
    assert "follows from the steps around it" in text
    assert text.count("legacy-cert-01.eventide.net (CNAME)") == 1


@pytest.mark.parametrize("width", [40, 48, 80])
def test_width(width: int) -> None:
    places = {f"{step.evidence.path}:{step.evidence.line}" for step in HOOK_FINDING.path if step.evidence}
    for line in render_why(SCRIPT, LEGACY, HOOK_FINDING.path, width=width).splitlines():
        assert columns(line) <= width or line.strip() in places


def test_a_path_with_a_jump_names_both_ends() -> None:
    text = render_why("a", "d", (Step("a", "calls", "b"), Step("c", "runs-on", "d")))
    lines = [line.strip() for line in text.splitlines() if "follows" not in line]
    assert lines[2:] == ["a", "1 calls → b", "c", "2 runs on → d"]


def test_no_dependency() -> None:
    assert "does not depend on" in render_why("a", "b", ())
    assert json.loads(render_why("a", "b", (), "json")) == {
        "version": 1,
        "consumer": "a",
        "host": "b",
        "depends": False,
        "path": [],
        "others": [],
    }


def test_others_that_are_called_so() -> None:
    others = [Other("job b", True), Other("job c", False), Other("job d", True)]
    text = render_why("job a", "h", (Step("job a", "runs-on", "h"),), estate="an estate + other", others=others)
    assert "It is needed by these, too: job b and job d\n" in text
    assert "Called so as well, without a path to it: job c\n" in text
    told = json.loads(render_why("job a", "h", (), "json", others=others))["others"]
    assert told == [{"consumer": one.called, "depends": one.depends} for one in others]
    assert "auditor checklist h --estate 'an estate' --estate other" in render_why(
        "a", "h", (), estate="an estate + other", width=120
    )


def test_json() -> None:
    document = json.loads(render_why(SCRIPT, LEGACY, HOOK_FINDING.path, "json"))
    assert document["depends"] is True
    assert document["path"][2]["evidence"]["line"] == 41
    with pytest.raises(UsageError):
        render_why("a", "b", (), "yaml")


def test_hostile_text() -> None:
    evil = "x\x1b[2J\r\n\udcff"
    text = render_why(evil, evil, (Step(evil, evil, evil, evil, Provenance(evil, 1, evil)),))
    assert "\x1b" not in text
    assert "\r" not in text
    text.encode()
