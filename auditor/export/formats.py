"""All formats of an export: what each is called, how much it can show, and the files it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from auditor.errors import UsageError
from auditor.export import cypher, d2, dot, gexf, graphml, graphviz, jsongraph, mermaid, tables
from auditor.export.picture import GroupBy, Only, Picture, Wanted, select
from auditor.graph.view import View
from auditor.model import Finding
from auditor.phrases import plural

Content = Iterable[str] | bytes


@dataclass(frozen=True, slots=True)
class Format:
    """A format. `files(picture, name)` gives the content of each file by the ending that is put to the name.

    One whose only ending is empty can go to stdout. `nodes` and `edges` limit what it can show: 0 is no limit.
    """

    name: str
    title: str
    files: Callable[[Picture, str], Mapping[str, Content]]
    endings: tuple[str, ...] = ()
    several: bool = False
    binary: bool = False
    nodes: int = 0
    edges: int = 0


def _one(lines: Callable[[Picture], Iterator[str]]) -> Callable[[Picture, str], Mapping[str, Content]]:
    return lambda picture, _name: {"": lines(picture)}


def _drawn(kind: str) -> Callable[[Picture, str], Mapping[str, Content]]:
    return lambda picture, _name: {"": graphviz.draw(dot.lines(picture), kind)}


def _cypher_csv(picture: Picture, name: str) -> Mapping[str, Content]:
    nodes, edges = f"{name}.nodes.csv", f"{name}.edges.csv"
    return {
        ".cypher": cypher.load_csv(nodes, edges),
        ".nodes.csv": cypher.node_table(picture),
        ".edges.csv": cypher.edge_table(picture),
    }


_ALL: Final = (
    Format("graphml", "GraphML: networkx, igraph, yEd, Gephi, Cytoscape", _one(graphml.lines), (".graphml",)),
    Format("gexf", "GEXF: Gephi", _one(gexf.lines), (".gexf",)),
    Format("json", "node-link JSON: networkx, D3", _one(jsongraph.node_link), (".json",)),
    Format("cytoscape", "JSON of Cytoscape and cytoscape.js", _one(jsongraph.cytoscape), (".cyjs",)),
    Format("csv", "two tables: NAME.nodes.csv and NAME.edges.csv", lambda picture, _name: {
        ".nodes.csv": tables.nodes(picture), ".edges.csv": tables.edges(picture)
    }, (".csv",), several=True),
    Format("cypher", "statements with all values in them: Neo4j, Memgraph", _one(cypher.statements), (".cypher",)),
    Format("cypher-parameters", "statements, and their parameters as JSON", lambda picture, _name: {
        ".cypher": cypher.with_parameters(picture), ".json": cypher.parameters(picture)
    }, several=True),
    Format("cypher-csv", "statements that LOAD CSV, and two tables", _cypher_csv, several=True),
    Format("dot", "Graphviz", _one(dot.lines), (".dot", ".gv"), nodes=2000, edges=5000),
    Format("svg", "a drawing, by Graphviz", _drawn("svg"), (".svg",), binary=True, nodes=600, edges=1500),
    Format("png", "a drawing, by Graphviz", _drawn("png"), (".png",), binary=True, nodes=300, edges=800),
    # More than 500 edges or 50,000 characters Mermaid itself refuses, unless configured otherwise.
    Format("mermaid", "a flowchart in Markdown", _one(mermaid.lines), (".mmd", ".mermaid"), nodes=250, edges=500),
    Format("d2", "D2", _one(d2.lines), (".d2",), nodes=600, edges=1500),
)  # fmt: skip
FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.name: one for one in _ALL})


def format_of(name: str, output: PurePath | None) -> Format:
    """The format by its name, else by the file's ending, else DOT. UsageError for an ending that is none's."""
    if name:
        return FORMATS[name]
    if output is None:
        return FORMATS["dot"]
    for one in _ALL:
        if output.suffix.lower() in one.endings:
            return one
    raise UsageError(f"{output}: the ending says no format", hint=f"Name one with --format: {', '.join(FORMATS)}.")


def require_room(picture: Picture, format: Format, limit: int | None, findings: Iterable[Finding] = ()) -> None:
    """Raises UsageError with advice if a format can't show so much. `limit` in nodes replaces its own; 0 is none."""
    nodes, edges = len(picture.nodes), len(picture.edges)
    most = (format.nodes, format.edges) if limit is None else (limit, 0)
    if not (0 < most[0] < nodes or 0 < most[1] < edges):
        return
    said = f"{plural(nodes, 'node')} and {plural(edges, 'dependency', 'dependencies')}"
    can = f"{most[0]:,} nodes" + (f" and {most[1]:,} dependencies" if most[1] else "")
    advice = ", ".join(_advice(picture.view, picture.wanted, nodes, tuple(findings)))
    raise UsageError(
        f"{said} are too many to draw as {format.name}: it shows up to {can}",
        hint=f"Narrow it: {advice or '--focus HOST'}; or take a format for data (graphml, json), or --max-nodes 0.",
    )


def _advice(view: View, wanted: Wanted, nodes: int, findings: tuple[Finding, ...]) -> Iterator[str]:
    """What would narrow it, with how many nodes would be left, the fewest last."""
    if not wanted.focus:
        yield "--focus HOST"
    tried = []
    if not wanted.collapse:
        tried.append(("--collapse", replace(wanted, collapse=True)))
    if wanted.only is Only.EVERYTHING:
        tried.append(("--only broken", replace(wanted, only=Only.BROKEN)))
        if not wanted.collapse:
            tried.append(("--only broken --collapse", replace(wanted, only=Only.BROKEN, collapse=True)))
    if wanted.focus and (wanted.depth is None or wanted.depth > 2):
        tried.append(("--depth 2", replace(wanted, depth=2)))
    for option, narrower in tried:
        left = len(select(view, replace(narrower, group_by=GroupBy.NOTHING), findings).nodes)
        if 0 < left < nodes:
            yield f"{option} ({plural(left, 'node')})"
