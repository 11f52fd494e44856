"""What NetBox notes of a host that is going, and of what takes over, where that is not what is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
)

_IN_USE: Final = frozenset({"active", "staged", "planned"})
_NOT_YET: Final = {
    "planned": "is planned there",
    "staged": "is staged there",
    "inventory": "lies in store there",
    "offline": "is offline there",
    "failed": "has failed there",
    "decommissioning": "is being decommissioned there",
    "paused": "is paused there",
}


class NetboxStatusDiffersRule(Rule):
    """Finds hosts whose status in NetBox is not what the move makes of them.

    What it does
    ------------
    Takes the status of each going host and of its successor, as NetBox has it. A successor that is not active there
    (planned, offline, being decommissioned itself) is a warning: perhaps the wrong host was declared, or it is not
    ready. A host that is to be retired and that NetBox still has as active is told for information. Nothing is said for
    a host that is made read-only, and for hosts that NetBox does not know.

    Why it matters
    --------------
    What is built from NetBox (inventories, monitoring, firewall rules, names) goes by the status: a host that stays
    active there comes back with the next run, and one that is planned is left out.

    Example
    -------
    `cert-02` takes over, and NetBox says of it: `planned`.

    What to do
    ----------
    Set the status of both, and free the addresses and names of what is gone.

    What it can't see
    -----------------
    Whether what is noted is so. Machines that NetBox has twice by the same name, and what reads NetBox.
    """

    id: ClassVar[str] = "netbox-status-differs"
    title: ClassVar[str] = "NetBox has another status"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        for going in estate.going:
            host = estate.host(going.host)
            if host is None:
                continue
            if going.lifecycle is not Lifecycle.READ_ONLY and _status(host) in _IN_USE:
                yield self._finding(
                    going,
                    host,
                    Severity.INFO,
                    f"NetBox still has {host.text} as {_status(host)}",
                    "What is made from NetBox goes on with it.",
                    f"Set {host.text} to decommissioning before it is off; afterwards delete it with its addresses.",
                )
            successor = estate.successor(host)
            if successor is None or estate.going_for(successor) is not None:
                continue
            if (status := _status(successor)) in _NOT_YET:
                yield self._finding(
                    going,
                    successor,
                    self.severity,
                    f"{successor.text} takes over from {host.text}, and is not active in NetBox: it {_NOT_YET[status]}",
                    "What is made from NetBox leaves it out; or it is not ready, or not the one.",
                    f"Set {successor.text} to active in NetBox once it is, or correct `successor` in the inventory.",
                )

    def _finding(self, going: Going, host: Node, severity: Severity, message: str, why: str, action: str) -> Finding:
        return Finding(
            rule=self.id,
            area=self.area,
            severity=severity,
            confidence=Confidence.HIGH,
            subject=host.text,
            identity=(going.host, host.text),
            message=message,
            why=why,
            action=action,
            impact=Impact.NONE,
            evidence=_noted(host),
            hosts=(going.host,),
        )


def _status(host: Node) -> str:
    return str(host.attributes.get("netbox_status", ""))


def _noted(host: Node) -> tuple[Provenance, ...]:
    """Where NetBox says so: among the places that name the host as a machine."""
    places = [line for line in host.provenance if "/devices" in line.path or "/virtual-machines" in line.path]
    return tuple(places[:1] or host.provenance[:1])
