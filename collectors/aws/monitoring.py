"""What watches in AWS and whom it tells: CloudWatch alarms, Route 53 health checks, SNS subscriptions, canaries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Need,
    Parsed,
    Ref,
    Relation,
    YamlNode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_hostname,
)
from collectors.aws.common import (
    INSTANCE,
    TEXT_LIMIT,
    Answer,
    arn_ref,
    instance_ref,
    is_answer,
    known,
    maps,
    moment,
    outside,
    own_arn,
    parsed,
    scalars,
    text,
    value,
)

_CHILD: Final = re.compile(
    r"""\b(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]{1,1600})"|'([^']{1,1600})'|([^\s()"']+))"""
)
_SCHEMES: Final = {"HTTP": "http", "HTTP_STR_MATCH": "http", "HTTPS": "https", "HTTPS_STR_MATCH": "https", "TCP": "tcp"}
_RULE_LIMIT: Final = 20_000


class AwsMonitoringCollector(Collector):
    """Alarms and health checks with what they watch, topics with whom they tell.

    An alarm of several instances (a metric of each in one expression) watches all of them as alternatives.

    Reads
    -----
    `cloudwatch.DescribeAlarms`, `DescribeAlarmHistory`, `DescribeAnomalyDetectors`, `ListMetricStreams`,
    `GetDashboard`; `sns.ListSubscriptions`, `route53.ListHealthChecks`, `rds.DescribeEventSubscriptions`,
    `synthetics.DescribeCanaries` and `DescribeCanariesLastRun` under `aws/<account>/<region>/`.

    Yields
    ------
    An alert for each alarm: the instances, load balancers, certificates, health checks and hosts in its dimensions,
    the alarms of a composite one, and the topics that it tells; whether its actions are off, and whether it fires when
    its metric goes missing, and when it last told somebody, or failed to. A probe for each health check and the
    endpoint that it asks, and for each canary, with its last result. A receiver for each topic, and the endpoints and
    functions that subscribe to it. The instances that a dashboard shows.

    Can't see
    ---------
    Mail addresses and telephone numbers of subscriptions, subscriptions that nobody confirmed, and what a canary's
    script asks.
    """

    name: ClassVar[str] = "aws_monitoring"
    title: ClassVar[str] = "CloudWatch alarms, Route 53 health checks and SNS topics"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES, Relation.NOTIFIES})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Alerts, probes and receivers."""
        return parsed(document, _PARSERS)


def _alarms(answer: Answer) -> Iterator[Parsed]:
    for key in ("MetricAlarms", "LogAlarms"):
        for alarm in maps(answer.body, key):
            yield from _metric_alarm(answer, alarm)
    for alarm in maps(answer.body, "CompositeAlarms"):
        name = value(alarm, "AlarmName")
        if name is None:
            continue
        alert = _alert(answer, name.scalar)
        yield Entity(alert, answer.where(name), _attributes(alarm))
        rule = value(alarm, "AlarmRule")
        if rule is not None:
            for found in _CHILD.finditer(rule.scalar[:_RULE_LIMIT]):
                child = (found[1] or found[2] or found[3]).rsplit(":alarm:", 1)[-1]
                if child != name.scalar:
                    where = answer.where(rule)
                    yield Dependency(alert, _alert(answer, child), Relation.WATCHES, where, group="targets")
        yield from _actions(answer, alert, alarm)


def _alert(answer: Answer, name: str) -> Ref:
    return Ref(Kind.ALERT, f"CloudWatch {answer.account} {answer.region}/{name}")


def _metric_alarm(answer: Answer, alarm: YamlNode) -> Iterator[Parsed]:
    name = value(alarm, "AlarmName")
    if name is None:
        return
    alert = _alert(answer, name.scalar)
    attributes = _attributes(alarm)
    metrics = [one for query in maps(alarm, "Metrics") if (one := _metric(query)) is not None]
    label = alarm.text("MetricName") or next((one.text("MetricName") for one in metrics), "")
    if label:
        attributes["metric"] = label
    if label == "DaysToExpiry":
        attributes["stage"] = ("expiry",)
    yield Entity(alert, answer.where(name), attributes)
    seen: set[Ref] = set()
    for holder in (alarm, *metrics):
        for dimension in maps(holder, "Dimensions"):
            written = value(dimension, "Value")
            target = _dimension(answer, dimension.text("Name"), written.scalar) if written is not None else None
            if written is not None and target is not None and target not in seen:
                seen.add(target)
                yield Dependency(alert, target, Relation.WATCHES, answer.where(written), group="targets")
    yield from _actions(answer, alert, alarm)


def _metric(query: YamlNode) -> YamlNode | None:
    stat = query.get("MetricStat")
    metric = stat.get("Metric") if stat is not None and stat.is_map else None
    return metric if metric is not None and metric.is_map else None


def _attributes(alarm: YamlNode) -> dict[str, Attribute]:
    enabled = alarm.get("ActionsEnabled")
    return known(
        program="CloudWatch",
        state=alarm.text("StateValue"),
        actions_enabled=False if enabled is not None and enabled.boolean is False else None,
        # `missing` and `ignore` leave the state as it was, `notBreaching` makes it OK.
        watches_absence=True if alarm.text("TreatMissingData") == "breaching" else None,
    )


def _dimension(answer: Answer, name: str, written: str) -> Ref | None:
    """What a dimension of a metric is about."""
    if name == "InstanceId":
        return instance_ref(written)
    if name in ("LoadBalancer", "TargetGroup") and "/" in written:
        rest = written if name == "TargetGroup" else f"loadbalancer/{written}"
        return Ref(Kind.SERVICE, own_arn(answer, "elasticloadbalancing", rest))
    if name == "AutoScalingGroupName":
        return Ref(Kind.SERVICE, own_arn(answer, "autoscaling", f"autoScalingGroup:{written}"))
    if name == "CertificateArn":
        return arn_ref(written)
    if name == "HealthCheckId":
        return Ref(Kind.PROBE, f"Route 53 health check {written}")
    if name == "FunctionName":
        return Ref(Kind.SERVICE, own_arn(answer, "lambda", f"function:{written}"))
    if name == "DBInstanceIdentifier":
        return Ref(Kind.SERVICE, own_arn(answer, "rds", f"db:{written}"))
    # The CloudWatch agent's own dimension.
    if name.lower() in ("host", "hostname") and is_hostname(written):
        return host_ref(written)
    return None


def _actions(answer: Answer, alert: Ref, alarm: YamlNode) -> Iterator[Parsed]:
    seen: set[Ref] = set()
    for key in ("AlarmActions", "InsufficientDataActions"):
        for action in scalars(alarm, key):
            target = arn_ref(action.scalar)
            if target is None or target in seen:
                continue
            seen.add(target)
            if target.kind is Kind.RECEIVER:
                yield Dependency(alert, target, Relation.NOTIFIES, answer.where(action), group="receivers")
            elif ":lambda:" in target.text:
                yield Dependency(alert, target, Relation.CALLS, answer.where(action))


def _subscriptions(answer: Answer) -> Iterator[Parsed]:
    for subscription in maps(answer.body, "Subscriptions"):
        topic, target = value(subscription, "TopicArn"), value(subscription, "Endpoint")
        receiver = arn_ref(topic.scalar) if topic is not None else None
        if topic is None or receiver is None:
            continue
        protocol = subscription.text("Protocol")
        yield Entity(receiver, answer.where(topic), known(program="SNS"))
        if target is None or subscription.text("SubscriptionArn") in ("PendingConfirmation", "Deleted"):
            continue
        if protocol in ("http", "https"):
            # A URL of a chat service is a password: only what leads to the host is kept.
            endpoint = outside(target.scalar)
            if endpoint is not None:
                where = answer.where(target)
                yield Dependency(receiver, endpoint, Relation.NOTIFIES, where, Need.WRITE, "subscriptions")
        elif protocol in ("lambda", "sqs", "firehose") and (found := arn_ref(target.scalar)) is not None:
            yield Dependency(receiver, found, Relation.NOTIFIES, answer.where(target), Need.RUN, "subscriptions")
        elif protocol in ("email", "email-json", "sms", "application"):
            # People read it wherever they are: not a dependency on a host, and an alternative to those that are.
            reader = Ref(Kind.RECEIVER, f"{protocol} of {receiver.text}")
            yield Dependency(receiver, reader, Relation.NOTIFIES, answer.where(topic), group="subscriptions")


def _health_checks(answer: Answer) -> Iterator[Parsed]:
    for check in maps(answer.body, "HealthChecks"):
        identity, config = value(check, "Id"), check.get("HealthCheckConfig")
        if identity is None or config is None or not config.is_map:
            continue
        probe = Ref(Kind.PROBE, f"Route 53 health check {identity.scalar}")
        kind = config.text("Type")
        disabled = config.get("Disabled")
        off = True if disabled is not None and disabled.boolean else None
        yield Entity(probe, answer.where(identity), known(program="Route 53", type=kind, disabled=off))
        # An address wins over a name, which is then only the Host header.
        target = value(config, "IPAddress") or value(config, "FullyQualifiedDomainName")
        if target is not None and kind in _SCHEMES and (found := _asked(config, target.scalar, kind)) is not None:
            yield Dependency(probe, found, Relation.WATCHES, answer.where(target), group="targets")
        for child in scalars(config, "ChildHealthChecks"):
            ref = Ref(Kind.PROBE, f"Route 53 health check {child.scalar}")
            yield Dependency(probe, ref, Relation.WATCHES, answer.where(child), group="targets")
        alarm = value(config, "AlarmIdentifier", "Name")
        if alarm is not None:
            region = text(config, "AlarmIdentifier", "Region")
            ref = Ref(Kind.ALERT, f"CloudWatch {answer.account} {region}/{alarm.scalar}")
            yield Dependency(probe, ref, Relation.WATCHES, answer.where(alarm), group="targets")


def _asked(config: YamlNode, target: str, kind: str) -> Ref | None:
    host = f"[{target}]" if ":" in target else target
    port, path = config.text("Port"), config.text("ResourcePath")
    path = path if path.startswith("/") and kind != "TCP" else ""
    return endpoint_ref(f"{_SCHEMES[kind]}://{host}{f':{port}' if port.isdecimal() else ''}{path}")


def _canaries(answer: Answer) -> Iterator[Parsed]:
    for canary in maps(answer.body, "Canaries"):
        name = value(canary, "Name")
        if name is not None:
            attributes = known(
                program="CloudWatch Synthetics",
                state=text(canary, "Status", "State"),
                schedule=text(canary, "Schedule", "Expression"),
            )
            yield Entity(_canary(answer, name.scalar), answer.where(name), attributes)


def _canary(answer: Answer, name: str) -> Ref:
    return Ref(Kind.PROBE, f"CloudWatch canary {answer.account} {answer.region} {name}")


def _last_runs(answer: Answer) -> Iterator[Parsed]:
    for canary in maps(answer.body, "CanariesLastRun"):
        name, run = value(canary, "CanaryName"), canary.get("LastRun")
        if name is not None and run is not None and run.is_map:
            attributes = known(
                last_run=moment(text(run, "Timeline", "Completed") or text(run, "Timeline", "Started")),
                last_result=text(run, "Status", "State"),
            )
            yield Entity(_canary(answer, name.scalar), answer.where(name), attributes)


def _history(answer: Answer) -> Iterator[Parsed]:
    """The newest action of each alarm: the answer has the newest first."""
    seen: set[str] = set()
    for item in maps(answer.body, "AlarmHistoryItems"):
        name, summary = value(item, "AlarmName"), value(item, "HistorySummary")
        if name is None or summary is None or item.text("HistoryItemType") != "Action" or name.scalar in seen:
            continue
        seen.add(name.scalar)
        failed = True if summary.scalar.startswith("Failed") else None
        attributes = known(last_action=moment(item.text("Timestamp")), last_action_failed=failed)
        yield Entity(_alert(answer, name.scalar), answer.where(summary), attributes)


def _detectors(answer: Answer) -> Iterator[Parsed]:
    for detector in maps(answer.body, "AnomalyDetectors"):
        single = detector.get("SingleMetricAnomalyDetector")
        for dimension in maps(single if single is not None else detector, "Dimensions"):
            written = value(dimension, "Value")
            target = _dimension(answer, dimension.text("Name"), written.scalar) if written is not None else None
            if written is not None and target is not None:
                metric = text(single, "MetricName") or detector.text("MetricName")
                ref = Ref(
                    Kind.SERVICE, f"CloudWatch anomaly detector {answer.account} {answer.region} {excerpt(metric)}"
                )
                yield Dependency(ref, target, Relation.WATCHES, answer.where(written), group=target.text)


def _metric_streams(answer: Answer) -> Iterator[Parsed]:
    for stream in maps(answer.body, "Entries"):
        arn, firehose = value(stream, "Arn"), value(stream, "FirehoseArn")
        service = arn_ref(arn.scalar) if arn is not None else None
        target = arn_ref(firehose.scalar) if firehose is not None else None
        if arn is None or firehose is None or service is None or target is None:
            continue
        yield Entity(service, answer.where(arn), known(program="CloudWatch", state=stream.text("State")))
        yield Dependency(service, target, Relation.NOTIFIES, answer.where(firehose), Need.WRITE)


def _dashboard(answer: Answer) -> Iterator[Parsed]:
    name, body = value(answer.body, "DashboardName"), value(answer.body, "DashboardBody")
    if body is None:
        return
    called = name.scalar if name is not None else answer.parameter("DashboardName")
    service = Ref(Kind.SERVICE, f"CloudWatch dashboard {answer.account} {answer.region} {called}")
    found = dict.fromkeys(INSTANCE.findall(body.scalar[:TEXT_LIMIT]))
    if found:
        yield Entity(service, answer.where(body, called), known(part_of="CloudWatch", dashboard=called))
    for identity in found:
        provider, where = Ref(Kind.NAME, identity), answer.where(body, identity)
        yield Dependency(service, provider, Relation.WATCHES, where, Need.OBSERVE, "targets")


def _event_subscriptions(answer: Answer) -> Iterator[Parsed]:
    for subscription in maps(answer.body, "EventSubscriptionsList"):
        name, topic = value(subscription, "CustSubscriptionId"), value(subscription, "SnsTopicArn")
        receiver = arn_ref(topic.scalar) if topic is not None else None
        if name is None or topic is None or receiver is None:
            continue
        alert = Ref(Kind.ALERT, f"RDS events {answer.account} {answer.region}/{name.scalar}")
        enabled = subscription.get("Enabled")
        off = False if enabled is not None and enabled.boolean is False else None
        yield Entity(alert, answer.where(name), known(program="RDS", enabled=off))
        yield Dependency(alert, receiver, Relation.NOTIFIES, answer.where(topic), group="receivers")


_PARSERS: Final = {
    "cloudwatch.DescribeAlarmHistory": _history,
    "cloudwatch.DescribeAlarms": _alarms,
    "cloudwatch.DescribeAnomalyDetectors": _detectors,
    "cloudwatch.GetDashboard": _dashboard,
    "cloudwatch.ListMetricStreams": _metric_streams,
    "rds.DescribeEventSubscriptions": _event_subscriptions,
    "route53.ListHealthChecks": _health_checks,
    "sns.ListSubscriptions": _subscriptions,
    "synthetics.DescribeCanaries": _canaries,
    "synthetics.DescribeCanariesLastRun": _last_runs,
}
