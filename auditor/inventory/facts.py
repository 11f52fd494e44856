"""What an inventory declares, as hosts and as edges with their line in the inventory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from auditor.model import Area, Attribute, Confidence, Kind, Need, Provenance, Ref, Relation
from auditor.text import endpoint_ref, expand_range, host_ref, normal_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.graph.hosts import HostTable
    from auditor.inventory.schema import Inventory, NotCollected


_UNDERSTOOD: Final = frozenset("absent balancers certificates domains networks services watches webhooks".split())
"""Sections of an inventory that are made into hosts, dependencies and coverage without a rest."""

_WRITING: Final = frozenset({"renewal", "emergency-reissue", "csr-signing"})
"""Kinds of procedures that make something new."""


class Declarations(Protocol):
    """What takes declared edges: the linker."""

    def require(self, ref: Ref) -> int: ...

    def edge(
        self,
        consumer: int,
        provider: int,
        relation: Relation,
        *,
        need: Need = ...,
        group: str = ...,
        provenance: Provenance | None = ...,
        confidence: Confidence = ...,
    ) -> None: ...

    def describe(self, node: int, attributes: Mapping[str, Attribute], provenance: Provenance | None) -> None: ...

    def certificates_for(self, name: str) -> list[int]: ...

    def lineages_called(self, text: str) -> list[int]: ...


def _iso(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat() if moment is not None else ""


def at_line(inventory: Inventory, line: int, path: str) -> Provenance:
    """A line of the inventory as evidence, with the time of the collection."""
    where = inventory.where(line)
    return Provenance(path, line, where.excerpt, _iso(inventory.collected_at) or None)


def declare_hosts(inventory: Inventory, hosts: HostTable, path: str) -> None:
    """The hosts of an inventory with their names, addresses and lifecycle, ranges written out."""
    for host in inventory.expanded():
        provenance = at_line(inventory, host.line, path)
        record = hosts.add(host.name, "inventory", provenance)
        for name in host.names:
            hosts.alias(record, name, provenance)
        for address in host.addresses:
            hosts.address(record, address, provenance)
        if host.instance_id:
            record.words[host.instance_id] = provenance
        record.lifecycle, record.stated = host.lifecycle, "lifecycle" in host.lines
        record.since, record.on = _iso(host.since), _iso(host.on)
        record.successor = host.successor
        record.owner, record.site, record.roles = host.owner, host.site, tuple(host.roles)
        record.network = host.network
        record.read_only_paths = tuple(host.read_only_paths)
        record.provenance = provenance


def declare_facts(inventory: Inventory, into: Declarations, path: str) -> None:
    """Webhooks, services, load balancers, certificates and watches that the inventory declares."""
    _certificates(inventory, into, path)
    for webhook in inventory.webhooks:
        target = endpoint_ref(webhook.url)
        if target is None:
            continue
        provenance = at_line(inventory, webhook.line_of("url"), path)
        node = into.require(Ref(Kind.WEBHOOK, webhook.name))
        into.describe(node, {"event": webhook.event or "", "owner": webhook.owner or ""}, provenance)
        into.edge(node, into.require(target), Relation.DELIVERS, need=Need.WRITE, provenance=provenance)
        for sender in references(webhook.sender or ""):
            into.edge(node, into.require(sender), Relation.RUNS_ON, need=Need.RUN, provenance=provenance)
    for service in inventory.services:
        node = into.require(Ref(Kind.SERVICE, service.name))
        provenance = at_line(inventory, service.line, path)
        into.describe(node, {"critical": service.critical, "owner": service.owner or ""}, provenance)
        for need in service.needs:
            targets = list(references(need))
            group = need if len(targets) > 1 else ""
            for target in targets:
                into.edge(
                    node,
                    into.require(target),
                    Relation.CONNECTS,
                    group=group,
                    provenance=at_line(inventory, service.line_of("needs"), path),
                )
        for name in service.names:
            known_as = into.require(Ref(Kind.NAME, name))
            used = at_line(inventory, service.line_of("names"), path)
            into.edge(node, known_as, Relation.CONNECTS, provenance=used)
            _serves(into, known_as, service.certificate, provenance)
    for balancer in inventory.balancers:
        node = into.require(Ref(Kind.NAME, balancer.name))
        provenance = at_line(inventory, balancer.line, path)
        into.describe(node, {"balancer": True, "owner": balancer.owner or ""}, provenance)
        for member in balancer.members:
            for target in references(member):
                into.edge(
                    node,
                    into.require(target),
                    Relation.BACKED_BY,
                    group="members",
                    provenance=at_line(inventory, balancer.line_of("members"), path),
                )
        _serves(into, node, balancer.certificate, provenance)
    for watch in inventory.watches:
        node = into.require(Ref(Kind.ALERT, f"declared/{watch.name}"))
        provenance = at_line(inventory, watch.line, path)
        attributes: dict[str, Attribute] = {"declared": True, "owner": watch.owner or ""}
        if watch.stage:
            attributes["stage"] = (watch.stage,)
        if watch.certificate:
            attributes["certificate"] = watch.certificate
        into.describe(node, attributes, provenance)
        for one in watch.watches:
            for target in references(one):
                into.edge(
                    node,
                    into.require(target),
                    Relation.WATCHES,
                    need=Need.OBSERVE,
                    group="targets",
                    provenance=at_line(inventory, watch.line_of("watches"), path),
                )
        for target in references(watch.runs_on or ""):
            into.edge(node, into.require(target), Relation.RUNS_ON, need=Need.RUN, provenance=provenance)
        if watch.notifies:
            receiver = into.require(Ref(Kind.RECEIVER, watch.notifies))
            into.edge(node, receiver, Relation.NOTIFIES, group="receivers", provenance=provenance)
    _procedures(inventory, into, path)


def _procedures(inventory: Inventory, into: Declarations, path: str) -> None:
    """Procedures need each host that one of their steps runs on, or that one logs in through.

    A new certificate and a request for one are written; what only revokes or reads a key is not.
    """
    for procedure in inventory.procedures:
        node = into.require(Ref(Kind.PROCEDURE, procedure.name))
        into.describe(node, {"kind": procedure.kind}, at_line(inventory, procedure.line, path))
        need = Need.WRITE if procedure.kind in _WRITING else Need.RUN
        for step in procedure.steps:
            for key, text, required in (
                ("runs_on", step.runs_on, need),
                ("logs_in_through", step.logs_in_through, Need.RUN),
            ):
                several = list(references(text or ""))
                for target in several:
                    into.edge(
                        node,
                        into.require(target),
                        Relation.RUNS_ON if key == "runs_on" else Relation.CONNECTS,
                        need=required,
                        group=f"{step.name}: {key}" if len(several) > 1 else "",
                        provenance=at_line(inventory, step.line_of(key), path),
                    )


def _certificates(inventory: Inventory, into: Declarations, path: str) -> None:
    """Declared certificates: joined to a captured one of the same names, or a node of their own."""
    for declared in inventory.certificates:
        provenance = at_line(inventory, declared.line, path)
        names = tuple(normal_name(name) for name in declared.sans)
        found = [node for name in names[:1] for node in into.certificates_for(name)]
        if found:
            node = found[0]
        else:
            node = into.require(Ref(Kind.CERTIFICATE, f"declared:{declared.name}"))
            attributes: dict[str, Attribute] = {"sans": names, "declared": True, "subject": declared.name}
            if declared.not_after:
                attributes["not_after"] = _iso(declared.not_after)
            into.describe(node, attributes, provenance)
            _certified(into, node, declared.lineage, names, provenance)
        for target in declared.deployed_to:
            for ref in references(target):
                into.edge(into.require(ref), node, Relation.SERVES, provenance=provenance)


def _certified(
    into: Declarations, certificate: int, name: str | None, sans: tuple[str, ...], provenance: Provenance
) -> None:
    """The lineage that a declaration names: where it was captured, or a node of its own."""
    if not name:
        return
    captured = into.lineages_called(name)
    for lineage in captured or [into.require(Ref(Kind.LINEAGE, name))]:
        into.edge(certificate, lineage, Relation.CERTIFIED_BY, need=Need.RUN, group="lineages", provenance=provenance)
        if captured and sans:
            into.describe(lineage, {"domains": sans}, None)


def _serves(into: Declarations, consumer: int, certificate: str | None, provenance: Provenance) -> None:
    if not certificate:
        return
    found = into.certificates_for(certificate) or [into.require(Ref(Kind.CERTIFICATE, f"declared:{certificate}"))]
    into.edge(consumer, found[0], Relation.SERVES, provenance=provenance)


def references(text: str) -> Iterator[Ref]:
    """The references that a declared host, range, host:port or URL stands for."""
    if not text:
        return
    for one in expand_range(text) if "://" not in text else (text,):
        ref = host_ref(one) or endpoint_ref(one)
        if ref is not None:
            yield ref


def lines_understood(inventory: Inventory, text: str, going: Collection[str]) -> set[int]:
    """The lines whose names mean nothing more: the going hosts' own entries, and what became dependencies.

    What is left (who is whose successor, the host one logs in through, steps of a procedure, who keeps a key, notes)
    is read as any other text is.
    """
    entries = {host.line: any(one.name in going for one in host.expanded()) for host in inventory.hosts}
    understood: set[int] = set()
    section, own, depth = "", False, 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.lstrip(" ")
        if bare and not bare.startswith("#"):
            if bare == line and not line.startswith("-"):
                section, own = line.split(":", 1)[0], False
            elif number in entries:
                own, depth = entries[number], len(line) - len(bare)
            elif own and len(line) - len(bare) <= depth:
                own = False
        if own or section in _UNDERSTOOD or entries.get(number):
            understood.add(number)
    return understood


def lines_of_holders(inventory: Inventory, text: str, going: Collection[str], address: str) -> set[int]:
    """The lines of other hosts' entries that hold this address themselves: there it is theirs, in another network."""
    entries = {
        host.line: any(one.name not in going and address in one.addresses for one in host.expanded())
        for host in inventory.hosts
    }
    found: set[int] = set()
    own, depth = False, 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.lstrip(" ")
        if number in entries:
            own, depth = entries[number], len(line) - len(bare)
        elif bare and not bare.startswith("#") and len(line) - len(bare) <= depth:
            own = False
        if own:
            found.add(number)
    return found


def not_collected(
    inventory: Inventory, names: Collection[str], now: datetime
) -> Iterator[tuple[NotCollected, tuple[str, ...]]]:
    """Statements that hosts need not be collected, each with those of these hosts that it alone speaks for.

    `names` are full names of declared hosts. Statements that hold go before those that have ended.
    """
    left = set(names)
    for statement in sorted(inventory.not_collected, key=lambda one: not one.holds(now)):
        found = tuple(name for pattern in statement.hosts for name in inventory.matching(pattern) if name in left)
        if found:
            left.difference_update(found)
            yield statement, tuple(dict.fromkeys(found))


def declared_absent(inventory: Inventory) -> Iterator[tuple[Area, str, str, int]]:
    """Areas that a person says there is nothing of: area, host (empty: the estate), the statement, its line."""
    for statement in inventory.absent:
        said = f"{statement.reason} ({statement.by}, {statement.on:%Y-%m-%d})"
        yield Area(statement.area), statement.host or "", said, statement.line
