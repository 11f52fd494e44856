"""What is written is read again by the tools it is for, and text of an estate stays text in all of it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import UsageError
from auditor.export import cypher, graphviz
from auditor.export.formats import FORMATS, format_of, require_room
from auditor.export.picture import Direction, GroupBy, Only, Picture, Wanted, clean, focus_of, select
from auditor.graph.hosts import HostTable
from auditor.graph.link import Linker
from auditor.graph.view import View
from auditor.model import THIS_HOST, Dependency, Going, Kind, Lifecycle, Need, Ref, Relation, Where

OLD = "old.example.org"
WEB = "web1.example.org"
NOW = datetime(2025, 11, 20, tzinfo=UTC)
HOSTILE = {
    "html": '<img src=x onerror=alert(1)></text><b>"bold"</b>&amp;&#60;',
    "script": "</script><script>alert('1')</script><!-- ]]> --> <![CDATA[",
    "quotes": """it's "quoted" `twice` ''' \"\"\" \\' \\" \\\\""",
    "backslash at the end": "C:\\jobs\\",
    "right to left": "safe\u202egnp.exe\u2066 \u200f\u061c",
    "terminal": "\x1b]0;title\x07\x1b[31mred\x1b[0m\x9b1m\r\n\x00 end",
    "formula": "=cmd|' /C calc'!A0",
    "formula with at": "@SUM(1+1)*cmd",
    "formula with minus": "-2+3+cmd",
    "leading quote": "'=1+1",
    "dot": '"]; evil [label="x"]; } digraph { \\N \\G \\E \\l <b> &lt; -> {',
    "mermaid": 'a"] --> b["x"]; click a call alert(1); %%{init: {}}%% end subgraph #quot; #35; ;',
    "markdown": "1. one\n- two\n`code` ![x](javascript:alert(1)) **bold**",
    "d2": "'; x: ${secret} | md # no | {style.fill: red} -> y; null",
    "cypher": "x'}) DETACH DELETE n; //\\u0027 `tick` $param \\' } ] AS row",
    "tab and comma": "a\tb, c; \"d\",'e'",
    "no text": "half \ud800 and \uffff and \ufffe",
    "unicode": "prod-Zürich ✓ 日本 𝔸",
    "long": "x" * 10_240,
    "nothing but spaces": "   ",
}


def view_of(texts: dict[str, str]) -> View:
    """Jobs of hostile names on a host that is retired, each in a group and with an excerpt of the same text."""
    table = HostTable()
    for number, name in enumerate((OLD, WEB), 1):
        table.address(table.add(name, "test"), f"10.0.0.{number}")
    linker = Linker(table)
    items = [
        Dependency(Ref(Kind.JOB, text), THIS_HOST, Relation.RUNS_ON, Where(number, text), group=text)
        for number, text in enumerate(texts.values(), 1)
    ]
    placed: list[Any] = [
        (OLD, f"hosts/{OLD}/{text}", None, item) for text, item in zip(texts.values(), items, strict=True)
    ]
    placed.append((WEB, f"hosts/{WEB}/file", "2025-11-19T00:00:00Z", Dependency(
        Ref(Kind.JOB, "push"), Ref(Kind.NAME, OLD), Relation.CONNECTS, Where(3, "curl old"), Need.READ
    )))  # fmt: skip
    linker.context(placed)
    for one in placed:
        linker.add(*one)
    for name in table.records:
        linker.require(Ref(Kind.HOST, name))
    linker.resolve()
    return View(linker.build(), [Going(OLD, Lifecycle.RETIRED)], NOW, None, ())


def written(picture: Picture, name: str) -> dict[str, str]:
    found = FORMATS[name].files(picture, "estate").items()
    return {ending: content.decode() if isinstance(content, bytes) else "".join(content) for ending, content in found}


@pytest.fixture(scope="module")
def picture() -> Picture:
    view = view_of(HOSTILE)
    return select(view, Wanted(focus_of(view, [OLD]), direction=Direction.BOTH))


def expected(picture: Picture) -> tuple[dict[str, str], dict[str, str]]:
    """Text of nodes and excerpts of edges, by id."""
    return {row.id: row.text for row in picture.node_rows()}, {row.id: row.excerpt for row in picture.edge_rows()}


def inert(text: str) -> None:
    """Nothing that a terminal or a reader of UTF-8 acts on."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]", text)
    text.encode("utf-8")


def test_every_hostile_text_is_in_the_picture(picture: Picture) -> None:
    nodes, excerpts = expected(picture)
    for text in HOSTILE.values():
        assert clean(text) in nodes.values()
        assert clean(text) in excerpts.values()


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if not one.binary])
def test_no_file_holds_anything_that_a_terminal_acts_on(picture: Picture, name: str) -> None:
    for text in written(picture, name).values():
        inert(text)


def test_graphml_in_networkx_and_igraph(picture: Picture, tmp_path: Path) -> None:
    import networkx as nx

    nodes, excerpts = expected(picture)
    path = tmp_path / "graph.graphml"
    path.write_text(written(picture, "graphml")[""], encoding="utf-8")
    graph: Any = nx.read_graphml(path, force_multigraph=True)
    assert {node: known.get("text", "") for node, known in graph.nodes(data=True)} == nodes
    assert {key: known.get("excerpt", "") for *_, key, known in graph.edges(keys=True, data=True)} == excerpts
    going = next(known for _, known in graph.nodes(data=True) if known["kind"] == "host" and known["text"] == OLD)
    assert (going["lifecycle"], going["impact"]) == ("retired", "broken")
    assert all(type(known["fails"]) is bool for *_, known in graph.edges(data=True))
    push = next(known for *_, known in graph.edges(data=True) if known["relation"] == "connects")
    assert (push["need"], push["line"], push["path"], push["seen"]) == (
        "read", 3, f"hosts/{WEB}/file", "2025-11-19T00:00:00Z",
    )  # fmt: skip
    import igraph

    other = igraph.Graph.Read_GraphML(str(path))
    assert dict(zip(other.vs["id"], other.vs["text"], strict=True)) == nodes
    assert sorted(other.es["excerpt"]) == sorted(excerpts.values())


def test_gexf_in_networkx_and_by_its_structure(picture: Picture, tmp_path: Path) -> None:
    import networkx as nx

    nodes, excerpts = expected(picture)
    path = tmp_path / "graph.gexf"
    path.write_text(written(picture, "gexf")[""], encoding="utf-8")
    graph: Any = nx.read_gexf(path)
    assert {node: known.get("text", "") for node, known in graph.nodes(data=True)} == nodes
    space = "{http://www.gexf.net/1.2draft}"
    root = ET.parse(path).getroot()
    assert [part.tag for part in root] == [f"{space}graph"]
    sheet = root[0]
    assert [part.tag.removeprefix(space) for part in sheet] == ["attributes", "attributes", "nodes", "edges"]
    declared = {part.attrib["class"]: {one.attrib["id"]: one.attrib for one in part} for part in sheet[:2]}
    found = {}
    for edge in sheet[3]:
        assert edge.attrib["source"] in nodes
        assert edge.attrib["target"] in nodes
        values = {declared["edge"][one.attrib["for"]]["title"]: one.attrib["value"] for one in edge[0]}
        found[edge.attrib["id"]] = values.get("excerpt", "")
    assert found == excerpts
    assert all(set(one.attrib) == {"for", "value"} for one in sheet.iter(f"{space}attvalue"))
    going = next(known for _, known in graph.nodes(data=True) if known["kind"] == "host" and known["text"] == OLD)
    assert going["viz"]["color"] == {"r": 43, "g": 49, "b": 56, "a": 1.0}
    red = {edge.attrib["id"] for edge in sheet[3] if edge.find("{http://www.gexf.net/1.2draft/viz}color") is not None}
    assert red == {edge.id for edge in picture.edge_rows() if edge.fails}


def test_json_in_networkx(picture: Picture) -> None:
    import networkx as nx

    nodes, excerpts = expected(picture)
    text = written(picture, "json")[""]
    assert not set("<>&") & set(text), "pasted into a page it would be markup"
    graph: Any = nx.node_link_graph(json.loads(text), edges="edges")
    assert {node: known["text"] for node, known in graph.nodes(data=True)} == nodes
    assert {known["id"]: known["excerpt"] for *_, known in graph.edges(data=True)} == excerpts


@pytest.mark.parametrize("by", ["", "kind", "host"])
def test_cytoscape_elements(by: str) -> None:
    view = view_of(HOSTILE)
    picture = select(view, Wanted(group_by=GroupBy(by)))
    nodes, excerpts = expected(picture)
    text = written(picture, "cytoscape")[""]
    assert not set("<>&") & set(text)
    elements = json.loads(text)["elements"]
    known = {one["data"]["id"]: one["data"] for one in elements["nodes"]}
    assert {key: one["text"] for key, one in known.items() if "text" in one} == nodes
    assert {one["data"]["id"]: one["data"]["excerpt"] for one in elements["edges"]} == excerpts
    parents = {one["parent"]: one["cluster"] for one in known.values() if "parent" in one}
    assert {key: known[key]["label"] for key in parents} == parents
    assert bool(parents) == bool(by)


def test_csv_holds_no_formula(picture: Picture) -> None:
    nodes, excerpts = expected(picture)
    tables = written(picture, "csv")
    found = {}
    for ending, field, wanted in ((".nodes.csv", "text", nodes), (".edges.csv", "excerpt", excerpts)):
        rows = list(csv.DictReader(io.StringIO(tables[ending], newline="")))
        assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@")]
        found = {row["id"]: row[field].removeprefix("'") for row in rows}
        assert found == wanted
        assert all(None not in row for row in rows)


TOKEN = re.compile(r"'(?:[^'\\]|\\['\\])*'|[A-Za-z_]\w*|\d+|[{}\[\]():,.;=$>+-]|\s+")


def literals(script: str) -> Iterator[dict[str, str]]:
    """The maps of the lists in a script; a token that is none of those we write is an error."""
    at, tokens = 0, []
    while at < len(script):
        found = TOKEN.match(script, at)
        assert found, script[at : at + 80]
        at = found.end()
        if not found[0].isspace():
            tokens.append(found[0])
    assert "DELETE" not in tokens
    row: dict[str, str] = {}
    for before, mark, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if mark == ":" and (value[0] == "'" or value.isdigit() or value in ("true", "false")):
            row[before] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == "'" else value
        elif mark == "}" and row:
            yield row
            row = {}


def test_cypher_with_literals(picture: Picture) -> None:
    nodes, excerpts = expected(picture)
    script = written(picture, "cypher")[""]
    rows = list(literals(script))
    assert [row["text"] for row in rows if "text" in row] == list(nodes.values())
    assert [row["excerpt"] for row in rows if "excerpt" in row] == list(excerpts.values())
    keys = {row["key"] for row in rows if "key" in row}
    assert len(keys) == len(nodes)
    assert {row[end] for row in rows if "provider" in row for end in ("consumer", "provider")} <= keys


@pytest.mark.parametrize("name", ["cypher", "cypher-parameters", "cypher-csv"])
def test_cypher_changes_nothing_the_second_time(picture: Picture, name: str) -> None:
    files = written(picture, name)
    script = re.sub(r"'(?:[^'\\]|\\.)*'", "''", files.get(".cypher", files.get("", "")))
    assert re.findall(r"\b(CREATE|MERGE|DELETE|REMOVE|DROP) +(\w*)", script)[0] == ("CREATE", "CONSTRAINT")
    assert script.count("CREATE") == 1
    assert "IF NOT EXISTS" in script
    assert script.count("MERGE") == 2
    rows = json.loads("".join(cypher.parameters(picture)))
    assert len({row["key"] for row in rows["nodes"]}) == len(rows["nodes"])
    merged = [
        tuple(row[name] for name in ("consumer", "provider", "relation", "need", "group")) for row in rows["edges"]
    ]
    assert len(set(merged)) == len(merged)


def test_cypher_parameters_and_tables_hold_the_same(picture: Picture) -> None:
    rows = json.loads(written(picture, "cypher-parameters")[".json"])
    nodes, excerpts = expected(picture)
    assert [row["text"] for row in rows["nodes"]] == list(nodes.values())
    assert [row["excerpt"] for row in rows["edges"]] == list(excerpts.values())
    files = written(picture, "cypher-csv")
    decode = re.search(r"text: (replace.*?), scope:", files[".cypher"])
    assert decode is not None
    codes = re.findall(r"'(%\w\w)', '(\\?.)'", decode[1])
    for ending, field, wanted in ((".nodes.csv", "text", nodes), (".edges.csv", "excerpt", excerpts)):
        text = files[ending]
        assert not set("\\'=+@") & set(text), "a reader of CSV may take it for more than text"
        found = []
        for row in csv.DictReader(io.StringIO(text, newline="")):
            value = row[field]
            for code, character in codes:
                value = value.replace(code, character[-1])
            found.append(value)
        assert found == list(wanted.values())


DOT_LINE = re.compile(r'n\d+(?: -> n\d+)? \[(?:\w+="(?:[^"\\]|\\["\\n])*"(?:, )?)+\];')


def test_dot_holds_only_what_we_write(picture: Picture) -> None:
    lines = written(picture, "dot")[""].splitlines()
    assert lines[0] == "digraph estate {"
    assert lines[-1] == "}"
    for line in lines[4:-1]:
        assert DOT_LINE.fullmatch(line), line


@pytest.mark.integration
@pytest.mark.parametrize("by", ["", "kind"])
def test_svg_by_graphviz(by: str) -> None:
    if shutil.which("dot") is None:
        pytest.skip("there is no program `dot`")
    picture = select(view_of(HOSTILE), Wanted(group_by=GroupBy(by)))
    drawn = written(picture, "svg")[""]
    inert(drawn)
    root = ET.fromstring(drawn)
    link = "{http://www.w3.org/1999/xlink}title"
    # Graphviz writes the second of two spaces as one that does not break.
    titles = {one.attrib[link].replace("\xa0", " ") for one in root.iter() if link in one.attrib}
    for row in picture.node_rows():
        tip = f"{row.label} {row.path}:{row.line}" if row.path else row.label
        assert tip[:1000].replace("\\", "\u29f5") in titles
    assert {one.tag.rsplit("}")[-1] for one in root.iter()} <= {"svg", "g", "a", "title", "path", "polygon", "text"}
    assert not [key for one in root.iter() for key in one.attrib if key.startswith("on") or key.endswith("href")]


@pytest.mark.integration
def test_dot_itself_reads_the_same_nodes(picture: Picture) -> None:
    if shutil.which("dot") is None:
        pytest.skip("there is no program `dot`")
    text = written(picture, "dot")[""]
    ended = subprocess.run(["dot", "-Tdot_json"], input=text, capture_output=True, text=True, check=True, timeout=120)
    assert not ended.stderr
    known = json.loads(ended.stdout)
    assert {one["name"] for one in known["objects"]} == {row.id for row in picture.node_rows()}
    assert len(known["edges"]) == len(picture.edges)


# What we write is a small part of Mermaid's grammar, and no line may be anything else. Mermaid itself draws it in a
# browser (test_mermaid_itself.py).
MERMAID = {
    "node": re.compile(r'  (n\d+)\["((?:[ A-Za-z0-9./:_,×…-]|#\d+;|<br/>)*)"\](?::::(?:going|broken|blind|degraded))?'),
    "edge": re.compile(r'  n\d+ -->\|"[a-z× 0-9-]+"\| n\d+'),
    "frame": re.compile(r'  subgraph c\d+\["(?:[ A-Za-z0-9./:_,×…-]|#\d+;)*"\]|  end'),
    "look": re.compile(r"  classDef [a-z]+ [a-z0-9:#,]+|  linkStyle [\d,]+ stroke:#b3261e,stroke-width:2px"),
}


@pytest.mark.parametrize("by", ["", "kind", "host"])
def test_mermaid_holds_only_what_we_write(by: str) -> None:
    picture = select(view_of(HOSTILE), Wanted(group_by=GroupBy(by)))
    first, *lines = written(picture, "mermaid")[""].splitlines()
    assert first == "flowchart LR"
    labels = {}
    for line in lines:
        kind = next((kind for kind, shape in MERMAID.items() if shape.fullmatch(line)), None)
        assert kind, line
        if kind == "node" and (found := MERMAID["node"].fullmatch(line)):
            labels[found[1]] = found[2]
    for row in picture.node_rows():
        said = labels[row.id].split("<br/>")
        assert said[0] == row.kind
        text = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), said[1])
        assert text == (row.text if len(row.text) <= 80 else row.text[:79] + "…")


def test_d2_holds_only_what_we_write() -> None:
    picture = select(view_of(HOSTILE), Wanted(group_by=GroupBy.KIND))
    lines = written(picture, "d2")[""].splitlines()
    labels = []
    for line in lines[lines.index("}") + 1 :]:
        found = re.fullmatch(
            r"(?:(?:c\d+\.)?n\d+ -> )?(?:c\d+|(?:c\d+\.)?n\d+): '((?:[^']|'')*)'(?: \{class: [a-z]+\})?", line
        )
        assert found, line
        labels.append(found[1].replace("''", "'"))
    for row in picture.node_rows():
        assert (row.label if len(row.label) <= 80 else row.label[:79] + "…") in labels


def test_names_and_endings() -> None:
    assert format_of("", None).name == "dot"
    assert format_of("", Path("a.SVG")).name == "svg"
    assert format_of("gexf", Path("a.svg")).name == "gexf"
    with pytest.raises(UsageError, match="says no format"):
        format_of("", Path("a.doc"))


def test_too_much_to_draw_is_told_with_what_would_narrow_it() -> None:
    view = view_of({str(number): f"job {number}" for number in range(400)})
    picture = select(view, Wanted())
    with pytest.raises(UsageError, match=r"40\d nodes and 40\d dependencies are too many to draw as mermaid") as caught:
        require_room(picture, FORMATS["mermaid"], None)
    assert "--focus HOST" in caught.value.hint
    require_room(picture, FORMATS["graphml"], None)
    require_room(picture, FORMATS["mermaid"], 0)
    with pytest.raises(UsageError):
        require_room(picture, FORMATS["graphml"], 10)


def test_a_missing_or_failing_dot_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not installed") as caught:
        graphviz.draw(["digraph {}"], "svg")
    assert "graphviz" in caught.value.hint
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="broken"):
        graphviz.draw(["digraph {}"], "svg")
    program.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    monkeypatch.setattr(graphviz, "TIME_LIMIT", 0.2)
    with pytest.raises(UsageError, match="more than"):
        graphviz.draw(["digraph {}"], "svg")


def fleet() -> View:
    """Twenty equal web servers that need the old host, and one that is not like them."""
    table = HostTable()
    names = [f"web{number:02}.example.org" for number in range(1, 21)]
    for number, name in enumerate((OLD, *names), 1):
        record = table.add(name, "test")
        table.address(record, f"10.0.0.{number}")
        record.site = "here" if number < 5 else "there"
    linker = Linker(table)
    placed: list[Any] = []
    for name in names:
        job = Ref(Kind.JOB, "push" if name != names[7] else "pull")
        placed.append((name, f"hosts/{name}/cron", None, Dependency(job, THIS_HOST, Relation.RUNS_ON, Where(1, "x"))))
        placed.append(
            (name, f"hosts/{name}/cron", None, Dependency(job, Ref(Kind.NAME, OLD), Relation.CONNECTS, Where(1, "x")))
        )
    linker.context(placed)
    for one in placed:
        linker.add(*one)
    for name in table.records:
        linker.require(Ref(Kind.HOST, name))
    linker.resolve()
    return View(linker.build(), [Going(OLD, Lifecycle.RETIRED)], NOW, None, ())


def test_equal_nodes_become_one_that_says_how_many() -> None:
    view = fleet()
    wanted = Wanted(focus_of(view, [OLD]), collapse=True)
    rows = {row.label: row for row in select(view, wanted).node_rows()}
    jobs = {label: row.count for label, row in rows.items() if row.kind == "job"}
    assert jobs == {
        "19 × job push on web[01:07].example.org and web[09:20].example.org": 19,
        "job pull on web08.example.org": 1,
    }
    edges = [row for row in select(view, wanted).edge_rows() if row.relation == "connects"]
    assert sorted((row.count, row.fails) for row in edges) == [(1, True), (19, True)]
    both = select(view, Wanted(focus_of(view, [OLD]), Direction.BOTH, collapse=True))
    assert sum(row.count for row in both.node_rows()) == len(
        select(view, Wanted(focus_of(view, [OLD]), Direction.BOTH)).nodes
    )
    by_site = select(view, Wanted(collapse=True, group_by=GroupBy.SITE))
    assert sorted(row.count for row in by_site.node_rows() if row.text == "push") == [3, 16]


def test_focus_depth_direction_and_only() -> None:
    view = fleet()
    focus = focus_of(view, [OLD])

    def kinds(**asked: Any) -> set[str]:
        return {row.kind for row in select(view, Wanted(focus, **asked)).node_rows()}

    assert kinds(depth=0) == {"host"}
    assert kinds(depth=1) == {"host", "name"}
    assert kinds() == {"host", "name", "job"}
    assert kinds(direction=Direction.DEPENDENCIES) == {"host"}
    broken = list(select(view, Wanted(only=Only.BROKEN)).edge_rows())
    assert broken
    assert all(edge.fails for edge in broken)
    web = select(view, Wanted(focus_of(view, ["web01.example.org"]), Direction.BOTH))
    hosts = {row.text for row in web.node_rows() if row.kind == "host"}
    assert hosts == {"web01.example.org"}, "what only shares a dependency is not around it"


def test_only_findings() -> None:
    from auditor.model import Area, Confidence, Finding, Impact, Provenance, Severity

    view = fleet()
    job = view.find(Kind.JOB, "push", "web03.example.org")
    assert job is not None
    finding = Finding(
        "r", Area.SCHEDULES, Severity.BLOCK, Confidence.HIGH, job.label, ("i",), "m", "w", "a", Impact.BROKEN,
        (Provenance("f", 1, "x"),), view.path(job),
    )  # fmt: skip
    shown = select(view, Wanted(only=Only.FINDINGS), [finding])
    assert {row.text for row in shown.node_rows() if row.kind == "job"} == {"push"}
    assert len([row for row in shown.node_rows() if row.kind == "job"]) == 1
    assert OLD in {row.text for row in shown.node_rows() if row.kind == "host"}


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if not one.binary])
def test_an_empty_graph_is_a_graph(name: str) -> None:
    linker = Linker(HostTable())
    linker.resolve()
    view = View(linker.build(), [], NOW, None, ())
    for collapse in (False, True):
        for text in written(select(view, Wanted(collapse=collapse)), name).values():
            assert text
            if name in ("json", "cytoscape"):
                json.loads(text)
            elif name in ("graphml", "gexf"):
                ET.fromstring(text)
