"""Receivers of alerts whose channels lead to what is going."""

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
    Lifecycle,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.monitoring.watched import name_of
from rules.texts import settings, written
from rules.ways import Ways, distinct, only_read_only, successor_of


class AlertReceiverGoingRule(Rule):
    """Finds receivers of alerts whose channels lead to a host that is going, and counts who is left unheard.

    What it does
    ------------
    Follows every channel of a receiver (webhook, chat, mail relay, pager) and its proxy to a host. If all of them lead
    to hosts that are going, the alerts that reach this receiver and no other living one tell nobody: the finding counts
    them. For a host that is retired that blocks, unless every alert has another receiver. On a read-only host a
    receiver still answers, but it may not be able to store, forward or act on what it is told: a warning. If some of
    its channels stay, that is a warning for a retired host and nothing for a read-only one. Receivers of Alertmanager,
    contacts of Nagios and Icinga, media of Zabbix, notifications of Uptime Kuma and mail servers of Monit alike.
    Receivers of monitoring that is to be switched off itself are monitoring-server-going's.

    Why it matters
    --------------
    The alert fires, what should send it logs an error, and nobody reads that log.

    Example
    -------
    `webhook_configs: [{url: "http://10.0.4.17:9095/alert"}]`, where the pager gateway listens on the old server.

    What to do
    ----------
    Point the receiver at the successor's address, or at a service that stays, and send a test alert.

    What it can't see
    -----------------
    URLs that are in a secret file or filled in by a template, and what a webhook's receiver does in turn.
    """

    id: ClassVar[str] = "alert-receiver-going"
    title: ClassVar[str] = "Alerts are sent to what is going"
    area: ClassVar[Area] = Area.MONITORING
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.NOTIFIES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each receiver; receivers of one name and channel on several servers are one."""
        ways = Ways(estate)
        leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        lost: dict[int, list[Edge]] = {}
        partly: dict[int, tuple[Node, list[Edge], int]] = {}
        alike: dict[tuple[str, tuple[str, ...]], list[Node]] = {}
        for receiver in estate.nodes(Kind.RECEIVER):
            if receiver.scope in leaving:
                continue
            channels = _channels(estate, receiver)
            ending = [edge for edge in channels if ways.hosts(edge.provider)]
            proxies = [edge for edge in estate.outgoing(receiver, Relation.CONNECTS) if ways.hosts(edge.provider)]
            if channels and len(ending) == len(channels) and not _hides_channels(receiver, channels):
                lost[receiver.id] = ending
            elif proxies:
                ending = proxies
                lost[receiver.id] = proxies
            elif ending:
                partly[receiver.id] = (receiver, ending, len(channels) + _hides_channels(receiver, channels))
            if receiver.id in lost:
                hosts = tuple(sorted({host for edge in ending for host in ways.hosts(edge.provider)}))
                alike.setdefault((receiver.text, hosts), []).append(receiver)
        for (_, hosts), receivers in alike.items():
            yield self._lost(estate, ways, receivers, hosts, lost)
        for receiver, ending, count in partly.values():
            hosts = tuple(sorted({host for edge in ending for host in ways.hosts(edge.provider)}))
            if not only_read_only(estate, hosts):
                yield self._partly(estate, ways, receiver, hosts, ending, count)

    def _lost(
        self, estate: EstateView, ways: Ways, receivers: list[Node], hosts: tuple[str, ...], lost: dict[int, list[Edge]]
    ) -> Finding:
        edges = [edge for receiver in receivers for edge in lost[receiver.id]]
        lines = distinct(edge.provenance for edge in edges)
        reaching = {
            edge.consumer.id: edge.consumer
            for receiver in receivers
            for edge in estate.incoming(receiver, Relation.NOTIFIES)
            if edge.consumer.kind is Kind.ALERT
        }
        alone = [alert for alert in reaching.values() if _unheard(estate, alert, lost)]
        total = sum(
            1 for alert in estate.nodes(Kind.ALERT) if any(True for _ in estate.outgoing(alert, Relation.NOTIFIES))
        )
        name, where = receivers[0].text, listed(hosts)
        names = sorted(dict.fromkeys(name_of(alert) for alert in alone))
        read_only = only_read_only(estate, hosts)
        if alone:
            unheard = f"{len(alone)} of {plural(total, 'alert')}"
            message = f"{unheard} {'is' if len(alone) == 1 else 'are'} told to receiver {name} alone, on {where}"
        elif reaching:
            message = f"Receiver {name} is on {where}; each of its {plural(len(reaching), 'alert')} has another one"
        else:
            message = f"Receiver {name} is on {where}"
        message += ": it may not be able to act on them" if read_only else ", and nobody hears them any more"
        if not alone:
            message = message.replace("act on them", "act").replace("nobody hears them", "nobody hears it")
        severe = not read_only and (bool(alone) or not reaching)
        targets = list(dict.fromkeys(edge.provider.text for edge in edges))
        successor = successor_of(estate, hosts)
        to = f"at {successor}" if successor else "at what takes over"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if severe else Severity.WARN,
            confidence=min((edge.confidence for edge in edges), key=list(Confidence).index),
            subject=receivers[0].label,
            identity=(name, *hosts),
            message=message,
            why=_why(names, read_only),
            action=f"Point {listed(targets)} in {listed(settings(lines))} {to}, and send a test alert."
            + written(estate, lines, hosts),
            impact=Impact.DEGRADED if read_only else Impact.BROKEN,
            evidence=lines,
            path=ways.steps(edges[0]),
            hosts=hosts,
        )

    def _partly(
        self,
        estate: EstateView,
        ways: Ways,
        receiver: Node,
        hosts: tuple[str, ...],
        ending: list[Edge],
        count: int,
    ) -> Finding:
        lines = distinct(edge.provenance for edge in ending)
        successor = successor_of(estate, hosts)
        to = f"at {successor}" if successor else "elsewhere"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.WARN,
            confidence=Confidence.HIGH,
            subject=receiver.label,
            identity=(receiver.text, *hosts, "partly"),
            message=f"Receiver {receiver.text} loses {len(ending)} of {plural(count, 'channel')} with {listed(hosts)}",
            why="Who reads that channel alone is told no more.",
            action=f"Point {listed([edge.provider.text for edge in ending])} in {listed(settings(lines))} {to}, "
            "or delete the channel.",
            impact=Impact.DEGRADED,
            evidence=lines,
            path=ways.steps(ending[0]),
            hosts=hosts,
        )


def _channels(estate: EstateView, receiver: Node) -> list[Edge]:
    """What a receiver sends to; a channel in a file of its own is known by that file alone."""
    read = [edge for edge in estate.outgoing(receiver, Relation.READS) if edge.group]
    return [*estate.outgoing(receiver, Relation.NOTIFIES), *read]


def _hides_channels(receiver: Node, channels: list[Edge]) -> bool:
    """Whether there is a channel whose place is not known: one of a group that is alone in it.

    Of a topic of SNS all subscriptions are known.
    """
    return len(channels) == 1 and bool(channels[0].group) and receiver.attributes.get("program") != "SNS"


def _unheard(estate: EstateView, alert: Node, lost: dict[int, list[Edge]]) -> bool:
    """Whether all receivers of an alert are lost."""
    return all(edge.provider.id in lost for edge in estate.outgoing(alert, Relation.NOTIFIES))


def _why(names: list[str], read_only: bool) -> str:
    if read_only:
        what = "The receiver answers, and what it is told it can neither store nor carry out."
    else:
        what = "What sends it tries again for a while, and then drops the notification."
    return f"{what} It is about {listed(names, 5)}." if names else what
