"""Monitoring that still looks at a host that is gone."""

from __future__ import annotations

from typing import ClassVar, Final

from auditor.api import Area, Edge, Kind, Relation
from rules.after.references import StillRefers

WATCHERS: Final = frozenset({Kind.ALERT, Kind.PROBE, Kind.SCRAPE, Kind.ROUTE, Kind.RECEIVER, Kind.SILENCE})


class AfterStillWatchedRule(StillRefers):
    """Scrapes, probes, alerts, routes and silences that still name a host that is gone.

    What it does
    ------------
    After the switch-off it lists all of the monitoring that leads to the host: targets of scrape jobs and probes,
    alerts on its series, receivers and routes that tell it something, and silences that hide it.

    Why it matters
    --------------
    A target that is down for ever is an alert that somebody silences for all, and then the next real one is not heard.
    A silence that is left over hides whoever gets the name next.

    Example
    -------
    `targets: ["legacy-cert-01:9100"]` a month after the switch-off

    What to do
    ----------
    Remove the target and the alert; expire the silence.

    What it can't see
    -----------------
    Targets that come from service discovery which was not asked, and dashboards.
    """

    id: ClassVar[str] = "after-still-watched"
    title: ClassVar[str] = "The monitoring still looks at a host that is gone"
    area: ClassVar[Area] = Area.MONITORING
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES})

    def concerns(self, edge: Edge) -> bool:
        """What watches, silences, notifies, or checks from there."""
        return edge.consumer.kind in WATCHERS
