"""The graph in columns beside networkx: building, impact and reach, over the very same input.

    python -m benchmarks.graph [NODES...] [--sources 100] [--repeat 3] [--seed 1]

The input of both is made before any clock starts: arrays of kinds, consumers, providers, relations, needs and groups,
a list of node names, a list of evidence texts (`file:line`, one for each edge). networkx gets nodes by number, which is
cheaper for it than by name, with `kind` and `text`, and edges with `relation`, `need`, `group` and `evidence`, where
equal strings are one object. The graph in columns interns the names, checks ranges, looks for duplicate edges, and
keeps the evidence by its index in the list. Each runs in a process of its own; networkx as it comes, and with Python's
garbage collector frozen and disabled. The searches in networkx are plain loops over its own dictionaries of neighbours.
All of them must find the same.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.graph.columns import KIND_ID, NEED_ID, NEEDS, RELATION_ID, RELATIONS, GraphBuilder
from auditor.graph.impact import BITS, BROKEN, EVERYTHING, WATCHERS, impact, nearest, reach
from auditor.model import DEFAULT_NEED, TRANSPARENT, Kind, Relation

if TYPE_CHECKING:
    import networkx as nx

    Shown = nx.MultiDiGraph[int]

EDGES_PER_NODE = 4
CYCLES = 0.005
"""Share of the edges that lead anywhere, so that there are cycles; the others lead to a lower layer."""

LAYERS: tuple[tuple[Kind, float, tuple[Relation, ...], float], ...] = (
    # kind, share of the nodes, relations of its edges, share of its nodes whose edges are alternatives
    (Kind.HOST, 0.10, (), 0.0),
    (Kind.ADDRESS, 0.12, (Relation.STANDS_FOR,), 0.7),
    (Kind.NAME, 0.16, (Relation.RESOLVES,), 0.7),
    (Kind.ENDPOINT, 0.12, (Relation.STANDS_FOR,), 0.5),
    (Kind.PATH, 0.18, (Relation.CONNECTS, Relation.READS, Relation.WRITES), 0.3),
    (Kind.JOB, 0.14, (Relation.RUNS_ON, Relation.CALLS, Relation.CONNECTS), 0.3),
    (Kind.LINEAGE, 0.06, (Relation.TRIGGERED_BY,), 0.8),
    (Kind.ALERT, 0.08, (Relation.WATCHES,), 0.3),
    (Kind.DOCUMENT, 0.04, (Relation.MENTIONS,), 0.0),
)


@dataclass
class Input:
    """What both graphs are made of."""

    kinds: np.ndarray[Any, Any]
    texts: list[str]
    consumers: np.ndarray[Any, Any]
    providers: np.ndarray[Any, Any]
    relations: np.ndarray[Any, Any]
    needs: np.ndarray[Any, Any]
    grouped: np.ndarray[Any, Any]
    evidence: list[str]
    sources: list[int]


def make_input(nodes: int, sources: int, seed: int) -> Input:
    """A layered estate: hosts at the bottom, then addresses, names, endpoints, scripts, jobs, certificates, alerts."""
    rng = np.random.default_rng(seed)
    counts = [int(nodes * share) for _, share, _, _ in LAYERS]
    counts[0] += nodes - sum(counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    layer = np.repeat(np.arange(len(LAYERS)), counts)
    kinds = np.array([KIND_ID[kind] for kind, *_ in LAYERS], np.uint8)[layer]
    edges = nodes * EDGES_PER_NODE
    consumers = np.sort(rng.integers(counts[0], nodes, edges))
    of = layer[consumers]
    providers = (rng.random(edges) * starts[of]).astype(np.int64)
    around = rng.random(edges) < CYCLES
    providers[around] = rng.integers(0, nodes, int(around.sum()))
    relations = np.empty(edges, np.uint8)
    grouped = np.zeros(edges, bool)
    chosen = rng.random(nodes)
    for number, (_, _, possible, alternatives) in enumerate(LAYERS):
        mine = np.flatnonzero(of == number)
        if possible:
            codes = np.array([RELATION_ID[relation] for relation in possible], np.uint8)
            relations[mine] = codes[rng.integers(0, len(codes), len(mine))]
            grouped[mine] = chosen[consumers[mine]] < alternatives
    needs = np.array([NEED_ID[DEFAULT_NEED[relation]] for relation in RELATIONS], np.uint8)[relations]
    files = [f"hosts/host-{i:05d}.example.net/etc/cron.d/task" for i in range(max(1, nodes // 100))]
    lines = rng.integers(1, 400, edges).tolist()
    evidence = [f"{files[i % len(files)]}:{line}" for i, line in enumerate(lines)]
    texts = [f"{LAYERS[number][0].value}-{i:07d}.example.net" for i, number in enumerate(layer.tolist())]
    return Input(
        kinds=kinds,
        texts=texts,
        consumers=consumers.astype(np.int32),
        providers=providers.astype(np.int32),
        relations=relations,
        needs=needs,
        grouped=grouped,
        evidence=evidence,
        sources=rng.choice(counts[0], sources, replace=False).tolist(),
    )


def timed(repeat: int, work: Callable[[], Any]) -> tuple[list[float], Any]:
    """The seconds of each run, and what the last one gave."""
    seconds = []
    for _ in range(repeat):
        result = None
        gc.collect()
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return seconds, result


def peak_mb() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_columns(data: Input, repeat: int) -> dict[str, Any]:
    """Our figures."""

    def build() -> Any:
        builder = GraphBuilder()
        builder.add_nodes(data.kinds, data.texts)
        groups = np.full(len(data.consumers), -1, np.int32)
        owners = data.consumers[data.grouped]
        groups[data.grouped] = builder.add_groups(owners, ["alternatives"] * len(owners))
        builder.add_edges(
            data.consumers, data.providers, data.relations, data.needs, groups, np.arange(len(data.evidence))
        )
        return builder.build()

    lost = dict.fromkeys(data.sources, EVERYTHING)
    build_seconds, graph = timed(repeat, build)
    first_seconds, _ = timed(1, lambda: impact(graph, lost))
    impact_seconds, result = timed(repeat, lambda: impact(graph, lost))
    reach_seconds, found = timed(repeat, lambda: reach(graph, data.sources))
    every_host = graph.nodes_of(KIND_ID[Kind.HOST]).tolist()
    nearest_seconds, (distance, _) = timed(repeat, lambda: nearest(graph, data.sources))
    all_seconds, _ = timed(repeat, lambda: nearest(graph, every_host))
    all_lost = dict.fromkeys(every_host, EVERYTHING)
    most_seconds, _ = timed(repeat, lambda: impact(graph, all_lost))
    return {
        "build": build_seconds,
        "impact, first": first_seconds,
        "impact": impact_seconds,
        "reach": reach_seconds,
        "nearest": nearest_seconds,
        "nearest of all hosts": all_seconds,
        "impact of all hosts": most_seconds,
        "edges": graph.edge_count,
        "found": [int(result.lost.astype(np.int64).sum()), int((result.lost != 0).sum()), len(found)],
        "distances": int(distance[distance > 0].sum()),
    }


def build_networkx(data: Input) -> Shown:
    """The usual way: nodes and edges with attributes, from iterators."""
    import networkx as nx

    graph: Shown = nx.MultiDiGraph()
    kinds = [kind.value for kind in Kind]
    relations = [relation.value for relation in RELATIONS]
    needs = [need.value for need in NEEDS]
    graph.add_nodes_from(
        (i, {"kind": kinds[kind], "text": text})
        for i, (kind, text) in enumerate(zip(data.kinds.tolist(), data.texts, strict=True))
    )
    graph.add_edges_from(
        (
            consumer,
            provider,
            {
                "relation": relations[relation],
                "need": needs[need],
                "group": "alternatives" if group else "",
                "evidence": evidence,
            },
        )
        for consumer, provider, relation, need, group, evidence in zip(
            data.consumers.tolist(),
            data.providers.tolist(),
            data.relations.tolist(),
            data.needs.tolist(),
            data.grouped.tolist(),
            data.evidence,
            strict=True,
        )
    )
    return graph


def impact_networkx(graph: Shown, sources: Sequence[int]) -> dict[int, int]:
    """The masks of lost needs, by a worklist: a node's consumers are looked at again whenever it lost more."""
    transparent = {relation.value for relation in TRANSPARENT}
    bit_of = {need.value: bit for need, bit in zip(NEEDS, BITS, strict=True)}
    predecessors, successors = graph.pred, graph.succ
    lost = dict.fromkeys(sources, EVERYTHING)
    waiting = deque(sources)

    kinds = graph.nodes(data="kind")
    watching = {kind.value for kind in WATCHERS}

    def cost(consumer: int, provider: int, attributes: dict[str, Any]) -> int:
        there = lost.get(provider, 0)
        if not there or attributes["relation"] == "mentions":
            return 0
        if attributes["relation"] in transparent:
            return there
        if attributes["need"] == "observe":
            return there & bit_of["observe"]
        if not there & bit_of[attributes["need"]]:
            return 0
        return EVERYTHING if kinds[consumer] in watching else BROKEN

    while waiting:
        for consumer in predecessors[waiting.popleft()]:
            before = lost.get(consumer, 0)
            if before == EVERYTHING:
                continue
            mask, shared, observed = before, EVERYTHING, EVERYTHING
            has_group, has_observed = False, False
            for provider, parallel in successors[consumer].items():
                for attributes in parallel.values():
                    if attributes["relation"] == "mentions":
                        continue
                    if attributes["need"] == "observe" and attributes["relation"] not in transparent:
                        has_observed = True
                        observed &= cost(consumer, provider, attributes)
                    elif attributes["group"]:
                        has_group = True
                        shared &= cost(consumer, provider, attributes)
                    else:
                        mask |= cost(consumer, provider, attributes)
            mask |= (shared if has_group else 0) | (observed if has_observed else 0)
            if mask != before:
                lost[consumer] = mask
                waiting.append(consumer)
    return lost


def nearest_networkx(graph: Shown, sources: Sequence[int]) -> dict[int, int]:
    """Distances from the sources to all dependents, mentions excluded; its keys are what `reach` finds."""
    predecessors = graph.pred
    distance = dict.fromkeys(sources, 0)
    level = list(sources)
    steps = 0
    while level:
        steps += 1
        following = []
        for provider in level:
            for consumer, parallel in predecessors[provider].items():
                if consumer in distance:
                    continue
                for attributes in parallel.values():
                    if attributes["relation"] != "mentions":
                        distance[consumer] = steps
                        following.append(consumer)
                        break
        level = following
    return distance


def in_networkx(data: Input, repeat: int, frozen: bool) -> dict[str, Any]:
    """networkx's figures. It builds once: at a million nodes that is most of a minute."""
    if frozen:
        gc.collect()
        gc.freeze()
        gc.disable()
    build_seconds, graph = timed(1, lambda: build_networkx(data))
    impact_seconds, lost = timed(repeat, lambda: impact_networkx(graph, data.sources))
    reach_seconds, distance = timed(repeat, lambda: nearest_networkx(graph, data.sources))
    every_host = [i for i, kind in enumerate(data.kinds.tolist()) if kind == KIND_ID[Kind.HOST]]
    all_seconds, _ = timed(1, lambda: nearest_networkx(graph, every_host))
    most_seconds, _ = timed(1, lambda: impact_networkx(graph, every_host))
    return {
        "build": build_seconds,
        "impact": impact_seconds,
        "reach": reach_seconds,
        "nearest": reach_seconds,
        "nearest of all hosts": all_seconds,
        "impact of all hosts": most_seconds,
        "edges": graph.number_of_edges(),
        "found": [sum(lost.values()), sum(mask != 0 for mask in lost.values()), len(distance) - len(data.sources)],
        "distances": sum(distance.values()),
    }


def run_one(which: str, nodes: int, sources: int, repeat: int, seed: int) -> dict[str, Any]:
    """One process: makes the input, then measures."""
    data = make_input(nodes, sources, seed)
    before = peak_mb()
    result = in_columns(data, repeat) if which == "columns" else in_networkx(data, repeat, which == "networkx, gc off")
    return {**result, "input MB": before, "peak MB": peak_mb()}


def main() -> int:
    """Prints one table for each size; exit code 1 if the two do not find the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(options.one, options.nodes[0], options.sources, options.repeat, options.seed)))
        return 0
    different = False
    for nodes in options.nodes:
        results = {}
        for which in ("columns", "networkx", "networkx, gc off"):
            command = [sys.executable, "-m", "benchmarks.graph", str(nodes), "--one", which]
            command += ["--sources", str(options.sources), "--repeat", str(options.repeat), "--seed", str(options.seed)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[which] = json.loads(done.stdout)
        print(f"\n{nodes:,} nodes, {nodes * EDGES_PER_NODE:,} edges, {options.sources} hosts going: ", end="")
        print("{0[1]:,} nodes lose something, {0[2]:,} depend on them".format(results["columns"]["found"]))
        different |= len({json.dumps([result["found"], result["distances"]]) for result in results.values()}) != 1
        print_table(results)
    if different:
        print("the graphs do not agree", file=sys.stderr)
    return int(different)


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Medians, in Markdown."""
    columns = results["columns"]
    print("| median seconds | " + " | ".join(results) + " | ratio | ratio, gc off |")
    print("|---|" + "---|" * (len(results) + 2))
    for what in ("build", "impact, first", "impact", "reach", "nearest", "nearest of all hosts", "impact of all hosts"):
        against = what.partition(",")[0]
        ours = statistics.median(columns[what])
        others = [statistics.median(results[which][against]) for which in ("networkx", "networkx, gc off")]
        ratios = [f"{other / ours:.1f}×" for other in others]
        print(f"| {what} | {ours:.3f} | " + " | ".join([*(f"{other:.3f}" for other in others), *ratios]) + " |")
    for what in ("peak MB", "input MB"):
        print(f"| {what} | " + " | ".join(f"{result[what]:,.0f}" for result in results.values()) + " | | |")


if __name__ == "__main__":
    sys.exit(main())
