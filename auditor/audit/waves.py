"""Judges a migration wave: one checklist for all its hosts, and an order among them.

A consumer goes before what it needs: so nothing that is still there loses anything. What needs a host of the wave and
is on another one of it is therefore no blocker, but a reason to wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from auditor.audit.engine import Audited
from auditor.audit.scenario import HOSTS_LIMIT, Asked, parse_hosts, register
from auditor.errors import UsageError
from auditor.model import Area, Coverage, Going, Impact, Kind, Lifecycle, Report, Severity
from auditor.phrases import plural
from auditor.wave import Fate, Wait, Wave, WaveHost

if TYPE_CHECKING:
    from auditor.graph.view import NodeView, View

_SHARED: Final = frozenset({Kind.PATH, Kind.MOUNT})
"""Nodes that say nothing by themselves: what reads or mounts them does."""


def read_hosts(text: str, where: str) -> list[Asked]:
    """The hosts of a wave's file: `HOST[=ALIAS,…]` or a range a line, `#` begins a comment.

    Raises UsageError with the line of what is no host.
    """
    found: list[Asked] = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.split("#", 1)[0].strip()
        if not word:
            continue
        try:
            found.extend(parse_hosts([word]))
        except UsageError as error:
            raise UsageError(f"{where}:{number}: {error}", hint=error.hint) from error
        if len(found) > HOSTS_LIMIT:
            raise UsageError(f"{where}: more than {HOSTS_LIMIT:,} hosts", hint="Split the wave.")
    if not found:
        raise UsageError(f"{where}: no host in it", hint="Write a host or a range a line.")
    return found


def judge_wave(name: str, audited: Audited, hosts_of_it: Sequence[Asked], after: Sequence[str] = ()) -> Wave:
    """A wave from the audit of all its hosts together. Others that were asked for are gone, with the waves `after`.

    Nobody waits for a host that is gone already.
    """
    view, report = audited.view, audited.report
    ours = set(register(view.linked.hosts, hosts_of_it))
    members = [one for one in report.going if one.host in ours]
    gone = {
        one.host
        for one in members
        if one.lifecycle is Lifecycle.RETIRED and view.linked.hosts.records[one.host].lifecycle is Lifecycle.RETIRED
    }
    waits = {one.host: () if one.host in gone else _waits(view, one, ours - gone) for one in members}
    steps, cycles = _order([one.host for one in members], waits)
    hosts = []
    for one in members:
        blockers = tuple(
            finding for finding in report.findings if finding.severity is Severity.BLOCK and one.host in finding.hosts
        )
        gaps = _gaps(report, one.host)
        fate = Fate.BLOCKED if blockers else Fate.UNSEEN if gaps else Fate.WAITS if waits[one.host] else Fate.READY
        warnings = sum(finding.severity is Severity.WARN and one.host in finding.hosts for finding in report.findings)
        hosts.append(
            WaveHost(
                one.host,
                one.successor,
                fate,
                steps[one.host],
                blockers,
                warnings,
                gaps,
                waits[one.host],
                one.host in gone,
                one.since if one.host in gone else "",
            )
        )
    return Wave(name, tuple(sorted(hosts, key=lambda one: (one.step, one.host))), cycles, report, tuple(after))


def _waits(view: View, going: Going, ours: set[str]) -> tuple[Wait, ...]:
    """The other hosts of the wave on which something would break if this one went alone."""
    from auditor.graph.view import View

    alone = View(view.linked, [going], view.now, view.on, ())
    wave = ours - {going.host}
    host = alone.host(going.host)
    broken: dict[str, list[NodeView]] = {}
    for node in alone.dependents(host) if host is not None else ():
        if node.scope in wave and node.kind not in _SHARED and alone.impact_of(node) is Impact.BROKEN:
            broken.setdefault(node.scope, []).append(node)
    found = []
    for name, nodes in sorted(broken.items()):
        first = min(nodes, key=lambda node: (len(alone.path(node)), node.text))
        labels = tuple(sorted({node.label for node in nodes}))
        found.append(Wait(name, labels, alone.path(first)))
    return tuple(found)


def _order(
    hosts: Sequence[str], waits: dict[str, tuple[Wait, ...]]
) -> tuple[dict[str, int], tuple[tuple[str, ...], ...]]:
    """The step of each host, and those that need each other. A host comes a step after the last that it waits for."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(hosts))
    graph.add_edges_from((wait.host, host) for host, found in waits.items() for wait in found)
    condensed = nx.condensation(graph)
    steps: dict[str, int] = {}
    for step, parts in enumerate(nx.topological_generations(condensed), 1):
        for part in parts:
            for host in condensed.nodes[part]["members"]:
                steps[host] = step
    cycles = sorted(tuple(sorted(part)) for part in nx.strongly_connected_components(graph) if len(part) > 1)
    return steps, tuple(cycles)


def _gaps(report: Report, host: str) -> tuple[str, ...]:
    """What was not looked at and keeps the verdict from being CLEAR, as far as it speaks of this host."""
    others = {one.host for one in report.going} - {host}
    rows = [
        row
        for row in report.coverage
        if row.needed and not row.seen and row.source not in others and not _names(row.what, others)
    ]
    # First whether this is the machine that is meant: it is unknown, or only a name of another.
    rows.sort(key=lambda row: row.area is not Area.COVERAGE or row.source != host)
    said = [_gap(row) for row in rows]
    missing: Counter[str] = Counter()
    for run in report.rules:
        if not run.looked_at and not run.off:
            missing.update(what for what in run.missing or (f"rule {run.rule}",) if not _names(what, others))
    said += [f"{what}, which {plural(count, 'rule')} ask for" for what, count in missing.items()]
    said.extend(failure.what for failure in report.failures)
    return tuple(dict.fromkeys(said))


def _gap(row: Coverage) -> str:
    """What was not seen, of which host, and why not, if somebody asked for it."""
    where = f" on {row.source}" if row.source and row.source not in row.what else ""
    return f"{row.what}{where}" + (f": {row.outcome.value}" if row.recorded else "")


def _names(text: str, hosts: Iterable[str]) -> bool:
    words = text.split()
    return any(host in words for host in hosts)
