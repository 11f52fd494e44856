"""What was looked at, and with which outcome: a value with a reason, never silence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from auditor.api import Rule
from auditor.audit.staying import look_at_those_that_stay
from auditor.audit.windows import HOW, TASKS, windows_hosts, without_mounts
from auditor.capture.areas import ESTATE_WIDE, ON_THE_HOST, RELATIONS_OF, SCHEDULERS, area_of, schedulers_of
from auditor.capture.reading import Bound, Reading
from auditor.capture.sealed import DATABASE, HOLDS_TEXT, PICTURE, SEARCHED
from auditor.capture.tree import OF_THE_ESTATE, moment_of
from auditor.graph.hosts import HostTable
from auditor.model import ALWAYS_SEEN, Area, Coverage, Fleet, Going, Malformed, Outcome, Relation
from auditor.phrases import listed, plural

if TYPE_CHECKING:
    from auditor.graph.view import View
    from auditor.inventory.schema import Inventory

_ON_HOST_AREAS: Final = (Area.SCHEDULES, Area.RENEWAL, Area.STORAGE)
_ESTATE_AREAS: Final = (Area.MONITORING, Area.NAMES, Area.WEBHOOKS)
NOWHERE: Final = "is named nowhere in the estate"
"""What is said of a host that was asked for, after its name."""
_HOW: Final = {
    Area.SCHEDULES: "capture its crontabs and systemd units under hosts/{host}/",
    Area.RENEWAL: "capture /etc/letsencrypt (or what renews its certificates) under hosts/{host}/",
    Area.STORAGE: "capture /proc/self/mountinfo or /etc/fstab under hosts/{host}/",
    Area.MONITORING: "add the monitoring's configuration and rules to the estate",
    Area.NAMES: "add the zone files to the estate",
    Area.WEBHOOKS: "add the lists of webhooks to the estate",
    Area.TRAFFIC: "add the load balancers' and proxies' configuration, such as haproxy.cfg, or AWS's target groups",
    Area.IDENTITY: "capture /etc/ssh, authorized_keys and hosts.allow of the hosts that stay",
    Area.CONFIGURATION: "add the configuration management's repository, such as Ansible's inventory and playbooks",
    Area.LOGS: "capture /etc/rsyslog.conf, rsyslog.d and /etc/postfix of the hosts that stay",
}

_LOST: Final = "recorded as captured, and not among the files of the estate"
_CONTRADICTED: Final = "recorded as absent, and there is something: the record is of another time than the files"


_ANSWERS: Final = ("aws/", "services/")
"""Where captures lie that are of no host."""

_HOOKS: Final = re.compile(r"services/[^/]+/hooks[./]")

_MONITORING: Final = re.compile(
    r"(?:^|[/_.-])(?:prometheus|alertmanager|grafana|nagios|icinga2?|zabbix|thanos|mimir)(?=[/_.-])", re.I
)
_TABLES_BESIDE: Final = frozenset({Area.COVERAGE, Area.LOGS, Area.TRAFFIC})
"""Areas where a file that is no text is a table made of the text beside it, or says nothing of other machines."""
_FETCHED: Final = frozenset({"node_modules", ".terraform"})
_TYPED_WRONG: Final = 2
"""How many letters a name that was meant may be longer or shorter."""
_CANDIDATES: Final = 10_000
_THEY: Final = {DATABASE: "databases", PICTURE: "pictures or fonts"}


class Covered(NamedTuple):
    """All lines of coverage, and the hosts that stay; None if none is known."""

    rows: tuple[Coverage, ...]
    fleet: Fleet | None


def of_estate(
    reading: Reading,
    inventory: Inventory | None,
    hosts: HostTable,
    going: Sequence[Going],
    named: Collection[str],
    inventory_path: str,
    now: datetime,
    must_see: Collection[Area] = (),
) -> Covered:
    """All lines of coverage: what was parsed, what was asked and not had, what a person declared, what nobody asked.

    `now` is what dates of the inventory are compared with. `must_see` are the areas of which something must have been
    seen, beyond those that always must.
    """
    rows: list[Coverage] = []
    canonical = canonical_of(reading, hosts)
    # A rule may compare a host with its successor: then it must know what was looked at there.
    successors = {hosts.find(one.successor) or one.successor for one in going if one.successor}
    rows.extend(_parsed(reading, canonical, {one.host for one in going} | successors))
    rows.extend(_recorded(reading, canonical))
    rows.extend(_sealed(reading, canonical, {one.host for one in going}))
    rows.extend(_skipped(reading))
    rows.extend(malformed(reading, canonical, {one.host for one in going}))
    for row in reading.coverage:
        rows.extend(_for_hosts(row, canonical))
    if inventory is not None:
        from auditor.inventory.facts import declared_absent

        for area, host, reason, line in declared_absent(inventory):
            source = (hosts.find(host) or host) if host else ""
            rows.append(
                Coverage(
                    source,
                    area,
                    f"declared: {reason}",
                    Outcome.ABSENT,
                    path=inventory_path,
                    line=line,
                    provides=tuple(relation.value for relation in RELATIONS_OF.get(area, ())),
                )
            )
    names = {one.host for one in going}
    windows = windows_hosts(reading, canonical, inventory, hosts, names)
    rows.extend(without_mounts(going, windows))
    looked = _schedulers(reading, canonical, names)
    rows.extend(_unseen(rows, going, named, looked, hosts, windows))
    rows.extend(_unseen_areas(reading, rows, must_see))
    going_hosts = {one.host for one in going}
    rows, fleet = look_at_those_that_stay(rows, reading, inventory, hosts, canonical, going_hosts, inventory_path, now)
    return Covered(tuple(rows), fleet)


def afterwards(rows: Sequence[Coverage], going: Sequence[Going], known: Collection[str]) -> tuple[Coverage, ...]:
    """The lines of coverage once the hosts are said to be gone: that they do not answer any more is no gap.

    `known` are the hosts that the inventory declares: that nothing else names them is as it should be.
    """
    gone = {one.host for one in going}
    result = []
    for row in rows:
        if row.source in gone and not row.seen:
            if row.outcome is Outcome.UNSEEN and (row.area is not Area.COVERAGE or row.source in known):
                continue
            if row.outcome is not Outcome.UNSEEN:
                row = replace(row, needed=False)
        result.append(row)
    return tuple(result)


def aged(
    reading: Reading,
    hosts: HostTable,
    going: Sequence[Going],
    rows: Sequence[Coverage],
    now: datetime,
    max_age: timedelta,
) -> tuple[Coverage, ...]:
    """The lines of coverage, if captures older than `max_age` count as not seen.

    What they tell of dependencies is kept: an old capture may show that something depends, never that nothing does.
    """
    tree = reading.tree
    canonical = canonical_of(reading, hosts)
    own = {one.host for one in going}
    oldest: dict[tuple[str, Area], tuple[datetime, int, set[str], set[str]]] = {}
    unknown = 0

    def add(source: str, area: Area, when: datetime, path: str) -> None:
        names = canonical.get(source, (source,))
        for group in {name if name in own else "*" for name in names if name} or {""}:
            first, count, others, estates = oldest.get((group, area), (when, 0, set(), set()))
            if group == "*":
                others.update(names)
            if origin := tree.origin(path):
                estates.add(origin)
            oldest[group, area] = (min(first, when), count + 1, others, estates)

    for bound in reading.bound:
        path = bound.file.estate_path
        if path in OF_THE_ESTATE:
            continue
        when = tree.time_of(path)
        if when is None:
            unknown += 1
        elif now - when > max_age:
            areas = {reading.collectors[index].area for index in bound.template.readers} or {area_of(bound.file.path)}
            for area in areas:
                add(bound.file.source, area, when, path)
    stale = set()
    for capture in tree.captures.values():
        if capture.outcome is not Outcome.ABSENT:
            continue
        when = moment_of(capture.collected_at)
        if when is None:
            unknown += 1
        elif now - when > max_age:
            stale.add(capture.estate_path)
            add(capture.source, area_of(capture.path), when, capture.estate_path)
    result = [row for row in rows if not (row.recorded and row.path in stale)]
    for (group, area), (when, count, others, estates) in sorted(oldest.items()):
        whom = plural(len(others), "other host") if group == "*" else group
        what = f"{area.value} on {whom}, as it is now" if whom else f"{area.value} in the tree, as it is now"
        where = f" in {listed(sorted(estates))}" if estates else ""
        detail = (
            f"{plural(count, 'capture')}{where} {'is' if count == 1 else 'are'} older than {span(max_age)}: "
            f"the oldest is of {when:%Y-%m-%d}, {span(now - when)} ago. Collect again."
        )
        result.append(Coverage("" if group == "*" else group, area, what, Outcome.UNSEEN, count, detail, provides=()))
    if unknown:
        what = f"the age of {plural(unknown, 'capture')}"
        how = "nothing says when they were captured: `collected_at` in the inventory can"
        result.append(Coverage("", Area.COVERAGE, what, Outcome.UNSEEN, unknown, how, needed=False))
    return tuple(result)


def span(length: timedelta) -> str:
    """A length of time in its largest unit, below three days in whole ones: `12 days`, `36 hours`, `3 minutes`."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600)):
        if seconds >= 3 * size or (seconds >= size and seconds % size == 0):
            return plural(seconds // size, unit)
    return plural(seconds // 60, "minute")


def _for_hosts(row: Coverage, canonical: dict[str, tuple[str, ...]]) -> list[Coverage]:
    return [replace(row, source=host) for host in canonical.get(row.source, (row.source,))]


def _parsed(reading: Reading, canonical: dict[str, tuple[str, ...]], going: set[str]) -> list[Coverage]:
    """A line for each collector that read something: on each of these hosts, on all others together, in the tree."""
    counts: dict[tuple[str, int], int] = {}
    others: dict[int, set[str]] = {}
    # Readers -> source -> files: nearly all hosts stay, and have files that are read by the same.
    staying: dict[tuple[int, ...], dict[str, int]] = {}
    stay = {source for source, names in canonical.items() if going.isdisjoint(names)}
    for bound in reading.bound:
        readers, source = bound.template.readers, bound.file.source
        if readers and source in stay:
            files = staying.setdefault(readers, {})
            files[source] = files.get(source, 0) + 1
            continue
        names = canonical.get(source, ("",))
        for index in readers:
            for name in (name for name in names if name in going or not name):
                counts[name, index] = counts.get((name, index), 0) + 1
            if rest := [name for name in names if name and name not in going]:
                counts["*", index] = counts.get(("*", index), 0) + len(rest)
                others.setdefault(index, set()).update(rest)
    for readers, files in staying.items():
        total = sum(count * len(canonical[source]) for source, count in files.items())
        hosts = {name for source in files for name in canonical[source]}
        for index in readers:
            counts["*", index] = counts.get(("*", index), 0) + total
            others.setdefault(index, set()).update(hosts)
    looked = sum(bound.template.text for bound in reading.bound)
    every = Coverage(
        "",
        Area.MENTIONS,
        "all text, for names and addresses",
        Outcome.OK,
        looked,
        provides=(Relation.MENTIONS.value,),
    )
    rows = [every]
    for (name, index), count in sorted(counts.items()):
        collector = reading.collectors[index]
        provides = tuple(sorted(relation.value for relation in collector.provides))
        what = f"{collector.title}, on {plural(len(others[index]), 'other host')}" if name == "*" else collector.title
        rows.append(Coverage("" if name == "*" else name, collector.area, what, Outcome.OK, count, provides=provides))
    return rows


def _recorded(reading: Reading, canonical: dict[str, tuple[str, ...]]) -> list[Coverage]:
    """What the collection asked for and did not get, or found absent."""
    rows: list[Coverage] = []
    files = {bound.file.estate_path for bound in reading.bound} if reading.tree.captures else set()
    for capture in reading.tree.captures.values():
        if capture.outcome is Outcome.OK and capture.estate_path in files:
            continue
        there = reading.tree.exists(capture.estate_path)
        if capture.outcome is Outcome.OK:
            if not there:
                capture = replace(capture, outcome=Outcome.PARTIAL, detail=_LOST)
            else:
                continue
        elif capture.outcome is Outcome.ABSENT and there and not reading.tree.is_empty(capture.estate_path):
            capture = replace(capture, outcome=Outcome.PARTIAL, detail=_CONTRADICTED)
        area = area_of(capture.path)
        relations = RELATIONS_OF.get(area, ())
        if capture.outcome is Outcome.ABSENT and capture.path.startswith(_ANSWERS) and not _HOOKS.match(capture.path):
            # That one account or cluster has no schedules, zones or alarms says nothing of the estate's.
            relations = ()
        provides = tuple(relation.value for relation in relations)
        rows.extend(
            Coverage(
                host,
                area,
                capture.path,
                capture.outcome,
                detail=capture.detail,
                path=capture.estate_path,
                provides=provides,
                recorded=True,
            )
            for host in canonical.get(capture.source, (capture.source,))
        )
    return rows


def _sealed(reading: Reading, canonical: Mapping[str, tuple[str, ...]], going: set[str]) -> list[Coverage]:
    """Files whose text could not be read: counted, and named where something that is looked for must be in them.

    That is where a going host or the monitoring keeps what this tool reads.
    """
    rows: list[Coverage] = []
    counts: dict[str, Counter[str]] = {}
    for bound in reading.bound:
        kind = bound.template.sealed
        if not kind or _told(bound, kind):
            continue
        path = bound.file.path
        names = canonical.get(bound.file.source, (bound.file.source,))
        area = area_of(path)
        own = area not in _TABLES_BESIDE and any(name in going for name in names)
        watching = kind in HOLDS_TEXT and (area is Area.MONITORING or _MONITORING.search(path) is not None)
        if kind != PICTURE and (own or watching):
            where = bound.file.estate_path
            area = area if own else Area.MONITORING
            rows.append(
                Coverage(names[0], area, where, Outcome.UNSUPPORTED, detail=f"{kind}: {_looked(kind)}", path=where)
            )
        else:
            suffix = PurePosixPath(path).suffix.lower()
            counts.setdefault(kind, Counter())[suffix if 1 < len(suffix) <= 8 else "others"] += 1
    for kind, endings in sorted(counts.items()):
        total = sum(endings.values())
        shown = listed([f"{count} {ending}" for ending, count in sorted(endings.items(), key=_most)], 5)
        what = f"{plural(total, 'file')} {'that is' if total == 1 else 'that are'} {_THEY.get(kind, kind)}"
        rows.append(
            Coverage("", Area.MENTIONS, what, Outcome.UNSUPPORTED, total, f"{_looked(kind)}: {shown}", needed=False)
        )
    return rows


def _told(bound: Bound, kind: str) -> bool:
    """Whether a collector read it (a certificate in DER), or said itself that it could not."""
    if kind in HOLDS_TEXT:
        return bool(bound.template.malformed)
    return bound.template.claimed


def _looked(kind: str) -> str:
    return "searched for names only" if kind in SEARCHED else "not looked at"


def _most(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def _skipped(reading: Reading) -> list[Coverage]:
    """Directories of fetched code, which may hold configuration all the same."""
    names = {name: count for name, count in reading.tree.skipped.items() if name in _FETCHED}
    if not names:
        return []
    total = sum(names.values())
    what = f"{plural(total, 'directory', 'directories')} of fetched code ({listed(sorted(names))})"
    return [Coverage("", Area.MENTIONS, what, Outcome.UNSUPPORTED, total, "not looked at", needed=False)]


def malformed(reading: Reading, canonical: Mapping[str, tuple[str, ...]], going: Collection[str]) -> list[Coverage]:
    """Places that a parser could not read.

    A line of a crontab on another host is told, and rules out nothing: cron leaves it out too. One of a zone or of the
    monitoring may be the one that names the host, and leaves what depends on it unknown.
    """
    rows: list[Coverage] = []
    for path, index, item in (*reading.malformed, *reading.malformed_together):
        source, _ = reading.tree.place(path)
        rows.append(_broken(reading, index, path, item, canonical.get(source, (source,)), going))
    return rows


def _broken(
    reading: Reading, index: int, path: str, item: Malformed, names: tuple[str, ...], going: Collection[str]
) -> Coverage:
    line = item.where.line
    collector = reading.collectors[index]
    speaks_for_all = collector.area in ESTATE_WIDE and (
        collector.area is not Area.NAMES or Relation.RECORDS in collector.provides
    )
    return Coverage(
        names[0],
        collector.area,
        f"{path}:{line}" if line else path,
        Outcome.PARTIAL,
        detail=item.reason + (f"; {item.effect}" if item.effect else ""),
        path=path,
        line=line,
        needed=item.whole or speaks_for_all or any(name in going for name in names),
    )


def _schedulers(
    reading: Reading, canonical: Mapping[str, tuple[str, ...]], going: Collection[str]
) -> dict[str, frozenset[str]]:
    """Which kinds of schedules were looked at on each host that is going, whether there was something or not."""
    paths: dict[str, set[str]] = {
        source: set() for source, hosts in canonical.items() if any(host in going for host in hosts)
    }
    for bound in reading.bound:
        if bound.file.source in paths:
            paths[bound.file.source].add(bound.file.path)
    for capture in reading.tree.captures.values():
        if capture.source in paths and capture.outcome in (Outcome.OK, Outcome.ABSENT):
            paths[capture.source].add(capture.path)
    found: dict[str, frozenset[str]] = {}
    for source in paths:
        hosts = canonical[source]
        looked = schedulers_of(paths.get(source, ()))
        for host in hosts:
            found[host] = found.get(host, frozenset()) | looked
    return found


def nearly_called(host: str, hosts: HostTable) -> str:
    """The machines that are called nearly so; empty if none is."""
    called = {record.name if "." in host else record.short: record.name for record in hosts.records.values()}
    called.pop(host, None)
    alike = [name for name in sorted(called) if abs(len(name) - len(host)) <= _TYPED_WRONG][:_CANDIDATES]
    found = [called[name] for name in get_close_matches(host, alike, n=2, cutoff=0.8)]
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _unseen(
    rows: Sequence[Coverage],
    going: Sequence[Going],
    named: Collection[str],
    schedulers: Mapping[str, frozenset[str]],
    hosts: HostTable,
    windows: Collection[str],
) -> list[Coverage]:
    """Areas that nobody looked at, on the going hosts and in the estate."""
    seen = {(row.source, row.area) for row in rows if row.seen}
    declared = {row.area for row in rows if row.outcome is Outcome.ABSENT and not row.source and not row.recorded}
    stated = {row.source for row in rows if row.area is Area.SCHEDULES and row.outcome is Outcome.ABSENT and row.line}
    anywhere = {row.area for row in rows if _everywhere(row) and row.provides}

    def how(host: str, area: Area) -> str:
        return (HOW if host in windows else _HOW)[area].format(host=host)

    gaps = [
        _gap(one.host, area, f"{area.value} on {one.host} itself", f"To see it, {how(one.host, area)}.")
        for one in going
        for area in _ON_HOST_AREAS
        if (one.host, area) not in seen and area not in declared
    ]
    gaps.extend(
        _gap(one.host, Area.SCHEDULES, f"{kind} on {one.host}", f"To see them, capture them under hosts/{one.host}/.")
        for one in going
        if (one.host, Area.SCHEDULES) in seen and Area.SCHEDULES not in declared and one.host not in stated
        for kind in ((TASKS,) if one.host in windows else SCHEDULERS)
        if not schedulers.get(one.host) or (one.host not in windows and kind not in schedulers[one.host])
    )
    captured = {row.source for row in rows if row.seen}
    gaps.extend(
        _gap(
            one.host,
            Area.COVERAGE,
            f"{one.host} {NOWHERE}",
            f"Is the name spelt right, and is this the right estate?{nearly_called(one.host, hosts)}",
        )
        for one in going
        if one.host not in named and one.host not in captured
    )
    gaps.extend(
        _gap("", area, f"{area.value}, anywhere", f"To see it, {_HOW[area]}, or declare it absent in the inventory.")
        for area in _ESTATE_AREAS
        if area not in anywhere
    )
    return gaps


def _unseen_areas(reading: Reading, rows: Sequence[Coverage], must_see: Collection[Area]) -> Iterator[Coverage]:
    """Areas of which nothing was seen, on any host or in any file. Only those that must be seen rule out CLEAR.

    That one cloud account or service has none of it says nothing of the estate.
    """
    wanted = set(Area) - ALWAYS_SEEN - {Area.MENTIONS}
    wanted -= {row.area for row in rows if row.seen and not (row.recorded and row.path.startswith(_ANSWERS))}
    if wanted:
        # A file of a host may be looked at, and say nothing that becomes a fact.
        paths = {bound.file.path for bound in reading.bound}
        wanted -= {area_of(path) for path in paths if not path.startswith(_ANSWERS)}
    for area in sorted(wanted, key=list(Area).index):
        how = f"To see it, {_HOW[area]}, or declare it absent in the inventory."
        yield replace(_gap("", area, f"{area.value}, anywhere", how), needed=area in must_see)


def canonical_of(reading: Reading, hosts: HostTable) -> dict[str, tuple[str, ...]]:
    """The hosts that each source stands for, by the names that they are known by."""
    return {source: tuple(hosts.find(name) or name for name in names) for source, names in reading.tree.sources.items()}


def _everywhere(row: Coverage) -> bool:
    """Whether a line may speak for the whole estate: that one host has no Prometheus says nothing of the others."""
    return row.seen and not (row.outcome is Outcome.ABSENT and row.source and row.area in ESTATE_WIDE)


def _gap(source: str, area: Area, what: str, how: str) -> Coverage:
    provides = tuple(relation.value for relation in RELATIONS_OF.get(area, ()))
    return Coverage(source, area, what, Outcome.UNSEEN, detail=how, provides=provides)


def missing(view: View, rule: Rule) -> tuple[str, ...]:
    """The relations that a rule needs and that nobody looked at, on each going host where it must be there."""
    found: list[str] = []
    for relation in sorted(rule.needs, key=str):
        rows = [row for row in view.coverage(relation) if _everywhere(row)]
        if relation not in ON_THE_HOST:
            found.extend([relation.value] if not rows else [])
            continue
        sources = {row.source for row in rows if row.source or (row.outcome is Outcome.ABSENT and not row.recorded)}
        if "" not in sources:
            found.extend(f"{relation.value} on {one.host}" for one in view.going if one.host not in sources)
    return tuple(dict.fromkeys((*found, *rule.missing(view))))
