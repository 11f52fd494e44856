"""DNS that still leads to a host that is gone."""

from __future__ import annotations

from typing import ClassVar

from auditor.api import Area, Edge, Relation
from rules.after.references import StillRefers


class AfterStillInDnsRule(StillRefers):
    """Names and records that still lead to a host that is gone.

    What it does
    ------------
    After the switch-off it lists each record that leads to the host: its own addresses and names, CNAMEs to them, and
    MX, SRV, NS, PTR and SPF records that point at it. A name that leads to several machines is listed as long as the
    host is one of them.

    Why it matters
    --------------
    The address is given to another machine one day, and with it what others send to the old name: mail, renewals,
    logins. In a cloud anybody can get it.

    Example
    -------
    `acme-hook IN CNAME legacy-cert-01`, whose address the provider has given away

    What to do
    ----------
    Remove the records, and the reverse ones; wait for the TTL before the address is used again.

    What it can't see
    -----------------
    Zones that were not captured, and what resolvers still remember.
    """

    id: ClassVar[str] = "after-still-in-dns"
    title: ClassVar[str] = "DNS still leads to a host that is gone"
    area: ClassVar[Area] = Area.NAMES
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES})

    def concerns(self, edge: Edge) -> bool:
        """Records. A short name that a host completes is told of what uses it."""
        return edge.relation in (Relation.RESOLVES, Relation.RECORDS) and not edge.consumer.scope
