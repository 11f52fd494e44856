"""Grafana: provisioned data sources, alert rules, contact points and notification policies, and grafana.ini.

Read from the provisioning reference of Grafana 12 (administration/provisioning, alerting/set-up/provision-alerting-
resources/file-provisioning), its exports and provisioning API, which have the same keys, and conf/defaults.ini.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
    split_endpoint,
)
from collectors.prometheus.alertmanager import RouteReader, Routing, read_intervals, route_facts, safe_endpoint
from collectors.prometheus.promql import Expression, read_expression
from collectors.prometheus.rules import RuleFile, RuleItem, alert_attributes, first_line, is_log_query, split_labels

SERVICE: Final = Ref(Kind.SERVICE, "grafana")
_LOOKED_AT: Final = 50
"""Entries of a list by which it is told what it lists."""

PREFIX: Final = "grafana/"
"""Before the names of contact points: an Alertmanager on the same host may have receivers of the same names."""

_REFUSED: Final = "Grafana does not start"
# Type of a contact point -> (keys of its address, what it is if none is given).
_CHANNELS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "slack": (("url", "endpointUrl"), "https://slack.com/api/chat.postMessage"),
    "pagerduty": (("url",), "https://events.pagerduty.com/v2/enqueue"),
    "opsgenie": (("apiUrl",), "https://api.opsgenie.com/v2/alerts"),
    "kafka": (("kafkaRestProxy",), ""),
    "webex": (("api_url",), "https://webexapis.com/v1/messages"),
    "wecom": (("url", "endpointUrl"), "https://qyapi.weixin.qq.com"),
    "jira": (("api_url",), ""),
    "mqtt": (("brokerUrl",), ""),
    "sns": (("api_url",), "https://sns.amazonaws.com"),
    "telegram": ((), "https://api.telegram.org"),
    "pushover": ((), "https://api.pushover.net/1/messages.json"),
    "threema": ((), "https://msgapi.threema.ch/send_simple"),
    "line": ((), "https://notify-api.line.me/api/notify"),
}
_KEEP_PATH: Final = frozenset({"webhook", "opsgenie", "prometheus-alertmanager", "kafka", "jira", "sensugo"})
_INI_KEYS: Final = {
    ("smtp", "host"): Need.RUN,
    ("database", "host"): Need.WRITE,
    ("database", "url"): Need.WRITE,
    ("remote_cache", "connstr"): Need.WRITE,
    ("rendering", "server_url"): Need.RUN,
    ("unified_alerting", "ha_redis_address"): Need.WRITE,
    ("live", "ha_engine_address"): Need.WRITE,
    ("tracing.jaeger", "address"): Need.WRITE,
    ("tracing.opentelemetry.jaeger", "address"): Need.WRITE,
    ("tracing.opentelemetry.otlp", "address"): Need.WRITE,
    ("metrics.graphite", "address"): Need.WRITE,
}
_INI_PEERS: Final = frozenset({("unified_alerting", "ha_peers")})
_SIGN_ON: Final = frozenset({"token_url", "api_url"})
_OPERATORS: Final = {"gt": ">", "lt": "<", "gte": ">=", "lte": "<=", "eq": "==", "ne": "!="}


@dataclass(frozen=True, slots=True)
class DataSource:
    """One data source: what alert rules call it, and where it is."""

    uid: str
    name: str
    type: str
    url: str
    default: bool
    where: Where


def grafana_part(root: YamlNode) -> str:
    """Which part of Grafana's provisioning a document is; empty if none."""
    if root.is_list:
        some = [one for one in root.elements[:_LOOKED_AT] if one.is_map]
        if any(one.get("data") and one.get("condition") and one.get("title") for one in some):
            return "rules"
        if any(one.get("settings") and one.get("type") and one.get("name") for one in some):
            return "contacts"
        # A data source of Grafana itself has no URL.
        found = all(one.get("access") and one.get("type") and one.get("name") for one in some)
        return "datasources" if found and any(one.text("url") for one in some) else ""
    if not root.is_map:
        return ""
    if root.text("kind") == "GrafanaDatasource" or any(
        one.is_map and one.get("type") for one in root.children("datasources")
    ):
        return "datasources"
    if any(root.get(key) for key in ("contactPoints", "policies", "muteTimes")):
        return "alerting"
    if root.text("receiver") and _is_list(root, "group_by", "routes") and root.get("route") is None:
        return "policy"
    groups = root.get("groups")
    for group in groups.elements if groups is not None else ():
        for rule in group.children("rules") if group.is_map else ():
            if rule.is_map and (rule.get("data") or rule.get("condition")) and not rule.get("expr"):
                return "alerting"
    return ""


def _is_list(root: YamlNode, *keys: str) -> bool:
    return any((node := root.get(key)) is not None and node.is_list for key in keys)


def read_grafana(part: str, root: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """Facts and fragments of one document of provisioning, or of an export or answer of the API in the same form."""
    where = stream.where(root)
    yield Entity(SERVICE, where, {"program": "grafana"})
    if on_host:
        yield Dependency(SERVICE, THIS_HOST, Relation.RUNS_ON, where)
    if part == "datasources":
        nodes = root.elements if root.is_list else root.children("datasources")
        if spec := root.at("spec", "datasource") if root.is_map else None:
            nodes = (spec,)
        yield from _data_sources(nodes, stream, on_host, where)
        return
    if part == "rules":
        yield from _rules([("", node) for node in root.elements], stream, on_host, where)
    elif part == "contacts":
        yield from _contacts([(node, (node,)) for node in root.elements], stream, on_host)
    elif part == "policy":
        yield from _policies((root,), root, stream)
    else:
        rules: list[tuple[str, YamlNode]] = []
        for group in root.children("groups"):
            if not group.is_map or not group.text("name"):
                yield Malformed(stream.where(group), "a rule group without a name", _REFUSED)
                continue
            rules += ((group.text("name"), node) for node in group.children("rules"))
        yield from _rules(rules, stream, on_host, where)
        yield from _contacts(
            [(point, point.children("receivers")) for point in root.children("contactPoints")], stream, on_host
        )
        yield from _policies(root.children("policies"), root, stream)


def _data_sources(nodes: tuple[YamlNode, ...], stream: YamlStream, on_host: bool, where: Where) -> Iterator[Parsed]:
    found = []
    for node in nodes:
        name = node.text("name") if node.is_map else ""
        if not name or not node.text("type"):
            what = "a data source without a name" if not name else f"data source {excerpt(name)!r} has no type"
            yield Malformed(stream.where(node), what, _REFUSED)
            continue
        place = stream.where(node.get("name") or node)
        ref = Ref(Kind.SERVICE, f"grafana data source {excerpt(name)}")
        attributes: dict[str, Attribute] = {"part_of": "grafana", "type": excerpt(node.text("type"))}
        yield Entity(ref, place, attributes)
        if on_host:
            yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, place)
        url, reached = "", place
        for at in (node.get("url"), *(node.at("jsonData", key) for key in ("host", "server", "proxyUrl", "tokenUri"))):
            if at is None or not at.is_scalar or TEMPLATE in at.scalar:
                continue
            address = safe_endpoint(at.scalar, True)
            if address is not None and (at is node.get("url") or "." in at.scalar):
                if not url:
                    url, reached = address.text, stream.where(at)
                yield Dependency(ref, address, Relation.CONNECTS, stream.where(at))
        default = (node.get("isDefault") or _NOTHING).boolean is True
        found.append(DataSource(node.text("uid"), name, node.text("type"), url, default, reached))
    if found:
        yield Fragment("grafana_datasources", tuple(found), where)


def _rules(nodes: list[tuple[str, YamlNode]], stream: YamlStream, on_host: bool, where: Where) -> Iterator[Parsed]:
    items: list[RuleItem] = []
    taken: dict[str, int] = {}
    for group, node in nodes:
        title = node.text("title") if node.is_map else ""
        if not title:
            yield Malformed(stream.where(node), "an alert rule without a title", _REFUSED)
            continue
        if (record := node.get("record")) is not None and not record.is_null:
            continue
        group = group or node.text("ruleGroup")
        text = f"{excerpt(group)}/{excerpt(title)}" if group else excerpt(title)
        taken[text] = taken.get(text, 0) + 1
        if taken[text] > 1:
            text = f"{text}#{taken[text]}"
        place = stream.where(node.get("title") or node)
        ref = Ref(Kind.ALERT, text)
        source, expressions = _queries(node)
        written = " or ".join(one.scalar for one in expressions)
        parsed = _parsed([one.scalar for one in expressions], _compared(node))
        static, templated = split_labels(node.get("labels"))
        attributes = alert_attributes(node, title, written, parsed, static)
        attributes["program"] = "grafana"
        if (node.get("isPaused") or _NOTHING).boolean:
            attributes["enabled"] = False
        if (state := node.text("noDataState", "NoData")) in ("NoData", "Alerting"):
            # Grafana tells of a query without data by an alert of its own.
            attributes["watches_absence"] = True
        attributes["no_data"] = excerpt(state)
        yield Entity(ref, place, attributes)
        if on_host:
            yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, place)
        receiver = node.at("notification_settings", "receiver") or node.at("notificationSettings", "receiver")
        receiver_text = PREFIX + excerpt(receiver.scalar) if receiver is not None and receiver.scalar else ""
        if receiver is not None and receiver_text:
            yield Dependency(ref, Ref(Kind.RECEIVER, receiver_text), Relation.NOTIFIES, stream.where(receiver))
        folder = node.text("folder")
        labels = (*static, ("grafana_folder", folder)) if folder else static
        if not folder and node.text("folderUID"):
            # The API tells the folder's id, and policies match its title.
            templated = (*templated, "grafana_folder")
        items.append(
            RuleItem(
                text,
                title,
                "",
                labels,
                templated,
                parsed.selectors,
                parsed.absence,
                stream.where(first_line(expressions[0], stream)) if expressions else place,
                bool(parsed.problem),
                False,
                source,
                receiver_text,
                "grafana",
            )
        )
    if items:
        yield Fragment("grafana_rules", RuleFile(tuple(items)), where)


def _queries(rule: YamlNode) -> tuple[str, list[YamlNode]]:
    """The data source that a rule asks first, and the expressions of all its queries."""
    source, found = "", []
    for query in rule.children("data"):
        if not query.is_map:
            continue
        uid = query.text("datasourceUid") or (query.at("model", "datasource", "uid") or _NOTHING).scalar
        if uid in ("__expr__", "-100", ""):
            continue
        expression = query.at("model", "expr")
        if expression is not None and expression.is_scalar and expression.scalar:
            source = source or uid
            found.append(expression)
    return source, found


def _compared(rule: YamlNode) -> tuple[str, str]:
    """The comparison of a rule's condition, such as `<` and `86400`; empty if it is not that plain."""
    by_id = {query.text("refId"): query for query in rule.children("data") if query.is_map}
    condition = by_id.get(rule.text("condition"))
    conditions = condition.at("model", "conditions") if condition is not None else None
    for one in conditions.elements if conditions is not None else ():
        evaluator = one.get("evaluator") if one.is_map else None
        if evaluator is not None:
            values = [value.scalar for value in evaluator.children("params")]
            if values and re.fullmatch(r"-?\d+(?:\.\d+)?", values[0]):
                return _OPERATORS.get(evaluator.text("type"), ""), values[0]
    return "", ""


def _parsed(expressions: list[str], compared: tuple[str, str]) -> Expression:
    """All queries of a rule as one expression. That of a log query has selectors only."""
    if not expressions:
        return Expression(())
    parts = []
    for text in expressions:
        operator, value = compared
        whole = read_expression(f"({text}) {operator} {value}") if operator else None
        if whole is None or whole.problem:
            whole = read_expression(text)
            whole = replace(whole, problem=whole.problem or ("LogQL" if is_log_query(text) else ""))
        parts.append(whole)
    return Expression(
        tuple(dict.fromkeys(selector for part in parts for selector in part.selectors)),
        any(part.absence for part in parts),
        next((part.lead for part in parts if part.lead is not None), None),
        next((part.problem for part in parts if part.problem), ""),
    )


def _contacts(
    points: list[tuple[YamlNode, tuple[YamlNode, ...]]], stream: YamlStream, on_host: bool
) -> Iterator[Parsed]:
    """Contact points as receivers. Several entries of one name are one contact point, as in the API's answer."""
    mailed = []
    for point, channels in points:
        name = point.text("name") if point.is_map else ""
        if not name:
            yield Malformed(stream.where(point), "a contact point without a name", _REFUSED)
            continue
        ref = Ref(Kind.RECEIVER, PREFIX + excerpt(name))
        place = stream.where(point.get("name") or point)
        kinds = tuple(dict.fromkeys(excerpt(one.text("type")) for one in channels if one.is_map and one.text("type")))
        yield Entity(ref, place, {"channels": kinds, "program": "grafana"} if kinds else {"program": "grafana"})
        if on_host:
            yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, place)
        for channel in channels:
            if not channel.is_map or not channel.text("type"):
                yield Malformed(stream.where(channel), f"contact point {excerpt(name)!r}: a receiver without a type")
                continue
            if channel.text("type") == "email":
                mailed.append((ref.text, stream.where(channel.get("type") or channel)))
            else:
                yield from _channel(ref, channel, stream, "channels" if len(channels) > 1 else "")
    if mailed:
        yield Fragment("grafana_mail", tuple(mailed), mailed[0][1])


def _channel(ref: Ref, channel: YamlNode, stream: YamlStream, group: str) -> Iterator[Parsed]:
    kind = channel.text("type").lower()
    keys, service = _CHANNELS.get(kind, (("url",), ""))
    settings = channel.get("settings") or _NOTHING
    for url in (settings.get(key) for key in keys):
        if url is None or not url.is_scalar or not url.scalar:
            continue
        if TEMPLATE in url.scalar or "$" in url.scalar or "[REDACTED]" in url.scalar:
            return
        for text in url.scalar.split(",") if kind == "prometheus-alertmanager" else (url.scalar,):
            address = safe_endpoint(text, kind in _KEEP_PATH)
            if address is not None:
                yield Dependency(ref, address, Relation.NOTIFIES, stream.where(url), group=group)
        return
    if service and (address := endpoint_ref(service)):
        place = stream.where(channel.get("type") or channel)
        yield Dependency(ref, address, Relation.NOTIFIES, place, group=group, confidence=Confidence.MEDIUM)


def _policies(trees: tuple[YamlNode, ...], root: YamlNode, stream: YamlStream) -> Iterator[Parsed]:
    """The tree of notification policies. Contact points and mute timings may be in Grafana's database alone."""
    intervals = read_intervals(root, ("muteTimes",))
    for tree in trees:
        if not tree.is_map or not tree.text("receiver"):
            yield Malformed(stream.where(tree), "a notification policy without a receiver", _REFUSED)
            continue
        problems: list[Parsed] = []
        reader = RouteReader(stream, problems, intervals, PREFIX)
        route = reader.read(tree, "", "grafana policy", 0)
        yield from problems
        yield from route_facts(route, None)
        yield Fragment("grafana_policies", Routing(route, reader.receivers, (), "grafana"), stream.where(tree))


def read_ini(content: str, on_host: bool) -> Iterator[Parsed]:
    """grafana.ini: the mail server, the database and whatever else the server itself asks."""
    section, enabled = "", {"smtp": False}
    found: list[tuple[tuple[str, str], str, Where]] = []
    lines = content.splitlines()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1].strip().lower()
        elif text and text[0] not in "#;" and "=" in text:
            key, _, value = (part.strip() for part in text.partition("="))
            value = re.split(r"\s+[;#]", value, maxsplit=1)[0].strip("\"'`")
            if key.lower() == "enabled":
                enabled[section] = value.lower() in ("true", "1", "yes") or "{" in value
            elif value:
                found.append(((section, key.lower()), value, Where(number, excerpt(line))))
    first = Where(1, excerpt(lines[0]) if lines else "")
    yield Entity(SERVICE, first, {"program": "grafana"})
    if on_host:
        yield Dependency(SERVICE, THIS_HOST, Relation.RUNS_ON, first)
    for (part, key), value, where in found:
        sign_on = part.startswith("auth.") and key in _SIGN_ON
        peers = (part, key) in _INI_PEERS
        if not ((part, key) in _INI_KEYS or sign_on or peers) or enabled.get(part, True) is False:
            continue
        if any(mark in value for mark in ("{{", "{%", "<%", "$__", "${")):
            continue
        if key == "connstr":
            address = re.search(r"(?:^|,)addr=([^,]+)", value)
            value = address[1] if address else re.sub(r"^.*@tcp\(([^)]*)\).*$", r"\1", value)
        for text in value.split(",") if peers else (value,):
            parts = split_endpoint(text.strip())
            ref = safe_endpoint(text.strip(), sign_on)
            if ref is None or parts is None or text.startswith("/"):
                continue
            need = Need.RUN if sign_on or peers else _INI_KEYS[part, key]
            yield Dependency(SERVICE, ref, Relation.CONNECTS, where, need, group="peers" if peers else "")
            if (part, key) == ("smtp", "host"):
                yield Fragment("grafana_smtp", ref.text, where)


_NOTHING: Final = YamlNode("map", 0)
