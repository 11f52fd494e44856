"""What a change of a repository does: the gate's result, as renderers get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from auditor.model import Coverage, Failure, Finding, Going, Provenance, RuleRun, SetAside, Severity


class Standing(StrEnum):
    """A finding against the same estate before the change."""

    NEW = "new"
    WORSENED = "worsened"
    """It was there, and has become more severe or stands in more places."""
    KNOWN = "known"
    FIXED = "fixed"
    """It was there and is gone."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding and what the change has to do with it. `added` are those of its places that the change wrote."""

    finding: Finding
    standing: Standing
    added: tuple[Provenance, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether the change is to answer for it."""
        return self.standing in (Standing.NEW, Standing.WORSENED)


@dataclass(frozen=True, slots=True)
class Removal:
    """A host or name that the change takes out of what the repository declares, or declares to be going.

    `what` is the rest of a sentence that begins with its name: `is taken out of DNS`, `is set to read-only`. `where`
    are the places of the new side: those at which the lines were taken away, with the old lines as excerpts, or the
    line that declares it. `dependents` are the findings that are left, without notes. `declared` is whether it is only
    declared: then its dependents fail the change as any finding does, by their severity.
    """

    host: str
    what: str
    where: tuple[Provenance, ...]
    dependents: tuple[Finding, ...] = ()
    declared: bool = False

    @property
    def fails(self) -> bool:
        """Whether it fails the change by itself: who takes a host out says that nothing needs it."""
        return not self.declared and bool(self.dependents)


@dataclass(frozen=True, slots=True)
class GateReport:
    """The gate's answer. `base` and `head` are what was compared, for people to read."""

    passed: bool
    fail_on: Severity
    base: str
    head: str
    going: tuple[Going, ...]
    removals: tuple[Removal, ...]
    judged: tuple[Judged, ...]
    lost_sight: tuple[Coverage, ...]
    """What could be read before the change and can't any more."""
    withdrawn: tuple[str, ...]
    """Hosts that the change declares active again. They are judged as they were before."""
    failures: tuple[Failure, ...]
    rules: tuple[RuleRun, ...]
    now: datetime
    notes: tuple[str, ...] = ()
    aside: tuple[SetAside, ...] = ()
    """What the new side has and the policy or a baseline sets aside: it fails nothing."""
    counts: Mapping[str, int] = field(default_factory=dict)
    unseen: tuple[Coverage, ...] = ()
    """What nobody looked at on the new side and that may depend on what goes."""

    def failing(self) -> tuple[Judged, ...]:
        """The findings that fail the change: by their severity, or since they need what it takes out."""
        ranks = {one: at for at, one in enumerate(Severity)}
        needed = {one.fingerprint for removal in self.removals if removal.fails for one in removal.dependents}
        return tuple(
            one
            for one in self.judged
            if (one.fails and ranks[one.finding.severity] <= ranks[self.fail_on])
            or (one.finding.fingerprint in needed and one.standing is not Standing.FIXED)
        )

    def by(self, *standings: Standing) -> tuple[Judged, ...]:
        """The findings of some standings, in the report's order."""
        return tuple(one for one in self.judged if one.standing in standings)
