"""`auditor graph`: what it writes, where to, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditor.cli import graph
from auditor.cli.main import main
from auditor.export.formats import FORMATS

OLD = "old.example.org"


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    files = {
        "hosts/web01.example.org/etc/cron.d/push": f"1 1 * * * root curl -fsS https://{OLD}/push\n",
        "dns/example.org.zone": "$ORIGIN example.org.\n@ IN SOA ns root 1 2 3 4 5\nold IN A 10.0.0.1\n",
        f"hosts/{OLD}/etc/hostname": "old\n",
        "notes.txt": f"ask {OLD} first\n",
    }
    for path, content in files.items():
        (tmp_path / "estate" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "estate" / path).write_text(content)
    return tmp_path / "estate"


def test_the_formats_of_the_command_line_are_those_there_are() -> None:
    # A page is made of what is exported, and more.
    assert set(graph.FORMATS) == {*FORMATS, "html"}


def test_focus_as_json_on_stdout(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "-q", "--estate", str(estate), "--focus", OLD, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    nodes = {one["text"]: one for one in found["nodes"]}
    assert nodes[OLD]["lifecycle"] in ("retired", "")
    job = next(one for one in found["nodes"] if one["kind"] == "job")
    assert (job["impact"], job["path"], job["line"]) == ("broken", "hosts/web01.example.org/etc/cron.d/push", 1)
    assert not [one for one in found["nodes"] if one["kind"] == "document"]
    assert main(["graph", "-q", "--estate", str(estate), "--focus", OLD, "--format", "json", "--mentions"]) == 0
    more = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in more["nodes"] if one["kind"] == "document" and "notes" in one["text"]]


def test_the_paths_of_findings(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["graph", "-q", "--estate", str(estate), "--focus", OLD, "--only", "findings", "--format", "mermaid"]
    assert main(words) == 0
    assert "root curl" in capsys.readouterr().out


def test_an_estate_of_which_nothing_goes_has_a_graph_too(estate: Path, tmp_path: Path) -> None:
    assert main(["graph", "-q", "--estate", str(estate), "-o", str(tmp_path / "all.graphml")]) == 0
    assert (tmp_path / "all.graphml").read_text().count("<node ") > 3


@pytest.mark.parametrize(
    ("format", "output", "files"),
    [
        ("csv", "out.csv", ["out.edges.csv", "out.nodes.csv"]),
        ("cypher-csv", "out", ["out.cypher", "out.edges.csv", "out.nodes.csv"]),
        ("cypher-parameters", "out.cypher", ["out.cypher", "out.json"]),
    ],
)
def test_formats_of_several_files(estate: Path, tmp_path: Path, format: str, output: str, files: list[str]) -> None:
    words = ["graph", "-q", "--estate", str(estate), "--format", format]
    assert main([*words, "-o", str(tmp_path / output)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == files
    assert main(words) == 2


def test_usage(estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["graph", "-q", "--estate", str(estate)]
    assert main([*words, "-o", str(tmp_path / "graph.doc")]) == 2
    assert main([*words, "-o", str(tmp_path / "missing" / "graph.dot")]) == 2
    assert main([*words, "--max-nodes", "1"]) == 2
    said = capsys.readouterr().err
    assert "says no format" in said
    assert "can't be written" in said
    assert "--focus HOST" in said
    with pytest.raises(SystemExit) as left:
        main([*words, "--depth", "-1"])
    assert left.value.code == 2
