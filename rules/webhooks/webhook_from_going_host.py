"""Webhooks that a host which is going sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import Area, EstateView, Finding, Impact, Kind, Relation, Rule, Severity, listed
from rules.ways import Ways, only_read_only, successor_of
from rules.webhooks.webhook_to_going_host import ACTS, called, said_of


class WebhookFromGoingHostRule(Rule):
    """Finds webhooks that are sent by a host that is going.

    What it does
    ------------
    Looks at who sends each webhook, where that is declared (`from` in the inventory). What a retired host sent is sent
    no more: that blocks if it is for something to be done (a renewal, a certificate, a deployment, a build, by its
    event, URL or name), and is a warning for all others. A read-only host still sends; only a webhook of the first kind
    is told, as a warning: what sets it off must write first, and can't. Webhooks that the same host also receives are
    webhook-to-going-host's.

    Why it matters
    --------------
    The receiver waits for a call that never comes, and nothing on its side has failed.

    Example
    -------
    The certificate server calls `https://lb.example.net/reload` after each renewal. On its successor nothing does.

    What to do
    ----------
    Set the webhook up on the successor, and make it send one.

    What it can't see
    -----------------
    Calls in scripts and deploy hooks, which are found as jobs and hooks, and senders that nobody declared.
    """

    id: ClassVar[str] = "webhook-from-going-host"
    title: ClassVar[str] = "A webhook is sent by what is going"
    area: ClassVar[Area] = Area.WEBHOOKS
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each webhook."""
        ways = Ways(estate)
        for webhook in estate.nodes(Kind.WEBHOOK):
            targets = [edge.provider for edge in estate.outgoing(webhook, Relation.DELIVERS)]
            if any(ways.hosts(target) for target in targets) or webhook.attributes.get("active") is False:
                continue
            for edge in estate.outgoing(webhook, Relation.RUNS_ON):
                hosts = tuple(sorted(ways.hosts(edge.provider)))
                if not hosts:
                    continue
                where = listed([target.text for target in targets]) or "its receiver"
                events = said_of(webhook)
                texts = (*events, webhook.text, *(target.text for target in targets))
                acts = any(ACTS.search(text) for text in texts)
                read_only = only_read_only(estate, hosts)
                if read_only and not acts:
                    continue
                successor = successor_of(estate, hosts) or "what takes over"
                for_what = f" ({listed(events)})" if events else ""
                ends = "what it is sent for happens there no more" if read_only else "it is sent no more"
                yield Finding(
                    rule=self.id,
                    area=self.area,
                    severity=self.severity if acts and not read_only else Severity.WARN,
                    confidence=edge.confidence,
                    subject=webhook.label,
                    identity=(webhook.text, *hosts),
                    message=f"Webhook {called(webhook)}{for_what} is sent by {listed(hosts)}: {ends}",
                    why=f"{where} goes on waiting for it, and has no reason to complain.",
                    action=f"Have {successor} send it to {where}, and correct `from` in the inventory.",
                    impact=Impact.BROKEN,
                    evidence=(edge.provenance,),
                    path=ways.steps(edge),
                    hosts=hosts,
                )
