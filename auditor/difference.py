"""Two states of an estate against each other, as renderers get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from auditor.model import Attribute, Failure, Finding, Going, Outcome, Provenance


@dataclass(frozen=True, slots=True)
class FactChange:
    """One fact that differs: an entity, or a dependency of it.

    `hosts` are those of which it is stated; none for what belongs to no host. `relation` and `provider` are empty for
    an entity. `where` is a place of NEW, or of OLD for what NEW does not have. `before` and `after` hold what is said
    of it and differs: attributes, or the need of a dependency; of an entity that one side has, all its attributes.
    `why` says why it counts for less than it looks; with what NEW could not see stands `last_seen`, ISO 8601, or
    nothing if nobody knows.
    """

    hosts: tuple[str, ...]
    kind: str
    subject: str
    relation: str
    provider_kind: str
    provider: str
    where: Provenance
    before: Mapping[str, Attribute] = field(default_factory=dict)
    after: Mapping[str, Attribute] = field(default_factory=dict)
    last_seen: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding that OLD does not have. `why` is set where OLD could not see what it rests on."""

    finding: Finding
    why: str = ""


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A finding of both. `what` names what differs: severity, confidence, impact, message, deadline, evidence.

    `why` is set where NEW could not see all that OLD rests on: it may be as it was.
    """

    before: Finding
    after: Finding
    what: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class UnseenFinding:
    """A finding of OLD that is not in NEW, where NEW could not see what it rests on."""

    finding: Finding
    path: str
    why: str
    last_seen: str = ""


@dataclass(frozen=True, slots=True)
class UnseenSource:
    """A place that OLD had seen and NEW could not."""

    path: str
    outcome: Outcome
    detail: str
    last_seen: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs. Findings are those of the hosts in `going`, judged at the same time on both sides.

    Findings about coverage are not among them: what was seen and is not seen any more stands for itself.
    """

    old: str
    new: str
    now: datetime
    going: tuple[Going, ...]
    appeared: tuple[FactChange, ...] = ()
    vanished: tuple[FactChange, ...] = ()
    changed: tuple[FactChange, ...] = ()
    not_seen: tuple[FactChange, ...] = ()
    found: tuple[Found, ...] = ()
    fixed: tuple[Finding, ...] = ()
    findings_changed: tuple[FindingChange, ...] = ()
    findings_left: tuple[Finding, ...] = ()
    """Those that are on both sides, and the same."""
    findings_not_seen: tuple[UnseenFinding, ...] = ()
    sources_not_seen: tuple[UnseenSource, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything is known to be otherwise than before."""
        facts = self.appeared or self.vanished or self.changed
        return bool(facts or self.found or self.fixed) or any(not one.why for one in self.findings_changed)

    @property
    def complete(self) -> bool:
        """Whether NEW saw all that OLD had, and nothing of the audit failed."""
        lost = self.not_seen or self.findings_not_seen or self.sources_not_seen or self.failures
        return not lost and not any(one.why for one in self.findings_changed)
