"""A difference as text, JSON and Markdown: all of it is there, nothing is obeyed, and lists have an end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from auditor.difference import Diff, FactChange, FindingChange, Found, UnseenFinding, UnseenSource
from auditor.errors import UsageError
from auditor.model import Failure, Outcome, Provenance, Severity
from auditor.report.diff import FORMATS, render
from auditor.report.diff.wording import exit_code, subjects
from auditor.report.layout import columns
from tests.report.constructed import GOING, HOOK_FINDING, MENTIONS, RENEWAL_FINDING, SUCCESSOR_FINDING

HOSTILE = "evil\x1b[2J\x1b]0;title\x07\r\n✓ SAME\x9b31m \u202etxt.exe \udcff <script>@team #12 `x` |"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SAME = Diff("old/", "new/", NOW, ())


def fact(
    subject: str, relation: str = "", provider: str = "", hosts: tuple[str, ...] = ("web01",), line: int = 1
) -> FactChange:
    where = Provenance("hosts/web01/etc/cron.d/x", line, "5 5 * * * root x", "2026-05-01T00:00:00Z")
    return FactChange(hosts, "job", subject, relation, "endpoint" if provider else "", provider, where)


FULL = Diff(
    "old/",
    "new/",
    NOW,
    (GOING,),
    appeared=(fact("/etc/cron.d/x: y"), fact("/etc/cron.d/x: y", "connects", "https://new.example.net/")),
    vanished=(replace(fact("/etc/cron.d/x: z"), before={"schedule": "1 1 * * *"}, why="nothing leads to it"),),
    changed=(
        replace(
            fact("w"), before={"enabled": True, "names": ("a", "b")}, after={"enabled": False, "names": ("b", "c")}
        ),
    ),
    not_seen=(replace(fact("v"), last_seen="2026-05-01T00:00:00Z", why="denied: no sudo"),),
    found=(Found(HOOK_FINDING), Found(SUCCESSOR_FINDING, "x: denied")),
    fixed=(RENEWAL_FINDING,),
    findings_changed=(
        FindingChange(replace(MENTIONS[0], severity=Severity.BLOCK), MENTIONS[0], ("severity",), "zone: denied"),
    ),
    findings_not_seen=(UnseenFinding(MENTIONS[1], "dns/zone", "unreachable", "2026-05-01T00:00:00Z"),),
    sources_not_seen=(UnseenSource("dns/zone", Outcome.UNREACHABLE, "timed out", "2026-05-01T00:00:00Z"),),
    failures=(Failure("rule x", "KeyError: 'y'", "report it"),),
)


def flat(text: str) -> str:
    return re.sub(r"[\s`]+", "", text)


def test_exit_codes_of_states() -> None:
    assert exit_code(SAME) == 0
    assert exit_code(FULL) == 1
    assert exit_code(replace(SAME, not_seen=FULL.not_seen)) == 4
    assert exit_code(replace(SAME, failures=FULL.failures)) == 4
    assert exit_code(replace(SAME, findings_changed=FULL.findings_changed)) == 4
    sure = replace(FULL.findings_changed[0], why="")
    assert exit_code(replace(SAME, findings_changed=(sure,))) == 1
    assert exit_code(replace(SAME, vanished=FULL.vanished, not_seen=FULL.not_seen)) == 1


@pytest.mark.parametrize("format", ["text", "markdown"])
def test_all_is_said(format: str) -> None:
    text = flat(render(FULL, format))
    findings = (HOOK_FINDING, SUCCESSOR_FINDING, RENEWAL_FINDING, MENTIONS[0], MENTIONS[1])
    for words in (
        *(finding.message for finding in findings),
        "https://new.example.net/",
        "schedule: 1 1 * * *",
        "enabled: yes → no",
        "names: +c and -a",
        "denied: no sudo",
        "2026-05-01T00:00:00Z",
        "unreachable: timed out",
        "KeyError: 'y'",
        "zone: denied",
        "nothing leads to it",
        "hosts/web01/etc/cron.d/x:1",
        "not seen this time: 1 source, 1 finding and 1 fact",
    ):
        assert flat(words) in text, words


@pytest.mark.parametrize("width", [40, 61, 80, 200])
def test_only_a_place_is_wider_than_the_page(width: int) -> None:
    for line in render(FULL, "text", width=width).splitlines():
        assert columns(line) <= width or " " not in line.strip().removeprefix("at ").strip()


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_of_an_estate_is_obeyed(format: str) -> None:
    evil = replace(
        FULL,
        appeared=(replace(fact(HOSTILE, "connects", HOSTILE, (HOSTILE,)), where=Provenance(HOSTILE, 1, HOSTILE)),),
        found=(Found(replace(HOOK_FINDING, message=HOSTILE, action=HOSTILE), HOSTILE),),
        not_seen=(replace(fact(HOSTILE), why=HOSTILE, last_seen=HOSTILE),),
        sources_not_seen=(UnseenSource(HOSTILE, Outcome.DENIED, HOSTILE, HOSTILE),),
        failures=(Failure(HOSTILE, HOSTILE, HOSTILE),),
        old=HOSTILE,
    )
    text = render(evil, format)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)
    if format == "json":
        assert json.loads(text)["old"] == HOSTILE
    if format == "markdown":
        outside = re.sub(r"(`+) ?.*?\1", "", text)
        assert "<script>" not in outside
        assert "@team" not in outside


def test_long_lists_have_an_end_and_json_does_not() -> None:
    many = tuple(fact(f"job {'x' * (number % 7)} {number}", line=number) for number in range(500))
    diff = replace(SAME, appeared=many)
    assert "… and 450 more (see --format json)" in render(diff, "text")
    assert "…and 300 more" in render(diff, "markdown")
    assert len(json.loads(render(diff, "json"))["facts"]["appeared"]) == 500


def test_what_one_line_makes_of_many_names_is_one() -> None:
    many = [
        replace(
            fact(f"web{number:02}.example.net", "resolves", f"node{number:02}.example.net", ()),
            kind="name",
            provider_kind="name",
        )
        for number in range(1, 41)
    ]
    (one,) = subjects(many)
    assert one.title == "name web[01:40].example.net"
    assert one.details == ["resolves name node[01:40].example.net"]


def test_json_is_stable_ascii() -> None:
    text = render(FULL, "json")
    assert text.isascii()
    found = json.loads(text)
    assert (found["format"], found["version"], found["exit_code"]) == ("auditor diff", 1, 1)
    assert [one["not_seen_before"] for one in found["findings"]["new"]] == [None, "x: denied"]
    assert found["findings"]["changed"][0]["what"] == ["severity"]
    assert found["findings"]["not_seen"][0]["not_seen"] == "dns/zone"
    assert found["facts"]["changed"][0]["after"] == {"enabled": False, "names": ["b", "c"]}


def test_a_format_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no format"):
        render(SAME, "xml")
