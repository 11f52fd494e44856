from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import UsageError
from auditor.model import Area, Coverage, Going, Impact, Lifecycle, Outcome, Provenance, Severity, Step, Verdict
from auditor.report import FORMATS, render
from auditor.report.layout import chain, clean, columns, cut, duration, iso, moment, some, time_left, wrap
from auditor.report.summary import areas, gaps, headline, next_deadline, ordered
from auditor.report.text import render_text
from tests.report.constructed import (
    BLOCKED,
    CLEAR,
    EVERY,
    GOING,
    HOOK_FINDING,
    INCOMPLETE,
    MENTIONS,
    NOW,
    RENEWAL_FINDING,
    SUCCESSOR_FINDING,
    at,
    report,
)

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = "evil\x1b[2J\x1b]0;title\x07\r\n✓ all clear\x9b31m \u202etxt.exe\u2066 \udcff\U000e0041 \x00"


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("width", [40, 48, 61, 80, 200])
def test_every_finding_gap_and_failure_is_there(name: str, width: int) -> None:
    text = flat(render_text(EVERY[name], width=width))
    for finding in EVERY[name].findings:
        for said in (finding.message, finding.why, finding.action, finding.rule):
            assert flat(said) in text
        assert f"{finding.evidence[0].path}" in text
    for gap in gaps(EVERY[name]):
        assert flat(gap.what) in text
        assert flat(gap.action) in text
    for failure in EVERY[name].failures:
        assert flat(failure.error) in text


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("width", [40, 48, 79, 80, 132])
def test_only_a_place_is_wider_than_the_page(name: str, width: int) -> None:
    found = (*EVERY[name].findings, *(one.finding for one in EVERY[name].aside))
    places = {f"{item.path}:{item.line}" for finding in found for item in finding.evidence}
    for line in render_text(EVERY[name], width=width).splitlines():
        assert columns(line) <= width or line.split()[-1] in places


def test_less_than_40_columns_is_laid_out_as_40() -> None:
    assert render_text(BLOCKED, width=7) == render_text(BLOCKED, width=40)


@pytest.mark.parametrize("name", EVERY)
def test_colour_changes_nothing_but_colour(name: str) -> None:
    plain, painted = (render_text(EVERY[name], color=color, width=80) for color in (False, True))
    assert "\x1b" not in plain
    assert COLOUR.sub("", painted) == plain
    assert painted != plain


def test_the_verdict_comes_first_with_the_time_left() -> None:
    first = render_text(BLOCKED, width=100).splitlines()[:2]
    assert first == [
        "BLOCKED  legacy-cert-01.eventide.net can't be made read-only: 3 blockers, 4 warnings",
        "         34 h left, until Sat 2025-11-22 08:00 UTC: *.eventide.net (see 1)",
    ]


def test_hostile_text_can_not_reach_the_terminal() -> None:
    hostile = replace(
        HOOK_FINDING,
        subject=HOSTILE,
        message=HOSTILE,
        why=HOSTILE,
        action=HOSTILE,
        rule=HOSTILE,
        deadline=NOW,
        evidence=(Provenance(HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE),) * 2,
        path=(Step(HOSTILE, HOSTILE, HOSTILE, HOSTILE, at(HOSTILE, 2, HOSTILE)),),
    )
    shown = report(
        Verdict.BLOCKED,
        (hostile,),
        coverage=(
            Coverage(HOSTILE, Area.NAMES, HOSTILE, Outcome.DENIED, 1, HOSTILE, HOSTILE, 3),
            Coverage(HOSTILE, Area.NAMES, HOSTILE, Outcome.OK, 1),
        ),
        failures=tuple(replace(failure, what=HOSTILE, error=HOSTILE, hint=HOSTILE) for failure in INCOMPLETE.failures),
        going=(Going(HOSTILE, Lifecycle.RETIRED, (HOSTILE,), (HOSTILE,), HOSTILE, HOSTILE, HOSTILE),),
    )
    shown = replace(shown, estate=HOSTILE, counts={HOSTILE: 1})
    for color in (False, True):
        for width in (40, 80):
            text = render_text(shown, color=color, width=width)
            text = COLOUR.sub("", text) if color else text
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
            assert not any(line.startswith("✓ all clear") for line in text.splitlines())
            text.encode("utf-8")


@given(st.text())
def test_clean_text_is_one_line_that_every_terminal_takes(text: str) -> None:
    safe = clean(text)
    assert "\n" not in safe
    assert "\x1b" not in safe
    assert len(safe.splitlines()) <= 1
    safe.encode("utf-8")


@given(st.text(max_size=200), st.integers(4, 60))
def test_wrapping_loses_nothing_and_keeps_to_its_room(text: str, room: int) -> None:
    lines = wrap(text, room)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(columns(line) <= room for line in lines)


@given(st.lists(st.text("abc/. →", min_size=1, max_size=30), max_size=6), st.integers(8, 60))
def test_a_chain_keeps_to_its_room(parts: list[str], room: int) -> None:
    lines = chain(parts, room)
    assert all(columns(line) <= room for line in lines)
    assert flat("→".join(parts)) == flat("".join(lines))


@given(st.text(max_size=100), st.integers(2, 60), st.text(max_size=5))
def test_cut_keeps_to_its_room(text: str, room: int, word: str) -> None:
    assert columns(cut(text, room, (word,))) <= room


def test_cut_shows_the_word_that_matters() -> None:
    text = "curl --fail --silent --show-error --retry 3 https://old.example.net/hook?with=much&more=behind it all"
    assert "old.example.net" in cut(text, 30, ("old.example.net",))
    assert cut(text, 30, ("old.example.net",)).startswith("…")
    assert cut("short", 30) == "short"
    assert cut("日本語日本語", 7) == "日本語…"


def test_areas_with_a_blocker_come_first_and_order_never_changes() -> None:
    warning_in_renewal = replace(SUCCESSOR_FINDING, area=Area.RENEWAL)
    blocker_in_names = replace(HOOK_FINDING, area=Area.NAMES)
    found = ordered((warning_in_renewal, *MENTIONS, blocker_in_names))
    assert [finding.area for finding in found[:2]] == [Area.NAMES, Area.RENEWAL]
    assert ordered(reversed(found)) == found


def test_many_pieces_of_evidence_are_counted() -> None:
    text = render_text(BLOCKED, width=80)
    assert "docs/runbooks/certificates.md:6" in text
    assert "docs/runbooks/certificates.md:7" not in text
    assert "and 37 more (see --format json)" in text


def test_findings_that_say_the_same_share_a_heading() -> None:
    text = render_text(BLOCKED, width=80)
    assert "! Text names a host that is going: 3 times" in text
    assert text.count("delete the line.") == 1
    two = render_text(report(Verdict.BLOCKED, MENTIONS[:2]), width=80)
    assert two.count("delete the line.") == 2


def test_symbols_of_areas() -> None:
    rows = {row.area.id: row for row in areas(INCOMPLETE)}
    assert rows[Area.MONITORING].marks == "!?"
    assert rows[Area.SCHEDULES].marks == "?"
    assert rows[Area.SCHEDULES].unseen == "12 denied"
    assert rows[Area.STORAGE].marks == "?"
    assert rows[Area.RENEWAL].marks == "✓"
    assert rows[Area.COVERAGE].marks == "?"
    blocked = {row.area.id: row.marks for row in areas(BLOCKED)}
    assert (blocked[Area.RENEWAL], blocked[Area.MENTIONS], blocked[Area.COVERAGE]) == ("✗", "!", "✓")
    half = report(Verdict.BLOCKED, (RENEWAL_FINDING,), unseen={"renewal-hook-to-going-host": ("renewed-by",)})
    assert areas(half)[0].marks == "✗?"


@pytest.mark.parametrize(
    "outcome", [Outcome.DENIED, Outcome.UNREACHABLE, Outcome.UNSUPPORTED, Outcome.PARTIAL, Outcome.UNSEEN]
)
def test_no_gap_passes_as_looked_at(outcome: Outcome) -> None:
    gap = report(Verdict.INCOMPLETE, coverage=(Coverage("x", Area.WEBHOOKS, "hooks", outcome, 0, "why not"),))
    row = next(row for row in areas(gap) if row.area.id == Area.WEBHOOKS)
    assert row.marks == "?"
    assert "why not" in render_text(gap)


def test_a_gap_that_rules_out_nothing_is_told_and_leaves_the_area_clean() -> None:
    lines = tuple(
        Coverage("x", Area.NAMES, f"a.zone:{n}", Outcome.PARTIAL, 0, f"reason {n}", "a.zone", n, (), False)
        for n in range(1, 9)
    )
    minor = report(Verdict.CLEAR, coverage=lines)
    assert [row.marks for row in areas(minor) if row.area.id == Area.NAMES] == ["✓"]
    assert [row.marks for row in areas(minor) if row.area.id == Area.COVERAGE] == ["✓"]
    text = render_text(minor)
    assert "reason 1, reason 2, reason 3 and 5 more" in text
    assert "and 5 more (see --format json)" in text


def test_checks_not_made_say_for_which_hosts() -> None:
    unseen = {"jobs-on-going-host": ("runs-on on a", "runs-on on b", "calls on a", "of-tomorrow")}
    gap = gaps(report(Verdict.INCOMPLETE, unseen=unseen))[0]
    assert gap.action == (
        "add to the estate: of a and b: the hosts' crontabs and systemd units, of Windows the scheduled tasks; "
        "the hosts' crontabs, systemd units, and the scripts that they call; of-tomorrow"
    )


def test_an_area_that_nobody_knows_is_not_clean() -> None:
    nothing = replace(report(Verdict.INCOMPLETE), coverage=(), rules=())
    assert {row.symbol for row in areas(nothing) if row.area.id != Area.COVERAGE} == {"?"}


def test_an_incomplete_report_says_what_was_found_and_then_what_was_not_seen() -> None:
    text = render_text(INCOMPLETE)
    assert text.index("MONITORING") < text.index("NOT LOOKED AT")
    assert "web-01, web-02, web-03 and 9 more" in text
    assert "do   capture /proc/self/mountinfo." in text
    assert "· names: 2 places\n  why  partial, and rules out nothing: not a record" in text
    assert "GitHub's hook JSON" in text


def test_a_clear_report_says_on_what_it_rests() -> None:
    first = " ".join(render_text(CLEAR).split("\n\n")[0].split())
    assert "1,412 files of 7 sources, 11 checks in 9 areas, as of Thu 2025-11-20 22:00 UTC" in first


@pytest.mark.parametrize(
    ("verdict", "lifecycle", "origin", "said"),
    [
        (Verdict.BLOCKED, Lifecycle.READ_ONLY, "asked", "h can't be made read-only: 1 blocker"),
        (Verdict.BLOCKED, Lifecycle.RETIRED, "asked", "h can't be retired: 1 blocker"),
        (Verdict.BLOCKED, Lifecycle.RETIRED, "declared", "h is retired, and still needed: 1 blocker"),
        (Verdict.BLOCKED, Lifecycle.RETIRING, "declared", "h is retiring, and still needed: 1 blocker"),
        (Verdict.INCOMPLETE, Lifecycle.RETIRED, "asked", "can't tell whether h can be retired: 1 blocker"),
        (Verdict.CLEAR, Lifecycle.RETIRED, "asked", "h can be retired: 1 blocker"),
    ],
)
def test_headlines(verdict: Verdict, lifecycle: Lifecycle, origin: str, said: str) -> None:
    going = (Going("h", lifecycle, origin=origin),)
    assert str(headline(report(verdict, (HOOK_FINDING,), going=going))) == said


def test_headline_of_many_hosts() -> None:
    going = tuple(Going(f"h{n}", Lifecycle.RETIRED) for n in range(30))
    assert str(headline(report(Verdict.CLEAR, going=going))) == (
        "30 hosts (h0, h1 and 28 more) can be retired: nothing found that needs them"
    )
    text = render_text(report(Verdict.CLEAR, going=going))
    assert "and 10 hosts more" in text
    mixed = (going[0], Going("x", Lifecycle.READ_ONLY))
    assert headline(report(Verdict.BLOCKED, going=mixed)).claim == "2 hosts (h0 and x) can't go as planned"
    assert "no host" in headline(report(Verdict.CLEAR, going=())).claim


def test_deadlines() -> None:
    late = replace(HOOK_FINDING, deadline=NOW - timedelta(days=5), subject="old")
    assert next_deadline(report(Verdict.BLOCKED, (late, RENEWAL_FINDING))) == (
        "over for 5 days, since Sat 2025-11-15 22:00 UTC: old (see 1; 1 later deadline)"
    )
    assert next_deadline(CLEAR) == ""
    plain = replace(HOOK_FINDING, impact=Impact.NONE, severity=Severity.WARN, why="")
    assert "why" not in render_text(report(Verdict.CLEAR, (plain,)))


def test_time_in_words() -> None:
    assert [duration(timedelta(minutes=minutes)) for minutes in (12, 60, 71 * 60 + 59, 72 * 60, 60 * 24 * 1000)] == [
        "12 min",
        "1 h",
        "71 h",
        "3 days",
        "2 years",
    ]
    assert time_left(NOW, NOW) == "0 min left"
    berlin = datetime(2025, 11, 22, 9, 0, tzinfo=timezone(timedelta(hours=1)))
    assert moment(berlin) == "Sat 2025-11-22 08:00 UTC"
    assert moment(berlin.astimezone(UTC).replace(tzinfo=None)) == moment(berlin)
    assert iso(berlin) == "2025-11-22T08:00:00Z"


def test_lists_in_words() -> None:
    assert [some(text) for text in ("", "a", "ab", "abcd", "abcde")] == [
        "",
        "a",
        "a and b",
        "a, b, c and d",
        "a, b, c and 2 more",
    ]


def test_a_large_count_keeps_the_table_straight() -> None:
    many = replace(CLEAR, coverage=(Coverage("tree", Area.MENTIONS, "text files", Outcome.OK, 1_234_567),))
    for width in (40, 80):
        assert all(columns(line) <= width for line in render_text(many, width=width).splitlines())


def test_unknown_format() -> None:
    assert [bool(render(CLEAR, name)) for name in FORMATS] == [True] * 3
    with pytest.raises(UsageError, match="yaml"):
        render(CLEAR, "yaml")


def test_going_is_described() -> None:
    text = render_text(BLOCKED)
    for said in (GOING.host, GOING.since, GOING.successor, *GOING.names, *GOING.addresses):
        assert said in text
