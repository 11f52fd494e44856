"""What the rules about renewals share: what starts one, what it needs that is going, and who has its certificate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.api import (
    Area,
    Blast,
    Edge,
    EstateView,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Step,
    day,
    is_timer,
    listed,
    parse_time,
    plural,
    time_left,
)
from rules.ways import switch_of

ONE_SHOT: Final = frozenset({"certbot", "acme.sh", "lego", "dehydrated", "getssl", "uacme", "simp_le", "acme-tiny"})
"""Clients that renew only when something starts them; others are daemons."""

RUN_RELATIONS: Final = (Relation.RENEWED_BY, Relation.RUNS_ON, Relation.WRITES, Relation.ISSUED_BY)
"""What a renewal needs for its run: its client and what starts it, its CA, and a place for what it gets."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lineage with what runs it.

    `triggers`: what starts it by itself; `lost`: edges of its run that fail; `enabled`: its configuration lets a client
    renew it; `runs`: and something starts that client (a daemon starts itself, and where no schedules were captured it
    is believed); `validated`: no way of its validation fails.
    """

    lineage: Node
    clients: tuple[Node, ...]
    triggers: tuple[Node, ...]
    lost_triggers: tuple[Node, ...]
    lost: tuple[Edge, ...]
    enabled: bool
    runs: bool
    validated: bool

    @property
    def client(self) -> str:
        """The client's name; of a lineage that none is known for, by the lineage's own text."""
        return self.clients[0].text if self.clients else self.lineage.text.partition(":")[0]

    @property
    def name(self) -> str:
        """The lineage's name as its client knows it."""
        return self.lineage.text.partition(":")[2] or self.lineage.text

    @property
    def living(self) -> bool:
        """Whether it goes on renewing in this scenario."""
        return self.runs and self.validated and not self.lost


class Lineages:
    """The lineages of an estate with their renewals, each worked out once."""

    def __init__(self, estate: EstateView) -> None:
        self.estate = estate
        self.all = tuple(estate.nodes(Kind.LINEAGE))
        self._renewals: dict[int, Renewal] = {}
        self._with_schedules: frozenset[str] | None = None
        self._by_name: dict[str, list[Node]] = {}
        for lineage in self.all:
            for name in names_of(lineage):
                self._by_name.setdefault(name, []).append(lineage)

    def of(self, lineage: Node) -> Renewal:
        """What runs a lineage, and what of that is lost in this scenario."""
        found = self._renewals.get(lineage.id)
        if found is None:
            found = self._renewals[lineage.id] = self._renewal(lineage)
        return found

    def on_going_hosts(self) -> Iterator[tuple[Going, Renewal]]:
        """The lineages whose own host is going."""
        going = {one.host: one for one in self.estate.going}
        for lineage in self.all:
            if lineage.scope in going:
                yield going[lineage.scope], self.of(lineage)

    def twins(self, lineage: Node) -> list[Renewal]:
        """Other lineages that cover all names of this one, and go on renewing."""
        wanted = set(names_of(lineage))
        others = self._by_name.get(min(wanted), ()) if wanted else ()
        return [
            renewal
            for other in others
            if other.id != lineage.id and wanted <= set(names_of(other)) and (renewal := self.of(other)).living
        ]

    def renew(self, names: Iterable[str]) -> bool:
        """Whether each of these names is one that some lineage goes on renewing; not so for no names at all."""
        wanted = list(names)
        return bool(wanted) and all(
            any(self.of(lineage).living for lineage in self._by_name.get(name, ())) for name in wanted
        )

    def _renewal(self, lineage: Node) -> Renewal:
        estate = self.estate
        clients = tuple(edge.provider for edge in estate.outgoing(lineage, Relation.RENEWED_BY))
        triggers = tuple(sorted(_triggers(estate, clients), key=lambda one: one.label))
        enabled = bool(clients) and lineage.attributes.get("autorenew") is not False
        started = bool(triggers) or any(one.text not in ONE_SHOT for one in clients)
        return Renewal(
            lineage,
            clients,
            triggers,
            tuple(one for one in triggers if estate.impact_of(one) is Impact.BROKEN),
            tuple(edge for edge in estate.outgoing(lineage, *RUN_RELATIONS) if edge.lost),
            enabled,
            enabled and (started or not self._schedules_seen(lineage.scope)),
            not any(edge.lost and not edge.group for edge in estate.outgoing(lineage, Relation.VALIDATED_THROUGH)),
        )

    def _schedules_seen(self, host: str) -> bool:
        """Whether a host's crontabs and timers were captured, so that a missing one is missing."""
        if self._with_schedules is None:
            # Of some timers only their last runs were captured: that is no look at schedules.
            jobs = (job for job in self.estate.nodes(Kind.JOB) if self.estate.outgoing(job, Relation.RUNS_ON))
            self._with_schedules = frozenset(job.scope for job in jobs)
        return not host or host in self._with_schedules or self.estate.looked_at(host, Area.SCHEDULES)


def _triggers(estate: EstateView, clients: Iterable[Node]) -> Iterator[Node]:
    """What starts a client by itself: jobs, and services that are started with the machine and stay."""
    seen: set[int] = set()
    pending = list(clients)
    while pending:
        node = pending.pop()
        if node.id in seen:
            continue
        seen.add(node.id)
        if node.kind is Kind.JOB or (node.kind is Kind.UNIT and _is_daemon(node)):
            yield node
            continue
        pending.extend(edge.provider for edge in estate.outgoing(node, Relation.TRIGGERED_BY))


def _is_daemon(unit: Node) -> bool:
    known = unit.attributes
    return unit.text.endswith(".service") and bool(known.get("wanted_by")) and known.get("type") != "oneshot"


def names_of(lineage: Node) -> tuple[str, ...]:
    """The names that a lineage's certificate is for, the widest first."""
    domains = lineage.attributes.get("domains")
    found = domains if isinstance(domains, tuple) else ()
    return tuple(sorted(found, key=lambda name: (not name.startswith("*."), name.count("."), name)))


def called(lineage: Node) -> str:
    """How people call a lineage: by its first name, or as its client calls it."""
    names = names_of(lineage)
    return names[0] if names else lineage.text.partition(":")[2] or lineage.text


def state_of(estate: EstateView, going: Going) -> str:
    """`has been read-only since 2025-06-20`, `is to be retired on 2025-12-01`: what becomes of a host."""
    word = going.lifecycle.value
    if going.since:
        return f"has been {word} since {going.since[:10]}"
    if going.origin == "tagged":
        return f"is tagged {word}"
    if going.lifecycle is Lifecycle.RETIRING:
        word = "retired"
    if going.lifecycle is Lifecycle.READ_ONLY and going.origin in ("declared", "observed"):
        return "is read-only"
    if going.origin == "observed":
        return "is gone"
    switch = switch_of(estate, going)
    return f"is to be {word}" + (f" on {switch.date().isoformat()}" if switch else "")


def going_behind(estate: EstateView, node: Node) -> list[Going]:
    """The going hosts that a node is lost with, or that it is; in the order of their names."""
    found = set(estate.hosts_of(node) or ((node.text,) if node.kind is Kind.HOST else ()))
    return [one for one in sorted(estate.going, key=lambda one: one.host) if one.host in found]


def leads_to(estate: EstateView, node: Node) -> list[Going]:
    """The going hosts that a node leads to, lost or not."""
    found = {host.text for host in estate.reaches(node)}
    return [one for one in sorted(estate.going, key=lambda one: one.host) if one.host in found]


def kept_on(estate: EstateView, path: Node) -> list[Going]:
    """The going hosts that a path is on: its own host, or the server of the mount below it."""
    found = {host.text for host in estate.reaches(path)}
    for edge in estate.outgoing(path, Relation.STANDS_FOR):
        for mounted in estate.outgoing(edge.provider, Relation.MOUNTS):
            found.update(host.text for host in estate.reaches(mounted.provider))
    return [one for one in sorted(estate.going, key=lambda one: one.host) if one.host in found]


def also_elsewhere(estate: EstateView, node: Node) -> list[str]:
    """The hosts that stay and that a node leads to as well."""
    going = {one.host for one in estate.going}
    return [host.text for host in estate.reaches(node) if host.text not in going]


def path_over(estate: EstateView, edge: Edge, *hosts: Going) -> tuple[Step, ...]:
    """The path that begins with this very edge, to a host that takes it down, or else to where it leads."""
    found = estate.path_over(edge)
    if len(found) > 1 or edge.provider.kind is Kind.HOST or not hosts:
        return found
    host = estate.host(hosts[0].host)
    return (*found, *(estate.path_to(edge.provider, host) if host is not None else ()))


def shown(provenance: Provenance) -> Provenance | None:
    """Evidence that someone can look up; None for what stands in no file."""
    return provenance if provenance.path != "." else None


def lines(*found: Iterable[Provenance]) -> tuple[Provenance, ...]:
    """Evidence without repetitions: each place once, in the order given."""
    unique: dict[tuple[str, int], Provenance] = {}
    for several in found:
        for one in several:
            if one.path != ".":
                unique.setdefault((one.path, one.line), one)
    return tuple(unique.values())


def consumers(estate: EstateView, blast: Blast | None) -> tuple[str, ...]:
    """The hosts that stay and have a certificate."""
    going = {one.host for one in estate.going}
    return tuple(host for host in blast.hosts if host not in going) if blast else ()


def expiry(estate: EstateView, blast: Blast | None) -> str:
    """`It expires in 34 h, Sat 2025-11-22 22:00 UTC, for 340 servers and 9 names.`, or what is not known of it."""
    if blast is None or blast.not_after is None:
        return "When its certificate expires is not known: no certificate of it was captured or declared."
    reach = reach_of(estate, blast)
    word = "expires" if blast.not_after >= estate.now else "expired"
    left = time_left(estate.now, blast.not_after)
    return f"The certificate {word} {left}, {day(blast.not_after)}" + (f", for {reach}." if reach else ".")


def reach_of(estate: EstateView, blast: Blast) -> str:
    """`340 servers and 9 names`: who has a certificate; empty if nobody is known to."""
    hosts = len(consumers(estate, blast))
    counts = [plural(hosts, "server")] if hosts else []
    if blast.names:
        counts.append(plural(len(blast.names), "name"))
    return listed(counts)


def deadline(blast: Blast | None) -> datetime | None:
    """When a certificate ends."""
    return blast.not_after if blast else None


def served_elsewhere(estate: EstateView, lineage: Node, blast: Blast | None) -> bool:
    """Whether anything that stays has a lineage's certificate: a host, or a name that does not lead to going hosts.

    A certificate whose names all lead to the hosts that go, and to nothing else, goes with them; but for names that are
    not the hosts' own, where a successor is declared: they will lead to it.
    """
    if any(one.lifecycle is Lifecycle.READ_ONLY for one in estate.going) or consumers(estate, blast):
        return True
    patterns = names_of(lineage)
    exact = {name for name in patterns if not name.startswith("*.")}
    exact.update(blast.names if blast else ())
    if not exact:
        return True
    going = {one.host: one for one in estate.going}
    for name in exact:
        node = estate.find(Kind.NAME, name)
        hosts = {host.text for host in estate.reaches(node)} if node is not None else set()
        if not hosts or hosts - going.keys():
            return True
        if name not in going and any(going[host].successor for host in hosts):
            return True
    return False


def not_after(certificate: Node) -> datetime | None:
    """When a certificate ends."""
    return parse_time(certificate.attributes.get("not_after"))


def move(renewal: Renewal, going: Going) -> str:
    """What to do with a lineage of a host that goes, in its client's words."""
    target = going.successor or "a host that stays"
    starters = " and ".join(sorted({_starter(one) for one in renewal.triggers if one.scope == renewal.lineage.scope}))
    with_it = f" and {starters}" if starters else ""
    name, on = renewal.name, renewal.lineage.scope
    if renewal.client == "certbot":
        root = str(renewal.lineage.attributes.get("archive_dir") or "").partition("/archive/")[0] or "/etc/letsencrypt"
        return (
            f"Move {root}/renewal/{name}.conf with its archive/, live/ and accounts/{with_it} to {target}; "
            f"run `certbot renew --cert-name {name} --dry-run` there first, then delete them here."
        )
    where = f" from {on}" if on else ""
    return f"Move {renewal.client}'s {name}{with_it}{where} to {target}, and let it renew once there before you go on."


def _starter(trigger: Node) -> str:
    """`the line of /etc/cron.d/certbot`, `certbot.timer`: what to move."""
    if is_timer(trigger.text) or trigger.text.endswith(".service"):
        return trigger.text
    place = trigger.text.partition(": ")[0]
    return f"the line of {place}" if ": " in trigger.text else place
