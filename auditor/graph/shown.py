"""The part of a graph that a person looks at, as a networkx graph: for a finding, an export, a review."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from auditor.graph.columns import KINDS, NEEDS, RELATIONS, Graph

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(
    graph: Graph, nodes: Iterable[int], provenance: Callable[[int], object] | None = None
) -> nx.MultiDiGraph[int]:
    """The selected nodes and the edges among them, from consumer to provider.

    Nodes are the ids of `graph`, with attributes `kind`, `text` and `scope`. An edge's key is its id; its attributes
    are `relation`, `need` and `group` (empty for a single edge), and `provenance`, what the function of that name says
    of the edge's evidence index, if it is given and the edge has evidence. IndexError for a node that is not there.
    """
    import networkx as nx

    shown: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    chosen = list(dict.fromkeys(int(node) for node in nodes))
    for node in chosen:
        if not 0 <= node < graph.node_count:
            raise IndexError(f"no node {node} in {graph.node_count}")
        shown.add_node(node, kind=KINDS[graph.kinds[node]].value, text=graph.texts[node], scope=graph.scope(node))
    for node in chosen:
        for edge in graph.outgoing(node).tolist():
            provider = int(graph.provider[edge])
            if provider not in shown:
                continue
            attributes: dict[str, object] = {
                "relation": RELATIONS[graph.relation[edge]].value,
                "need": NEEDS[graph.need[edge]].value,
                "group": graph.group_name(edge),
            }
            evidence = int(graph.evidence[edge])
            if provenance is not None and evidence >= 0:
                attributes["provenance"] = provenance(evidence)
            shown.add_edge(node, provider, key=edge, **attributes)
    return shown
