"""Services that run on a host and end with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.services.losses import behind
from rules.texts import files
from rules.ways import distinct

_SHOWN: Final = 1000
_NAMED: Final = 4
_OFFERED: Final = (
    "apache main server",
    "apache server",
    "bacula storage",
    "bareos storage",
    "caddy site",
    "compose service",
    "envoy listener",
    "haproxy frontend",
    "haproxy listen",
    "keepalived instance",
    "keepalived virtual server",
    "knot secondary zone",
    "named zone",
    "NFS export",
    "nginx mail server",
    "nginx server",
    "nginx stream server",
    "nsd secondary zone",
    "pgbouncer database",
    "rsync module",
    "squid",
    "traefik router",
)
"""What a service's name begins with if others use it. The rest are clients (time, directory), lists and side paths."""


class ServiceOnGoingHostRule(Rule):
    """Lists the services on a retired host: web servers, shares, zones.

    What it does
    ------------
    Takes the services that the host's own files configure and that others use. One finding for each host, with all of
    them. Those that its successor has under the same name are told apart; if it has them all, it is a note. Nothing is
    said for a read-only host, which goes on serving.

    Left to others: monitoring on the host (monitoring-server-going), its jobs (job-on-going-host), renewals that run
    there (renewal-on-going-host), replicas (replica-on-going-host).

    Why it matters
    --------------
    Who uses them may be outside the estate: a partner who pulls from an rsync module is in no file of ours.

    Example
    -------
    `server { server_name intranet.example.net; }` in a file of the host's `/etc/nginx/sites-enabled`

    What to do
    ----------
    Set each of them up on the successor, or agree with its users that it ends. Look at its access log first.

    What it can't see
    -----------------
    Services without a configuration that is read here, and whether anybody uses them.
    """

    id: ClassVar[str] = "service-on-going-host"
    title: ClassVar[str] = "Services run on the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        leaving = {one.host: one for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        if not leaving:
            return
        by_host: dict[str, list[Node]] = {}
        for node in estate.nodes(Kind.SERVICE):
            if node.scope and _is_offered(node.text):
                by_host.setdefault(node.scope, []).append(node)
        for host, going in leaving.items():
            own = by_host.get(host, [])
            there = {node.text for node in by_host.get(going.successor, ())} if going.successor else set()
            evidence = distinct(place for node in own for place in node.provenance if place.path != ".")
            if evidence:
                yield self._finding(estate, going, own, there, evidence)

    def _finding(
        self, estate: EstateView, going: Going, own: Sequence[Node], there: set[str], evidence: tuple[Provenance, ...]
    ) -> Finding:
        missing = [node for node in own if node.text not in there]
        shown = sorted(node.text for node in missing or own)
        counted = f"{plural(len(shown), 'service')} on {going.host} {'ends' if len(shown) == 1 else 'end'} with it"
        it = "it" if len(shown) == 1 else "them"
        common = len(own) - len(missing)
        if missing:
            message = f"{counted}: {_called(shown)}"
            more = f", and {common} more {'is' if common == 1 else 'are'} on {going.successor} too" if common else ""
            why = f"Who uses {it} may be outside the estate{more}."
            action = f"Set {it} up on {going.successor or 'a host that stays'}, or agree with who uses {it} that "
            action += f"{'it ends' if it == 'it' else 'they end'} ({listed(files(evidence))})."
        else:
            message = f"{counted}, and {going.successor} has the same"
            why = f"{_called(shown)}."
            action = f"See that requests reach {going.successor} before {going.host} goes."
        after = [text for text in behind(estate, own) if text not in shown]
        if after:
            why += f" With {it} {'goes' if len(after) == 1 else 'go'} {listed(after)}."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if missing else Severity.INFO,
            confidence=Confidence.HIGH,
            subject=going.host,
            identity=(going.host,),
            message=message,
            why=why,
            action=action,
            impact=Impact.BROKEN if missing else Impact.NONE,
            evidence=evidence[:_SHOWN],
            hosts=(going.host,),
        )


def _is_offered(text: str) -> bool:
    return any(text == one or text.startswith(f"{one} ") for one in _OFFERED)


def _called(texts: Sequence[str]) -> str:
    """`nginx server a.example.net and b.example.net; rsync module pub`: by what they are."""
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kind = next(one for one in sorted(_OFFERED, key=len, reverse=True) if text == one or text.startswith(f"{one} "))
        kinds.setdefault(kind, []).append(text[len(kind) + 1 :])
    return "; ".join(f"{kind} {listed(names, _NAMED)}".rstrip() for kind, names in kinds.items())
