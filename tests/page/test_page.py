"""The page as a file: what it says, that it says it as the checklist does, and that a text in it is only a text."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from auditor.cli.main import main
from auditor.model import (
    Answer,
    Answered,
    Area,
    Aside,
    Confidence,
    Coverage,
    Failure,
    Impact,
    ManualItem,
    Outcome,
    PolicyUse,
    Provenance,
    Report,
    SetAside,
    Step,
    Verdict,
)
from auditor.page import Section, render_graph, render_page
from auditor.page.data import EDGE_FIELDS, NODE_FIELDS
from auditor.page.markup import TEXT_LIMIT, tag
from auditor.page.model import Drawing, Event, GraphEdge, GraphGroup, GraphNode, PageGraph, Placed, Review
from auditor.report.layout import clean
from auditor.report.summary import gaps, headline, ordered
from tests.page.pages import Element, data, read
from tests.report.constructed import BLOCKED, EVERY, GOING, INCOMPLETE, NOW, RENEWAL_FINDING, report

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "auditor" / "page" / "vendor"
OLD = "old.example.org"

HOSTILE = (
    "</script></style></title><script>window.owned = 1</script>",
    "<img src=x onerror=window.owned=1><svg onload=window.owned=1><iframe srcdoc='<script>owned=1</script>'>",
    '"\' onfocus=window.owned=1 autofocus x="\' style="position:fixed" href=javascript:window.owned=1',
    "\u202egnp.exe\u2066 \u200b\ufeff \u2028\u2029 \x1b[31mred\x1b]0;title\x07\x00\x08 \x9b2J \U000e0041",
    "=cmd|' /C calc'!A0 @SUM(1+1) +1 -1",
    "&lt;b&gt; &amp;#60; \\u003cscript> <!-- --> ]]> ${x} {{x}} %3Cscript%3E",
    "x" * 10_240,
    "\ud800\udfff lone, עברית and العربية, e\u0301, 👩\u200d💻",
)
# Every element and attribute that a page may have.
ELEMENTS = frozenset(
    (
        "#root html head body meta title style script noscript div nav header main footer section article aside details"
        " summary h1 h2 h3 h4 h5 p a b i ul ol li dl dt dd code pre kbd span bdi strong time table caption thead tbody"
        " tr th td button input select option label figure svg g path rect circle line text defs marker title"
    ).split()
)
ATTRIBUTES = re.compile(
    r"lang|charset|http-equiv|content|name|id|class|href|type|value|checked|placeholder|title|open|hidden|role|tabindex"
    r"|scope|colspan|datetime|autocomplete|aria-[a-z]+|data-[a-z]+|x[12]?|y[12]?|cx|cy|r|rx|d|width|height|viewbox|text-anchor"
    r"|preserveaspectratio|ref[xy]|marker(width|height)|orient"
)


def with_backticks_gone(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"\1", text)


def shown(text: str) -> str:
    """What the page makes of a text of an estate."""
    if len(text) > TEXT_LIMIT:
        text = f"{text[:TEXT_LIMIT]}… ({len(text) - TEXT_LIMIT:,} more characters)"
    return clean(text)


def graph_of(names: tuple[str, ...]) -> PageGraph:
    """Each name is needed by the one before it; the last is going."""
    last = len(names) - 1
    nodes = tuple(
        GraphNode(
            "host",
            name,
            name,
            "broken",
            "retired",
            name,
            name,
            at,
            name,
            1,
            name,
            at == last,
            ((name, name), ("a", "b")),
        )
        for at, name in enumerate(names)
    )
    edges = tuple(
        GraphEdge(at, at + 1, "connects", "read", name, "high", True, name, 3, name)
        for at, name in enumerate(names[:-1])
    )
    groups = tuple(GraphGroup(name, name, at + 1, last - at) for at, name in enumerate(names))
    placed = tuple(Placed(at, at * 200, 0) for at in range(len(names)))
    pairs = tuple((at, at + 1) for at in range(last))
    drawing = Drawing("findings", names[0], len(names), placed, pairs, ((),) * last)
    return PageGraph(nodes, edges, groups, (drawing,), len(nodes), len(edges))


def hostile_review() -> Review:
    findings = []
    for at, text in enumerate(HOSTILE):
        findings.append(
            replace(
                RENEWAL_FINDING,
                subject=text,
                identity=(str(at),),
                message=f"{at} {text}",
                why=text,
                action=text,
                rule=text,
                evidence=tuple(Provenance(f"{text}{n}", n, text, text, text, text) for n in range(6)),
                path=(Step(text, text, text, text, Provenance(text, 1, text)), Step(text, text, text, text)),
                area=Area.RENEWAL if at % 2 else Area.NAMES,
                confidence=Confidence.LOW,
                deadline=NOW - timedelta(hours=at),
            )
        )
    every = "".join(HOSTILE)
    items = tuple(ManualItem(text, text, text, text) for text in HOSTILE)
    asked = replace(BLOCKED.profile.areas[0], title=every, items=items)
    made = replace(
        BLOCKED,
        findings=tuple(findings),
        going=(
            replace(GOING, host=every, names=HOSTILE, addresses=HOSTILE, successor=every, since=every, origin=every),
        ),
        coverage=tuple(
            Coverage(text, Area.NAMES, text, outcome, 1, text, text, 3) for text in HOSTILE for outcome in Outcome
        ),
        failures=(Failure(every, every, every),),
        estate=every,
        policy=PolicyUse(every, "", HOSTILE, (Provenance(every, 1, every),)),
        aside=(SetAside(findings[0], Aside.WAIVED, Provenance(every, 1, every), HOSTILE[0], every, every),),
        profile=replace(BLOCKED.profile, areas=(asked, *BLOCKED.profile.areas[1:])),
        answers={text: Answered(text, Answer.NO, text, text, text, text) for text in HOSTILE},
        owners={asked.id: every},
        counts={every: 1},
    )
    graph = replace(graph_of(HOSTILE), paths={one.fingerprint: (0, 1) for one in findings})
    events = tuple(Event(NOW, text, text, text, Impact.BROKEN, Provenance(text, 1, text)) for text in HOSTILE)
    return Review(made, graph, events, 1)


@pytest.fixture(scope="module")
def hostile() -> Element:
    return read(render_page(hostile_review()))


def policy_of(page: Element) -> dict[str, str]:
    (meta,) = [one for one in page.all("meta") if one.attributes.get("http-equiv") == "Content-Security-Policy"]
    content = meta.attributes["content"]
    assert content
    return dict(part.strip().split(" ", 1) for part in content.split(";"))


def check_that_nothing_is_loaded_or_run(page: Element) -> None:
    for element in page.walk():
        assert element.name in ELEMENTS, element.name
        for name, value in element.attributes.items():
            assert ATTRIBUTES.fullmatch(name), (element.name, name)
            if name == "href":
                assert value
                assert value.startswith("#")
    policy = policy_of(page)
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in str(policy)

    def hashes(name: str) -> Iterator[str]:
        for element in page.all(name):
            if element.attributes.get("type") != "application/json":
                yield f"'sha256-{b64encode(sha256(element.text.encode()).digest()).decode()}'"

    assert list(hashes("script")) == policy["script-src"].split()
    assert list(hashes("style")) == policy["style-src"].split()


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_loaded_and_only_own_scripts_run(name: str) -> None:
    page = read(render_page(Review(EVERY[name], graph_of(("a", "b")))))
    check_that_nothing_is_loaded_or_run(page)
    scripts = [one.text for one in page.all("script") if "type" not in one.attributes]
    own = ROOT / "auditor" / "page"
    assert scripts == [
        (own / path).read_text(encoding="utf-8")
        for path in ("assets/page.js", "vendor/cytoscape.min.js", "assets/graph.js")
    ]


def test_hostile_text_is_only_text(hostile: Element) -> None:
    check_that_nothing_is_loaded_or_run(hostile)
    whole = hostile.text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\ud800-\udfff]", whole
    )
    findings = ordered(hostile_review().report.findings)
    for position, finding in enumerate(findings, 1):
        article = hostile.by_id(f"finding-{position}")
        (title,) = article.all("h4")
        assert title.text == with_backticks_gone(shown(finding.message))
        (why,) = article.all("div", "why")
        assert why.all("p")[0].text == with_backticks_gone(shown(finding.why))
        (do,) = article.all("div", "do")
        assert do.all("p")[0].text == with_backticks_gone(shown(finding.action))
        quoted = [pre.all("bdi")[0].text for pre in article.all("pre", "excerpt")]
        assert quoted == [shown(clean(finding.why).strip())] * 7
        places = [code.text for code in article.all("code", "where")]
        assert places[0] == shown(f"{finding.why}0")
        assert places[1] == shown(f"{finding.why}1:1")
        assert [box.text for box in article.all("span", "name")] == [shown(finding.why)] * 3
    assert [one.text for one in hostile.all("dd")[1].all("bdi")] == [shown(one) for one in HOSTILE]
    questions = hostile.by_id("by-hand").all("tr", "no")
    assert [row.all("bdi")[0].text for row in questions] == [shown(one) for one in HOSTILE]
    assert [row.all("td")[1].all("span")[0].text for row in questions] == [shown(one) for one in HOSTILE]
    assert hostile.by_id("policy").all("li")[0].text == shown(HOSTILE[0])
    assert shown(HOSTILE[0]) in hostile.by_id("set-aside").text


def test_hostile_text_in_the_data_is_the_text(hostile: Element) -> None:
    graph = data(hostile, "graph-data")
    strings = graph["strings"]
    names = [strings[row[NODE_FIELDS.index("name")]] for row in graph["nodes"]]
    assert names == [clean(one) for one in HOSTILE]
    excerpts = [strings[row[EDGE_FIELDS.index("excerpt")]] for row in graph["edges"]]
    assert excerpts == [clean(one) for one in HOSTILE[:-1]]
    assert "<" not in hostile.by_id("graph-data").text
    found = data(hostile, "report-data")["findings"]
    assert len(found) == len(HOSTILE)


def test_hostile_text_in_an_attribute() -> None:
    for text in HOSTILE:
        (made,) = read(tag("p", title=text)).all("p")
        assert made.attributes == {"title": shown(text)}


def test_the_numbers_are_those_of_the_checklist() -> None:
    page = read(render_page(Review(BLOCKED)))
    for position, finding in enumerate(ordered(BLOCKED.findings), 1):
        article = page.by_id(f"finding-{position}")
        assert article.attributes["data-finding"] == str(position)
        assert data(page, "report-data")["findings"][str(position)][0] == finding.fingerprint
        assert with_backticks_gone(clean(finding.message)) in article.text
        assert finding.evidence[0].path in article.text
    assert "Text names a host that is going: 3 times" in page.text
    assert str(headline(BLOCKED).claim) in page.all("h1")[0].text
    assert "34 h left until Sat 2025-11-22 08:00 UTC" in page.all("p", "deadline")[0].text


def test_gaps_and_failures_are_told_first_where_nothing_blocks() -> None:
    page = read(render_page(Review(INCOMPLETE)))
    ids = [one.attributes["id"] for one in page.all("section") if "id" in one.attributes]
    assert ids == ["summary", "unseen", "findings", "timeline", "coverage"]
    found = page.by_id("unseen")
    assert len(found.all("article", "gap")) == len(gaps(INCOMPLETE)) + len(INCOMPLETE.failures)
    assert "KeyError: 'options'" in found.text
    matrix = page.all("table", "matrix")[0]
    rows = {row.all("th")[0].text.strip(): row for row in matrix.all("tbody")[0].all("tr")}
    denied = next(row for name, row in rows.items() if "web-[01:12]" in name)
    (cell,) = denied.all("td", "gap")
    assert cell.text == "? 1schedules"


def test_a_clear_report_says_what_it_rests_on() -> None:
    page = read(render_page(Review(EVERY["clear"])))
    assert "This rests on 1,412 files" in page.all("header")[0].text
    assert "Nothing was found" in page.by_id("findings").text
    assert "Everything that a check needs was looked at" in page.by_id("unseen").text


def test_a_gap_that_is_a_finding_is_not_called_nothing() -> None:
    gap = Coverage("web-01", Area.SCHEDULES, "crontab", Outcome.DENIED, 1, "", "hosts/web-01/crontab")
    finding = replace(RENEWAL_FINDING, area=Area.COVERAGE, evidence=(Provenance("hosts/web-01/crontab"),))
    made = report(Verdict.BLOCKED, (finding,), coverage=(gap,))
    page = read(render_page(Review(made)))
    assert not gaps(made)
    assert "is among the findings" in page.by_id("unseen").text


def test_other_sections_and_a_page_without_a_graph() -> None:
    before = Section("history", "History", tag("p", "<three> snapshots"), "3")
    page = read(render_page(Review(BLOCKED), before=[before]))
    check_that_nothing_is_loaded_or_run(page)
    assert page.by_id("history").all("p")[0].text == "<three> snapshots"
    links = [one.attributes["href"] for one in page.all("nav")[0].all("a")]
    assert links[0] == "#history"
    assert {link[1:] for link in links if link} <= {one.attributes.get("id") for one in page.walk()}
    assert "cytoscape" not in "".join(one.text[:200] for one in page.all("script"))


def test_a_graph_alone() -> None:
    page = read(render_graph(graph_of(("a", "b", "c")), "b <c>", BLOCKED))
    check_that_nothing_is_loaded_or_run(page)
    assert page.all("h1")[0].text == "b <c>"
    rows = page.all("table", "edges")[0].all("tbody")[0].all("tr")
    assert [[cell.text for cell in row.all("td")][1] for row in rows] == ["connects"] * 2
    assert len(page.all("g", "node")) == 3


def test_every_heading_is_under_the_one_above_it() -> None:
    page = read(render_page(Review(BLOCKED, graph_of(("a", "b")))))
    levels = [int(one.name[1]) for one in page.walk() if re.fullmatch(r"h[1-6]", one.name)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identities = [one.attributes["id"] for one in page.walk() if "id" in one.attributes]
    assert len(identities) == len(set(identities))
    for element in page.walk():
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            assert element.attributes.get(name, identities[0]) in identities


def test_dates_stand_in_order_around_the_present() -> None:
    times = [NOW + timedelta(hours=hours) for hours in (-9000, -1, 34, 9000)]
    events = [Event(at, f"ends {number}", "certificate", "", Impact.BROKEN) for number, at in enumerate(times)]
    made = render_page(Review(BLOCKED, None, tuple(events)))
    rows = read(made).all("table", "timeline")[0].all("tbody")[0].all("tr")
    assert [bool(row.attributes.get("class") == "present") for row in rows] == [False, False, True, False, False]
    marks = [float(str(row.all("circle")[0].attributes["cx"]).rstrip("%")) for row in rows if row.all("circle")]
    assert marks == sorted(marks)
    assert all(0 < mark < 100 for mark in marks)


def test_many_findings_and_places_stay_bounded() -> None:
    evidence = tuple(Provenance("a.txt", line, f"line {line}") for line in range(1, 1001))
    findings = tuple(
        replace(RENEWAL_FINDING, identity=(str(n),), message=f"finding {n}", why=f"why {n}", evidence=evidence[:2])
        for n in range(1500)
    )
    long = replace(RENEWAL_FINDING, identity=("long",), message="many places", evidence=evidence)
    page = render_page(Review(report(Verdict.BLOCKED, (*findings, long))))
    assert len(page) < 4_000_000
    assert page.count("data-finding=") == 1501
    assert "and 802 more places" in page


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    files = {
        "hosts/web01.example.org/etc/cron.d/push": f"1 1 * * * root curl -fsS https://{OLD}/push\n",
        "dns/example.org.zone": "$ORIGIN example.org.\n@ IN SOA ns root 1 2 3 4 5\nold IN A 10.0.0.1\n",
        f"hosts/{OLD}/etc/hostname": "old\n",
        "notes <script>alert(1)<&.txt": f'ask {OLD} first "><script>alert(1)</script> \u202e\n',
    }
    for path, content in files.items():
        (tmp_path / "estate" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "estate" / path).write_text(content)
    return tmp_path / "estate"


def test_the_command_writes_the_page_and_returns_the_verdict(estate: Path, tmp_path: Path) -> None:
    target = tmp_path / "review.html"
    words = ["report", OLD, "-q", "--estate", str(estate), "--on", "2026-12-01", "-o", str(target)]
    assert main(words) == main(["checklist", OLD, "-q", "--estate", str(estate), "-o", str(tmp_path / "text")]) == 1
    page = read(target.read_text(encoding="utf-8"))
    check_that_nothing_is_loaded_or_run(page)
    assert "notes <script>alert(1)<&.txt" in page.by_id("findings").text
    assert "is retired" in page.by_id("timeline").text
    graph = data(page, "graph-data")
    strings = graph["strings"]
    nodes = {strings[row[1]]: row for row in graph["nodes"]}
    assert nodes[OLD][NODE_FIELDS.index("going")] == 1
    job = next(row for row in graph["nodes"] if strings[row[0]] == "job")
    assert strings[job[NODE_FIELDS.index("impact")]] == "broken"
    assert (strings[job[8]], job[9]) == ("hosts/web01.example.org/etc/cron.d/push", 1)


def test_the_graph_command_writes_a_page(estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["graph", "-q", "--estate", str(estate), "--focus", OLD]
    assert main([*words, "-o", str(tmp_path / "graph.html")]) == 0
    page = read((tmp_path / "graph.html").read_text(encoding="utf-8"))
    check_that_nothing_is_loaded_or_run(page)
    kinds = [data(page, "graph-data")["strings"][row[0]] for row in data(page, "graph-data")["nodes"]]
    assert "job" in kinds
    assert "document" not in kinds
    assert main([*words, "--format", "html"]) == 0
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")


def test_usage(estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", OLD, "-q", "--estate", str(estate)]
    assert main([*words, "-o", str(tmp_path / "missing" / "review.html")]) == 2
    assert "can't be written" in capsys.readouterr().err
    assert main(["report", "-q", "--estate", str(estate)]) == 2
    assert "Name a host" in capsys.readouterr().err


# -- what is vendored --------------------------------------------------------------------------------------------------


def test_vendored_files_are_those_on_record() -> None:
    rows = re.findall(
        r"^\| (\S+\.js) \| .* \| ([\d.]+) \| .* \| ([0-9a-f]{64}) \|$", (VENDOR / "VENDORED.md").read_text(), re.M
    )
    assert {name for name, _, _ in rows} == {path.name for path in VENDOR.iterdir() if path.suffix == ".js"}
    for name, version, digest in rows:
        content = (VENDOR / name).read_bytes()
        assert sha256(content).hexdigest() == digest
        assert f'"{version}"'.encode() in content
        assert b"Permission is hereby granted" in content[:1500]


def test_no_asset_ends_its_element() -> None:
    own = ROOT / "auditor" / "page"
    for path in (*own.glob("assets/*"), *own.glob("vendor/*.js")):
        content = path.read_text(encoding="utf-8")
        assert "</" not in content or not re.search(r"</(script|style)|<!--", content, re.IGNORECASE)


@pytest.mark.parametrize("moment", [datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)])
def test_the_same_report_is_the_same_page(moment: datetime) -> None:
    made: Report = replace(BLOCKED, now=moment)
    assert render_page(Review(made, graph_of(("a", "b")))) == render_page(Review(made, graph_of(("a", "b"))))
