"""Which hosts are going, and how: as asked on the command line, or as the inventory declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.errors import UsageError
from auditor.graph.hosts import HostRecord, HostTable, is_less
from auditor.model import Going, Lifecycle
from auditor.text import expand_range, is_address, is_hostname, normal_name, range_size

HOSTS_LIMIT: Final = 10_000
"""Hosts of one scenario that may be asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One HOST of the command line: a name, and what else the host is called."""

    name: str
    also: tuple[str, ...] = ()


def parse_host(word: str) -> Asked:
    """`HOST[=ALIAS,…]`. An alias may be another name, an address, or a word such as a service or module.

    Raises UsageError if HOST is no host name or address.
    """
    name, _, rest = word.partition("=")
    if not (is_hostname(name) or is_address(name)):
        raise UsageError(
            f"{word!r} is not a host name",
            hint="Write HOST, a range such as web[01:20].example.org, or HOST=ALIAS,ALIAS as web1.example.org=web1.",
        )
    return Asked(name, tuple(part for one in rest.split(",") if (part := one.strip())))


def parse_hosts(words: Iterable[str]) -> list[Asked]:
    """HOSTs of the command line in their order, each once, ranges (`web[01:20].example.org`) written out.

    Raises UsageError for what is no host, and for more than HOSTS_LIMIT.
    """
    found: dict[Asked, None] = {}
    for word in words:
        name, _, aliases = word.partition("=")
        size = range_size(name)
        if size == 0:
            raise UsageError(f"{word!r} is an empty range", hint="Write the lower end first, as in web[01:20].")
        if size > 1 and aliases:
            raise UsageError(
                f"{word!r}: a range of hosts can't have aliases",
                hint="Name these hosts one by one: HOST=ALIAS,ALIAS.",
            )
        if len(found) + size > HOSTS_LIMIT:
            raise UsageError(f"more than {HOSTS_LIMIT:,} hosts", hint="Ask for them in parts.")
        found.update(dict.fromkeys(parse_host(word if aliases else one) for one in expand_range(name)))
    return list(found)


def register(hosts: HostTable, asked: Sequence[Asked]) -> list[str]:
    """The canonical names of what was asked, sorted, each made known to the table with its aliases."""
    found = []
    for one in asked:
        holders = hosts.at(one.name) if is_address(one.name) else []
        if len(holders) > 1:
            raise UsageError(
                f"{one.name} is an address of several hosts: {', '.join(sorted(holders))}",
                hint="Name the host instead.",
            )
        if not is_address(one.name) and "." not in one.name and hosts.find(one.name) is None:
            several = hosts.with_short(normal_name(one.name))
            if len(several) > 1:
                raise UsageError(
                    f"{one.name} is the short name of several hosts: {', '.join(sorted(several))}",
                    hint="Give the full name.",
                )
        if not holders and (whole := _cut_short(hosts, one.name)):
            holders = [whole]
        record = hosts.records[holders[0]] if holders else hosts.add_full(one.name, "asked")
        record.origins.add("asked")
        for alias in one.also:
            if is_address(alias):
                hosts.address(record, alias)
            elif is_hostname(alias) and "." in alias:
                hosts.alias(record, alias)
            else:
                record.words.setdefault(alias, None)
        if record.name not in found:
            found.append(record.name)
    return sorted(found)


def _cut_short(hosts: HostTable, name: str) -> str:
    """The one machine whose name begins with these labels (`web01.ams` of web01.ams.example.org); empty if none is."""
    if is_address(name) or hosts.find(name) is not None:
        return ""
    short, _, rest = normal_name(name).partition(".")
    begins = f"{short}.{rest}."
    meant = [
        machine
        for machine in hosts.with_short(short)
        if any(known.startswith(begins) for known in hosts.records[machine].names)
    ]
    return meant[0] if rest and len(meant) == 1 else ""


def declared(hosts: HostTable) -> list[str]:
    """The hosts that the inventory declares as retired, retiring or read-only, and those seen or tagged so, sorted."""
    return sorted(
        record.name
        for record in hosts.records.values()
        if record.lifecycle is not Lifecycle.ACTIVE or record.noticed is not None
    )


def going(
    hosts: HostTable, names: Iterable[str], lifecycle: Lifecycle | None, now: datetime, on: datetime | None
) -> tuple[Going, ...]:
    """What is to happen to each host: as asked (`--as`), else as declared, else as it was seen or is tagged, else
    retired."""
    return tuple(_one(hosts.records[name], lifecycle, now, on) for name in names)


def _one(record: HostRecord, lifecycle: Lifecycle | None, now: datetime, on: datetime | None) -> Going:
    asked = lifecycle
    noticed = ""
    if asked is None:
        asked = record.lifecycle if record.lifecycle is not Lifecycle.ACTIVE else Lifecycle.RETIRED
        found = record.noticed if "asked" not in record.origins else None
        if found is not None and is_less(found[0], record.lifecycle):
            asked, noticed = found
    same = asked is record.lifecycle
    since = record.since[:10] if same and record.lifecycle in (Lifecycle.READ_ONLY, Lifecycle.RETIRED) else ""
    return Going(
        record.name,
        asked,
        tuple(sorted(set(record.names) - {record.name})),
        tuple(sorted(record.addresses)),
        record.successor,
        since,
        noticed or ("declared" if same else "asked"),
        record.on if same else "",
    )
