"""Signs of life: what only a host that runs does."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.api import EstateView, Kind, Provenance, Relation, parse_time
from rules.ways import Ways

_UP: Final = frozenset({"running", "pending", "rebooting"})
DOWN: Final = frozenset({"stopped", "stopping", "terminated", "shutting-down"})


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that only a living host does: what, when, and where it stands. `work` if it does its work."""

    said: str
    at: datetime | None
    where: Provenance
    work: bool = False


def answers(estate: EstateView, hosts: Collection[str]) -> Iterator[tuple[str, Sign]]:
    """That hosts answered: when they were collected, when their cloud was asked, when something was asked of them."""
    for name in hosts:
        sighting = estate.sighting(name)
        if sighting is not None and sighting.answered:
            yield name, Sign(f"it answered{on_day(sighting.at)}", sighting.at, sighting.where)
        host = estate.host(name)
        state = host.attributes.get("state") if host is not None else None
        if host is not None and state in _UP:
            where = next((one for one in host.provenance if one.path.startswith("aws/")), None)
            if where is not None:
                at = parse_time(where.collected_at) or estate.now
                yield name, Sign(f"its instance is {state}{on_day(at)}", at, where)
    own: dict[str, set[str]] = {}
    for going in estate.going:
        for address in going.addresses:
            own.setdefault(address, set()).add(going.host)
    for endpoint in estate.nodes(Kind.ENDPOINT):
        served = own.get(str(endpoint.attributes.get("answered_from", "")), set())
        if len(served) != 1 or not served <= set(hosts):
            continue
        for edge in estate.outgoing(endpoint, Relation.SERVES)[:1]:
            at = parse_time(edge.provenance.collected_at) or parse_time(endpoint.attributes.get("probed")) or estate.now
            yield min(served), Sign(f"{endpoint.text} was served from it{on_day(at)}", at, edge.provenance)


def scrapes(estate: EstateView, hosts: Collection[str]) -> Iterator[tuple[str, Sign]]:
    """That hosts were scraped, and answered."""
    ways = Ways(estate)
    for endpoint in estate.nodes(Kind.ENDPOINT):
        if endpoint.attributes.get("scrape_health") != "up" or not endpoint.provenance:
            continue
        at = parse_time(endpoint.attributes.get("last_scrape"))
        for name in ways.hosts(endpoint) & set(hosts):
            yield name, Sign(f"{endpoint.text} was scraped{on_day(at)}, and answered", at, endpoint.provenance[-1])


def work(estate: EstateView, hosts: Collection[str]) -> Iterator[tuple[str, Sign]]:
    """That jobs of hosts have run, and certificates were renewed there."""
    for job in estate.nodes(Kind.JOB):
        at = parse_time(job.attributes.get("last_run")) if job.scope in hosts else None
        if at is not None and job.provenance:
            yield job.scope, Sign(f"{job.text} ran{on_day(at)}", at, job.provenance[-1], work=True)
    for lineage in estate.nodes(Kind.LINEAGE):
        blast = estate.blast_radius(lineage) if lineage.scope in hosts else None
        if blast is None:
            continue
        stored = estate.outgoing(blast.certificate, Relation.STORED_AT)
        own = next((edge for edge in stored if edge.provider.scope == lineage.scope), None)
        at = parse_time(blast.certificate.attributes.get("not_before"))
        if own is not None and at is not None:
            yield lineage.scope, Sign(f"it renewed {lineage.text}{on_day(at)}", at, own.provenance, work=True)


def on_day(at: datetime | None) -> str:
    """` on 2025-11-20`; empty if the day is not known."""
    return f" on {at.date().isoformat()}" if at is not None else ""
