"""A migration wave: hosts that go together, what still needs them, and the order in which they can go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from auditor.model import Finding, Report, Step


class Fate(StrEnum):
    """What holds a host of a wave back."""

    READY = "ready"
    WAITS = "waits"
    """Only hosts of the wave need it: it can go after them."""
    BLOCKED = "blocked"
    """Something that stays needs it."""
    UNSEEN = "unseen"
    """Nothing blocks it, and not all that it needs was looked at."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A host of the wave that needs another one of it, and must go before."""

    host: str
    consumers: tuple[str, ...]
    """What on it would break, as people call it; all of them."""
    path: tuple[Step, ...]
    """From the first of these to the host that it needs."""


@dataclass(frozen=True, slots=True)
class WaveHost:
    """One host of a wave."""

    host: str
    successor: str
    fate: Fate
    step: int
    """When it can go: 1 is first. Hosts of one step need nothing of each other, or each other."""
    blockers: tuple[Finding, ...]
    warnings: int
    gaps: tuple[str, ...]
    """What nobody looked at and a rule needs, for this host; what says that it may be another one comes first."""
    waits: tuple[Wait, ...]
    gone: bool = False
    """Whether the inventory declares it as retired already: it waits for nobody."""
    since: str = ""
    """Since when, ISO 8601, if the inventory says so."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave judged as a whole. `report` is what a checklist of all its hosts says."""

    name: str
    hosts: tuple[WaveHost, ...]
    """By step, then by name."""
    cycles: tuple[tuple[str, ...], ...]
    """Hosts that need each other: they go at the same time, or something between them must be changed first."""
    report: Report
    after: tuple[str, ...] = ()
    """The waves that are taken as gone before it."""

    @property
    def steps(self) -> tuple[tuple[WaveHost, ...], ...]:
        """The hosts of each step, in order."""
        last = max((one.step for one in self.hosts), default=0)
        return tuple(tuple(one for one in self.hosts if one.step == step) for step in range(1, last + 1))

    def together(self, host: str) -> tuple[str, ...]:
        """The other hosts of the cycle that a host is in; empty if it is in none."""
        return next((tuple(one for one in cycle if one != host) for cycle in self.cycles if host in cycle), ())

    def of(self, fate: Fate) -> tuple[WaveHost, ...]:
        """The hosts with one fate."""
        return tuple(one for one in self.hosts if one.fate is fate)
