"""`auditor graph`: what hangs on a host, as a picture or as data for other tools."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.cli import common
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.export.formats import Content

# Written out here, since a command line must not load numpy; a test compares them with the formats there are.
FORMATS = (
    "graphml", "gexf", "json", "cytoscape", "csv", "cypher", "cypher-parameters", "cypher-csv",
    "dot", "svg", "png", "mermaid", "d2", "html",
)  # fmt: skip

_EPILOG = """\
examples:
  auditor graph --focus db03.example.org --estate estate/ -o db03.svg
  auditor graph --focus db03.example.org --as read-only --only broken --collapse --format mermaid
  auditor graph --focus web1.example.org web2.example.org --depth 3 --direction both --group-by site -o web.dot
  auditor graph --estate estate/ -o estate.graphml               the whole graph, for networkx, igraph, Gephi, yEd
  auditor graph --estate estate/ --format cypher-csv -o estate   estate.cypher, estate.nodes.csv, estate.edges.csv
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "graph",
        help="what hangs on a host, as a picture or as data",
        description="The graph of dependencies, as a picture or as data for other tools.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.estate_options(parser)
    parser.add_argument(
        "--focus", metavar="HOST", nargs="+", default=[], help="only what is around these hosts (default: everything)"
    )
    common.scenario_options(parser)
    parser.add_argument("--depth", metavar="N", type=_depth, help="at most N dependencies away (default: any)")
    parser.add_argument(
        "--direction",
        choices=("dependents", "dependencies", "both"),
        default="dependents",
        help="what needs the hosts, what they need, or both (default: dependents)",
    )
    parser.add_argument(
        "--only", choices=("broken", "findings"), default="", help="only what fails, or only the paths of findings"
    )
    parser.add_argument(
        "--group-by", choices=("host", "site", "owner", "kind"), default="", help="draw a frame around each of these"
    )
    parser.add_argument(
        "--collapse",
        action=argparse.BooleanOptionalAction,
        help="equal nodes as one that says how many (default: of a page, which can expand them)",
    )
    parser.add_argument("--mentions", action="store_true", help="also text that only names a host")
    parser.add_argument(
        "--max-nodes", metavar="N", type=_depth, help="draw up to N nodes, 0 for any number (default: by format)"
    )
    parser.add_argument("--format", choices=FORMATS, default="", help="default: by the ending of -o, else dot")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to a file instead of stdout")
    parser.set_defaults(run=run)


def _depth(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Writes the graph; exit code 0, whatever the verdict would be."""
    from auditor.audit.scenario import parse_hosts
    from auditor.export.formats import format_of, require_room
    from auditor.export.picture import Direction, GroupBy, Only, Wanted, focus_of, select

    page = arguments.format == "html" or (not arguments.format and _is_page(arguments.output))
    chosen = format_of("dot" if page else arguments.format, arguments.output)
    if arguments.output is None and (chosen.several or (chosen.binary and sys.stdout.isatty())):
        what = "makes several files" if chosen.several else "is no text"
        raise UsageError(f"{chosen.name} {what}", hint="Give a file with -o.")
    asked = tuple(parse_hosts(arguments.focus))
    request = common.request_of(arguments, asked, arguments.lifecycle, arguments.on)
    request = replace(request, going_required=False)
    audited = common.run_audit(request, quiet=arguments.quiet, rules=arguments.only == "findings")
    view, findings = audited.view, audited.report.findings
    if asked:
        common.known_hosts(audited)
    focus = focus_of(view, (one.host for one in view.going)) if asked else ()
    wanted = Wanted(
        focus,
        Direction(arguments.direction),
        arguments.depth,
        Only(arguments.only),
        GroupBy(arguments.group_by),
        page if arguments.collapse is None else arguments.collapse,
        arguments.mentions,
    )
    if page:
        from auditor.page import render_graph
        from auditor.page.graph import page_graph

        names = ", ".join(arguments.focus) or "the whole estate"
        graph = page_graph(view, findings, wanted, arguments.max_nodes)
        common.write_file(render_graph(graph, names, audited.report), arguments.output)
        return 0
    picture = select(view, wanted, findings)
    require_room(picture, chosen, arguments.max_nodes, findings)
    output: Path | None = arguments.output
    if output is None:
        for content in chosen.files(picture, "").values():
            _print(content)
        return 0
    stem = output.with_suffix("") if output.suffix in (".csv", ".cypher", ".json") and chosen.several else output
    for ending, content in chosen.files(picture, stem.name).items():
        _write(stem.with_name(stem.name + ending) if ending else output, content)
    return 0


def _is_page(output: Path | None) -> bool:
    return output is not None and output.suffix.lower() in (".html", ".htm")


def _print(content: Content) -> None:
    if isinstance(content, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout.writelines(content)


def _write(path: Path, content: Content) -> None:
    try:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            _stream(path, content)
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror}", hint="Give another file with -o.") from error


def _stream(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n", buffering=1 << 20) as file:
        file.writelines(lines)
