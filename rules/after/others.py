"""Whatever else still refers to a host that is gone."""

from __future__ import annotations

from typing import ClassVar, Final

from auditor.api import Area, Edge, Kind, Relation
from rules.after.jobs import JOBS, RENEWALS
from rules.after.monitoring import WATCHERS
from rules.after.references import StillRefers

_AREAS: Final = {
    Relation.MOUNTS: Area.STORAGE,
    Relation.BACKED_BY: Area.TRAFFIC,
}


class AfterStillReferredToRule(StillRefers):
    """Services, balancers, mounts, groups and procedures that still refer to a host that is gone.

    What it does
    ------------
    After the switch-off it lists everything that refers to the host, directly or by a name or address that leads to it
    alone, and that is neither of the monitoring nor of DNS, no job, no renewal and no webhook: back ends of pools,
    mounts, forwards, databases, groups of the configuration management, and what the inventory declares. Equal ones on
    many hosts are one. Text that only names the host is told by `mention`.

    Why it matters
    --------------
    A pool hides a member that is gone until the others go, too. A mount hangs at the next start of the machine. A group
    lets the next play wait for a host that never answers.

    Example
    -------
    `server legacy-01.example.net:8080;` in an upstream of nginx

    What to do
    ----------
    Take it out, or point it at the successor.

    What it can't see
    -----------------
    Whether the consumer is still in use, and what is configured where nobody looked.
    """

    id: ClassVar[str] = "after-still-referred-to"
    title: ClassVar[str] = "Something else still refers to a host that is gone"
    area: ClassVar[Area] = Area.CONFIGURATION
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def concerns(self, edge: Edge) -> bool:
        """All that no other rule tells."""
        if edge.relation in (Relation.RESOLVES, Relation.RECORDS):
            return False
        return edge.consumer.kind not in WATCHERS | JOBS | RENEWALS | {Kind.WEBHOOK}

    def area_of(self, edge: Edge) -> Area:
        """By what it needs."""
        return _AREAS.get(edge.relation, self.area)
