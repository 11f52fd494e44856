"""How a wave is said, the same in each format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from auditor.model import Provenance
from auditor.phrases import listed, plural, ranged
from auditor.report.summary import beyond
from auditor.wave import Fate, Wait, Wave, WaveHost

SYMBOL: Final[Mapping[Fate, str]] = MappingProxyType(
    {Fate.READY: "✓", Fate.WAITS: "→", Fate.BLOCKED: "✗", Fate.UNSEEN: "?"}
)
MEANING: Final = "✓ can go · → after hosts of earlier steps · ✗ something that stays needs it · ? not fully seen"
EXIT_MEANING: Final = "0 all can go in this order, 1 blocked, 2 usage, 3 crash, 4 not fully seen"


def exit_code(waves: Iterable[Wave]) -> int:
    """0 if all can go in the order that is given, 1 if one host is blocked, 4 if one is not fully seen."""
    fates = {host.fate for wave in waves for host in wave.hosts}
    return 1 if Fate.BLOCKED in fates else 4 if Fate.UNSEEN in fates else 0


def headline(wave: Wave) -> str:
    """`5 hosts in 2 steps: 2 can go now, 1 after them, 2 blocked`."""
    counts = [
        (len(wave.of(Fate.READY)), "can go now" if len(wave.steps) > 1 else "can go"),
        (len(wave.of(Fate.WAITS)), "can go after them"),
        (len(wave.of(Fate.BLOCKED)), "blocked"),
        (len(wave.of(Fate.UNSEEN)), "not fully seen"),
    ]
    said = ", ".join(f"{count} {words}" for count, words in counts if count)
    return f"{plural(len(wave.hosts), 'host')} in {plural(len(wave.steps), 'step')}: {said}"


def uncovered(wave: Wave) -> str:
    """What is not covered where a host can go; empty if none can, or there is nothing."""
    return beyond(wave.report) if wave.of(Fate.READY) or wave.of(Fate.WAITS) else ""


def alike(hosts: Iterable[WaveHost], wave: Wave) -> list[tuple[WaveHost, ...]]:
    """Hosts of a step that the same holds back, told as one."""
    found: dict[tuple[object, ...], list[WaveHost]] = {}
    for host in hosts:
        blockers = frozenset(one.fingerprint for one in host.blockers)
        waits = tuple((wait.host, _bare(wait), len(wait.consumers)) for wait in after(host, wave))
        gaps = frozenset(gap.replace(host.host, "") for gap in host.gaps)
        others = frozenset((*wave.together(host.host), host.host)) if wave.together(host.host) else None
        found.setdefault((host.fate, blockers, waits, gaps, others, host.gone, host.since), []).append(host)
    return [tuple(one) for one in found.values()]


def called(hosts: Iterable[str]) -> str:
    """`app[01:12].example.net and db-01.example.net`."""
    return listed(ranged(hosts))


def fate(hosts: Sequence[WaveHost], wave: Wave) -> str:
    """What holds hosts back, in words. They are alike."""
    host = max(hosts, key=lambda one: one.warnings)
    warnings = plural(host.warnings, "warning") if host.warnings else ""
    if host.fate is Fate.BLOCKED:
        said = plural(len(host.blockers), "blocker") + (f", {warnings}" if warnings else "")
    elif host.fate is Fate.UNSEEN:
        them = "it" if len(hosts) == 1 else "them"
        said = f"nothing blocks {them}, and {plural(len(host.gaps), 'thing')} nobody looked at"
    else:
        said = ("nothing that stays needs it" if host.gone else "can go") + (f"; {warnings}" if warnings else "")
    if host.gone:
        return f"retired already{f', since {host.since}' if host.since else ''}; {said}"
    others = set(wave.together(host.host)) - {one.host for one in hosts}
    if others:
        said += f"; only at the same time as {called(others)}"
    elif wave.together(host.host):
        said += "; only at the same time"
    return said


def after(host: WaveHost, wave: Wave) -> list[Wait]:
    """What a host waits for, but for hosts that it goes together with."""
    together = wave.together(host.host)
    return [wait for wait in host.waits if wait.host not in together]


def judged(wave: Wave) -> str:
    """Under which assumption: `with week-49 gone; a dependency between hosts …`."""
    gone = f"with {listed(wave.after)} gone; " if wave.after else ""
    return f"{gone}a dependency between hosts of the wave is no blocker in this order"


def alike_waits(waits: Iterable[Wait]) -> list[tuple[Wait, ...]]:
    """Waits for hosts on which the same stands, told as one."""
    found: dict[tuple[object, ...], list[Wait]] = {}
    for wait in waits:
        place = written(wait)
        key = (_bare(wait), len(wait.consumers), (place.path, place.line) if place is not None else None)
        found.setdefault(key, []).append(wait)
    return [tuple(one) for one in found.values()]


def written(wait: Wait) -> Provenance | None:
    """The first line of the path from the consumer."""
    places = (step.evidence for step in wait.path)
    return next((one for one in places if one is not None and one.path != "."), None)


def because(waits: Sequence[Wait]) -> str:
    """`app-01: job /etc/cron.d/x and 2 more there need it`. The waits are alike."""
    first = waits[0]
    more = len(first.consumers) - 1
    verb = "needs" if not more else "need"
    each = " on each" if len(waits) > 1 else ""
    return f"{called(wait.host for wait in waits)}: {_bare(first)}{f' and {more} more' if more else ''}{each} {verb} it"


def _bare(wait: Wait) -> str:
    """The consumer that the path begins with, without its host."""
    label = wait.path[0].consumer if wait.path else wait.consumers[0]
    return label.removesuffix(f" on {wait.host}")


def together(cycle: Sequence[str]) -> str:
    """What to do about hosts that need each other."""
    return f"{listed(cycle)} need each other: switch them off at the same time, or change one of these first"


def waits_within(wave: Wave, cycle: Sequence[str]) -> list[tuple[str, Wait]]:
    """Who needs whom in a cycle: the host that is needed, and the one that needs it."""
    members = set(cycle)
    return [
        (host.host, wait) for host in wave.hosts if host.host in members for wait in host.waits if wait.host in members
    ]
