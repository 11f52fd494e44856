"""What was linked and concluded, in columns, before anything is added that depends on which hosts are going."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.graph.columns import (
    CONFIDENCE_ID,
    KIND_ID,
    KINDS,
    NEED_ID,
    RELATION_ID,
    RELATIONS,
    Bools,
    Bytes,
    Csr,
    Graph,
    Ints,
    check_groups,
    distinct,
    distinct_edges,
    edge_columns,
    graph_of,
    rows_of,
)
from auditor.graph.hosts import HostTable
from auditor.model import Attribute, Confidence, Kind, Need, Provenance, Ref, Relation, Where
from auditor.text import normal_name

NodeId: TypeAlias = int
EvidenceKey: TypeAlias = tuple[str, Where, str | None]

_HOST: Final = KIND_ID[Kind.HOST]
_NAMED: Final = frozenset({Kind.HOST, Kind.DOCUMENT, Kind.PLAYBOOK})
"""Kinds that are added to after linking: one node wherever they are named."""


@dataclass(slots=True)
class Linked:
    """The graph with what is known of its nodes."""

    graph: Graph
    hosts: HostTable
    attributes: Mapping[NodeId, Mapping[str, Attribute]]
    evidence: Sequence[EvidenceKey]
    entity_evidence: Mapping[NodeId, Sequence[int]]
    host_nodes: dict[str, NodeId]
    domains: frozenset[str]
    read_only: dict[NodeId, str]
    """Mounts, and paths that are immutable, that can't be written: what makes them so, in words."""

    def provenance(self, index: int) -> Provenance | None:
        """The evidence of an index; None for what the linker itself concluded."""
        if index < 0:
            return None
        path, where, collected_at = self.evidence[index]
        return Provenance(path, where.line, where.excerpt, collected_at, where.api)


class Evidence(Sequence[EvidenceKey]):
    """Evidence that was there from the start, however it is kept, and what was added to it."""

    def __init__(self, first: Sequence[EvidenceKey]) -> None:
        self.first = first
        self._length = len(first)
        self._added: list[EvidenceKey] = []

    def __len__(self) -> int:
        return self._length + len(self._added)

    def __getitem__(self, index: Any) -> Any:
        return self.first[index] if index < self._length else self._added[index - self._length]

    def append(self, one: EvidenceKey) -> None:
        """Adds one at the end."""
        self._added.append(one)


class Definitions(Mapping[NodeId, Sequence[int]]):
    """Node -> the evidence of what is said of it, in columns; of a node of which nothing is said there is none."""

    def __init__(self, rows: Csr) -> None:
        self.rows = rows
        self._nodes = len(rows.start) - 1
        self._start, self._items = rows.start.data, rows.items.data
        self._added: dict[NodeId, Sequence[int]] = {}

    def __getitem__(self, node: NodeId) -> Sequence[int]:
        found = self._added.get(node)
        if found is None and node < self._nodes:
            found = self._items[self._start[node] : self._start[node + 1]].tolist()
        if not found:
            raise KeyError(node)
        return found

    def __iter__(self) -> Iterator[NodeId]:
        said = np.flatnonzero(np.diff(self.rows.start)).tolist()
        yield from said
        yield from self._added.keys() - set(said)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, node: NodeId, evidence: int) -> None:
        """Adds one to what there is of a node."""
        self._added[node] = (*self.get(node, ()), evidence)


class Resolved:
    """Nodes, edges and conclusions of an estate, whichever hosts are going. `build` makes the graph.

    What a scenario adds are nodes of hosts, documents and playbooks, what is known of them, and edges between them.
    Nothing that was given is changed by that, but for the table of hosts.
    """

    def __init__(
        self,
        hosts: HostTable,
        domains: Collection[str],
        kinds: Bytes,
        texts: list[str],
        scope_ids: Ints,
        scope_table: list[str],
        edges: Sequence[NDArray[Any]],
        group_consumer: Ints,
        group_names: list[str],
        attributes: Mapping[NodeId, Mapping[str, Attribute]],
        defined: Csr,
        evidence: Sequence[EvidenceKey],
    ) -> None:
        """Nodes that are all different, and edges as `edge_columns` gives them. ValueError if they don't fit.

        The first scope of `scope_table` is the empty one. `defined` has the evidence of what is said of each node.
        """
        check_groups(group_consumer, edges, len(texts))
        self.hosts = hosts
        self.domains = frozenset(domains)
        self.kinds, self.texts = kinds, texts
        self.scope_ids, self.scope_table = scope_ids, scope_table
        self.edges = edges
        self.group_consumer, self.group_names = group_consumer, group_names
        self.attributes = dict(attributes)
        self.entity_evidence = Definitions(defined)
        self.evidence = Evidence(evidence)
        self.identity_seen: set[str] = set()
        """Going hosts that some text names, their own files included."""
        self._named: dict[Kind, dict[str, NodeId]] = {}
        self._new_kinds = bytearray()
        self._new_texts: list[str] = []
        self._new_edges = tuple(array("q") for _ in edges)
        self._new_groups: dict[tuple[NodeId, str], int] = {}
        self._mentions: dict[NodeId, list[str]] = {}

    # -- what is asked of it ----------------------------------------------------------------------------------------

    def find(self, kind: Kind, text: str) -> NodeId | None:
        """The node of a kind with this text and without a scope, if there is one."""
        return self._nodes_called(kind).get(text)

    def aliases(self, going: Collection[str]) -> dict[str, str]:
        """Names that lead to going hosts and to no other: name -> host. CNAME loops lead nowhere.

        Backwards from where names end, so that the work is linear however long the chains are.
        """
        leads = self._of_relations(Relation.RESOLVES, Relation.STANDS_FOR)
        leads &= self.kinds[self.edges[0]] != _HOST
        names, ends = self.edges[0][leads], self.edges[1][leads]
        size = len(self.kinds)
        back = rows_of(ends, size)
        last = np.zeros(size, bool)
        last[ends] = True
        last[names] = False
        good = [
            (self.texts[node], node)
            for node in np.flatnonzero(last & (self.kinds == _HOST)).tolist()
            if self.texts[node] in going
        ]
        last[[node for _, node in good]] = False
        taken, scratch = np.zeros(size, bool), np.empty(size, np.int32)
        _backwards(np.flatnonzero(last).astype(np.int32), back, names, taken, scratch)
        found: dict[NodeId, str] = {}
        for host, node in sorted(good):
            for name in _backwards(np.array([node], np.int32), back, names, taken, scratch):
                found[name] = host
        return {
            self.texts[node]: host
            for node, host in sorted(found.items())
            if KINDS[self.kinds[node]] is Kind.NAME
            and not self.scope_table[self.scope_ids[node]]
            and not self.texts[node].startswith("*")
        }

    def with_address(self) -> set[str]:
        """Names that have an address record of their own: such as machines have, and services may have."""
        found = self._of_relations(Relation.RESOLVES)
        found &= self.kinds[self.edges[0]] == KIND_ID[Kind.NAME]
        found &= self.kinds[self.edges[1]] == KIND_ID[Kind.ADDRESS]
        return {self.texts[node] for node in self.edges[0][found].tolist()}

    def host_names(self) -> set[str]:
        """What is spoken of as a host, by some name, also where nothing more is known of it."""
        return {self.texts[node] for node in np.flatnonzero(self.kinds == KIND_ID[Kind.HOST]).tolist()}

    def without_machine(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Names with their addresses, where no machine that is known has one of these."""
        for consumer, providers in self._outgoing(Relation.RESOLVES).items():
            if self.kinds[consumer] == KIND_ID[Kind.NAME] and not self.scope_ids[consumer]:
                found = tuple(self.texts[one] for one in providers if self.kinds[one] == KIND_ID[Kind.ADDRESS])
                if found and not any(self.hosts.at(address) for address in found):
                    yield self.texts[consumer], found

    def emptied_groups(self, going: Collection[str]) -> dict[str, list[str]]:
        """Groups all of whose hosts are going: group -> its hosts.

        From the hosts upwards, so that the work is linear however deep groups are in groups.
        """
        leads = self._of_relations(Relation.MEMBER)
        leads &= self.kinds[self.edges[0]] != _HOST
        groups, members = self.edges[0][leads], self.edges[1][leads]
        size = len(self.kinds)
        taken, scratch = np.zeros(size, bool), np.empty(size, np.int32)
        hosts = distinct(members[self.kinds[members] == _HOST], scratch).tolist()
        staying = [node for node in hosts if self.texts[node] not in going]
        if len(staying) == len(hosts):
            return {}
        _backwards(np.array(staying, np.int32), rows_of(members, size), groups, taken, scratch)
        left = ~taken[groups]
        above: dict[NodeId, list[NodeId]] = {}
        for group, member in zip(groups[left].tolist(), members[left].tolist(), strict=True):
            above.setdefault(member, []).append(group)
        found: dict[NodeId, list[str]] = {}
        for host in sorted(set(hosts).difference(staying), key=self.texts.__getitem__):
            seen, pending = {host}, [host]
            while pending:
                for group in above.get(pending.pop(), ()):
                    if group not in seen:
                        seen.add(group)
                        pending.append(group)
                        found.setdefault(group, []).append(self.texts[host])
        return {self.texts[node]: found[node] for node in sorted(found) if KINDS[self.kinds[node]] is Kind.GROUP}

    def emptied_playbooks(self, going: Collection[str]) -> dict[str, set[str]]:
        """Playbooks all of whose plays select going hosts alone, by name or in a group: path -> the hosts."""
        empty = self.emptied_groups(going)
        selecting = self._of_relations(Relation.SELECTS)
        selecting &= self.kinds[self.edges[0]] == KIND_ID[Kind.PLAYBOOK]
        found: dict[str, set[str]] = {}
        plays: dict[NodeId, set[str]] = {}
        others: set[NodeId] = set()
        columns = (self.edges[column][selecting].tolist() for column in (0, 1, 4))
        for consumer, provider, group in zip(*columns, strict=True):
            target = self.texts[provider]
            if self.kinds[provider] == _HOST:
                hosts = [target] if target in going else []
            else:
                hosts = empty.get(target, [])
            if not hosts:
                others.add(consumer)
            plays.setdefault(consumer, set()).add(self.group_names[group] if group >= 0 else "")
            found.setdefault(self.texts[consumer], set()).update(hosts)
        for playbook, selected in plays.items():
            patterns = self.attributes.get(playbook, {}).get("hosts_patterns")
            every = {f"hosts {one}" for one in patterns} if isinstance(patterns, tuple) else set()
            if playbook in others or not every or not every <= selected:
                del found[self.texts[playbook]]
        return found

    def own_documents(self, going: Collection[str]) -> dict[str, set[str]]:
        """Files of variables of going hosts, and of the groups that they leave empty: path -> the hosts."""
        empty = self.emptied_groups(going)
        found: dict[str, set[str]] = {}
        for consumer, providers in self._outgoing(Relation.SELECTS).items():
            for target in providers if self.kinds[consumer] == KIND_ID[Kind.DOCUMENT] else ():
                name, kind = self.texts[target], KINDS[self.kinds[target]]
                hosts = [name] if kind is Kind.HOST and name in going else empty.get(name, [])
                if hosts and kind in (Kind.HOST, Kind.GROUP):
                    found.setdefault(self.texts[consumer], set()).update(hosts)
        return found

    # -- what a scenario adds ---------------------------------------------------------------------------------------

    def node(self, ref: Ref) -> NodeId:
        """The node of a host, a document or a playbook; made if it is new. ValueError for other kinds."""
        if ref.kind not in _NAMED or not ref.text:
            raise ValueError(f"{ref} is not added after linking")
        text = (self.hosts.find(ref.text) or normal_name(ref.text)) if ref.kind is Kind.HOST else ref.text
        known = self._nodes_called(ref.kind)
        found = known.get(text)
        if found is None:
            found = known[text] = len(self.texts) + len(self._new_texts)
            self._new_kinds.append(KIND_ID[ref.kind])
            self._new_texts.append(text)
        return found

    def edge(
        self,
        consumer: NodeId,
        provider: NodeId,
        relation: Relation,
        *,
        need: Need,
        group: str,
        provenance: Provenance,
        confidence: Confidence,
    ) -> None:
        """An edge in a group of its consumer."""
        number = self._new_groups.setdefault((consumer, group), len(self._new_groups))
        values = (
            consumer,
            provider,
            RELATION_ID[relation],
            NEED_ID[need],
            number,
            self._evidence(provenance),
            CONFIDENCE_ID[confidence],
        )
        for column, value in zip(self._new_edges, values, strict=True):
            column.append(value)

    def describe(self, node: NodeId, attributes: Mapping[str, Attribute], provenance: Provenance) -> None:
        """Attributes and evidence of a node."""
        # Never in place: nodes that are alike may share what is known of them.
        self.attributes[node] = {**self.attributes.get(node, {}), **attributes}
        self.entity_evidence.add(node, self._evidence(provenance))

    def describe_mention(self, document: NodeId, line: int, text: str, kind: str, comment: bool) -> None:
        """Which identity a line names, for the rule that reports mentions."""
        entry = f"{line} {kind}{' comment' if comment else ''} {text}"
        self._mentions.setdefault(document, []).append(entry)

    def build(self) -> Linked:
        """The graph of all that was linked and added. Nothing can be added afterwards."""
        for document, entries in self._mentions.items():
            self.attributes[document] = {**self.attributes.get(document, {}), "mentions": tuple(entries)}
        mounts, paths = KIND_ID[Kind.MOUNT], KIND_ID[Kind.PATH]
        kinds = np.concatenate([self.kinds, np.frombuffer(bytes(self._new_kinds), np.uint8)])
        read_only = {
            node: "mounted read-only: " + str(known.get("read_only_by") or "read-only").replace(",", " and ")
            for node, known in self.attributes.items()
            if known.get("read_only") and kinds[node] == mounts
        }
        read_only |= {
            node: str(known["unwritable"])
            for node, known in self.attributes.items()
            if known.get("unwritable") and kinds[node] == paths
        }
        graph = self._graph(kinds)
        host_nodes = {graph.texts[node]: node for node in graph.nodes_of(_HOST).tolist()}
        return Linked(
            graph,
            self.hosts,
            self.attributes,
            self.evidence,
            self.entity_evidence,
            host_nodes,
            self.domains,
            read_only,
        )

    def _graph(self, kinds: Bytes) -> Graph:
        having = np.array(sorted({consumer for consumer, _ in self._new_groups}), np.int32)
        known = {
            (int(self.group_consumer[number]), self.group_names[number]): number
            for number in np.flatnonzero(np.isin(self.group_consumer, having)).tolist()
        }
        groups = len(self.group_names)
        owners: list[int] = []
        names: list[str] = []
        place: list[int] = []
        for consumer, name in self._new_groups:
            number = known.get((consumer, name))
            if number is None:
                number = groups + len(names)
                owners.append(consumer)
                names.append(name)
            place.append(number)
        texts = [*self.texts, *self._new_texts]
        more: list[Any] = [np.frombuffer(column, np.int64) for column in self._new_edges]
        more[4] = np.array(place, np.int64)[more[4]]
        new = edge_columns(more, len(texts), groups + len(names))
        edges: tuple[NDArray[Any], ...] = tuple(np.concatenate(pair) for pair in zip(self.edges, new, strict=True))
        if len(new[0]):
            # What was there is different already.
            changed = np.zeros(len(RELATIONS), bool)
            changed[new[2]] = True
            edges = distinct_edges(edges, changed[edges[2]])
        owner = np.concatenate([self.group_consumer, np.array(owners, np.int32)])
        check_groups(owner, edges, len(texts))
        scope_ids = np.concatenate([self.scope_ids, np.zeros(len(self._new_texts), np.int32)])
        return graph_of(kinds, texts, scope_ids, self.scope_table, edges, owner, [*self.group_names, *names])

    def _evidence(self, one: Provenance) -> int:
        self.evidence.append((one.path, Where(one.line, one.excerpt), one.collected_at))
        return len(self.evidence) - 1

    def _nodes_called(self, kind: Kind) -> dict[str, NodeId]:
        known = self._named.get(kind)
        if known is None:
            nodes = np.flatnonzero(self.kinds == KIND_ID[kind]).tolist()
            scopes, table = self.scope_ids, self.scope_table
            known = self._named[kind] = {self.texts[node]: node for node in nodes if not table[scopes[node]]}
        return known

    def _of_relations(self, *relations: Relation) -> Bools:
        """Which edges are of one of these relations, as an array of its own."""
        found = np.zeros(len(self.edges[0]), bool)
        for relation in relations:
            found |= self.edges[2] == RELATION_ID[relation]
        return found

    def _outgoing(self, relation: Relation) -> dict[NodeId, list[NodeId]]:
        wanted = self._of_relations(relation)
        found: dict[NodeId, list[NodeId]] = {}
        for consumer, provider in zip(self.edges[0][wanted].tolist(), self.edges[1][wanted].tolist(), strict=True):
            found.setdefault(consumer, []).append(provider)
        return found


def _backwards(start: Ints, back: Csr, names: Ints, taken: Bools, scratch: Ints) -> list[NodeId]:
    """The names that lead to some nodes, level by level, but for those that are taken; they are taken from now on."""
    found: list[NodeId] = []
    while len(start):
        edges, _ = back.expand(start)
        start = names[edges]
        start = distinct(start[~taken[start]], scratch)
        taken[start] = True
        found += start.tolist()
    return found
