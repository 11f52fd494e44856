"""Prometheus and Alertmanager: scrape jobs, probes, rules, routes and receivers, and how they depend on each other.

Read from Prometheus 3 and Alertmanager 0.28; checked against promtool, amtool and a running Prometheus.
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
    rb"^[\"']?(?:scrape_configs|scrape_config_files|rule_files|alerting|inhibit_rules|route|groups)[\"']?[ \t]*:"
    rb"|^[ \t]+[\"']?(?:scrape_interval|evaluation_interval|smtp_smarthost|resolve_timeout)[\"']?[ \t]*:"
    rb"|^[{ \t]*\"(?:scrape_configs|rule_files|alerting|route|groups)\"[ \t]*:"
    rb"|^[ \t]*-?[ \t]*[\"']?alert[\"']?[ \t]*:[ \t]*\S"
    rb"|^[ \t]*-[ \t]*[\"']?record[\"']?[ \t]*:[ \t]*\S|^[ \t]*[\"']?expr[\"']?[ \t]*:[ \t]*\S"
    rb"|kind:[ \t]*[\"']?PrometheusRule\b"
    rb"|^[-\[{ \t]*[\"']?targets[\"']?[ \t]*:"
    rb"|^-\s+labels:",
    re.MULTILINE,
)
_TARGETS_LATER: Final = re.compile(rb"[\"']?targets[\"']?\s*:")
_TEMPLATED: Final = re.compile(r"\{\{|\{%|<%")


class PrometheusCollector(Collector):
    """Configurations, file_sd lists, rule files and Alertmanager configurations."""

    name: ClassVar[str] = "prometheus"
    title: ClassVar[str] = "Prometheus and Alertmanager: scrape jobs, targets, probes, rules, routes and receivers"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.WATCHES, Relation.NOTIFIES, Relation.CONNECTS, Relation.RUNS_ON, Relation.READS}
    )
    across_sources: ClassVar[bool] = True

    def recognizes(self, path: str, head: bytes) -> bool:
        if not _NAME.search(path):
            return False
        if found := _HEAD.search(head):
            return not found[0].lstrip().startswith(b"- labels") or _TARGETS_LATER.search(head) is not None
        # A long head of comments, or a template whose first screen is another key.
        return len(head) >= 4096 and _LIKELY.search(path) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        stream = read_yaml(document.content)
        templated = False
        of_template = _TEMPLATE_NAME.search(document.path) is not None
        if stream.lines and (stream.problem is not None or of_template):
            text = decode(document.content)
            if _TEMPLATED.search(text):
                readable = read_yaml(without_templates(text))
                if readable.problem is None or len(readable.documents) > len(stream.documents):
                    stream = YamlStream(readable.documents, readable.problem, stream.lines)
                    templated = True
        if templated:
            first = next((n for n, line in enumerate(stream.lines, 1) if _TEMPLATED.search(line)), 0)
            yield Malformed(
                stream.where(first),
                "a template: conditions and loops are not followed, and values that it fills in are not known",
                "what is written out is read",
            )
        if stream.problem is not None:
            yield Malformed(
                stream.where(stream.problem.line),
                f"not YAML: {stream.problem.reason}",
                "Prometheus and Alertmanager refuse the whole file",
                whole=not stream.documents,
            )
        on_host = document.path.startswith("/")
        for root in stream.documents:
            yield from _document(root, stream, on_host, templated)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        from collectors.prometheus.join import combine

        return combine(fragments)


def _document(root: YamlNode, stream: YamlStream, on_host: bool, templated: bool) -> Iterator[Parsed]:
    """Sends one document to the reader of its form; one of another form yields nothing."""
    from collectors.prometheus.alertmanager import read_alertmanager
    from collectors.prometheus.config import TargetGroup, read_config, read_promtail, read_target_groups
    from collectors.prometheus.rules import read_rules

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
            yield from _document(item, stream, on_host, templated)
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
        or root.at("alerting", "alertmanagers")
    ):
        yield from read_config(root, stream, on_host, templated)
    elif root.get("receivers") is not None and root.get("route") is not None:
        yield from read_alertmanager(root, stream, on_host)


def _has_rules(groups: YamlNode) -> bool:
    """Whether groups hold rules of Prometheus: Grafana's have the same shape, and `data` for `expr`."""
    rules = [rule for group in groups.elements if group.is_map for rule in group.children("rules") if rule.is_map]
    if not rules:
        return bool(groups.elements) and all(
            group.get("rules") is not None for group in groups.elements if group.is_map
        )
    return any(rule.get("expr") or rule.get("alert") or rule.get("record") for rule in rules)
