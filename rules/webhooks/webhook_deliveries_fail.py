"""Webhooks whose deliveries fail where something of ours should take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    split_endpoint,
)
from rules.ways import Ways
from rules.webhooks.deliveries import failures, said_of_deliveries
from rules.webhooks.webhook_to_going_host import ACTS, called, said_of


class WebhookDeliveriesFailRule(Rule):
    """Finds webhooks whose last deliveries failed, at what takes over from a going host, or at a name of ours that
    leads to no host that is known.

    What it does
    ------------
    Takes each webhook that is switched on and whose last delivery was answered by an error, or by nothing, as the code
    host itself says. It speaks of those that lead to the successor of a going host: the move was made, and what should
    take the calls does not. And of those whose name is below our own domains and leads to no host of the estate: it may
    be one that is gone already; that is a warning if the receiver is to do something (a renewal, a deployment, a
    build), and for information otherwise. Webhooks that lead to the going host are webhook-to-going-host's, which tells
    their last deliveries, too.

    Why it matters
    --------------
    The sender of a webhook tells nobody that it fails: GitHub shows it on a page of the webhook's settings alone.

    Example
    -------
    `https://acme-hook.example.net/renewed` leads to the new certificate server since June, and each delivery since then
    was answered 404.

    What to do
    ----------
    Install the receiver there and send a delivery again, or delete the webhook.

    What it can't see
    -----------------
    Deliveries older than those that the code host keeps (GitHub three days, GitLab seven), receivers that answer
    "200" and do nothing, and webhooks that were captured without their deliveries.
    """

    id: ClassVar[str] = "webhook-deliveries-fail"
    title: ClassVar[str] = "A webhook's deliveries fail"
    area: ClassVar[Area] = Area.WEBHOOKS
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each webhook."""
        ways = Ways(estate)
        successors: dict[str, str] = {}
        for going in estate.going:
            host = estate.host(going.host)
            successor = estate.successor(host) if host is not None else None
            if successor is not None and estate.going_for(successor) is None:
                successors.setdefault(successor.text, going.host)
        domains = estate.own_domains()
        for webhook in estate.nodes(Kind.WEBHOOK):
            if not failures(webhook) or webhook.attributes.get("active") is False:
                continue
            for edge in estate.outgoing(webhook, Relation.DELIVERS):
                if ways.hosts(edge.provider):
                    continue
                reached = [host.text for host in estate.reaches(edge.provider)]
                taking = [name for name in reached if name in successors]
                if taking:
                    replaced = tuple(sorted({successors[name] for name in taking}))
                    yield self._finding(estate, webhook, edge, taking, replaced)
                elif not reached and _is_ours(edge.provider, domains):
                    yield self._finding(estate, webhook, edge, [], ())

    def _finding(
        self, estate: EstateView, webhook: Node, edge: Edge, taking: list[str], replaced: tuple[str, ...]
    ) -> Finding:
        events = said_of(webhook)
        acts = any(ACTS.search(text) for text in (*events, edge.provider.text, webhook.text))
        if taking:
            leads = f"on {listed(taking)}, which takes over from {listed(replaced)}"
            action = f"Install what should take it on {listed(taking)}, and deliver the last one again."
        else:
            leads = "which leads to no host that is known"
            action = "Find out what should take it: lead its name there, or delete the webhook."
        sent = f"It is sent for {listed(events)}. " if events else ""
        lines = (edge.provenance, *(line for line in webhook.provenance if "/deliveries/" in line.path))
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if taking or acts else Severity.INFO,
            confidence=edge.confidence if taking else Confidence.MEDIUM,
            subject=webhook.label,
            identity=(webhook.text, edge.provider.text),
            message=f"Webhook {called(webhook)} is delivered to {edge.provider.text}, {leads}, and fails: "
            f"{said_of_deliveries(webhook)}",
            why=f"{sent}What it was to set off did not happen, and nobody is told.",
            action=action,
            impact=Impact.BROKEN,
            evidence=tuple(dict.fromkeys(lines)),
            path=estate.path_over(edge)[:1],
            hosts=replaced,
        )


def _is_ours(endpoint: Node, domains: frozenset[str]) -> bool:
    parts = split_endpoint(endpoint.text)
    name = parts.host if parts is not None else endpoint.text
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)
