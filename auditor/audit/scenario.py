"""Which hosts are going, and how: as asked on the command line, or as the inventory declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from auditor.errors import UsageError
from auditor.graph.hosts import HostRecord, HostTable, is_less
from auditor.model import Going, Lifecycle
from auditor.text import is_address, is_hostname, normal_name


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
            f"{word!r} is not a host name", hint="Write HOST or HOST=ALIAS,ALIAS, as in web1.example.org=web1."
        )
    return Asked(name, tuple(part for one in rest.split(",") if (part := one.strip())))


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
