"""What is known of a webhook's last deliveries."""

from __future__ import annotations

from auditor.api import Node, plural


def failures(webhook: Node) -> int:
    """How many of its last deliveries failed, without one between them that did not."""
    failed = webhook.attributes.get("failed")
    return failed if isinstance(failed, int) else 0


def said_of_deliveries(webhook: Node) -> str:
    """`its last delivery was answered 502`, or `its last 7 deliveries failed since 2026-11-02, the last one with 502`;
    empty if nothing is known of them."""
    attributes = webhook.attributes
    status = attributes.get("last_status")
    failed = failures(webhook)
    if given_up := attributes.get("given_up"):
        pause = " for a while" if given_up == "temporarily_disabled" else ""
        return f"GitLab sends it no more{pause}, as its deliveries failed"
    if not failed:
        return f"its last delivery was answered {status}" if isinstance(status, int) else ""
    last = f"answered {status}" if isinstance(status, int) else "not answered"
    if attributes.get("deliveries") is None or failed == 1:
        return f"its last delivery was {last}"
    since = str(attributes.get("failing_since", ""))[:10]
    every = failed == attributes["deliveries"]
    which = (
        f"all {failed} deliveries that are known" if every else f"its last {plural(failed, 'delivery', 'deliveries')}"
    )
    return f"{which} failed{f' since {since}' if since else ''}, the last one was {last}"
