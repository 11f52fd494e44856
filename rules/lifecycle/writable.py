"""A host that is declared read-only, and can be written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Period,
    Relation,
    Rule,
    Severity,
    listed,
    parse_time,
)
from rules.lifecycle.states import MADE_TO_BE_WRITTEN, lines


class LifecycleWritableObservedRule(Rule):
    """A host is declared read-only, and its file systems could be written when they were looked at.

    What it does
    ------------
    Looks at the root of each host of the scenario that the inventory declares read-only, or at the paths that it names
    (`read_only_paths`): is the file system mounted writable, in a capture that is younger than the declaration by a
    day?

    Why it matters
    --------------
    The audit takes the declaration for true: what writes there is told to fail, and may go on doing its work. Who then
    looks at the logs finds nothing wrong, and trusts neither.

    Example
    -------
    `lifecycle: read-only, since: 2025-06-20`, and `/dev/vda1 / ext4 rw,relatime` in a capture of November

    What to do
    ----------
    Make it read-only as planned, or correct the inventory.

    What it can't see
    -----------------
    Whether it is read-only in another way: an application's own switch, permissions, a database's `read_only`.
    """

    id: ClassVar[str] = "lifecycle-writable-observed"
    title: ClassVar[str] = "A host is declared read-only, and can be written"
    area: ClassVar[Area] = Area.STORAGE
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MOUNTS})
    slack = Period(timedelta(days=1), "how long after the declaration a capture must be taken to speak against it")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        for going in estate.going:
            declared = estate.declared(going.host)
            if going.origin != "declared" or going.lifecycle is not Lifecycle.READ_ONLY or declared is None:
                continue
            paths = declared.read_only_paths or ("/",)
            found = [mount for path in paths if (mount := estate.find(Kind.MOUNT, path, going.host)) is not None]
            writable = [mount for mount in found if self._is_writable(estate, mount, going)]
            if not writable:
                continue
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.HIGH,
                subject=going.host,
                identity=(going.host, *(mount.text for mount in writable)),
                message=f"{going.host} is declared read-only{f' since {going.since}' if going.since else ''}, and "
                f"{listed([mount.text for mount in writable])} can be written",
                why="What is told here to fail there may still run, and be what others live on.",
                action="Make it read-only as planned, or correct the inventory.",
                impact=Impact.NONE,
                evidence=lines(declared.where, more=(one for mount in writable for one in mount.provenance[-1:])),
                hosts=(going.host,),
            )

    def _is_writable(self, estate: EstateView, mount: Node, going: Going) -> bool:
        known = mount.attributes
        writable = known.get("read_only") is False or known.get("observed_writable") is True
        if not (known.get("mounted") and writable and known.get("fstype") in MADE_TO_BE_WRITTEN):
            return False
        since = parse_time(going.since)
        taken = [when for one in mount.provenance if (when := parse_time(one.collected_at)) is not None]
        return since is None or max(taken, default=estate.now) > since + self.slack
