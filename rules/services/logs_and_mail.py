"""Logs and mail that are sent by way of a host that is going."""

from __future__ import annotations

from typing import ClassVar

from auditor.api import Area, Relation, Severity
from rules.services.losses import Loss, sends
from rules.services.service_needs_going_host import ServiceNeedsGoingHostRule


class LogsAndMailThroughGoingHostRule(ServiceNeedsGoingHostRule):
    """Finds hosts whose logs or mail leave through a host that is going, with no other way left.

    What it does
    ------------
    Takes the relays that Postfix, Exim and small mailers send to, with their transports, filters and tables, and where
    rsyslog, syslog-ng, journal-upload, Vector, Fluent Bit and Beats send logs. It reports those that lead to the host
    alone, by name, address or alias. Equal ones on many hosts are one finding. A read-only server takes neither: it
    can't queue.

    Where others are left, pool-loses-member says so.

    Why it matters
    --------------
    Neither fails loudly. Mail waits in queues for days, the alerts of cron among it, and is then returned to nobody;
    logs are dropped or fill a disk, and are missed at the next incident.

    Example
    -------
    `relayhost = [old-01.example.net]:25` on 340 hosts, and `*.* @@logs.example.net:6514`

    What to do
    ----------
    Point the line at the successor, reload, and see one mail and one line of log arrive there.

    What it can't see
    -----------------
    Programs that send mail or logs by themselves, and relays that a smart host picks by MX alone (the rule about DNS
    tells of the record).
    """

    id: ClassVar[str] = "logs-and-mail-through-going-host"
    title: ClassVar[str] = "Logs or mail leave through the host"
    area: ClassVar[Area] = Area.LOGS
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def is_told(self, loss: Loss) -> bool:
        """Whether it is one that sends logs or mail."""
        return bool(sends(loss))
