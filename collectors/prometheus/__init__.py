"""Prometheus, Alertmanager and Grafana: scrape jobs, probes, rules, routes and receivers, and how they depend on each
other.

Read from Prometheus 3, Alertmanager 0.28 and Grafana 12; checked against promtool, amtool and a running Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Document,
    Fragment,
    Malformed,
    Parsed,
    Read,
    Relation,
    YamlNode,
    YamlStream,
    decode,
    read_yaml,
    without_templates,
)

_NAME: Final = re.compile(
    r"\.(?:ya?ml|json|rules)(?:\.(?:j2|jinja2?|erb|tmpl|tpl|gotmpl|epp|ctmpl|example|sample|dist))?$", re.I
)
_TEMPLATE_NAME: Final = re.compile(r"\.(?:j2|jinja2?|erb|tmpl|tpl|gotmpl|epp|ctmpl)$", re.I)
_LIKELY: Final = re.compile(r"prometheus|alertmanager|(?:^|[/._-])(?:rules?|alerts?|alerting|blackbox)(?:[/._-])", re.I)
_HEAD: Final = re.compile(
    rb"^[\"']?(?:scrape_configs|scrape_config_files|rule_files|remote_write|remote_read|alerting|inhibit_rules|route"
    rb"|groups)[\"']?[ \t]*:"
    rb"|^[ \t]+[\"']?(?:scrape_interval|evaluation_interval|smtp_smarthost|resolve_timeout)[\"']?[ \t]*:"
    rb"|^[{ \t]*\"(?:scrape_configs|rule_files|alerting|route|groups|receiver)\"[ \t]*:"
    rb"|^[\"']?(?:datasources|contactPoints|policies|muteTimes)[\"']?[ \t]*:|kind:[ \t]*GrafanaDatasource\b"
    rb"|\"(?:datasources|contactPoints|policies|muteTimes|noDataState|notification_settings|ruleGroup"
    rb"|disableResolveMessage)\"[ \t]*:|\"access\"[ \t]*:[ \t]*\"(?:proxy|direct)\""
    rb"|^[\"']?modules[\"']?[ \t]*:(?=[\s\S]*prober[\"']?[ \t]*:)"
    rb"|^[ \t]*-?[ \t]*[\"']?alert[\"']?[ \t]*:[ \t]*\S"
    rb"|^[ \t]*-[ \t]*[\"']?record[\"']?[ \t]*:[ \t]*\S|^[ \t]*[\"']?expr[\"']?[ \t]*:[ \t]*\S"
    rb"|kind[\"']?:[ \t]*[\"']?(?:PrometheusRule|Probe|ScrapeConfig)(?:List)?\b"
    # Most only say which services are watched: with these alone, nobody has looked at the monitoring.
    rb"|kind[\"']?:[ \t]*[\"']?(?:Service|Pod)Monitor(?:List)?\b"
    rb"(?=[\s\S]*(?:proxyUrl|tokenUrl|__address__|__param_target|\btarget[\"']?[ \t]*:))"
    rb"|^[-\[{ \t]*[\"']?targets[\"']?[ \t]*:"
    rb"|^-\s+labels:"
    rb"|\"activeTargets\"[ \t]*:|\"data\"[ \t]*:[ \t\r\n]*\{[ \t\r\n]*\"groups\"[ \t]*:"
    rb"|\"(?:isEqual|isRegex|startsAt)\"[ \t]*:(?=[\s\S]*\"(?:matchers|endsAt|startsAt)\"[ \t]*:)"
    rb"|\"program\"[ \t]*:[ \t]*\"(?:prometheus|alertmanager|grafana)\"",
    re.MULTILINE,
)
# One of these is in whatever _HEAD finds (`labels` stands before `targets`, `modules` before `prober`): without it that
# search, which tries a dozen forms at each line, is left out.
_HEAD_WORDS: Final = (
    *(
        b"alert",
        b"expr",
        b"record",
        b"groups",
        b"PrometheusRule",
        b"monitoring.coreos.com",
        b"targets",
        b"route",
        b"inhibit_rules",
    ),
    *(b"scrape_config", b"rule_files", b"remote_", b"_interval", b"smtp_smarthost", b"resolve_timeout", b"prober"),
    *(b"atasource", b"contactPoints", b"policies", b"muteTimes", b"noDataState", b"notification_settings"),
    *(b"activeTargets", b"isRegex", b"isEqual", b"startsAt", b'"program"'),
    *(b"ruleGroup", b"disableResolveMessage", b'"access"', b'"receiver"'),
)
_TARGETS_LATER: Final = re.compile(rb"[\"']?targets[\"']?\s*:")
_REMOTES: Final = ("remote_write", "remote_read")
_EXPORTERS: Final = re.compile(r"smokeping_prober|smokeping-prober|(?:ping|domain)[_-]exporter", re.I)
_TEMPLATED: Final = re.compile(r"\{\{|\{%|<%")


class PrometheusCollector(Collector):
    """What Prometheus, Alertmanager and Grafana watch, and whom their alerts reach.

    Reads
    -----
    `prometheus.yml`, files of `scrape_config_files`, file_sd lists; rule files of Prometheus, Thanos, Mimir, Cortex,
    VictoriaMetrics and Loki; PrometheusRule, Probe and ScrapeConfig objects of the Prometheus operator, and what its
    ServiceMonitors and PodMonitors name themselves; `alertmanager.yml`; modules of blackbox_exporter and ssl_exporter,
    targets of smokeping_prober, ping_exporter and domain_exporter; Grafana's provisioning of data sources and alerting
    (also its exports and the answers of its API), `grafana.ini`; promtail's clients. By their keys, whatever they are
    called. What running servers answer: targets, rules and silences, as `auditor collect` keeps them or as curl prints
    them.

    Yields
    ------
    Scrape jobs with their targets after relabelling, probes with what they ask and the exporter and proxy they ask
    through; what service discovery, remote write and read, Alertmanagers, proxies and token servers a job needs.
    Alerts with the targets that their selectors select, through recording rules and through a federation of captured
    servers; the stage of a certificate's renewal that they watch; the receivers they reach by the tree of routes, and
    where those send. `muted` says of an alert that nobody ever hears of it: it is dropped on its way, its route is
    silent at all times, or an alert that always fires inhibits it. Grafana's alerts likewise, and the data source
    they need.

    Can't see
    ---------
    Targets of service discovery, unless a running server was asked, and metrics that an exporter has or lacks. Peers
    and flags of the command line. Grafana's data sources, contact points and policies that are in its database and in
    no file, unless a running Grafana was asked or they were exported. Time intervals of certain days or years.
    """

    name: ClassVar[str] = "prometheus"
    title: ClassVar[str] = (
        "Prometheus, Alertmanager and Grafana: scrape jobs, targets, probes, rules, routes, receivers, data sources"
    )
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.WATCHES,
            Relation.SILENCES,
            Relation.NOTIFIES,
            Relation.CONNECTS,
            Relation.RUNS_ON,
            Relation.READS,
        }
    )
    across_sources: ClassVar[bool] = True

    def recognizes(self, path: str, head: bytes) -> bool:
        if not _NAME.search(path):
            return "grafana.ini" in path
        if any(word in head for word in _HEAD_WORDS) and (found := _HEAD.search(head)):
            return not found[0].lstrip().startswith(b"- labels") or _TARGETS_LATER.search(head) is not None
        if exporter_of(path):
            return True
        # A long head of comments, or a template whose first screen is another key.
        return len(head) >= 4096 and _LIKELY.search(path) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        on_host = document.path.startswith("/")
        if "grafana.ini" in document.path:
            from collectors.prometheus.grafana import read_ini

            yield from read_ini(decode(document.content), on_host)
            return
        stream = read_yaml(document.content)
        of_operator = b"monitoring.coreos.com" in document.content
        templated = False
        of_template = _TEMPLATE_NAME.search(document.path) is not None
        if stream.lines and (stream.problem is not None or of_template):
            text = decode(document.content)
            if _TEMPLATED.search(text):
                readable = read_yaml(without_templates(text))
                if readable.problem is None or len(readable.documents) > len(stream.documents):
                    stream = YamlStream(readable.documents, readable.problem, stream.lines)
                    templated = True
        from collectors.prometheus.operator import objects, read_operator

        # Charts of other programs hold objects of the operator, too: what they are filled with is told nowhere here.
        kinds = {kind for kind, _ in objects(stream)} if of_operator else set()
        told = not templated or "PrometheusRule" in kinds or not of_operator
        if templated and told:
            first = next((n for n, line in enumerate(stream.lines, 1) if _TEMPLATED.search(line)), 0)
            yield Malformed(
                stream.where(first),
                "a template: conditions and loops are not followed, and values that it fills in are not known",
                "what is written out is read",
            )
        if stream.problem is not None and told:
            yield Malformed(
                stream.where(stream.problem.line),
                f"not YAML: {stream.problem.reason}",
                "Prometheus and Alertmanager refuse the whole file",
                whole=not stream.documents,
            )
        for root in stream.documents:
            yield from _document(root, stream, on_host, templated, exporter_of(document.path))
        if of_operator:
            yield from read_operator(stream, document.path)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        from collectors.prometheus.join import combine

        return combine(fragments)


def exporter_of(path: str) -> str:
    """The exporter that a file is called or lies after and that has targets of its own; empty if it is none."""
    found = _EXPORTERS.search(path)
    return found[0].lower().replace("-", "_") if found else ""


def _document(root: YamlNode, stream: YamlStream, on_host: bool, templated: bool, exporter: str) -> Iterator[Parsed]:
    """Sends one document to the reader of its form; one of another form yields nothing."""
    from collectors.prometheus.alertmanager import read_alertmanager
    from collectors.prometheus.blackbox import is_modules, read_exporter, read_modules
    from collectors.prometheus.config import TargetGroup, read_config, read_promtail, read_target_groups
    from collectors.prometheus.grafana import grafana_part, read_grafana
    from collectors.prometheus.live import is_answer, read_answer
    from collectors.prometheus.rules import read_rules

    if is_answer(root):
        yield from read_answer(root, stream, on_host)
        return
    if part := grafana_part(root):
        yield from read_grafana(part, root, stream, on_host)
        return
    if root.is_list:
        if not root.elements or not all(element.is_map and element.get("targets") for element in root.elements):
            return
        groups = []
        for found in read_target_groups(root.elements, stream):
            if isinstance(found, TargetGroup):
                groups.append(found)
            else:
                yield found
        yield Fragment("file_sd", tuple(groups), stream.where(root))
        return
    if not root.is_map:
        return
    if root.text("kind") == "List":
        for item in root.children("items"):
            yield from _document(item, stream, on_host, templated, exporter)
        return
    if root.text("kind") == "PrometheusRuleList":
        # Items of an answer have no kind of their own.
        for item in root.children("items"):
            of_item = item.at("spec", "groups") if item.is_map else None
            if of_item is not None and _has_rules(of_item):
                yield from read_rules(item, of_item, stream, on_host)
        return
    groups_node = root.get("groups")
    if root.text("kind") == "PrometheusRule":
        groups_node = root.at("spec", "groups")
    if groups_node is not None and _has_rules(groups_node):
        yield from read_rules(root, groups_node, stream, on_host)
    elif root.get("scrape_configs") is not None and (
        root.get("clients") or root.get("client") or root.get("positions")
    ):
        yield from read_promtail(root, stream, on_host)
    elif root.get("tests") is None and (
        any(root.get(key) for key in ("scrape_configs", "scrape_config_files", "rule_files"))
        or any(entry.is_map and entry.get("url") for key in _REMOTES for entry in root.children(key))
        or root.at("alerting", "alertmanagers")
    ):
        yield from read_config(root, stream, on_host, templated)
    elif root.get("receivers") is not None and root.get("route") is not None:
        yield from read_alertmanager(root, stream, on_host)
    elif is_modules(root):
        yield from read_modules(root, stream, on_host)
    elif exporter:
        yield from read_exporter(exporter, root, stream, on_host)


def _has_rules(groups: YamlNode) -> bool:
    """Whether groups hold rules of Prometheus: Grafana's have the same shape, and `data` for `expr`."""
    rules = [rule for group in groups.elements if group.is_map for rule in group.children("rules") if rule.is_map]
    if not rules:
        return bool(groups.elements) and all(
            group.get("rules") is not None for group in groups.elements if group.is_map
        )
    return any(rule.get("expr") or rule.get("alert") or rule.get("record") for rule in rules)
