"""What is wrong with an inventory whose every value is well-formed: hosts that contradict themselves or each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from auditor.inventory.entries import Entry
from auditor.inventory.expansion import ExpandedHost, expand_names, is_pattern, spread_addresses, spread_names
from auditor.inventory.schema import Approver, Authority, Host, Inventory, LifecycleTag, Procedure, Step
from auditor.inventory.values import tag_word
from auditor.inventory.yaml_lines import Problem
from auditor.model import Lifecycle

_GUESSES: Final = 20
"""Unknown names for which a near one is looked for."""
PATTERN_LIMIT: Final = 200
"""Patterns with * among hosts that are not collected: each is held against every host."""
HOST_LIMIT: Final = 1_000_000
"""Hosts in one inventory, ranges counted in full."""


def check(inventory: Inventory, now: datetime | None = None, unread: Collection[str] = ()) -> Iterator[Problem]:
    """Problems beyond types, in no order.

    `now` is what "future" and "past" refer to, by default the inventory's `collected_at`. `unread` are names of entries
    that were wrong in another way: they exist, and nothing more is known of them.
    """
    now = now or inventory.collected_at
    total = sum(host.size for host in inventory.hosts)
    if total > HOST_LIMIT:
        yield Problem(inventory.line_of("hosts"), f"{total} hosts are more than {HOST_LIMIT}", "split the estate")
        return
    for host in inventory.hosts:
        yield from _ranges(host)
        yield from _lifecycle(host, now)
        if host.network and host.network not in (known := [*(network.name for network in inventory.networks), *unread]):
            hint = near(host.network, known) or "declare it under `networks`"
            yield Problem(host.line_of("network"), f"`{host.name}` is in the unknown network `{host.network}`", hint)
    yield from _shared(inventory)
    yield from _successors(inventory, unread)
    yield from _statements(inventory, now)
    yield from _not_collected(inventory, unread)
    yield from _names(inventory)
    yield from _tags(inventory.lifecycle_tags or ())
    for procedure in inventory.procedures:
        yield from _procedure(procedure, [*(key.name for key in inventory.keys), *unread])
    for authority in inventory.authorities:
        yield from _hours(authority, f"authority `{authority.name}`")
    for source in inventory.sources:
        if getattr(source, "token_env", None) and getattr(source, "token_command", None):
            yield Problem(source.line_of("token_command"), "both `token_env` and `token_command` are given", "keep one")
        if getattr(source, "url", None) and getattr(source, "kubeconfig", None):
            yield Problem(source.line_of("kubeconfig"), "both `url` and `kubeconfig` are given", "keep one")


def near(text: str, known: Iterable[str]) -> str:
    """A "did you mean" for a text that is not among the known ones; empty if none is near."""
    found = get_close_matches(text, list(known), n=1)
    return f"did you mean `{found[0]}`?" if found else ""


def _ranges(host: Host) -> Iterator[Problem]:
    count = host.size
    hosts = "one host" if count == 1 else f"a range of {count} hosts"
    names, addresses = spread_names(host.names, count), spread_addresses(host.addresses, count)
    if names is None:
        sizes = ", ".join(str(len(expand_names(name))) for name in host.names)
        yield Problem(
            host.line_of("names"), f"`{host.name}` is {hosts}, and its `names` are ranges of {sizes}",
            "give each item as many names as there are hosts",
        )  # fmt: skip
    if addresses is None:
        yield Problem(
            host.line_of("addresses"), f"`{host.name}` is {hosts}, and its `addresses` don't come out even",
            f"give {count} addresses in all, or ranges of {count} each",
        )  # fmt: skip
    if host.successor and (size := len(expand_names(host.successor))) not in (1, count):
        yield Problem(
            host.line_of("successor"), f"`{host.name}` is {hosts}, and its successor a range of {size}",
            "name one host, or a range of equal size",
        )  # fmt: skip
    if host.instance_id and count > 1:
        yield Problem(host.line_of("instance_id"), f"`{host.name}` is {hosts}, which share no instance id", "remove it")


def _lifecycle(host: Host, now: datetime | None) -> Iterator[Problem]:
    lifecycle, name = host.lifecycle, host.name
    if lifecycle is Lifecycle.RETIRING and host.on is None:
        yield Problem(host.line_of("lifecycle"), f"`{name}` is retiring, and no date is given", "add `on: 2027-01-31`")
    if host.on is not None and lifecycle is Lifecycle.ACTIVE:
        yield Problem(host.line_of("on"), f"`{name}` is to be retired, and is `active`", "write `lifecycle: retiring`")
    if host.on is not None and lifecycle is Lifecycle.RETIRED:
        yield Problem(host.line_of("on"), f"`{name}` is retired already", "write the date as `since`")
    if host.since is not None and lifecycle in (Lifecycle.ACTIVE, Lifecycle.RETIRING):
        hint = "write `lifecycle: read-only` or `retired`" + (", or the date as `on`" if host.on is None else "")
        yield Problem(host.line_of("since"), f"`{name}` has a `since`, and is neither read-only nor retired", hint)
    if host.since is not None and host.on is not None and host.on < host.since:
        yield Problem(host.line_of("on"), f"`{name}` would be retired before it is read-only", "check `since` and `on`")
    if host.since is not None and now is not None and host.since > now:
        yield Problem(
            host.line_of("since"), f"`{name}` is {lifecycle.value} since {day(host.since)}, which is after {day(now)}",
            "write `lifecycle: retiring` and the date as `on`, or correct `collected_at`",
        )  # fmt: skip
    if host.read_only_paths and lifecycle in (Lifecycle.ACTIVE, Lifecycle.RETIRED):
        yield Problem(
            host.line_of("read_only_paths"), f"`{name}` has read-only mounts, and is `{lifecycle.value}`",
            "write `lifecycle: read-only`: with `read_only_paths`, only these mounts are",
        )  # fmt: skip


def day(time: datetime) -> str:
    """A time for people: the date alone where it is its first moment."""
    text = time.strftime("%Y-%m-%d %H:%M UTC")
    return text.removesuffix(" 00:00 UTC")


def _shared(inventory: Inventory) -> Iterator[Problem]:
    """Names and addresses that two entries claim, each pair of entries once."""
    owners: dict[str, ExpandedHost] = {}
    at: dict[tuple[str, str], ExpandedHost] = {}
    clashes: dict[tuple[str, int, int], list[str]] = {}
    hosts = inventory.expanded()
    for host in hosts:
        for name in dict.fromkeys((host.name, *host.names)):
            first = owners.setdefault(name, host)
            if first is not host:
                clashes.setdefault(("name", first.line, host.line), []).append(name)
        for address in host.addresses:
            first = at.setdefault((host.network, address), host)
            if first is not host:
                clashes.setdefault(("address", first.line, host.line), []).append(address)
    for host in hosts:
        for name in (host.name, *host.names):
            if "." not in name:
                for domain in inventory.domains:
                    other = owners.get(f"{name}.{domain}")
                    if other is not None and other is not host:
                        clashes.setdefault(("name", min(other.line, host.line), max(other.line, host.line)), []).append(
                            f"{name}.{domain}"
                        )
    for (what, first_line, second_line), found in clashes.items():
        hint = "one of them is wrong, or they are one host"
        if what == "address":
            hint = "remove it from the host that no longer has it, or put the hosts in different `networks`"
        several = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield Problem(second_line, f"the {what} `{found[0]}`{several} is the host's on line {first_line} already", hint)


def _successors(inventory: Inventory, unread: Collection[str]) -> Iterator[Problem]:
    known = [name for host in inventory.expanded() for name in (host.name, *host.names)] if inventory.hosts else []
    after: dict[str, ExpandedHost] = {}
    lines: dict[str, int] = {}
    seen: set[tuple[int, str]] = set()
    for host in inventory.expanded():
        if not host.successor:
            continue
        line, found = host.lines.get("successor", host.line), inventory.find(host.successor)
        problem: Problem | None = None
        kind = ""
        if not found and host.successor not in unread:
            kind = "unknown"
            hint = near(host.successor, known[:5000]) or "declare it under `hosts`"
            problem = Problem(line, f"the successor `{host.successor}` is not among the hosts", hint)
        elif len(found) > 1:
            kind = "several"
            problem = Problem(line, f"the successor `{host.successor}` may be one of {len(found)}", "write it in full")
        elif found and found[0] is host:
            kind = "own"
            problem = Problem(line, f"`{host.name}` is its own successor", "name the host that takes over")
        elif found and found[0].lifecycle is Lifecycle.RETIRED:
            kind = "retired"
            problem = Problem(line, f"the successor `{found[0].name}` is itself retired", "name a host that stays")
        elif found:
            after[host.name] = found[0]
            lines[host.name] = line
        if problem is not None and (line, kind) not in seen:
            seen.add((line, kind))
            yield problem
    done: set[str] = set()
    for name in after:
        chain: dict[str, None] = {}
        while name in after and name not in done and name not in chain:
            chain[name] = None
            name = after[name].name
        if name in chain:
            line = lines[name]
            circle = " → ".join([*list(chain)[list(chain).index(name) :], name])
            yield Problem(line, f"successors in a circle: {circle}", "one of them must stay")
        done.update(chain)


def _statements(inventory: Inventory, now: datetime | None) -> Iterator[Problem]:
    for absent in inventory.absent:
        what = f"the statement of {absent.by} on {absent.area}"
        if absent.until is not None and absent.until <= absent.on:
            yield Problem(absent.line_of("until"), f"{what} ends before it was made", "check `on` and `until`")
        elif absent.until is not None and now is not None and absent.until < now:
            yield Problem(
                absent.line_of("until"), f"{what} ended on {day(absent.until)}", "have it looked at again, or remove it"
            )


def _not_collected(inventory: Inventory, unread: Collection[str]) -> Iterator[Problem]:
    """Statements about hosts that there are not. One that has ended is no problem here: its hosts are a gap again."""
    known = [one for host in inventory.expanded() for one in (host.name, *host.names)][:5000]
    patterns = unknown = 0
    for statement in inventory.not_collected:
        line = statement.line_of("hosts")
        if statement.until is not None and statement.until <= statement.on:
            what = f"the statement of {statement.by} ends before it was made"
            yield Problem(statement.line_of("until"), what, "check `on` and `until`")
        for pattern in statement.hosts:
            # That a pattern meets nothing for now is no slip; that a name does may be one.
            if is_pattern(pattern):
                patterns += 1
                continue
            for name in expand_names(pattern):
                count = len(inventory.find(name))
                if count > 1:
                    yield Problem(line, f"`{name}` may be one of {count} hosts", "write it in full")
                elif not count and name not in unread:
                    unknown += 1
                    hint = (near(name, known) if unknown <= _GUESSES else "") or "name what is under `hosts`"
                    yield Problem(line, f"`{name}` is not among the hosts", hint)
                else:
                    continue
                break
    if patterns > PATTERN_LIMIT:
        what = f"{patterns:,} patterns with * are more than {PATTERN_LIMIT}"
        yield Problem(inventory.line_of("not_collected"), what, "write ranges, as sw[01:24].example.net")


def _names(inventory: Inventory) -> Iterator[Problem]:
    """Entries of one section with the same name."""
    sections: dict[str, tuple[Entry, ...]] = {
        "networks": inventory.networks,
        "webhooks": inventory.webhooks,
        "services": inventory.services,
        "balancers": inventory.balancers,
        "certificates": inventory.certificates,
        "watches": inventory.watches,
        "procedures": inventory.procedures,
        "keys": inventory.keys,
        "authorities": inventory.authorities,
    }
    for section, entries in sections.items():
        yield from _twice(section, entries)
    for procedure in inventory.procedures:
        yield from _twice("steps", procedure.steps)
        yield from _twice("approvers", procedure.approvers)


def _twice(section: str, entries: Iterable[Entry]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for entry in entries:
        name = str(getattr(entry, "name", ""))
        line = first.setdefault(name, entry.line)
        if line != entry.line:
            yield Problem(
                entry.line_of("name"), f"`{section}` has `{name}` twice, first on line {line}", "give each its own name"
            )


def _tags(entries: Sequence[LifecycleTag]) -> Iterator[Problem]:
    """Tags that one rule gives two meanings, and those that an earlier entry has all to itself."""
    read: dict[tuple[str, str], int] = {}
    for entry in entries:
        key = entry.key.casefold()
        earlier = [read.get((key, account)) or read.get((key, "")) for account in entry.accounts or ("",)]
        if (first := earlier[0]) is not None and None not in earlier:
            hint = "keep one of them, or give the other `accounts` and write it first"
            yield Problem(entry.line_of("key"), f"the tag `{entry.key}` is read on line {first} already", hint)
        for account in entry.accounts or ("",):
            read.setdefault((key, account), entry.line)
        meanings: dict[str, Lifecycle] = {}
        for lifecycle, words in entry.words.items():
            for word in words:
                first_meaning = meanings.setdefault(tag_word(word), lifecycle)
                if first_meaning is not lifecycle:
                    what = f"`{word}` is to mean {first_meaning.value} and {lifecycle.value}"
                    yield Problem(entry.line_of(lifecycle.value.replace("-", "_")), what, "keep one of them")


def _procedure(procedure: Procedure, keys: list[str]) -> Iterator[Problem]:
    people = [word for approver in procedure.approvers for word in (approver.name, approver.role) if word]
    for step in procedure.steps:
        what = f"step `{step.name}`"
        for name, count in Counter(step.approvals).items():
            if name not in people:
                hint = near(name, people) or "add it to `approvers` of this procedure"
                yield Problem(step.line_of("approvals"), f"{what} needs the unknown approver `{name}`", hint)
            elif count > 1:
                yield Problem(step.line_of("approvals"), f"{what} asks `{name}` {count} times", "name each once")
        if step.key_store and step.key_store not in keys:
            hint = near(step.key_store, keys) or "declare it under `keys`"
            yield Problem(step.line_of("key_store"), f"{what} needs the unknown key `{step.key_store}`", hint)
        yield from _hours(step, what)
    for approver in procedure.approvers:
        yield from _hours(approver, f"approver `{approver.name}`")


def _hours(entry: Step | Approver | Authority, what: str) -> Iterator[Problem]:
    """Who can be reached at any time has no time zone and no holidays: one of the two is a slip."""
    if not entry.hours:
        for key, said in (("time_zone", "a time zone"), ("holidays", "holidays")):
            if getattr(entry, key):
                yield Problem(entry.line_of(key), f"{what} has {said} without hours", "add `hours`")
