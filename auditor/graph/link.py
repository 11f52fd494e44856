"""Linking: references become nodes and edges, and each step keeps where it was written.

`deploy hook https://acme-hook.example.net/renewed` -> endpoint -> name -> CNAME -> name -> A -> address -> host.
What can't be resolved stays in the graph as it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from auditor.graph.columns import (
    CONFIDENCE_ID,
    CONFIDENCES,
    KIND_ID,
    NEED_ID,
    RELATION_ID,
    distinct_edges,
    edge_columns,
    lists_of,
)
from auditor.graph.hosts import HostRecord, HostTable
from auditor.graph.resolved import EvidenceKey, Linked, NodeId, Resolved
from auditor.model import (
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Fact,
    Kind,
    Need,
    Parsed,
    Provenance,
    Ref,
    Relation,
    Where,
)
from auditor.schedule import is_timer
from auditor.text import is_loopback, normal_address, normal_name, split_endpoint


@dataclass(slots=True)
class HostContext:
    """What a host's own files say of how it resolves names and what it has mounted."""

    search: tuple[str, ...] = ()
    table: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """/etc/hosts: name -> (address, evidence)."""
    ssh_aliases: dict[str, tuple[str, int]] = field(default_factory=dict)
    """ssh_config(5): what `ssh` calls a machine -> (HostName, evidence)."""
    mounts: dict[str, NodeId] = field(default_factory=dict)


class Linker:
    """Takes facts in any order; `resolve` draws the conclusions, and `resolved` gives what has come of it."""

    def __init__(self, hosts: HostTable, domains: Iterable[str] = ()) -> None:
        self.hosts = hosts
        self.domains: set[str] = {normal_name(domain) for domain in domains}
        self.attributes: dict[NodeId, dict[str, Attribute]] = {}
        self.entity_evidence: dict[NodeId, list[int]] = {}
        self.evidence: list[EvidenceKey] = []
        self.contexts: dict[str, HostContext] = {}
        self._ids: dict[tuple[Kind, str, str], NodeId] = {}
        self._kinds: list[Kind] = []
        self._texts: list[str] = []
        self._scopes: list[str] = []
        self._consumers, self._providers, self._groups, self._edge_evidence = (array("i") for _ in range(4))
        self._relations, self._needs, self._confidences = (array("B") for _ in range(3))
        self._group_ids: dict[tuple[NodeId, str], int] = {}
        self._short_cache: dict[tuple[str, str], NodeId] = {}
        self._timers: dict[str, set[str]] | None = None
        self._of_others: set[int] = set()
        """Entities, by their identity in memory, that are of other machines than their name says."""

    # -- what callers add ---------------------------------------------------------------------------------------

    def context(self, items: Iterable[tuple[str, str, str | None, Parsed]]) -> None:
        """First pass: what hosts say of themselves (hosts file, resolv.conf, aliases), which later lookups need."""
        for host, path, collected_at, item in items:
            if type(item) is not Entity or item.ref.kind is not Kind.HOST:
                continue
            known = item.attributes
            if item.ref.text:
                self._learn_host(item, path, collected_at)
            if not host or item.ref.text:
                continue
            context = self.contexts.setdefault(host, HostContext())
            if "search" in known:
                search = known["search"]
                context.search = tuple(search) if isinstance(search, tuple) else (str(search),)
            if "hosts_entry" in known:
                address, *names = str(known["hosts_entry"]).split()
                index = self._evidence(path, item.where, collected_at)
                for name in names:
                    context.table.setdefault(normal_name(name), []).append((address, index))
            if "ssh_alias" in known:
                alias, _, target = str(known["ssh_alias"]).partition(" ")
                index = self._evidence(path, item.where, collected_at)
                context.ssh_aliases.setdefault(normal_name(alias), (target, index))
            own = known.get("own_names")
            record = self.hosts.records[host]
            where = Provenance(path, item.where.line, item.where.excerpt, collected_at)
            for name in own if isinstance(own, tuple) else ():
                if not is_loopback(name):
                    self.hosts.alias(record, name, where)
            if "hostname" in known:
                self.hosts.alias(record, str(known["hostname"]), where)
            addresses = known.get("own_addresses")
            for address in addresses if isinstance(addresses, tuple) else ():
                self.hosts.address(record, address, where)

    def _learn_host(self, item: Entity, path: str, collected_at: str | None) -> None:
        """Names and addresses that a line gives to one machine (known_hosts, an inventory's ansible_host)."""
        where = Provenance(path, item.where.line, item.where.excerpt, collected_at)
        known_as = item.attributes.get("known_as")
        if isinstance(known_as, tuple):
            holders = {found for name in known_as if (found := self.hosts.find(name)) is not None}
            if len(holders) != 1:
                return
            record = self.hosts.records[holders.pop()]
            if item.attributes.get("registered") and _is_another(record, known_as):
                self._of_others.add(id(item))
                return
            for name in known_as:
                if normal_address(name):
                    self.hosts.address(record, name, where)
                else:
                    self.hosts.alias(record, name, where)
            return
        found = self.hosts.find(item.ref.text)
        address = item.attributes.get("address")
        if found is not None and isinstance(address, str) and normal_address(address):
            self.hosts.address(self.hosts.records[found], address, where)

    def add(self, host: str, path: str, collected_at: str | None, item: Parsed) -> None:
        """A fact of a document: `host` is the canonical name of the host it is from, or empty for the tree."""
        if isinstance(item, (Dependency, Entity)):
            self.add_all(host, path, collected_at, (item,))

    def add_all(self, host: str, path: str, collected_at: str | None, facts: Iterable[Fact]) -> None:
        """The facts of one document, in its order. Those of one line share their evidence."""
        where: Where | None = None
        evidence = -1
        seen_from = host
        # Many facts share their references: each is looked up once. By identity, which is theirs while `facts` lasts.
        nodes: dict[int, NodeId | None] = {}
        for item in facts:
            if type(item) is Dependency:
                # Facts that join several sources have no host of their own: names are as their consumer's host sees.
                if not host:
                    scope = item.consumer.scope and (self.hosts.find(item.consumer.scope) or "")
                    if scope != seen_from:
                        seen_from = scope
                        nodes.clear()
                consumer = nodes.get(id(item.consumer), -1)
                if consumer == -1:
                    consumer = nodes[id(item.consumer)] = self.node(item.consumer, seen_from)
                provider = nodes.get(id(item.provider), -1)
                if provider == -1:
                    provider = nodes[id(item.provider)] = self.node(item.provider, seen_from)
                if consumer is None or provider is None or consumer == provider:
                    continue
                if item.where is not where:
                    where = item.where
                    evidence = self._evidence(path, where, collected_at)
                group = self._group(consumer, item.group) if item.group else -1
                self._edge(consumer, provider, item.relation, item.required, group, evidence, item.confidence)
            elif id(item) in self._of_others:
                continue
            elif type(item) is Entity and (node := self.node(item.ref, host)) is not None:
                if item.where is not where:
                    where = item.where
                    evidence = self._evidence(path, where, collected_at)
                if item.attributes:
                    self.attributes.setdefault(node, {}).update(item.attributes)
                self.entity_evidence.setdefault(node, []).append(evidence)

    def edge(
        self,
        consumer: NodeId,
        provider: NodeId,
        relation: Relation,
        *,
        need: Need = Need.READ,
        group: str = "",
        provenance: Provenance | None = None,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        """An edge that a caller above the parsers knows of: from the inventory, or from the mention scan."""
        index = -1
        if provenance is not None:
            index = self._evidence(provenance.path, Where(provenance.line, provenance.excerpt), provenance.collected_at)
        self._edge(consumer, provider, relation, need, self._group(consumer, group) if group else -1, index, confidence)

    def describe(self, node: NodeId, attributes: Mapping[str, Attribute], provenance: Provenance | None) -> None:
        """Attributes and evidence of a node."""
        self.attributes.setdefault(node, {}).update(attributes)
        if provenance is not None:
            index = self._evidence(provenance.path, Where(provenance.line, provenance.excerpt), provenance.collected_at)
            self.entity_evidence.setdefault(node, []).append(index)

    def certificates_for(self, name: str) -> list[NodeId]:
        """The certificates that hold a name (or are declared with it), the newest first."""
        found = [
            node
            for node in self._of_kind(Kind.CERTIFICATE)
            if name in self._sans(node) or self.attributes.get(node, {}).get("subject") == name
        ]
        return sorted(found, key=lambda node: str(self.attributes[node].get("not_before", "")), reverse=True)

    def lineages_called(self, text: str) -> list[NodeId]:
        """The captured lineages of a name (`certbot:example.net`), on whatever hosts they are."""
        return [node for node in self._of_kind(Kind.LINEAGE) if self._texts[node] == text and self._scopes[node]]

    def require(self, ref: Ref) -> NodeId:
        """The node of a reference that always has one."""
        node = self.node(ref)
        if node is None:
            raise ValueError(f"{ref} has no node of its own")
        return node

    # -- nodes and edges ------------------------------------------------------------------------------------------

    def node(self, ref: Ref, host: str = "") -> NodeId | None:
        """The node of a reference, as seen from a host. None for "this host" in a tree, which has none."""
        kind, text, scope = ref.kind, ref.text, ref.scope
        if kind is Kind.HOST:
            if not text:
                text = host
            else:
                text = self.hosts.find(text) or normal_name(text)
            return self._node(kind, text, "") if text else None
        if kind is Kind.NAME:
            text = normal_name(text)
            if is_loopback(text):
                return self._node(Kind.HOST, host, "") if host else None
            if host and ("." not in text or text in self._table(host)):
                return self._short_name(host, text)
            return self._node(kind, text, "")
        if kind is Kind.ADDRESS:
            address = normal_address(text) or text
            if address.startswith("127.") or address == "::1":
                return self._node(Kind.HOST, host, "") if host else None
            return self._node(kind, address, self._network(address, host))
        if kind.is_local:
            if scope:
                return self._node(kind, text, self._scope(scope))
            return self._node(kind, text, host)
        if kind is Kind.ENDPOINT and host and (_is_relative_endpoint(text) or self._is_in_network(text, host)):
            scope = host
        return self._node(kind, text, scope)

    def _network(self, address: str, host: str) -> str:
        """The scope of an address that is another machine's in another network than the host's; else empty."""
        holders = self.hosts.at(address)
        if not host or len(holders) < 2 or len(self.hosts.seen_from(address, host)) == len(holders):
            return ""
        return _scope_of(self.hosts.records[host])

    def _is_in_network(self, endpoint: str, host: str) -> bool:
        """Whether the address of an endpoint is another machine's in another network."""
        record = self.hosts.records.get(host)
        if record is None or not record.network or (parts := split_endpoint(endpoint)) is None:
            return False
        address = normal_address(parts.host)
        return address is not None and bool(self._network(address, host))

    def _scope(self, written: str) -> str:
        """The machine that a scope means: by one of its names, or by an address that no other machine has."""
        found = self.hosts.find(written)
        if found is None and (address := normal_address(written)) is not None:
            holders = self.hosts.at(address)
            found = holders[0] if len(holders) == 1 else None
        return found or written

    def _node(self, kind: Kind, text: str, scope: str) -> NodeId:
        key = (kind, text, scope)
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = len(self._kinds)
            self._kinds.append(kind)
            self._texts.append(text)
            self._scopes.append(scope)
        return known

    def _edge(
        self,
        consumer: NodeId,
        provider: NodeId,
        relation: Relation,
        need: Need,
        group: int,
        evidence: int,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        self._consumers.append(consumer)
        self._providers.append(provider)
        self._relations.append(RELATION_ID[relation])
        self._needs.append(NEED_ID[need])
        self._groups.append(group)
        self._edge_evidence.append(evidence)
        self._confidences.append(CONFIDENCE_ID[confidence])

    def _group(self, consumer: NodeId, name: str) -> int:
        return self._group_ids.setdefault((consumer, name), len(self._group_ids))

    def _evidence(self, path: str, where: Where, collected_at: str | None) -> int:
        self.evidence.append((path, where, collected_at))
        return len(self.evidence) - 1

    def _table(self, host: str) -> Mapping[str, object]:
        context = self.contexts.get(host)
        return context.table if context else {}

    # -- names ----------------------------------------------------------------------------------------------------

    def _short_name(self, host: str, text: str) -> NodeId:
        """A name as this host would resolve it: its hosts file, then its search domains, then ours."""
        key = (host, text)
        known = self._short_cache.get(key)
        if known is not None:
            return known
        node = self._short_cache[key] = self._node(Kind.NAME, text, host)
        context = self.contexts.get(host, HostContext())
        entries = context.table.get(text)
        if entries:
            group = self._group(node, "addresses") if len(entries) > 1 else -1
            for address, evidence in entries:
                target = self.node(Ref(Kind.ADDRESS, address), host)
                if target is not None:
                    self._edge(node, target, Relation.RESOLVES, Need.READ, group, evidence)
            return node
        candidates = [f"{text}.{domain}" for domain in (*context.search, *sorted(self.domains))]
        for candidate in candidates:
            if self.hosts.find(candidate) is not None or (Kind.NAME, candidate, "") in self._ids:
                self._edge(node, self._node(Kind.NAME, candidate, ""), Relation.RESOLVES, Need.READ, -1, -1)
                return node
        found = self.hosts.find(text)
        if found is not None:
            self._edge(node, self._node(Kind.HOST, found, ""), Relation.STANDS_FOR, Need.READ, -1, -1)
        elif text in context.ssh_aliases:
            # Nothing but ssh(1) knows it, and what runs over ssh. It looks a HostName up, and not among its aliases.
            name, evidence = context.ssh_aliases[text]
            kind = Kind.ADDRESS if normal_address(name) else Kind.NAME
            target = None if normal_name(name) in context.ssh_aliases else self.node(Ref(kind, name), host)
            if target is not None:
                self._edge(node, target, Relation.RESOLVES, Need.READ, -1, evidence, Confidence.MEDIUM)
        return node

    # -- conclusions ----------------------------------------------------------------------------------------------

    def resolve(self) -> None:
        """Draws the conclusions: names to hosts, paths to mounts, callers of scripts, certificates to lineages."""
        self._endpoints()
        self._names()
        self._addresses()
        self._paths_and_mounts()
        self._triggers()
        self._certificates()

    def resolved(self) -> Resolved:
        """What was linked and concluded, once `resolve` was called: nothing can be added here afterwards."""
        scopes: dict[str, int] = {"": 0}
        kinds = np.fromiter(map(KIND_ID.__getitem__, self._kinds), np.uint8, len(self._kinds))
        scope_ids = np.fromiter(
            (scopes.setdefault(scope, len(scopes)) for scope in self._scopes), np.int32, len(self._scopes)
        )
        owners = np.array([consumer for consumer, _ in self._group_ids], np.int32)
        columns = (
            self._consumers,
            self._providers,
            self._relations,
            self._needs,
            self._groups,
            self._edge_evidence,
            self._confidences,
        )
        return Resolved(
            self.hosts,
            self.domains,
            kinds,
            self._texts,
            scope_ids,
            list(scopes),
            distinct_edges(edge_columns(columns, len(kinds), len(owners))),
            owners,
            [name for _, name in self._group_ids],
            self.attributes,
            lists_of([self.entity_evidence.get(node, ()) for node in range(len(kinds))]),
            self.evidence,
        )

    def build(self) -> Linked:
        """The graph of all that was added and concluded, with nothing that depends on a scenario."""
        return self.resolved().build()

    def _of_kind(self, kind: Kind) -> list[NodeId]:
        return [number for number, one in enumerate(self._kinds) if one is kind]

    def _of_relation(self, relation: Relation) -> list[int]:
        """The positions of the edges of a relation, in order: few among many."""
        wanted = np.frombuffer(self._relations, np.uint8) == RELATION_ID[relation]
        positions: list[int] = np.flatnonzero(wanted).tolist()
        return positions

    def _outgoing(self, relation: Relation) -> dict[NodeId, list[NodeId]]:
        found: dict[NodeId, list[NodeId]] = {}
        for at in self._of_relation(relation):
            found.setdefault(self._consumers[at], []).append(self._providers[at])
        return found

    def _endpoints(self) -> None:
        for node in self._of_kind(Kind.ENDPOINT):
            parts = split_endpoint(self._texts[node])
            if parts is None:
                continue
            ref = Ref(Kind.ADDRESS if normal_address(parts.host) else Kind.NAME, parts.host)
            target = self.node(ref, self._scopes[node])
            if target is not None:
                self._edge(node, target, Relation.STANDS_FOR, Need.READ, -1, -1)

    def _names(self) -> None:
        """Names to hosts: by DNS where it was captured, by wildcard, by the inventory."""
        resolves = self._outgoing(Relation.RESOLVES)
        for node in self._of_kind(Kind.ZONE):
            if not self._texts[node].endswith(".arpa"):
                self.domains.add(self._texts[node])
        self._host_addresses(resolves)
        existing = self._in_dns(resolves)
        for node in self._of_kind(Kind.NAME):
            if self._scopes[node]:
                continue
            text = self._texts[node]
            found = self.hosts.find(text)
            if node in resolves:
                if found is not None:
                    if self._leads_elsewhere(node, found, resolves):
                        self.hosts.forget(self.hosts.records[found], text)
                    else:
                        self._stand(node, found)
                continue
            if found is not None:
                self._stand(node, found)
                continue
            wildcard = self._wildcard(text, existing)
            if wildcard is not None:
                self._edge(node, wildcard, Relation.RESOLVES, Need.READ, -1, -1)

    def _host_addresses(self, resolves: Mapping[NodeId, Sequence[NodeId]]) -> None:
        """An address record of a machine's own name is an address of that machine.

        Unless the machine was declared with others and that one with another machine: then its name moved on.
        """
        declared = {record.name: frozenset(record.addresses) for record in self.hosts.records.values()}
        taken = {address for addresses in declared.values() for address in addresses}
        edges = {
            (self._consumers[at], self._providers[at]): self._edge_evidence[at]
            for at in self._of_relation(Relation.RESOLVES)
        }
        for record in self.hosts.records.values():
            for name in [
                record.name,
                *(f"{record.name}.{domain}" for domain in self.domains if "." not in record.name),
            ]:
                node = self._ids.get((Kind.NAME, name, ""))
                if node is None:
                    continue
                for target in resolves.get(node, ()):
                    address = self._texts[target]
                    own = declared[record.name]
                    moved = bool(own) and address in taken and address not in own
                    if self._kinds[target] is Kind.ADDRESS and not moved:
                        self.hosts.address(record, address, self._provenance(edges[node, target]))

    def _provenance(self, index: int) -> Provenance | None:
        if index < 0:
            return None
        path, where, collected_at = self.evidence[index]
        return Provenance(path, where.line, where.excerpt, collected_at)

    def _leads_elsewhere(self, node: NodeId, host: str, resolves: Mapping[NodeId, Sequence[NodeId]]) -> bool:
        """Whether DNS says that a declared name now is another machine's: then DNS is right."""
        seen, pending, addresses = {node}, [node], []
        while pending:
            for target in resolves.get(pending.pop(), ()):
                if self._kinds[target] is Kind.ADDRESS:
                    addresses.append(self._texts[target])
                elif target not in seen:
                    seen.add(target)
                    pending.append(target)
        holders = [self.hosts.at(address) for address in addresses]
        return bool(addresses) and all(held and host not in held for held in holders)

    def _stand(self, node: NodeId, host: str) -> None:
        record = self.hosts.records[host]
        provenance = record.names.get(self._texts[node]) or record.provenance
        self.edge(node, self._node(Kind.HOST, host, ""), Relation.STANDS_FOR, provenance=provenance)

    def _wildcard(self, name: str, existing: Collection[str]) -> NodeId | None:
        """The wildcard that answers for a name: at its closest encloser only, RFC 4592 section 3.3.1."""
        if name in existing or name.startswith("*."):
            return None
        while "." in name:
            name = name.split(".", 1)[1]
            if name in existing:
                return self._ids.get((Kind.NAME, f"*.{name}", ""))
        return None

    def _in_dns(self, resolves: Collection[NodeId]) -> set[str]:
        """The names that zones hold, with those above them: empty non-terminals exist too, RFC 4592 section 2.2.2."""
        existing: set[str] = set()
        for node in self._of_kind(Kind.NAME):
            if not self._scopes[node] and (node in resolves or node in self.entity_evidence):
                name = self._texts[node]
                while name not in existing:
                    existing.add(name)
                    name = name.partition(".")[2]
        existing.discard("")
        return existing

    def _addresses(self) -> None:
        for node in self._of_kind(Kind.ADDRESS):
            text, network = self._texts[node], self._scopes[node]
            holders = [
                one for one in self.hosts.at(text) if not network or _scope_of(self.hosts.records[one]) == network
            ]
            group = "candidates" if len(holders) > 1 else ""
            for holder in holders:
                record = self.hosts.records[holder]
                self.edge(
                    node,
                    self._node(Kind.HOST, holder, ""),
                    Relation.STANDS_FOR,
                    group=group,
                    provenance=record.addresses.get(text) or record.provenance,
                    confidence=Confidence.MEDIUM if group else Confidence.HIGH,
                )

    def _paths_and_mounts(self) -> None:
        """A path is on the mount with the longest prefix, a mount on its host or on the server that exports it.

        What is directly in an immutable directory can't be made, replaced or deleted: it stands and falls with it.
        """
        mounts: dict[str, dict[str, NodeId]] = {}
        for record in self.hosts.records.values():
            for path in record.read_only_paths:
                node = self._node(Kind.MOUNT, path, record.name)
                if self.attributes.get(node, {}).get("read_only") is False:
                    self.attributes[node]["observed_writable"] = True
                self.describe(node, {"read_only": True, "read_only_by": "declared"}, record.provenance)
        for node in self._of_kind(Kind.MOUNT):
            mounts.setdefault(self._scopes[node], {})[self._texts[node]] = node
            if self._scopes[node]:
                self._edge(node, self._node(Kind.HOST, self._scopes[node], ""), Relation.STANDS_FOR, Need.READ, -1, -1)
        self._servers_of_mounts()
        paths = self._of_kind(Kind.PATH)
        frozen = {
            (self._scopes[node], self._texts[node]): node
            for node in paths
            if self.attributes.get(node, {}).get("unwritable") == "immutable"
        }
        for node in paths:
            scope, path = self._scopes[node], self._texts[node]
            if not scope or not path.startswith("/"):
                continue
            target = frozen.get((scope, path.rpartition("/")[0])) if path != "/" else None
            if target is None:
                target = _mount_of(path, mounts.get(scope, {}))
            if target is None:
                target = self._node(Kind.HOST, scope, "")
            self._edge(node, target, Relation.STANDS_FOR, Need.READ, -1, -1)

    def _servers_of_mounts(self) -> None:
        """What is written below a mount is kept by its server: what that can't keep, the mount can't either.

        One that is mounted read-only is not written, wherever it comes from.
        """
        for at in self._of_relation(Relation.MOUNTS):
            mount = self._consumers[at]
            if self._kinds[mount] is Kind.MOUNT and self.attributes.get(mount, {}).get("read_only") is not True:
                group = self._group(mount, "kept by") if self._groups[at] >= 0 else -1
                confidence = CONFIDENCES[self._confidences[at]]
                server = self._providers[at]
                self._edge(mount, server, Relation.STANDS_FOR, Need.READ, group, self._edge_evidence[at], confidence)

    def _triggers(self) -> None:
        """The inverse of CALLS for what runs only because something calls it: scripts, clients, timers' services."""
        consumers = set(self._consumers)
        for at in self._of_relation(Relation.CALLS):
            caller, called = self._consumers[at], self._providers[at]
            kind = self._kinds[called]
            if self._kinds[caller] is Kind.LINEAGE or not self._ever_runs(caller, called):
                continue
            if (
                kind is Kind.CLIENT
                or (kind is Kind.PATH and called in consumers and called in self.entity_evidence)
                or (kind is Kind.UNIT and self._kinds[caller] is Kind.JOB and is_timer(self._texts[caller]))
            ):
                self._edge(
                    called,
                    caller,
                    Relation.TRIGGERED_BY,
                    Need.RUN,
                    self._group(called, "triggers"),
                    self._edge_evidence[at],
                )

    def _ever_runs(self, caller: NodeId, called: NodeId) -> bool:
        """Whether a job can trigger anything: cron or systemd takes it, its time comes, and its guards let it."""
        if self._kinds[caller] is not Kind.JOB:
            return True
        known = self.attributes.get(caller, {})
        if known.get("ignored") or known.get("never_runs") or known.get("enabled") is False:
            return False
        guards = known.get("guards")
        if not isinstance(guards, tuple) or "unless /run/systemd/system exists" not in guards:
            return True
        # As in the line of Debian's certbot package. What runs instead was looked at only if timers were captured.
        return not self._has_timers(self._scopes[caller], self._texts[called])

    def _has_timers(self, host: str, program: str) -> bool:
        """Whether systemd's units of packages were captured on a host, or a timer named after a program."""
        if self._timers is None:
            self._timers = {}
            for node, places in self.entity_evidence.items():
                if self._kinds[node] not in (Kind.JOB, Kind.UNIT):
                    continue
                found = self._timers.setdefault(self._scopes[node], set())
                if is_timer(self._texts[node]):
                    found.add(self._texts[node])
                if any("/lib/systemd/system/" in self.evidence[place][0] for place in places):
                    found.add("")
        timers = self._timers.get(host, set())
        return "" in timers or any(program in timer for timer in timers)

    def _certificates(self) -> None:
        """A certificate depends on the lineage whose directory holds it, or that has the same names."""
        stored = self._outgoing(Relation.STORED_AT)
        lineages = self._of_kind(Kind.LINEAGE)
        self._imported(lineages)
        if not lineages or not stored:
            return
        by_directory: dict[tuple[str, str], NodeId] = {}
        by_file: dict[tuple[str, str], NodeId] = {}
        for lineage in lineages:
            known = self.attributes.get(lineage, {})
            files = known.get("certificate_files")
            for file in files if isinstance(files, tuple) else ():
                by_file[self._scopes[lineage], file] = lineage
            for key in ("archive_dir", "live_dir", "fullchain", "cert", "certificate_dir"):
                value = known.get(key)
                if isinstance(value, str) and value:
                    directory = value if key.endswith("_dir") else str(PurePosixPath(value).parent)
                    by_directory[self._scopes[lineage], directory.rstrip("/")] = lineage
        members: dict[NodeId, list[NodeId]] = {}
        installed: set[tuple[NodeId, NodeId]] = set()
        for certificate, paths in stored.items():
            if self.attributes.get(certificate, {}).get("is_ca"):
                continue
            for path in paths:
                # A copy at its place of use may lag behind: it is no member that a newer one supersedes.
                if (owner := by_file.get((self._scopes[path], self._texts[path]))) is not None:
                    installed.add((certificate, owner))
                holder = by_directory.get((self._scopes[path], str(PurePosixPath(self._texts[path]).parent)))
                if holder is not None and certificate not in members.setdefault(holder, []):
                    members[holder].append(certificate)
        by_names: dict[frozenset[str], list[NodeId]] = {}
        for lineage, certificates in members.items():
            newest = max(certificates, key=lambda one: str(self.attributes[one].get("not_before", "")))
            if names := self._sans(newest):
                # A client's configuration may name fewer: certbot's own takes them from the certificate.
                self.attributes.setdefault(lineage, {})["domains"] = tuple(sorted(names))
            for certificate in certificates:
                if certificate != newest:
                    self.attributes[certificate]["superseded"] = True
            self._edge(newest, lineage, Relation.CERTIFIED_BY, Need.RUN, self._group(newest, "lineages"), -1)
        for lineage in lineages:
            domains = self.attributes.get(lineage, {}).get("domains")
            if isinstance(domains, tuple) and domains:
                by_names.setdefault(frozenset(normal_name(name) for name in domains), []).append(lineage)
        in_lineage = {certificate for certificates in members.values() for certificate in certificates}
        for certificate, owner in sorted(installed):
            if certificate not in in_lineage:
                group = self._group(certificate, "lineages")
                self._edge(certificate, owner, Relation.CERTIFIED_BY, Need.RUN, group, -1)
        in_lineage.update(certificate for certificate, _ in installed)
        for certificate in stored:
            if certificate in in_lineage or self.attributes.get(certificate, {}).get("is_ca"):
                continue
            for lineage in by_names.get(self._sans(certificate), ()):
                self._edge(
                    certificate,
                    lineage,
                    Relation.CERTIFIED_BY,
                    Need.RUN,
                    self._group(certificate, "lineages"),
                    -1,
                    Confidence.MEDIUM,
                )

    def _imported(self, lineages: Iterable[NodeId]) -> None:
        """A certificate of a store that a lineage's hook puts its files into, as `aws acm import-certificate` does."""
        written: dict[NodeId, list[NodeId]] = {}
        for writer, targets in self._outgoing(Relation.WRITES).items():
            if held := [one for one in targets if self._kinds[one] is Kind.CERTIFICATE]:
                written[writer] = held
        if not written:
            return
        hooks = self._outgoing(Relation.DEPLOYED_BY)
        for lineage in lineages:
            for writer in (lineage, *hooks.get(lineage, ())):
                for certificate in written.get(writer, ()):
                    known = self.attributes.setdefault(lineage, {})
                    if not known.get("domains") and (names := self._sans(certificate)):
                        known["domains"] = tuple(sorted(names))
                    group = self._group(certificate, "lineages")
                    self._edge(certificate, lineage, Relation.CERTIFIED_BY, Need.RUN, group, -1)

    def _sans(self, certificate: NodeId) -> frozenset[str]:
        sans = self.attributes.get(certificate, {}).get("sans")
        return frozenset(sans) if isinstance(sans, tuple) else frozenset()


def _scope_of(record: HostRecord) -> str:
    """The scope of the addresses of a machine's network: no machine is called so."""
    return f"network {record.network}"


def _mount_of(path: str, mounts: Mapping[str, NodeId]) -> NodeId | None:
    at = path.rstrip("/") or "/"
    while True:
        if at in mounts:
            return mounts[at]
        if at == "/":
            return None
        at = at.rsplit("/", 1)[0] or "/"


def _is_another(record: HostRecord, known_as: tuple[str, ...]) -> bool:
    """Whether what a register calls by a short name is another machine: it has addresses, and none of this one's."""
    addresses = {address for name in known_as if (address := normal_address(name))}
    full = any("." in name and name in record.names for name in known_as if not normal_address(name))
    return bool(record.addresses and addresses) and not full and addresses.isdisjoint(record.addresses)


@lru_cache(maxsize=65536)
def _is_relative_endpoint(text: str) -> bool:
    """Whether an endpoint's host is a short name or loopback, which mean something else on every host."""
    parts = split_endpoint(text)
    if parts is None:
        return False
    return ("." not in parts.host and ":" not in parts.host) or parts.host.startswith("127.") or parts.host == "::1"
