"""Webhooks that are still delivered to a host that is gone."""

from __future__ import annotations

from typing import ClassVar

from auditor.api import Area, Edge, Kind, Relation
from rules.after.references import StillRefers


class AfterWebhookLeftRule(StillRefers):
    """Webhooks that are still delivered to a host that is gone.

    What it does
    ------------
    After the switch-off it lists the webhooks whose address leads to the host, by its name, its address or a name that
    leads to it alone.

    Why it matters
    --------------
    The sender gives up after some failures, and nobody is told; or whoever has the address now receives what it sends.

    Example
    -------
    `https://acme-hook.example.net/renewed`, a month after the switch-off

    What to do
    ----------
    Change the URL, and send a test delivery; or delete the webhook.

    What it can't see
    -----------------
    Webhooks of services that were not asked, and those that partners keep.
    """

    id: ClassVar[str] = "after-webhook-left"
    title: ClassVar[str] = "A webhook is still delivered to a host that is gone"
    area: ClassVar[Area] = Area.WEBHOOKS
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def concerns(self, edge: Edge) -> bool:
        """Deliveries."""
        return edge.consumer.kind is Kind.WEBHOOK
