"""Which services lose what they need, for the rules of this family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.api import (
    Confidence,
    Edge,
    EstateView,
    Going,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    is_address,
    is_hostname,
    listed,
    plural,
    ranged,
    split_endpoint,
)
from rules.texts import files
from rules.ways import Ways, distinct, is_own_name, told_in_front

NEEDED: Final = (Relation.BACKED_BY, Relation.CONNECTS, Relation.MOUNTS, Relation.RUNS_ON)
MONITORING: Final = frozenset({"alertmanager", "prometheus", "promtail"})
"""Programs of which monitoring-server-going tells what they need."""

BACKUPS: Final = (
    *("bacula ", "bareos ", "barman ", "borg ", "borgmatic ", "duply ", "kopia ", "pgbackrest ", "restic "),
    *("proxmox backup ", "rsnapshot", "zrepl "),
)
"""What the names of services begin with that make or keep backups."""
REPLICAS: Final = ("postgresql standby", "mysql replica", "redis replica", "slapd replica")
"""The same of services that follow another one, and hold a copy of all that it has."""

_TRANSPARENT: Final = (Relation.STANDS_FOR, Relation.RESOLVES)
_MEANS: Final = (Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT)
_LIMIT: Final = 10_000
_FAR: Final = 1_000
_VRRP: Final = "vrrp"
_NOUNS: Final = {
    "addresses": "address",
    "cluster": "node",
    "endpoints": "endpoint",
    "forwarders": "forwarder",
    "hosts": "host",
    "members": "member",
    "nameservers": "name server",
    "peers": "peer",
    "primaries": "primary",
    "resolvers": "resolver",
    "servers": "server",
    _VRRP: "holder",
}
_MANY: Final = {"address": "addresses", "primary": "primaries"}


@dataclass(slots=True)
class Loss:
    """What a service loses directly, or over names and addresses alone; and its equals on other hosts.

    `edges` are the first consumer's, `all_edges` those of all.
    """

    consumers: list[Node]
    edges: list[Edge]
    all_edges: list[Edge]
    going: dict[str, Going] = field(default_factory=dict)

    @property
    def node(self) -> Node:
        return self.consumers[0]

    @property
    def hosts(self) -> list[str]:
        return sorted(self.going)

    @property
    def homes(self) -> list[str]:
        return ranged(one.scope for one in self.consumers if one.scope)

    @property
    def bare(self) -> str:
        """The service without its host: `nginx upstream api`."""
        return self.node.text

    @property
    def label(self) -> str:
        """`nginx upstream api on lb-01 and lb-02`."""
        homes = self.homes
        where = f" on {listed(homes)}" if homes else ""
        return f"{_KINDS.get(self.node.kind, '')}{self.node.text}{where}"

    @property
    def confidence(self) -> Confidence:
        return min((edge.confidence for edge in self.edges), key=list(Confidence).index)

    def evidence(self) -> tuple[Provenance, ...]:
        """The lines that name what goes, in order of files."""
        found = distinct(edge.provenance for edge in self.all_edges)
        return tuple(sorted(found, key=lambda one: (one.path, one.line)))


_KINDS: Final = {Kind.NAME: "load balancer ", Kind.ADDRESS: "address "}


@dataclass(frozen=True, slots=True)
class Pool:
    """The alternatives of one service, of which some are lost.

    `down` are names of those that are out of use already. `kept` are as people call them.
    """

    lost: tuple[Edge, ...]
    kept: tuple[Edge, ...]
    backups: tuple[Edge, ...]
    down: tuple[str, ...]
    noun: str

    @property
    def size(self) -> int:
        return len(self.lost) + len(self.kept) + len(self.down)

    def counted(self, count: int) -> str:
        """`3 servers`."""
        return plural(count, self.noun, _MANY.get(self.noun, ""))

    @property
    def nouns(self) -> str:
        return _MANY.get(self.noun, f"{self.noun}s")


def is_backup(service: Node) -> bool:
    """Whether a service makes or keeps backups."""
    return service.text.startswith(BACKUPS)


def is_replica(service: Node) -> bool:
    """Whether a service follows another one."""
    return service.text.startswith(REPLICAS)


def is_observed(service: Node) -> bool:
    """Whether all that is known of a service is that it was connected."""
    return service.attributes.get("observed") is True


def is_neither(service: Node) -> bool:
    """Whether no sharper rule than those of this family speaks of a service."""
    return not (is_backup(service) or is_replica(service) or is_observed(service))


def sends(loss: Loss) -> str:
    """`logs` or `mail`, for what sends these on: relays and log shippers; empty for any other service."""
    return str(loss.node.attributes.get("sends", ""))


def losses(estate: EstateView, fits: Callable[[Node], bool] = is_neither) -> list[Loss]:
    """What services elsewhere lose with the going hosts, equal ones on many hosts as one: those that fit."""
    leaving = {one.host for one in estate.going}
    found: dict[int, tuple[Node, dict[int, Edge], dict[str, Going]]] = {}
    ways = Ways(estate)
    for going in estate.going:
        host = estate.host(going.host)
        held = going.lifecycle is Lifecycle.READ_ONLY
        for edge in _needing(estate, ways, host, held=held) if host is not None else ():
            consumer = edge.consumer
            if consumer.scope in leaving or consumer.attributes.get("program") in MONITORING or not fits(consumer):
                continue
            if told_in_front(estate, edge):
                continue
            _, edges, hosts = found.setdefault(consumer.id, (consumer, {}, {}))
            edges[edge.id] = edge
            hosts[going.host] = going
    alike: dict[tuple[object, ...], Loss] = {}
    for consumer, lost, hosts in found.values():
        needed = list(lost.values())
        targets = sorted((edge.provider.text, edge.relation.value, is_whole(estate, edge)) for edge in needed)
        key = (consumer.kind, consumer.text, files(edge.provenance for edge in needed)[0], *targets)
        one = alike.setdefault(key, Loss([], needed, []))
        one.consumers.append(consumer)
        one.all_edges.extend(needed)
        one.going.update(hosts)
    return list(alike.values())


def _needing(estate: EstateView, ways: Ways, host: Node, *, held: bool) -> Iterator[Edge]:
    """The dependencies of services on a host that fail, on itself or on what leads to it alone.

    A name may be lost for another reason, such as a certificate that ends: what else it leads to goes on answering.
    `held`: the host keeps its virtual addresses, and only what must write there over them fails.
    """
    seen, pending = {host.id}, [host]
    while pending and len(seen) < _LIMIT:
        node = pending.pop()
        for edge in estate.incoming(node):
            if not edge.lost:
                continue
            consumer = edge.consumer
            if edge.relation in _TRANSPARENT and (held or edge.group != _VRRP):
                if consumer.kind in _MEANS and consumer.id not in seen and ways.hosts(consumer):
                    seen.add(consumer.id)
                    pending.append(consumer)
            elif is_need(edge):
                yield edge


def is_need(edge: Edge) -> bool:
    """Whether a dependency is told by this family: that of a service, a load balancer or a floating address."""
    kind = edge.consumer.kind
    if kind is Kind.SERVICE:
        return edge.relation in NEEDED
    if edge.relation is Relation.BACKED_BY:
        return kind in (Kind.NAME, Kind.ADDRESS)
    return edge.relation is Relation.STANDS_FOR and kind is Kind.ADDRESS and edge.group == _VRRP


def is_whole(estate: EstateView, edge: Edge) -> bool:
    """Whether no alternative is left to a dependency."""
    return not edge.group or all(one.lost for one in estate.outgoing(edge.consumer) if one.group == edge.group)


def pools_of(estate: EstateView, edges: Sequence[Edge]) -> list[Pool]:
    """The groups of alternatives that lost members, in the order of their first lines."""
    found = []
    for group in dict.fromkeys(edge.group for edge in edges if edge.group):
        consumer = next(edge.consumer for edge in edges if edge.group == group)
        members = [edge for edge in estate.outgoing(consumer) if edge.group == group]
        kept = tuple(edge for edge in members if not edge.lost)
        found.append(
            Pool(
                lost=tuple(edge for edge in members if edge.lost),
                kept=kept,
                backups=tuple(edge for edge in kept if is_among(edge, "backup")),
                down=_names(consumer, "down"),
                noun=_noun(group),
            )
        )
    return found


def _noun(group: str) -> str:
    return _NOUNS.get(group, "target")


def is_among(edge: Edge, attribute: str) -> bool:
    """Whether the line of a member has one of the names that its pool lists as `backup`, `down` or `unchecked`."""
    words = {word.strip("\"'();,") for word in edge.provenance.excerpt.split()}
    return not words.isdisjoint(_names(edge.consumer, attribute))


def _names(node: Node, attribute: str) -> tuple[str, ...]:
    value = node.attributes.get(attribute)
    return value if isinstance(value, tuple) else ()


def member_name(edge: Edge) -> str:
    """What people call an alternative: where it is, or that it is local or not known."""
    text, prefix = edge.provider.text, f"{edge.consumer.text}: "
    if edge.provider.kind is Kind.SERVICE and text.startswith(prefix):
        return text[len(prefix) :]
    return text


def behind(estate: EstateView, consumers: Iterable[Node]) -> list[str]:
    """What stops working with these: services, and what is declared to live on their names; critical ones first."""
    pending = list(consumers)
    seen = {node.id for node in pending}
    found: dict[str, bool] = {}
    while pending and len(seen) < _FAR:
        node = pending.pop(0)
        needing = estate.incoming(node, *_TRANSPARENT, *NEEDED)
        above = [edge.consumer for edge in needing if edge.lost and is_whole(estate, edge)]
        above += _declared_on(estate, node)
        for one in above:
            if one.id not in seen:
                seen.add(one.id)
                pending.append(one)
                if one.kind is Kind.SERVICE:
                    critical = one.attributes.get("critical") is True
                    found[f"{service_name(one)}{' (critical)' if critical else ''}"] = critical
    return sorted(found, key=lambda text: (not found[text], text))


def _declared_on(estate: EstateView, service: Node) -> Iterator[Node]:
    """The services that the inventory says are reached by a name that this one serves: `server_name`, an Ingress."""
    for key in ("names", "hosts"):
        for text in _names(service, key)[:_FAR]:
            name = estate.find(Kind.NAME, text)
            homes = {host.text for host in estate.reaches(name)} if name is not None else set()
            if service.scope and homes and service.scope not in homes:
                # Requests for the name go to other hosts.
                continue
            for edge in estate.incoming(name, Relation.CONNECTS) if name is not None else ():
                if "critical" in edge.consumer.attributes:
                    yield edge.consumer


def service_name(node: Node) -> str:
    """`nginx server www.example.net on web-01`."""
    return f"{node.text} on {node.scope}" if node.scope else node.text


def called_as(estate: EstateView, edge: Edge) -> str:
    """` as db.example.net` where the line does not name the host by its own name."""
    target = edge.provider
    if target.kind is Kind.HOST or is_own_name(estate, target):
        return ""
    return f" as {target.text}"


def alias_of(estate: EstateView, edge: Edge) -> str:
    """The name that a line calls a host by, where that is another one than its own; empty for an address."""
    target = edge.provider
    if target.kind is Kind.HOST or is_own_name(estate, target):
        return ""
    parts = split_endpoint(target.text) if target.kind is Kind.ENDPOINT else None
    name = parts.host if parts is not None else target.text
    return name if is_hostname(name) and not is_address(name) else ""


def state(going: Sequence[Going]) -> str:
    """`which is to be retired`; `which has been read-only since 2025-06-20`."""
    verb = "is" if len(going) == 1 else "are"
    lifecycle = "read-only" if all(one.lifecycle is Lifecycle.READ_ONLY for one in going) else "retired"
    since = {one.since[:10] for one in going}
    if len(since) == 1 and "" not in since:
        return f"which {'has' if len(going) == 1 else 'have'} been {lifecycle} since {since.pop()}"
    return f"which {verb} to be {lifecycle}"


def once(going: Sequence[Going]) -> str:
    """`once old-01 is gone`, `once old-01 is read-only`."""
    names = listed(sorted(one.host for one in going))
    verb = "is" if len(going) == 1 else "are"
    return f"once {names} {verb} {'read-only' if only_writing(going) else 'gone'}"


def only_writing(going: Iterable[Going]) -> bool:
    """Whether all that is lost is that something can be written there."""
    return all(one.lifecycle is Lifecycle.READ_ONLY for one in going)


def successor_names(going: Iterable[Going]) -> list[str]:
    return sorted({one.successor for one in going if one.successor})
