"""How references lead to hosts that are going, for the rules that ask where something points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from auditor.api import (
    Edge,
    EstateView,
    Going,
    Kind,
    Lifecycle,
    Need,
    Node,
    Provenance,
    Relation,
    Step,
    parse_time,
    split_endpoint,
)

_PASSING: Final = (Relation.STANDS_FOR, Relation.RESOLVES)
_REFERENCES: Final = frozenset({Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT})
_MAX_DEPTH: Final = 200
_NOWHERE: Final[tuple[frozenset[str], tuple[Edge, ...]]] = (frozenset(), ())


class Ways:
    """Which nodes lead to going hosts, and to nothing else.

    Over what a reference stands for (endpoint, name, CNAME, address, host) and the members of a load balancer; of
    alternatives, all must lead there. What merely stops working for another reason (a name whose certificate nothing
    renews) does not lead to a going host.
    """

    def __init__(self, estate: EstateView) -> None:
        self.estate = estate
        self._known: dict[int, tuple[frozenset[str], tuple[Edge, ...]]] = {}

    def hosts(self, node: Node) -> frozenset[str]:
        """The going hosts that a node leads to; empty if it leads elsewhere too, or nowhere."""
        return self._follow(node, 0)[0]

    def way(self, node: Node) -> tuple[Edge, ...]:
        """The edges from a node to the first of those hosts."""
        return self._follow(node, 0)[1]

    def steps(self, *edges: Edge) -> tuple[Step, ...]:
        """Edges as a path for people, followed by the way from the last one's provider."""
        whole = (*edges, *self.way(edges[-1].provider)) if edges else ()
        return tuple(self.estate.path_over(edge)[0] for edge in whole)

    def _follow(self, node: Node, depth: int) -> tuple[frozenset[str], tuple[Edge, ...]]:
        if node.kind is Kind.HOST:
            return frozenset({node.text} if self.estate.going_for(node) is not None else ()), ()
        if node.id in self._known or depth >= _MAX_DEPTH:
            return self._known.get(node.id, _NOWHERE)
        # A loop of names leads nowhere. Each node is followed once: time is linear whatever the records say.
        self._known[node.id] = _NOWHERE
        slots: dict[str, list[Edge]] = {}
        for number, edge in enumerate(self.estate.outgoing(node, *_PASSING)):
            slots.setdefault(f"={edge.group}" if edge.group else f"#{number}", []).append(edge)
        if backed := self.estate.outgoing(node, Relation.BACKED_BY):
            slots["=members"] = list(backed)
        hosts: set[str] = set()
        way: tuple[Edge, ...] = ()
        for edges in slots.values():
            found = [self._follow(edge.provider, depth + 1) for edge in edges]
            if all(ends for ends, _ in found):
                for (ends, rest), edge in zip(found, edges, strict=True):
                    hosts |= ends
                    if not way or len(rest) + 1 < len(way):
                        way = (edge, *rest)
        result = self._known[node.id] = frozenset(hosts), way
        return result


def references_to(estate: EstateView, host: Node) -> list[Node]:
    """The names, addresses and endpoints that lead to a host, perhaps among others."""
    seen: dict[int, Node] = {}
    pending = [host]
    while pending:
        for edge in estate.incoming(pending.pop(), *_PASSING):
            node = edge.consumer
            if node.kind in _REFERENCES and node.id not in seen:
                seen[node.id] = node
                pending.append(node)
    return list(seen.values())


def told_in_front(estate: EstateView, edge: Edge) -> bool:
    """Whether an Auto Scaling group loses what a target group before it loses as well, which then tells of it."""
    groups = edge.consumer.attributes.get("target_groups")
    return isinstance(groups, tuple) and any(
        one.provider.id == edge.provider.id
        for text in groups
        if (group := estate.find(Kind.SERVICE, text)) is not None
        for one in estate.outgoing(group, Relation.BACKED_BY)
    )


def only_read_only(estate: EstateView, hosts: Iterable[str]) -> bool:
    """Whether all of these going hosts stay, without being written to."""
    ways_of_going = {one.lifecycle for one in estate.going if one.host in set(hosts)}
    return ways_of_going == {Lifecycle.READ_ONLY}


def since(estate: EstateView, hosts: Iterable[str]) -> str:
    """The day since which a host is what it is, if it is declared; empty if not."""
    wanted = set(hosts)
    return next((one.since[:10] for one in estate.going if one.host in wanted and one.since), "")


def switch_of(estate: EstateView, going: Going) -> datetime | None:
    """When a host is to go: as asked, else as declared; None if nobody said."""
    return estate.on or parse_time(going.on)


def successor_of(estate: EstateView, hosts: Iterable[str]) -> str:
    """The declared successor of the first of these hosts that has one; empty if none has."""
    for name in sorted(hosts):
        node = estate.host(name)
        successor = estate.successor(node) if node is not None else None
        if successor is not None:
            return successor.text
    return ""


def is_own_name(estate: EstateView, node: Node) -> bool:
    """Whether a reference names a going host itself, and not a service that leads to it."""
    text = node.text
    if node.kind is Kind.ENDPOINT:
        parts = split_endpoint(text)
        text = parts.host if parts is not None else text
    for one in estate.going:
        own = {one.host, one.host.split(".", 1)[0], *one.addresses}
        if text in own or (text in one.names and text.split(".", 1)[0] == one.host.split(".", 1)[0]):
            return True
    return False


def distinct(lines: Iterable[Provenance]) -> tuple[Provenance, ...]:
    """Each place once, in order of first occurrence."""
    return tuple({(one.path, one.line): one for one in reversed(list(lines))}.values())[::-1]


def each_once(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes without repetition."""
    seen: set[int] = set()
    for node in nodes:
        if node.id not in seen:
            seen.add(node.id)
            yield node


def strongest(edges: Iterable[Edge]) -> Need:
    """The need of these edges whose loss is felt the most."""
    needs = {edge.need for edge in edges}
    return next((need for need in (Need.WRITE, Need.RUN, Need.READ) if need in needs), Need.OBSERVE)
