"""What the rules about ways back share: the certificates at stake, and the procedures that are for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from auditor.api import Area, Blast, EstateView, Going, Kind, Node, Procedure, Rule
from rules.renewal.lineages import Lineages, Renewal, called, going_behind, names_of, served_elsewhere

REISSUING = ("emergency-reissue", "csr-signing")
"""Kinds of procedures by which people get a new certificate without the renewal that is lost."""


@dataclass(frozen=True, slots=True)
class Stake:
    """A certificate that is in use and loses its renewal in this scenario."""

    renewal: Renewal
    going: Going
    blast: Blast | None

    @property
    def lineage(self) -> Node:
        return self.renewal.lineage

    @property
    def name(self) -> str:
        return called(self.renewal.lineage)

    @property
    def ends(self) -> datetime | None:
        return self.blast.not_after if self.blast else None

    def is_for(self, procedure: Procedure) -> bool:
        """Whether a procedure is for this certificate: by its name, by a name in it, or for all."""
        wanted = procedure.certificate
        return not wanted or wanted in (self.renewal.name, self.lineage.text, *names_of(self.lineage))


def stakes(estate: EstateView) -> list[Stake]:
    """The certificates in use that lose their renewal, the first to end first."""
    known = Lineages(estate)
    found = []
    for renewal in map(known.of, known.all):
        hosts = [one for edge in renewal.lost for one in going_behind(estate, edge.provider)]
        if not renewal.enabled or not hosts or known.twins(renewal.lineage):
            continue
        blast = estate.blast_radius(renewal.lineage)
        if served_elsewhere(estate, renewal.lineage, blast):
            found.append(Stake(renewal, hosts[0], blast))
    return sorted(found, key=lambda one: (one.ends is None, one.ends, one.lineage.id))


def node_of(estate: EstateView, procedure: Procedure) -> Node | None:
    """A procedure's node in the graph."""
    return estate.find(Kind.PROCEDURE, procedure.name)


def concerned(estate: EstateView) -> Iterator[tuple[Procedure, tuple[str, ...]]]:
    """The procedures that the scenario is about, with the going hosts.

    Those are the ones that need a going host themselves, and those for certificates that lose their renewal.
    """
    at_stake = stakes(estate)
    for procedure in estate.recovery.procedures:
        node = node_of(estate, procedure)
        hosts = {one.going.host for one in at_stake if one.is_for(procedure)}
        hosts.update(named_hosts(estate, node) if node is not None else ())
        if hosts:
            yield procedure, tuple(sorted(hosts))


def named_hosts(estate: EstateView, procedure: Node) -> set[str]:
    """The going hosts that a procedure's steps run on or log in through, lost or not."""
    going = {one.host for one in estate.going}
    return {
        host.text
        for edge in estate.outgoing(procedure)
        for host in ((edge.provider,) if edge.provider.kind is Kind.HOST else estate.reaches(edge.provider))
        if host.text in going
    }


class RecoveryRule(Rule):
    """What the rules about declared procedures have in common."""

    area = Area.RENEWAL

    def missing(self, estate: EstateView) -> tuple[str, ...]:
        """Without any procedure, nobody said how a certificate that loses its renewal is got back."""
        if estate.recovery.procedures or not stakes(estate):
            return ()
        return ("procedures of the inventory",)
