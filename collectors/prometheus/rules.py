"""Alerting and recording rules: Prometheus rule files, PrometheusRule objects, Thanos and Mimir rule files.

Which stage of a certificate's renewal an alert watches (attribute `stage`), by its metrics and matchers:

| stage     | what shows it |
|-----------|---------------|
| expiry    | a metric of a certificate's end: `probe_ssl_earliest_cert_expiry`, `x509_cert_not_after`, `ssl_certificate_expiry…`, `certmanager_certificate_expiration_timestamp_seconds` |
| deployed  | the same, measured where the certificate is served: `probe_ssl_…`, `ssl_…` |
| succeeded | `…_last_success…`, `…_renew…_success…`, `certmanager_certificate_ready_status`, a failed state of the renewal's unit |
| attempted | `…_last_run…`, `…_last_attempt…`, `node_systemd_timer_last_trigger_seconds` of a renewal's timer, `absent()` or `push_time_seconds` of a renewal's job |

A metric of success or attempt counts only if the rule names a renewal: certbot, acme, lego, dehydrated, letsencrypt,
cert-manager, certmonger, `renew`, or a certificate in the metric or the alert's name. `up` and `probe_success` do not:
they say that something answers.
"""  # noqa: E501 - a table

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    endpoint_ref,
    excerpt,
)
from collectors.prometheus.config import Labels, seconds
from collectors.prometheus.promql import Expression, Selector, is_expiry_metric, read_expression

_RENEWAL: Final = re.compile(r"certbot|acme|\blego\b|dehydrated|lets.?encrypt|cert.?manager|certmonger|renew", re.I)
_CERTIFICATE: Final = re.compile(r"(?<![a-z])(?:x509|ssl|tls|certs?|certificates?)(?![a-z])", re.I)
_SUCCEEDED: Final = re.compile(
    r"last_success|success_time|successful|_success(?:_|$)|certificate_ready_status|renewal_failed|_failed?(?:ures?)?(?:_|$)|_errors?(?:_|$)"
)
_ATTEMPTED: Final = re.compile(
    r"last_run|last_attempt|last_renewal|last_trigger|last_execution|last_start|push_time_seconds|last_push|(?:^|_)attempts?(?:_|$)"
)
_SERVED: Final = re.compile(r"(?:probe_)?ssl_.*|.*probe.*|.*served.*")
_URL: Final = re.compile(r"https?://[^\s\"'<>)\]}]+")
_RULE_KEYS: Final = frozenset({"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"})
_ALERT_KEYS: Final = ("for", "keep_firing_for", "annotations")
# A log query: a stream selector with a filter or a parser behind it.
_LOGQL: Final = re.compile(
    r"\}\s*(?:\|[=~>!]?|!=|!~|!>)\s*[\"'`a-z]|\b(?:bytes_)?(?:rate|over_time)\s*\(\s*\{|\bcount_over_time\s*\(\s*\{"
)
# A number is a vector of one series to a rule: as the expression of an alert it fires at all times.
_CONSTANT: Final = re.compile(r"\s*(?:\d+(?:\.\d+)?|vector\s*\(\s*(?:\d+(?:\.\d+)?\s*\)|1\s*\)\s*(?:>\s*0|==\s*1)))\s*")
_VMALERT_KEYS: Final = ("type", "concurrency", "params", "headers", "tenant", "eval_offset", "eval_delay", "debug")
_LIVE_KEYS: Final = (("health", "rule_health"), ("lastError", "rule_error"), ("lastEvaluation", "last_evaluation"))
_LOCATION_KEYS: Final = ("runbook_url", "runbook", "dashboard", "dashboard_url", "runbookURL")


@dataclass(frozen=True, slots=True)
class RuleItem:
    """One rule. `alert` is the text of its reference, empty for a recording rule, which has `record`."""

    alert: str
    name: str
    record: str
    labels: Labels
    open_labels: tuple[str, ...]
    selectors: tuple[Selector, ...]
    absence: bool
    where: Where
    logs: bool = False
    """Whether the expression is Loki's: it sees log lines, and no target's metrics."""
    constant: bool = False
    """Whether it fires at all times, like a dead man's switch."""
    connects: str = ""
    """The data source that Grafana asks, by its identity or name."""
    receiver: str = ""
    """The contact point that a rule of Grafana names itself."""
    program: str = ""
    """Whose alerts these are: empty for Prometheus, "grafana" for Grafana."""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """All rules of one file that could be read."""

    rules: tuple[RuleItem, ...]


def read_rules(
    root: YamlNode, groups: YamlNode, stream: YamlStream, on_host: bool, live: bool = False
) -> Iterator[Parsed]:
    """Alerts as entities, and all rules as a fragment that `combine` joins with targets and routes.

    `live`: as a running server tells them, with how their last evaluation went.
    """
    items: list[RuleItem] = []
    taken: dict[str, int] = {}
    names: dict[str, int] = {}
    for group in groups.elements or (groups,):
        if not group.is_map:
            yield Malformed(stream.where(group), "a rule group that is not a mapping")
            continue
        name = group.text("name")
        if not name:
            yield Malformed(stream.where(group), "a rule group without a name", "Prometheus does not load the file")
        elif name in names:
            yield Malformed(
                stream.where(group.get("name") or group),
                f"two rule groups named {excerpt(name)!r}",
                "Prometheus does not load the file",
            )
        names[name] = group.line
        # Only VictoriaMetrics has these keys, and it has more of them in its rules.
        strict = not live and not any(group.get(key) for key in _VMALERT_KEYS)
        shared, open_labels = split_labels(group.get("labels"))
        for node in group.children("rules"):
            for item in _read_rule(node, name, stream, taken, on_host, strict, (shared, open_labels)):
                if isinstance(item, RuleItem):
                    items.append(item)
                else:
                    yield item
    if items:
        yield Fragment("rules", RuleFile(tuple(items)), stream.where(root))


def _read_rule(
    node: YamlNode,
    group: str,
    stream: YamlStream,
    taken: dict[str, int],
    on_host: bool,
    strict: bool,
    shared: tuple[Labels, tuple[str, ...]],
) -> Iterator[Parsed | RuleItem]:
    refused = "Prometheus does not load the file"
    if not node.is_map:
        yield Malformed(stream.where(node), "a rule that is not a mapping", refused)
        return
    alert, record, expression = node.get("alert"), node.get("record"), node.get("expr")
    if (alert is None) == (record is None):
        what = "a rule with neither alert nor record" if alert is None else "a rule with both alert and record"
        yield Malformed(stream.where(node), what, refused)
        if alert is None:
            return
    named = alert or record
    if named is None or not named.is_scalar or not named.scalar:
        yield Malformed(stream.where(named or node), "a rule without a name", refused)
        return
    if expression is None or not expression.is_scalar or not expression.scalar:
        yield Malformed(stream.where(expression or named), f"{excerpt(named.scalar)}: a rule without expr", refused)
        return
    for key, value in node.items():
        if key.scalar not in _RULE_KEYS and strict:
            yield Malformed(stream.where(key), f"a rule has no field {excerpt(key.scalar)!r}", refused)
        elif alert is None and key.scalar in _ALERT_KEYS and not value.is_null:
            yield Malformed(stream.where(key), f"a recording rule has no field {key.scalar!r}", refused)
    if record is not None and "{" in record.scalar:
        yield Malformed(stream.where(record), "braces in the name of a recording rule", refused)
    parsed = read_expression(expression.scalar)
    where = stream.where(first_line(expression, stream))
    logs = bool(parsed.problem) and is_log_query(expression.scalar)
    if parsed.problem and not logs:
        yield Malformed(where, f"{excerpt(named.scalar)}: {parsed.problem}", refused)
    static, templated = split_labels(node.get("labels"))
    own = {*dict(static), *templated}
    static = (*(pair for pair in shared[0] if pair[0] not in own), *static)
    templated = (*(name for name in shared[1] if name not in own), *templated)
    if "__name__" in dict(static):
        yield Malformed(stream.where(node.get("labels") or node), "a rule may not set the label '__name__'", refused)
    if alert is None:
        yield RuleItem("", "", named.scalar, static, templated, parsed.selectors, parsed.absence, where, logs)
        return
    if node.get("for") is not None and seconds(node.text("for")) is None and TEMPLATE not in node.text("for"):
        yield Malformed(
            stream.where(node.get("for") or node), f"for: {excerpt(node.text('for'))!r} is no duration", refused
        )
    text = f"{excerpt(group)}/{excerpt(named.scalar)}" if group else excerpt(named.scalar)
    taken[text] = taken.get(text, 0) + 1
    if taken[text] > 1:
        text = f"{text}#{taken[text]}"
    ref = Ref(Kind.ALERT, text)
    yield Entity(ref, stream.where(named), alert_attributes(node, named.scalar, expression.scalar, parsed, static))
    if on_host:
        yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, stream.where(named))
    for annotation in _LOCATION_KEYS:
        place = node.at("annotations", annotation)
        found = _URL.search(place.scalar) if place is not None else None
        if place is None or found is None or "{{" in found[0] or TEMPLATE in found[0]:
            continue
        if url := endpoint_ref(found[0]):
            yield Dependency(ref, url, Relation.CONNECTS, stream.where(place), Need.READ, confidence=Confidence.LOW)
    constant = _CONSTANT.fullmatch(expression.scalar) is not None
    yield RuleItem(text, named.scalar, "", static, templated, parsed.selectors, parsed.absence, where, logs, constant)


def is_log_query(text: str) -> bool:
    """Whether an expression is LogQL, of Loki's ruler: its rule files have the same form."""
    return _LOGQL.search(text) is not None


def first_line(node: YamlNode, stream: YamlStream) -> int:
    """The first line of text of a scalar: that of `expr: |` is the line below."""
    lines = stream.lines
    if 0 < node.line <= len(lines) and re.search(r"[|>][-+\d]*\s*(?:#.*)?$", lines[node.line - 1]):
        for number in range(node.line, min(node.line + 20, len(lines))):
            if lines[number].strip():
                return number + 1
    return node.line


def split_labels(node: YamlNode | None) -> tuple[Labels, tuple[str, ...]]:
    """Labels with a fixed value, and the names of those that a template fills in."""
    fixed, templated = [], []
    for key, value in node.items() if node is not None else ():
        if "{{" in value.scalar or TEMPLATE in value.scalar:
            templated.append(key.scalar)
        elif value.is_scalar:
            fixed.append((key.scalar, value.scalar))
    return tuple(fixed), tuple(templated)


def alert_attributes(
    node: YamlNode, name: str, source: str, parsed: Expression, labels: Labels
) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {"expr": excerpt(" ".join(source.split()))}
    held = seconds(node.text("for", "0"))
    attributes["for"] = held if held is not None else 0
    severity = dict(labels).get("severity", "")
    if severity:
        attributes["severity"] = excerpt(severity)
    if labels:
        attributes["labels"] = tuple(excerpt(f"{key}={value}") for key, value in labels)
    annotations = node.get("annotations")
    if annotations is not None:
        if summary := annotations.text("summary") or annotations.text("message"):
            attributes["summary"] = excerpt(" ".join(summary.split()))
        if (runbook := annotations.text("runbook_url")) and (url := endpoint_ref(runbook)):
            attributes["runbook_url"] = url.text
    metrics = tuple(dict.fromkeys(selector.metric for selector in parsed.selectors if selector.metric))
    if metrics:
        attributes["metrics"] = metrics
    conditions = dict.fromkeys(
        excerpt(f"{label}{operator}{value}")
        for selector in parsed.selectors
        for label, operator, value in selector.matchers
    )
    if conditions:
        attributes["matchers"] = tuple(conditions)
    if parsed.absence:
        attributes["watches_absence"] = True
    if parsed.lead is not None:
        attributes["expiry_lead_seconds"] = parsed.lead
    for key, attribute in _LIVE_KEYS:
        if told := node.text(key):
            attributes[attribute] = excerpt(told)
    if stages := stages_of(name, parsed):
        attributes["stage"] = stages
    return attributes


def stages_of(name: str, parsed: Expression) -> tuple[str, ...]:
    """The stages of a certificate's renewal that a rule watches, by the table at the head of this module."""
    stages = set()
    for selector in parsed.selectors:
        metric = selector.metric
        values = " ".join(value for _, operator, value in selector.matchers if operator in ("=", "=~"))
        if is_expiry_metric(metric):
            stages.add("expiry")
            if _SERVED.fullmatch(metric):
                stages.add("deployed")
            continue
        # A probe says that an endpoint answers, were it the renewal's own hook: not that a renewal ran.
        if metric == "up" or metric.startswith("probe_"):
            continue
        words = f"{metric} {values}".replace("_", " ")
        if not (_RENEWAL.search(f"{metric} {values}") or _RENEWAL.search(name) or _CERTIFICATE.search(words)):
            continue
        if _SUCCEEDED.search(metric) or (metric == "node_systemd_unit_state" and "failed" in values):
            stages.add("succeeded")
        if _ATTEMPTED.search(metric) or parsed.absence:
            stages.add("attempted")
    return tuple(stage for stage in ("attempted", "succeeded", "deployed", "expiry") if stage in stages)
