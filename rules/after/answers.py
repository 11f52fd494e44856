"""A host that is said to be gone, and still answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Outcome,
    Phase,
    Relation,
    Rule,
    Severity,
    listed,
    parse_time,
)
from rules.after.references import AFTER
from rules.lifecycle.signs import DOWN, Sign, answers, scrapes, work
from rules.lifecycle.states import lines

_SHOWN: Final = 4


class AfterStillAnswersRule(Rule):
    """A host that is said to be switched off, and that answers, is scraped, or does its work.

    What it does
    ------------
    After the switch-off it looks for signs of life that are younger than it: the host was collected, AWS says that its
    instance runs, an endpoint was served from its address, Prometheus scraped it, a job of it has run, or it has
    renewed a certificate. The day is `--on`, else `since` of the inventory; without either all signs count but jobs
    and renewals.

    And somebody must have tried: a collection since that day that could not reach the host, or an instance that its
    cloud calls stopped or terminated. Otherwise the rule has not looked.

    Why it matters
    --------------
    What was only believed to be off is patched by nobody, and comes back with its old jobs at the next power cut.

    Example
    -------
    Switched off on Monday, and `legacy-cert-01` let the collection in on Thursday

    What to do
    ----------
    Switch it off. If another machine has its address, say so in the inventory.

    What it can't see
    -----------------
    That it does not answer because of a firewall. Where nothing was collected over the network, a line of
    `captures.jsonl` tells of an attempt: `{"path": "hosts/NAME", "outcome": "unreachable", "collected_at": …}`.
    """

    id: ClassVar[str] = "after-still-answers"
    title: ClassVar[str] = "A host that is said to be gone still answers"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.BLOCK
    since: ClassVar[str] = "0.2.0"
    phases: ClassVar[frozenset[Phase]] = AFTER
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def missing(self, estate: EstateView) -> tuple[str, ...]:
        """The hosts that nobody tried to reach since."""
        return tuple(
            f"an attempt to reach it since its switch-off on {one.host}"
            for one in estate.going
            if not _was_tried(estate, one)
        )

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        hosts = {one.host: one for one in estate.going}
        found: dict[str, list[Sign]] = {}
        for name, sign in (*answers(estate, hosts), *scrapes(estate, hosts), *work(estate, hosts)):
            day = ended(estate, hosts[name])
            if not sign.work if day is None else sign.at is not None and sign.at > day:
                found.setdefault(name, []).append(sign)
        for name, signs in sorted(found.items()):
            day = ended(estate, hosts[name])
            since = f" since {day.date().isoformat()}" if day is not None else ""
            works = any(one.work for one in signs)
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=name,
                identity=(name,),
                message=f"{name} is said to be gone{since}, and still {'does its work' if works else 'answers'}: "
                + listed([one.said for one in signs], _SHOWN),
                why="What is believed to be off is patched by nobody, and may come back with its old jobs.",
                action=f"Switch {name} off; if another machine has its address now, say so in the inventory.",
                impact=Impact.NONE,
                evidence=lines(*(one.where for one in signs[:20])),
                hosts=(name,),
            )


def ended(estate: EstateView, going: Going) -> datetime | None:
    """When a host was switched off: as asked, else as declared; None if nobody said."""
    declared = estate.declared(going.host)
    return estate.on or parse_time(going.since) or (declared.on if declared is not None else None)


def _was_tried(estate: EstateView, going: Going) -> bool:
    """Whether somebody tried to reach a host since its end."""
    day = ended(estate, going)
    sighting = estate.sighting(going.host)
    if sighting is not None and (sighting.answered or sighting.outcome is Outcome.UNREACHABLE):
        return day is None or sighting.at is None or sighting.at > day
    host = estate.host(going.host)
    return host is not None and host.attributes.get("state") in DOWN
