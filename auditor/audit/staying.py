"""The hosts that stay: which of them nobody looked into, which only in part, and what is known of each part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from auditor.capture.areas import PARTS, is_windows, parts_at
from auditor.capture.reading import Reading
from auditor.graph.hosts import HostTable
from auditor.model import Area, Coverage, Fleet, FleetGap, FleetPart, Going, Lifecycle, Outcome
from auditor.phrases import listed, plural, ranged
from auditor.text import is_address

if TYPE_CHECKING:
    from auditor.inventory.schema import Inventory, NotCollected

_ALL: Final = (1 << len(PARTS)) - 1
_ASKED_OF_WINDOWS: Final = sum(
    1 << index for index, part in enumerate(PARTS) if part.area is Area.SCHEDULES or part.what == "hosts file"
)
"""What a collection asks a Windows machine for: all else there stays unknown."""
_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
_OF_THE_HOST: Final = frozenset({"inventory", "captured", "asked"})
"""Where a machine is known from, other than by what somebody else says of it."""
_MANAGED_BY: Final = frozenset({"ansible", "salt", "terraform", "AWS"})
"""Who lists the machines that it manages: without an inventory, these are the estate's."""
_WRITTEN: Final = 5
"""Hosts, or ranges of them, that a line to type or to write names."""


class Stay(NamedTuple):
    """The lines of coverage, and the hosts that stay; None if none is known."""

    rows: list[Coverage]
    fleet: Fleet | None


def look_at_those_that_stay(
    rows: list[Coverage],
    reading: Reading,
    inventory: Inventory | None,
    hosts: HostTable,
    canonical: Mapping[str, tuple[str, ...]],
    going: Collection[str],
    inventory_path: str,
    now: datetime,
) -> Stay:
    """Also the hosts that stay and of which nothing, or not all, was looked at.

    They are those that the inventory declares and those of which there are captures; without declared ones also those
    that the configuration management or the cloud lists. What another source says of a host is no look into it. A host
    that was asked and did not answer is a gap of its own already; if it is declared as not collected, that one rules
    out nothing any more.
    """
    places = _Places(hosts, canonical)
    known = _known(reading, inventory, hosts, places, going)
    if not known:
        return Stay(rows, None)
    looks = _Looks.at(rows, reading, places)
    files = _looked_into(reading, places)
    tried = {one.source for one in reading.tree.captures.values()}
    tried |= {row.source for row in reading.coverage if row.needed and not row.seen}
    asked = places.named(tried)
    unseen = {name for name, host in known.items() if host not in files}
    partly = {name for name, host in known.items() if host in files and host not in looks.cut_off and looks.open(host)}
    missing = {name for name in unseen if known[name] not in asked}
    stated: set[str] = set()
    declared: list[Coverage] = []
    for statement, names in _statements(inventory, [name for name in known if name in unseen or name in partly], now):
        holds = statement.holds(now)
        half = tuple(name for name in names if name in partly)
        rest = tuple(name for name in names if name in (unseen if holds else missing))
        if holds:
            stated.update(known[name] for name in rest)
        missing.difference_update(rest)
        partly.difference_update(half)
        said = "declared as not collected" if holds else "whose declaration as not collected has ended"
        for some, how_far, outcome in ((rest, "", Outcome.UNSEEN), (half, "known only in part, ", Outcome.PARTIAL)):
            if some:
                what = f"{plural(len(some), 'host')} that {_stays(len(some))}, {how_far}{said}"
                line = Coverage("", Area.COVERAGE, what, outcome, len(some), _said(statement), inventory_path)
                declared.append(replace(line, line=statement.line, hosts=some, needed=not holds))
    rows = [
        replace(row, needed=False) if row.recorded and row.source in stated and not row.seen else row for row in rows
    ]
    for names, outcome, how_far in (
        (tuple(name for name in known if name in missing), Outcome.UNSEEN, "of which nothing was captured"),
        (tuple(name for name in known if name in partly), Outcome.PARTIAL, "known only in part"),
    ):
        if not names:
            continue
        what = f"{len(names):,} of {plural(len(known), 'host')} that {_stays(len(known))}, {how_far}"
        if outcome is Outcome.PARTIAL:
            first = looks.never_seen(known[name] for name in names)
        else:
            first = "What goes may be needed there."
            others = {by for name in names if (one := hosts.records.get(known[name])) for by in one.origins}
            if others := others - _OF_THE_HOST:
                say = "says" if len(others) == 1 else "say"
                first += f" What {listed(sorted(others))} {say} of them is no look into them."
        how = f"{first} {_how_to_see(names, inventory, outcome, now)}"
        rows.append(Coverage("", Area.COVERAGE, what, outcome, len(names), how, hosts=names))
    return Stay(rows + declared, looks.fleet(known))


def undeclared(
    reading: Reading,
    inventory: Inventory,
    hosts: HostTable,
    canonical: Mapping[str, tuple[str, ...]],
    going: Sequence[Going],
    without_machine: Iterable[tuple[str, Sequence[str]]],
) -> list[Coverage]:
    """One line for what has a name and an address under our domains, and is neither declared nor was looked into.

    `without_machine` are names with addresses that no known machine has. That a name is a machine's is not certain, so
    that this rules out nothing.
    """
    from auditor.inventory.expansion import addresses_in

    if not inventory.hosts or not inventory.domains:
        return []
    below = tuple(f".{domain}" for domain in inventory.domains)
    known = _looked_into(reading, _Places(hosts, canonical)) | {one.host for one in going}
    found = {
        record.name: record.name
        for record in hosts.records.values()
        if record.name not in known
        and not record.origins <= _OF_THE_HOST
        and "inventory" not in record.origins
        and record.name.endswith(below)
    }
    balanced = {
        address for balancer in inventory.balancers for item in balancer.addresses for address in addresses_in(item)
    }
    called = {balancer.name for balancer in inventory.balancers}
    for name, addresses in sorted(without_machine, key=lambda one: (one[0].count("."), one[0])):
        if name.endswith(below) and "*" not in name and name not in called and balanced.isdisjoint(addresses):
            found.setdefault(addresses[0], name)
    if not found:
        return []
    names = tuple(sorted(found.values()))
    what = f"{plural(len(names), 'name')} under our domains whose machine the inventory does not declare"
    how = (
        "Where it is a machine of ours, declare it in the inventory and collect from it: what goes may be needed there."
    )
    return [Coverage("", Area.COVERAGE, what, Outcome.UNSEEN, len(names), how, needed=False, hosts=names)]


@dataclass(slots=True)
class _Places:
    """The hosts that sources stand for; one that was captured by its address alone, too."""

    hosts: HostTable
    canonical: Mapping[str, tuple[str, ...]]

    def of(self, source: str) -> Iterator[str]:
        for name in self.canonical.get(source, (source,)):
            holders = self.hosts.at(name) if is_address(name) else ()
            yield holders[0] if len(holders) == 1 else name

    def named(self, sources: Iterable[str]) -> set[str]:
        return {name for source in sources for name in self.of(source)}


@dataclass(slots=True)
class _Looks:
    """What was looked at on each host, in bits as PARTS are numbered."""

    seen: dict[str, int] = field(default_factory=dict)
    """Something was read."""
    none: dict[str, int] = field(default_factory=dict)
    """There is nothing, as a record or a statement says."""
    trouble: dict[str, int] = field(default_factory=dict)
    """A place could not be read, which is a gap of its own."""
    everywhere: int = 0
    """What a statement for the whole estate says that there is nothing of."""
    whole: set[str] = field(default_factory=set)
    cut_off: set[str] = field(default_factory=set)
    """Hosts whose collection did not come to its end, or not to any."""

    @classmethod
    def at(cls, rows: Iterable[Coverage], reading: Reading, places: _Places) -> _Looks:
        """By the files, the records of the collection and the statements of the inventory."""
        looks = cls()
        seen, none, trouble = _by_source(reading)
        for found, masks in ((seen, looks.seen), (none, looks.none), (trouble, looks.trouble)):
            for source, mask in found.items():
                for name in places.of(source):
                    masks[name] = masks.get(name, 0) | mask
        for source in reading.tree.sources:
            record = reading.tree.captures.get(f"hosts/{source}")
            if record is not None and record.outcome is Outcome.OK:
                windows = none.get(source, 0) & _WINDOWS or seen.get(source, 0) & _WINDOWS
                for name in places.of(source):
                    if not windows:
                        looks.whole.add(name)
                    looks.none[name] = looks.none.get(name, 0) | (_ASKED_OF_WINDOWS if windows else _ALL)
            elif record is not None and record.outcome is not Outcome.ABSENT:
                looks.cut_off.update(places.of(source))
        for row in rows:
            if row.outcome is Outcome.ABSENT and not row.recorded and row.line:
                mask = sum(1 << index for index, part in enumerate(PARTS) if part.area is row.area)
                if row.source:
                    looks.none[row.source] = looks.none.get(row.source, 0) | mask
                else:
                    looks.everywhere |= mask
        return looks

    def open(self, host: str) -> int:
        """The parts of which nobody knows, and no other gap tells."""
        known = self.seen.get(host, 0) | self.none.get(host, 0) | self.trouble.get(host, 0) | self.everywhere
        return _ALL & ~known

    def never_seen(self, hosts: Iterable[str]) -> str:
        """`Never seen there: mounts, hosts file; on 12 of them: certificate renewal.`"""
        counts: Counter[int] = Counter()
        masks = Counter(self.open(host) for host in hosts)
        for mask, count in masks.items():
            counts.update({index: count for index in range(len(PARTS)) if mask >> index & 1})
        alike: dict[int, list[str]] = {}
        for index in sorted(counts):
            alike.setdefault(counts[index], []).append(PARTS[index].what)
        said = [
            f"{'there' if count == masks.total() else f'on {count:,} of them'}: {', '.join(parts)}"
            for count, parts in sorted(alike.items(), reverse=True)
        ]
        return f"Never seen {'; '.join(said)}."

    def fleet(self, known: Mapping[str, str]) -> Fleet:
        """Over all hosts that stay, given as what people call them and what they are known by."""
        seen: Counter[int] = Counter()
        none: Counter[int] = Counter()
        alike: dict[int, list[str]] = {}
        for name, host in known.items():
            looked = self.seen.get(host, 0) & _ALL
            absent = (self.none.get(host, 0) | self.everywhere) & ~self.trouble.get(host, 0) & ~looked & _ALL
            seen[looked] += 1
            none[absent] += 1
            if unknown := _ALL & ~looked & ~absent:
                alike.setdefault(unknown, []).append(name)
        parts = []
        for index, part in enumerate(PARTS):
            having = sum(count for mask, count in seen.items() if mask >> index & 1)
            without = sum(count for mask, count in none.items() if mask >> index & 1)
            parts.append(FleetPart(part.what, part.area, having, without, len(known) - having - without))
        gaps = tuple(
            FleetGap(tuple(part.what for index, part in enumerate(PARTS) if mask >> index & 1), tuple(ranged(names)))
            for mask, names in sorted(alike.items(), key=lambda one: (-len(one[1]), one[0]))
        )
        return Fleet(len(known), sum(host in self.whole for host in known.values()), tuple(parts), gaps)


_WINDOWS: Final = 1 << len(PARTS)
"""A bit beyond those of the parts: some path of the host is one of Windows."""


def _by_source(reading: Reading) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """What was read of each source, what is recorded as absent and what could not be read, in bits."""
    made: dict[tuple[str, tuple[int, ...]], int] = {}
    by_readers: dict[tuple[int, ...], int] = {}
    seen: dict[str, int] = {}
    for bound in reading.bound:
        source = bound.file.source
        if not source:
            continue
        key = (bound.file.path, bound.template.readers)
        mask = made.get(key)
        if mask is None:
            readers = by_readers.get(key[1])
            if readers is None:
                readers = by_readers[key[1]] = _parts_read(reading, key[1])
            mask = made[key] = _parts(key[0]) | readers
        seen[source] = seen.get(source, 0) | mask
    none: dict[str, int] = {}
    trouble: dict[str, int] = {}
    known: dict[str, int] = {}
    for capture in reading.tree.captures.values():
        if not capture.source or capture.outcome is Outcome.OK:
            continue
        mask = known.get(capture.path)
        if mask is None:
            mask = known[capture.path] = _parts(capture.path)
        if mask:
            into = none if capture.outcome is Outcome.ABSENT else trouble
            into[capture.source] = into.get(capture.source, 0) | mask
    return seen, none, trouble


def _parts(path: str) -> int:
    return sum(1 << index for index in parts_at(path)) | (_WINDOWS if is_windows(path) else 0)


def _parts_read(reading: Reading, readers: Iterable[int]) -> int:
    """What collectors tell of, wherever the file was that they read."""
    collectors = [reading.collectors[index] for index in readers]
    return sum(
        1 << index
        for index, part in enumerate(PARTS)
        if any(part.relation in one.provides or (part.readers and one.area is part.area) for one in collectors)
    )


def _known(
    reading: Reading, inventory: Inventory | None, hosts: HostTable, places: _Places, going: Collection[str]
) -> dict[str, str]:
    """The hosts that stay, as people call them, with what they are known by."""
    known: dict[str, str] = {}
    if inventory is not None:
        for host in inventory.expanded():
            name = hosts.find(host.name) or host.name
            if host.lifecycle is not Lifecycle.RETIRED and name not in going:
                known[host.name] = name
    spoken_of = set(known.values()) | set(going)
    others = places.named(reading.tree.sources)
    if inventory is None or not inventory.hosts:
        others |= {one.name for one in hosts.records.values() if not one.origins.isdisjoint(_MANAGED_BY)}
    for name in sorted(others - spoken_of):
        record = hosts.records.get(name)
        noticed = record.noticed if record is not None else None
        lifecycle = noticed[0] if noticed is not None else record.lifecycle if record is not None else None
        if lifecycle is not Lifecycle.RETIRED:
            known[name] = name
    return known


def _looked_into(reading: Reading, places: _Places) -> set[str]:
    """Hosts of which there is a file, or a record that something was there or was not."""
    sources = {bound.file.source for bound in reading.bound}
    sources |= {one.source for one in reading.tree.captures.values() if one.outcome in _SEEN}
    return places.named(sources)


def _statements(
    inventory: Inventory | None, names: Collection[str], now: datetime
) -> Iterator[tuple[NotCollected, tuple[str, ...]]]:
    if inventory is None:
        return iter(())
    from auditor.inventory.facts import not_collected

    return not_collected(inventory, names, now)


def _said(statement: NotCollected) -> str:
    """Who says why, and until when."""
    parts = [statement.by, f"{statement.on:%Y-%m-%d}"]
    if statement.until is not None:
        parts.append(f"until {statement.until:%Y-%m-%d}")
    return f"{statement.reason} ({', '.join(parts)})"


def _stays(count: int) -> str:
    return "stays" if count == 1 else "stay"


def _how_to_see(hosts: Sequence[str], inventory: Inventory | None, outcome: Outcome, now: datetime) -> str:
    """What to do about hosts of which not all was captured: to collect from them, or the lines for the inventory."""
    further = " further" if outcome is Outcome.PARTIAL else ""
    if inventory is None or not inventory.hosts:
        return (
            "Collect from there, too: `auditor collect`, with an inventory that says how (`auditor init` writes one to "
            f"start from). Where nobody has to look{further}, say why in it: `not_collected`, for hosts that `hosts` "
            "declares."
        )
    names = ranged(hosts)
    more = " …" if len(names) > _WRITTEN else ""
    written = ", ".join(f'"{name}"' if "[" in name else name for name in names[:_WRITTEN]) + (", …" if more else "")
    quoted = " ".join(f"'{name}'" if "[" in name else name for name in names[:_WRITTEN]) + more
    entry = f"{{hosts: [{written}], reason: …, by: …, on: {now:%Y-%m-%d}}}"
    declared = {host.name for host in inventory.expanded()}
    others = sum(name not in declared for name in hosts)
    first = f" ({plural(others, 'host')} of these must be declared in it first)" if others else ""
    return (
        f"Collect from there, too: `auditor collect {quoted}`. Where nobody has to look{further}, say in the inventory "
        f"why{first}: `not_collected: [{entry}]`."
    )
