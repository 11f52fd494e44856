"""Jobs, scripts and services elsewhere that call a host that is going."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Need,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    Step,
    is_comment,
    listed,
    plural,
)
from rules.jobs.schedules import idle, is_generated, lines_of, retires, runs, title
from rules.services.losses import alias_of
from rules.texts import is_answer, settings, written
from rules.ways import strongest

_MEANS: Final = (Kind.NAME, Kind.ADDRESS, Kind.ENDPOINT)
_CONSUMERS: Final = (Kind.JOB, Kind.UNIT, Kind.PATH)
_LIMIT: Final = 10_000
_VERBS: Final = {
    Need.READ: "fetches from {host}",
    Need.WRITE: "writes to {host}",
    Need.RUN: "calls {host}",
    Need.OBSERVE: "asks {host}",
}


@dataclass(slots=True)
class _Call:
    """One consumer at the start of a chain, on all the hosts that have the same."""

    start: Node
    edges: dict[int, Edge] = field(default_factory=dict)
    homes: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    evidence: dict[tuple[str, int], Provenance] = field(default_factory=dict)
    path: tuple[Step, ...] = ()


class JobCallsGoingHostRule(Rule):
    """Finds what runs elsewhere and needs a host that is going: it will fail when that host does.

    What it does
    ------------
    Starts at the host, goes over its names, addresses, DNS aliases and URLs, and takes each job, script and unit on
    another host or in a repository that connects to one of them and needs what is lost: anything of a host that is
    retired; writing (an upload, rsync to it, a push) to one that is read-only. What only starts something on a
    read-only host (a POST, a command over ssh) is a warning: it answers, and what it starts can't write there.

    From a script it goes on to the jobs and units that call it; those are what fails, and the finding is about them.
    One finding for each job or service; equal ones on many hosts are one.

    It blocks if something scheduled or a service breaks. A script that nothing is known to call is a warning, and so
    is what has other hosts to turn to, or what only looks like the host's name. A job that does not run anyway is a
    note.

    Left to others: hooks and credentials of a renewal (the rules about renewals), what only mounts from the host (the
    rules about storage), what watches it (the rules about monitoring).

    Why it matters
    --------------
    The host that is going has no list of its callers. They fail on other machines, owned by other people, and often
    write their errors to a mailbox that nobody reads.

    Example
    -------
    `35 5 * * * root /usr/local/sbin/pull-certs.sh` on sftp-01, whose script has
    `rsync -a certs@legacy-cert-01.example.net:/srv/certs/ /etc/ssl/`

    What to do
    ----------
    Point the line at the successor before the host goes, and run the job once.

    What it can't see
    -----------------
    Hosts that a script takes from its arguments, from a file or from a service registry, and programs that are no
    shell scripts.
    """

    id: ClassVar[str] = "job-calls-going-host"
    title: ClassVar[str] = "A job elsewhere calls the host"
    area: ClassVar[Area] = Area.SCHEDULES
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each job, unit or uncalled script."""
        leaving = {one.host for one in estate.going}
        jobs_at = cache(partial(_lines_of_jobs, estate))
        copies = _Copies(estate)
        calls: dict[tuple[object, ...], _Call] = {}
        for going in estate.going:
            for edge in _connections(estate, going):
                direct = edge.consumer
                if direct.scope in leaving or direct.kind not in _CONSUMERS or _is_of_renewal(estate, direct):
                    continue
                for start in _starts(estate, direct):
                    if start.scope in leaving or (start is direct and copies.tell(edge)):
                        continue
                    if start.kind is Kind.JOB and is_generated(estate, start):
                        continue
                    lines = _naming_lines(estate, edge, start, going, jobs_at)
                    if not lines:
                        continue
                    # What one system runs another may ignore.
                    idles = start.kind is Kind.JOB and bool(idle(estate, start))
                    key = (start.kind, start.text, idles, *((_inside(one.path, start), one.line) for one in lines))
                    call = calls.setdefault(key, _Call(start))
                    call.edges[edge.id] = edge
                    call.hosts.add(going.host)
                    call.homes.update(scope for scope in (start.scope,) if scope)
                    call.evidence.update({(one.path, one.line): one for one in lines})
                    call.path = call.path or _path(estate, start, edge, going)
        merged: dict[tuple[object, ...], _Call] = {}
        for call in calls.values():
            known = merged.setdefault((call.start.kind, call.start.text, *sorted(call.homes)), call)
            if known is not call:
                known.edges.update(call.edges)
                known.hosts.update(call.hosts)
                known.evidence.update(call.evidence)
        calling = {call.start.text for call in merged.values() if call.start.kind is Kind.JOB}
        jobs = {
            job.text
            for job in (estate.nodes(Kind.JOB) if calling else ())
            if job.scope not in leaving and not is_generated(estate, job)
        }
        verb = "calls" if len(calling) == 1 else "call"
        count = f" {len(calling)} of {plural(len(jobs), 'job')} elsewhere {verb} it."
        for call in merged.values():
            yield self._finding(estate, call, count if call.start.kind is Kind.JOB else "")

    def _finding(self, estate: EstateView, call: _Call, count: str) -> Finding:
        start = call.start
        going = next(one for one in estate.going if one.host in call.hosts)
        edges = list(call.edges.values())
        reason = idle(estate, start) if start.kind is Kind.JOB else ""
        masked = _masked_timer(estate, start)
        low = all(edge.confidence is Confidence.LOW for edge in edges)
        left = max(_alternatives(estate, edge) for edge in edges)
        scheduled = start.kind in (Kind.JOB, Kind.UNIT) and not masked
        lost = any(edge.lost for edge in edges)
        severity = Severity.BLOCK if scheduled and lost and not low and not left else Severity.WARN
        if reason:
            severity = Severity.INFO
        place = f" on {listed(sorted(call.homes))}" if call.homes else ""
        verb = _VERBS[strongest(edges)].format(host=listed(sorted(call.hosts)))
        gone = f"{going.host} {'gone' if retires(going) else 'read-only'}"
        fails = _fails(going, strongest(edges))
        if reason:
            why = f"It does not run anyway: {reason}. Whoever repairs it will find {gone}."
        elif not lost:
            runs_at = f"{runs(estate, start)}. " if start.kind is Kind.JOB else ""
            why = f"{runs_at}What it starts there can't write anything{_since(going)}; whether it must is not known."
        elif left:
            why = f"{going.host} is one of {left + 1} that it can turn to; {plural(left, 'other')} will be left."
        elif start.kind is Kind.JOB:
            why = f"{runs(estate, start)}, and {fails}."
        elif masked:
            why = f"Its timer, {masked}, is masked. If another unit or somebody starts the service, it {fails}."
        elif start.kind is Kind.UNIT:
            why = f"The service needs it, and {fails}."
        else:
            why = f"Nothing captured calls this script; if somebody runs it, it {fails}."
        first = next(iter(call.evidence.values()))
        place_of = _inside(first.path, start)
        if is_answer(first):
            place_of = f"it, in {listed(settings([first]))},"
        alias, defined = _alias(estate, edges)
        if going.successor and alias and not is_answer(first):
            successor = (
                f"Lead {alias}{defined} to {going.successor}, or write {going.successor} in its place in {place_of}"
            )
        else:
            successor = f"Point {place_of} at {going.successor}" if going.successor else f"Point {place_of} elsewhere"
        if strongest(edges) is Need.WRITE:
            then = ", and see that the files arrive there"
        else:
            then = ", and run it once"
        action = f"{successor}{then}.{written(estate, call.evidence.values(), call.hosts)}"
        if "/systemd/transient/" in place_of:
            unit = place_of.rpartition("/")[2]
            to = f" for {going.successor}" if going.successor else ""
            action = f"No file lasts of {unit}: look for what makes it (`systemd-run`), stop it, and make it anew{to}."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=severity,
            confidence=min((edge.confidence for edge in edges), key=list(Confidence).index),
            subject=start.label,
            identity=(start.kind.value, start.text, *sorted(call.homes)[:1]),
            message=f"{_called(start)}{place} {verb}",
            why=why + count,
            action=action,
            impact=Impact.NONE if reason else Impact.DEGRADED if left or not lost else Impact.BROKEN,
            evidence=tuple(call.evidence.values()),
            path=call.path,
            hosts=tuple(sorted(call.hosts)),
        )


def _alias(estate: EstateView, edges: Iterable[Edge]) -> tuple[str, str]:
    """The name by which the host is called, if all call it by one that is not its own, and where that is defined."""
    names = {alias_of(estate, edge) for edge in edges}
    if len(names) != 1:
        return "", ""
    at = next(iter(edges)).provider
    if at.kind is Kind.ENDPOINT:
        at = next((edge.provider for edge in estate.outgoing(at, Relation.STANDS_FOR)), at)
    leads = list(estate.outgoing(at, Relation.RESOLVES))
    if len(leads) == 1 and leads[0].provider.text.partition(".")[0] == at.text:
        # What only a search domain makes whole is defined under its full name.
        leads = list(estate.outgoing(leads[0].provider, Relation.RESOLVES))
    lines = [edge.provenance for edge in leads if edge.provenance.line]
    return names.pop(), f" ({lines[0].path}:{lines[0].line})" if len(lines) == 1 else ""


def _connections(estate: EstateView, going: Going) -> Iterator[Edge]:
    """The connections that fail with a host, over everything that stands for it."""
    host = estate.host(going.host)
    if host is None:
        return
    seen, pending = {host.id}, [host]
    while pending and len(seen) < _LIMIT:
        at = pending.pop()
        # What is started on a host that is read-only does run; only what it writes there fails.
        for edge in estate.incoming(at, Relation.CONNECTS):
            if edge.lost or (edge.need is Need.RUN and not retires(going)):
                yield edge
        for edge in estate.incoming(at, Relation.STANDS_FOR, Relation.RESOLVES):
            consumer = edge.consumer
            if consumer.kind in _MEANS and consumer.id not in seen:
                seen.add(consumer.id)
                pending.append(consumer)


def _is_of_renewal(estate: EstateView, node: Node) -> bool:
    """Whether a file is a hook or a credential of a certificate's renewal, and nothing else uses it."""
    users = [edge.consumer for edge in estate.incoming(node) if edge.relation is not Relation.STANDS_FOR]
    return any(user.kind is Kind.LINEAGE for user in users) and not any(
        user.kind in (Kind.JOB, Kind.UNIT) for user in users
    )


class _Copies:
    """Files that say the same on one host: a hook that is a link to a script, or its copy."""

    def __init__(self, estate: EstateView) -> None:
        self._estate = estate
        self._alike: dict[int, dict[tuple[object, ...], list[Node]]] = {}

    def tell(self, edge: Edge) -> bool:
        """Whether a connection of a file that nothing calls is told with that of one that is used."""
        script = edge.consumer
        if script.kind is not Kind.PATH or not script.scope or self._estate.incoming(script, Relation.CALLS):
            return False
        alike = self._alike.get(edge.provider.id)
        if alike is None:
            alike = self._alike[edge.provider.id] = {}
            for other in self._estate.incoming(edge.provider, Relation.CONNECTS):
                if other.consumer.kind is Kind.PATH:
                    alike.setdefault(_line_of(other), []).append(other.consumer)
        own = self._said(script)
        return any(
            one.id != script.id
            and (self._estate.incoming(one, Relation.CALLS) or _is_of_renewal(self._estate, one))
            and self._said(one) == own
            for one in alike[_line_of(edge)]
        )

    def _said(self, script: Node) -> set[tuple[object, ...]]:
        """All that its own lines are known to do."""
        lines = ((edge.relation, edge.provenance) for edge in self._estate.outgoing(script))
        return {(relation, at.line, at.excerpt) for relation, at in lines if _inside(at.path, script) == script.text}


def _line_of(edge: Edge) -> tuple[object, ...]:
    return edge.consumer.scope, edge.provenance.line, edge.provenance.excerpt


def _starts(estate: EstateView, direct: Node) -> Sequence[Node]:
    """The jobs and units that call something, over scripts; itself if nothing does."""
    seen, pending, found = {direct.id}, [direct], []
    while pending and len(seen) < _LIMIT:
        at = pending.pop()
        callers = [
            edge.consumer
            for edge in estate.incoming(at, Relation.CALLS)
            if edge.consumer.kind in _CONSUMERS and edge.consumer.id not in seen
        ]
        if at.kind is Kind.JOB or (not callers and (at.kind is Kind.UNIT or at is direct)) or not callers:
            found.append(at)
        for caller in callers:
            seen.add(caller.id)
            pending.append(caller)
    return sorted(found, key=lambda one: one.id)


def _naming_lines(
    estate: EstateView, edge: Edge, start: Node, going: Going, jobs_at: Callable[[], Mapping[str, Collection[int]]]
) -> tuple[Provenance, ...]:
    """The lines that name the host, and the job's own line where it names it too.

    A script may hand the name over (`fetch old-01`, `rsync $1::log`): then the line that has it is the one to change.
    """
    words = (going.host, going.host.partition(".")[0], *going.names, *going.addresses)
    found = [edge.provenance] if edge.provenance.path != "." else []
    if found and not any(word in found[0].excerpt.lower() for word in words):
        named = list(_named_in(estate, found[0].path, going))
        if not named and edge.consumer.scope:
            # The variable is set in a file that is read before: EnvironmentFile of systemd, what a script sources.
            for read in estate.outgoing(edge.consumer, Relation.READS, Relation.CALLS):
                if read.provider.kind is Kind.PATH:
                    named += _named_in(estate, f"hosts/{edge.consumer.scope}{read.provider.text}", going)
        if edge.consumer.kind is Kind.JOB and named:
            # Another line of a crontab is another job's.
            others = jobs_at().get(found[0].path, set())
            named = [one for one in named if one.path != found[0].path or one.line not in others]
        found = named or found
    for one in lines_of([start]):
        if any(word in one.excerpt.lower() for word in words) and one not in found:
            found.append(one)
    return tuple(found)


def _named_in(estate: EstateView, path: str, going: Going) -> Iterator[Provenance]:
    """The lines of a file that name the host, other than comments."""
    document = estate.find(Kind.DOCUMENT, path)
    for mention in estate.outgoing(document, Relation.MENTIONS) if document is not None else ():
        if mention.provider.text == going.host and not is_comment(mention.provenance.excerpt):
            yield mention.provenance


def _lines_of_jobs(estate: EstateView) -> dict[str, set[int]]:
    """The lines of all jobs, by file."""
    found: dict[str, set[int]] = {}
    for job in estate.nodes(Kind.JOB):
        for at in job.provenance:
            found.setdefault(at.path, set()).add(at.line)
    return found


def _masked_timer(estate: EstateView, unit: Node) -> str:
    """The timer of a service, if it is masked and nothing enables the service; else empty.

    That nothing else starts it, as `Wants=` of another unit, D-Bus or udev may, is not said by that.
    """
    if unit.kind is not Kind.UNIT or unit.attributes.get("enabled") or unit.attributes.get("wanted_by"):
        return ""
    timer = estate.find(Kind.JOB, f"{unit.text.removesuffix('.service')}.timer", unit.scope)
    return timer.text if timer is not None and timer.attributes.get("masked") else ""


def _inside(path: str, node: Node) -> str:
    """The path on the host: the same file on many hosts is one consumer."""
    prefix = f"hosts/{node.scope}/"
    return path[len(prefix) - 1 :] if node.scope and path.startswith(prefix) else path


def _path(estate: EstateView, start: Node, edge: Edge, going: Going) -> tuple[Step, ...]:
    """From the job to the host: over its scripts to the line that connects, and on over names to the host."""
    host = estate.host(going.host)
    if not edge.lost and host is not None:
        return estate.path_to(start, host)
    if start.id == edge.consumer.id:
        return estate.path_over(edge)
    return estate.path(start) or estate.path_over(edge)


def _alternatives(estate: EstateView, edge: Edge) -> int:
    """How many others of a group are left; 0 if the edge stands alone or nothing is left."""
    if not edge.group:
        return 0
    return sum(1 for one in estate.outgoing(edge.consumer) if one.group == edge.group and not one.lost)


def _fails(going: Going, need: Need) -> str:
    """`fails as soon as legacy-cert-01 is gone`; for a host that is read-only already, since when."""
    if retires(going):
        return f"fails as soon as {going.host} is gone"
    if going.since:
        what = "written there" if need is Need.WRITE else "changed there"
        return f"fails: nothing can be {what} since {going.since[:10]}, when {going.host} became read-only"
    return f"fails as soon as {going.host} is read-only"


def _since(going: Going) -> str:
    return f" since {going.since[:10]}" if going.since else " once the host is read-only"


def _called(start: Node) -> str:
    if start.kind is Kind.JOB:
        return title(start)
    if start.kind is Kind.UNIT:
        return f"The service {start.text}"
    return f"The script {start.text}"
