"""Exports beside networkx's writers, of the very same graph with the very same attributes.

    python -m benchmarks.exports [--edges 1000000] [--seed 1]

The graph is the layered estate of `benchmarks.graph`. Every format is written to a file, by a process of its own, which
notes the time of the writing alone and by how much its peak of memory rose while it wrote. networkx gets the rows that
ours writes, empty attributes left out, in a MultiDiGraph that is built before the clock starts; Python's garbage
collector is off, which is to its advantage. The edges that were written are counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.export.formats import FORMATS
from auditor.export.picture import Picture, Wanted, select
from auditor.graph.columns import GraphBuilder
from auditor.graph.hosts import HostTable
from auditor.graph.resolved import Linked
from auditor.graph.view import View
from auditor.model import Where
from benchmarks.graph import EDGES_PER_NODE, make_input

RUNS = ("graphml", "json", "csv", "gexf", "cypher", "nx-graphml", "nx-json")
BESIDE = {"graphml": "nx-graphml", "json": "nx-json"}


def make_picture(edges: int, seed: int) -> Picture:
    """The whole graph, selected."""
    given = make_input(edges // EDGES_PER_NODE, 10, seed)
    builder = GraphBuilder()
    builder.add_nodes(given.kinds, given.texts)
    size = len(given.consumers)
    builder.add_edges(
        given.consumers, given.providers, given.relations, given.needs, evidence=range(size), confidences=None
    )
    evidence = [
        (text.rsplit(":", 1)[0], Where(at % 500 + 1, f"line {at} of a file"), None)
        for at, text in enumerate(given.evidence)
    ]
    linked = Linked(builder.build(), HostTable(), {}, evidence, {}, {}, frozenset(), {})
    return select(View(linked, (), datetime(2025, 11, 20, tzinfo=UTC), None, ()), Wanted(mentions=True))


def to_networkx(picture: Picture) -> Any:
    """The rows as a networkx graph."""
    import networkx as nx

    graph: Any = nx.MultiDiGraph()
    for row in picture.node_rows():
        known = row._asdict()
        graph.add_node(known.pop("id"), **{key: value for key, value in known.items() if value})
    for edge in picture.edge_rows():
        known = edge._asdict()
        ends = (known.pop("consumer"), known.pop("provider"), known.pop("id"))
        graph.add_edge(*ends, **{key: value for key, value in known.items() if value or key == "fails"})
    return graph


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(run: str, edges: int, seed: int) -> dict[str, float]:
    """Writes one format: seconds, MB by which the peak rose, MB written."""
    picture = make_picture(edges, seed)
    graph = to_networkx(picture) if run.startswith("nx-") else None
    gc.collect()
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        before, start = peak(), time.perf_counter()
        if run == "nx-graphml":
            import networkx as nx

            nx.write_graphml(graph, target)
        elif run == "nx-json":
            import networkx as nx

            with target.open("w") as file:
                json.dump(nx.node_link_data(graph, edges="edges"), file)
        else:
            for ending, content in FORMATS[run].files(picture, "out").items():
                assert not isinstance(content, bytes)
                with target.with_name(f"out{ending}").open("w", buffering=1 << 20) as file:
                    file.writelines(content)
        seconds, grown = time.perf_counter() - start, peak() - before
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        mark = {"graphml": b"<edge ", "nx-graphml": b"<edge ", "json": b'"source"', "nx-json": b'"source"'}.get(run)
        if mark:
            found = target.read_bytes().count(mark)
            assert found == len(picture.edges), (run, found)
    return {"s": seconds, "grown": grown, "size": size / 1e6}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", choices=RUNS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.edges, arguments.seed)))
        return
    found: dict[str, dict[str, float]] = {}
    for run in RUNS:
        words = [sys.executable, "-m", "benchmarks.exports", "--one", run, "--edges", str(arguments.edges)]
        ended = subprocess.run([*words, "--seed", str(arguments.seed)], check=True, capture_output=True, text=True)
        found[run] = json.loads(ended.stdout)
    print(
        f"{arguments.edges:,} edges\n\n| | s | MB written | peak rose by MB | beside networkx |\n|---|---|---|---|---|"
    )
    for run, known in found.items():
        ratio = f"{found[BESIDE[run]]['s'] / known['s']:.1f}×" if run in BESIDE else ""
        print(f"| {run} | {known['s']:.2f} | {known['size']:.0f} | {known['grown']:.0f} | {ratio} |")


if __name__ == "__main__":
    main()
