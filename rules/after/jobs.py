"""Jobs, scripts and renewals that still need a host that is gone."""

from __future__ import annotations

from typing import ClassVar, Final

from auditor.api import Area, Edge, Kind, Relation
from rules.after.references import StillRefers

JOBS: Final = frozenset({Kind.JOB, Kind.UNIT, Kind.PATH, Kind.CLIENT})
RENEWALS: Final = frozenset({Kind.LINEAGE, Kind.CERTIFICATE})


class AfterStillCalledRule(StillRefers):
    """Jobs, units, scripts and renewals that still call, read from or write to a host that is gone.

    What it does
    ------------
    After the switch-off it lists what runs elsewhere and needs the host: jobs and the scripts that they call, systemd
    units, ACME clients and lineages whose hooks or challenges lead there.

    Why it matters
    --------------
    A job that fails once a month is noticed after a month; a hook that fails is noticed when the certificate ends.

    Example
    -------
    `rsync -a /srv/csr/ legacy-cert-01:/srv/csr/` in a crontab of the build server

    What to do
    ----------
    Point it at the successor, run it once, and look at what it did there.

    What it can't see
    -----------------
    Jobs of hosts that were not captured, and names that a script puts together when it runs.
    """

    id: ClassVar[str] = "after-still-called"
    title: ClassVar[str] = "A job or renewal still needs a host that is gone"
    area: ClassVar[Area] = Area.SCHEDULES
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CALLS})

    def concerns(self, edge: Edge) -> bool:
        """What jobs and renewals need."""
        return edge.consumer.kind in JOBS | RENEWALS

    def area_of(self, edge: Edge) -> Area:
        """Renewals have an area of their own."""
        return Area.RENEWAL if edge.consumer.kind in RENEWALS else self.area
