"""Who was connected to a host that is going when it was captured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Relation,
    Rule,
    Severity,
    day,
    listed,
    parse_time,
    plural,
    ranged,
)
from rules.services.losses import is_observed, losses, state, successor_names
from rules.ways import distinct

_SHOWN: Final = 1000


@dataclass(slots=True)
class _Port:
    """One port of a going host (or address) with all that were connected to it."""

    clients: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    going: dict[str, Going] = field(default_factory=dict)


class ConnectedToGoingHostRule(Rule):
    """Tells which machines were connected to a port of a host that is going.

    What it does
    ------------
    Takes the connections that were open, or had just been closed, when hosts were captured (`auditor collect` asks
    `ss`): of the going host, and those of others to it. One finding for each of its ports, with all clients and the
    program that listens. A connection to SSH or to the port of a monitoring agent is a warning: whoever comes there
    need not depend on the host.

    Why it matters
    --------------
    A live connection needs no file of ours: a partner's, an application whose configuration nobody captured, a tunnel.
    It is the last thing to look at before a host is switched off, and the first that breaks.

    Example
    -------
    `ESTAB 0 0 10.20.4.17:5432 10.20.4.99:51234` in the output of `ss -tunp` on the host

    What to do
    ----------
    See on each client what connects (`ss -tnp`), and point it at the successor. Then look again until nobody comes.

    What it can't see
    -----------------
    Clients that come once a night or once a month: that nobody was connected does not mean that nobody will be. Who is
    behind a proxy, a load balancer or NAT.
    """

    id: ClassVar[str] = "connected-to-going-host"
    title: ClassVar[str] = "Machines are connected to the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each port."""
        ports: dict[tuple[object, tuple[str, ...]], _Port] = {}
        for loss in losses(estate, is_observed):
            port = ports.setdefault((loss.node.attributes.get("port"), tuple(loss.hosts)), _Port())
            port.clients.extend(loss.consumers)
            port.edges.extend(loss.all_edges)
            port.going.update(loss.going)
        for port in ports.values():
            yield self._finding(estate, port)

    def _finding(self, estate: EstateView, port: _Port) -> Finding:
        hosts, going = sorted(port.going), list(port.going.values())
        sure = any(edge.confidence is not Confidence.LOW for edge in port.edges)
        number = next((one.attributes["port"] for one in port.clients if "port" in one.attributes), "?")
        program = next((str(one.attributes["program"]) for one in port.clients if "program" in one.attributes), "")
        called = f"port {number} ({program})" if program else f"port {number}"
        clients = sorted(ranged(one.scope for one in port.clients))
        more = max((int(str(one.attributes.get("clients", 0))) for one in port.clients), default=0) - len(port.clients)
        shown = listed(clients) + (f" and {plural(more, 'other address', 'other addresses')}" if more > 0 else "")
        were = "was" if len(port.clients) == 1 and more <= 0 else "were"
        successors = successor_names(going)
        where = f"at {listed(successors)}" if successors else "elsewhere"
        evidence = tuple(sorted(distinct(edge.provenance for edge in port.edges), key=lambda one: (one.path, one.line)))
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if sure else Severity.WARN,
            confidence=Confidence.MEDIUM if sure else Confidence.LOW,
            subject=f"{called} of {listed(hosts)}",
            identity=(*hosts, str(number)),
            message=f"{shown} {were} connected to {called} of {listed(hosts)}, {state(going)}",
            why=_why(port, sure),
            action=f"See what connects there (`ss -tnp` on {listed(clients)}), and point it {where}. Then look again.",
            impact=Impact.BROKEN if sure else Impact.MENTIONED,
            evidence=evidence[:_SHOWN],
            path=estate.path_over(port.edges[0]),
            hosts=tuple(hosts),
        )


def _why(port: _Port, sure: bool) -> str:
    times = [moment for edge in port.edges if (moment := parse_time(edge.provenance.collected_at)) is not None]
    when = f" on {day(max(times))}" if times else " when it was captured"
    if not sure:
        return f"Seen{when}. SSH and monitoring agents: it may be a person, a check, or a job that copies files."
    return f"Seen{when}: {_those(port.clients)} no answer once the host is gone."


def _those(clients: Sequence[Node]) -> str:
    return "it gets" if len(clients) == 1 else "they get"
