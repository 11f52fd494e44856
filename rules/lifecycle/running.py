"""A host that is declared to be gone, and still runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Declared,
    EstateView,
    Finding,
    Impact,
    Lifecycle,
    Period,
    Relation,
    Rule,
    Severity,
    listed,
)
from rules.lifecycle.signs import Sign, answers, work
from rules.lifecycle.states import lines

_SHOWN: Final = 4


class LifecycleRunningObservedRule(Rule):
    """A host is declared retired, or its day has passed, and it still answers, or does its work.

    What it does
    ------------
    Looks for signs of life of each host of the scenario that is declared retired, or retiring with a day that is over:
    it answered when it was collected, AWS says that its instance is running, an endpoint was served from its address, a
    job of it has run, or it has renewed a certificate. They count if they are younger than the day by more than one
    day; if no day is declared, all count but jobs and renewals.

    Why it matters
    --------------
    Everybody believes it to be gone. What it still does, nobody misses until somebody switches it off; and nobody
    patches it, or looks at its logs.

    Example
    -------
    `lifecycle: retired, since: 2025-06-20`, and `certbot.timer` ran on 2025-11-20

    What to do
    ----------
    Find out what it still does that others need (the other findings say), move that, and switch it off; or correct the
    inventory.

    What it can't see
    -----------------
    Hosts that were not collected: a machine that is retired is rarely asked. Jobs of cron leave no time of their last
    run.
    """

    id: ClassVar[str] = "lifecycle-running-observed"
    title: ClassVar[str] = "A host is declared to be gone, and still runs"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset()
    slack = Period(timedelta(days=1), "how long after its day a sign of life must be to count")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        over: dict[str, tuple[Declared, datetime | None]] = {}
        for going in estate.going:
            declared = estate.declared(going.host)
            if going.origin != "declared" or declared is None:
                continue
            day = declared.since if declared.lifecycle is Lifecycle.RETIRED else declared.on
            past = declared.lifecycle is Lifecycle.RETIRING and day is not None and day < estate.now
            if past or declared.lifecycle is Lifecycle.RETIRED:
                over[going.host] = declared, day
        signs: dict[str, list[Sign]] = {}
        for host, sign in (*answers(estate, over), *work(estate, over)) if over else ():
            day = over[host][1]
            if not sign.work if day is None else sign.at is not None and sign.at > day + self.slack:
                signs.setdefault(host, []).append(sign)
        for host, found in sorted(signs.items()):
            yield self._finding(host, *over[host], found)

    def _finding(self, host: str, declared: Declared, day: datetime | None, signs: list[Sign]) -> Finding:
        fate = "retired" if declared.lifecycle is Lifecycle.RETIRED else "to be retired"
        when = f" {'since' if fate == 'retired' else 'by'} {day.date().isoformat()}" if day else ""
        works = any(one.work for one in signs)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=host,
            identity=(host,),
            message=f"{host} is declared {fate}{when}, and still {'does its work' if works else 'runs'}: "
            + listed([one.said for one in signs], _SHOWN),
            why="What it still does, nobody misses until it is switched off."
            if works
            else "Nobody answers for a machine that is thought to be gone.",
            action="Move what others need of it, and switch it off; or correct the inventory.",
            impact=Impact.NONE,
            evidence=lines(*(one.where for one in signs[:20]), declared.where),
            hosts=(host,),
        )
