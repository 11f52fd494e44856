"""Webhooks that are delivered to what is going."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    EstateView,
    Finding,
    Impact,
    Kind,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.texts import settings
from rules.ways import Ways, is_own_name, only_read_only, since, successor_of
from rules.webhooks.deliveries import said_of_deliveries

ACTS: Final = re.compile(
    r"renew|acme|cert(?!ainly)|deploy|releas|publish|provision|build|pipeline|workflow|package|(?<![a-z])push(?![a-z])",
    re.I,
)
"""What a receiver is told so that it does something: a renewal, a deployment, a build."""

_NUMBERED: Final = re.compile(r"(.+): \S+ (\d+)")


def said_of(webhook: Node) -> tuple[str, ...]:
    """The events that a webhook is sent for."""
    events = webhook.attributes.get("events")
    event = webhook.attributes.get("event")
    return events if isinstance(events, tuple) else (event,) if isinstance(event, str) and event else ()


def called(webhook: Node) -> str:
    """How people call a webhook: by its name, or by its number and whose it is."""
    found = _NUMBERED.fullmatch(webhook.text)
    return f"{found[2]} of {found[1]}" if found else webhook.text


class WebhookToGoingHostRule(Rule):
    """Finds webhooks whose URL leads to a host that is going.

    What it does
    ------------
    Follows the URL of each webhook through its name, its CNAMEs and its addresses to a host. To a retired host nothing
    can be delivered: that blocks. A read-only host takes the delivery, answers 200, and can't do what it is told: that
    blocks if the webhook is sent for something to be done (its event, URL or name speaks of a renewal, a certificate, a
    deployment, a release, a push, a package, a build), and is a warning for all others. Where only some directories are
    read-only it says nothing. A webhook that is switched off is told for information: someone may switch it on again.

    Why it matters
    --------------
    The sender of a webhook gives up after a few tries, and tells nobody. What it was to set off just does not happen.

    Example
    -------
    `https://acme-hook.example.net/renewed`, where `acme-hook` is a CNAME of the old server.

    What to do
    ----------
    Point the URL, or the name in it, at the successor, and send a test delivery.

    What it can't see
    -----------------
    Webhooks of services whose lists are not in the estate (declare them as `webhooks` in the inventory), and whether
    the receiver on the successor is installed.
    """

    id: ClassVar[str] = "webhook-to-going-host"
    title: ClassVar[str] = "A webhook is delivered to what is going"
    area: ClassVar[Area] = Area.WEBHOOKS
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each webhook."""
        ways = Ways(estate)
        webhooks = estate.nodes(Kind.WEBHOOK)
        leading = [
            (webhook, edge, hosts)
            for webhook in webhooks
            for edge in estate.outgoing(webhook, Relation.DELIVERS)
            if (hosts := tuple(sorted(ways.hosts(edge.provider)))) and edge.lost
        ]
        of = plural(sum(1 for _ in webhooks), "webhook")
        there = len({webhook.id for webhook, _, _ in leading})
        count = f"{there} of {of} {'leads' if there == 1 else 'lead'} there."
        for webhook, edge, hosts in leading:
            read_only = only_read_only(estate, hosts)
            events = said_of(webhook)
            acts = any(ACTS.search(text) for text in (*events, edge.provider.text, webhook.text))
            active = webhook.attributes.get("active") is not False
            severity = self.severity if acts or not read_only else Severity.WARN
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=severity if active else Severity.INFO,
                confidence=edge.confidence,
                subject=webhook.label,
                identity=(webhook.text, edge.provider.text),
                message=_message(webhook, edge.provider, hosts, read_only, active),
                why=f"{_why(estate, webhook, events, hosts, read_only, active)} {count}",
                action=_action(estate, ways, edge.provider, hosts, listed(settings([edge.provenance]))),
                impact=Impact.BROKEN,
                evidence=(edge.provenance,),
                path=ways.steps(edge),
                hosts=hosts,
            )


def _message(webhook: Node, endpoint: Node, hosts: tuple[str, ...], read_only: bool, active: bool) -> str:
    what = f"Webhook {called(webhook)} is delivered to {endpoint.text}, on {listed(hosts)}"
    if not active:
        return f"{what}; it is switched off"
    if read_only:
        return f"{what}, which takes it and can't carry it out"
    return f"{what}: it is lost once that server is off"


def _why(
    estate: EstateView, webhook: Node, events: tuple[str, ...], hosts: tuple[str, ...], read_only: bool, active: bool
) -> str:
    sent = f"It is sent for {listed(events)}" if events else "What it is sent for is not known"
    if not active:
        return f"{sent}, and would be again if someone switched it on."
    deliveries = said_of_deliveries(webhook)
    seen = f", and {deliveries}" if deliveries else ""
    if read_only:
        begun = since(estate, hosts)
        then = f" since {begun}" if begun else ""
        return f"{sent}{seen}; nothing can be written there{then}, and the sender sees no error."
    return f"{sent}{seen}. The sender gives up after a few tries, and tells nobody."


def _action(estate: EstateView, ways: Ways, endpoint: Node, hosts: tuple[str, ...], where: str) -> str:
    successor = successor_of(estate, hosts) or "what takes over"
    if where.endswith("inventory.yaml"):
        return f"Have its URL changed to {successor} where it is sent, correct {where}, and send a test delivery."
    if is_own_name(estate, endpoint):
        return f"Change its URL in {where} to {successor}, and send a test delivery."
    named = next((edge.provider.text for edge in ways.way(endpoint)), endpoint.text)
    return f"Lead {named} to {successor}, or change its URL in {where}, and send a test delivery."
