"""Relabelling, expressions, routing and the join across hosts and repositories, piece by piece."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import (
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Relation,
    read_yaml,
    without_templates,
)
from collectors.prometheus import PrometheusCollector
from collectors.prometheus.alertmanager import parse_matchers
from collectors.prometheus.config import seconds
from collectors.prometheus.join import MAX_WATCHED
from collectors.prometheus.pool import literal_names
from collectors.prometheus.promql import read_expression
from collectors.prometheus.relabel import read_relabel, relabel
from tests.realfiles import CORPUS, MISSING


def relabelled(labels: dict[str, str], steps: str) -> dict[str, str] | None:
    read, problems = read_relabel(read_yaml(steps).documents[0].elements)
    assert not problems
    return relabel(labels, read)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("[{source_labels: [a, b], target_label: c}]", {"a": "x1", "b": "y", "c": "x1;y"}),
        ("[{source_labels: [a], regex: 'x(.)', target_label: c, replacement: '$1$$${1}$9'}]", {"c": "1$1"}),
        ("[{source_labels: [a], regex: 'x', target_label: c}]", {"a": "x1", "c": None}),
        ("[{source_labels: [a], target_label: a, replacement: ''}]", {"a": None, "b": "y"}),
        ("[{source_labels: [a], regex: '(?P<n>.).*', target_label: '${n}_z', replacement: ok}]", {"x_z": "ok"}),
        ("[{source_labels: [a], regex: 'x1', action: drop}]", None),
        ("[{source_labels: [a], regex: 'x', action: drop}]", {"a": "x1"}),
        ("[{source_labels: [a], regex: 'x', action: keep}]", None),
        ("[{source_labels: [missing], regex: '', action: keep}]", {"a": "x1"}),
        ("[{source_labels: [missing], regex: , action: keep}]", {"a": "x1"}),
        ("[{source_labels: [a], target_label: b, action: keepequal}]", None),
        ("[{source_labels: [a], target_label: a, action: dropequal}]", None),
        ("[{source_labels: [a], target_label: h, modulus: 8, action: hashmod}]", {"h": "5"}),
        ("[{regex: '(a)', replacement: 'l_$1', action: labelmap}]", {"a": "x1", "l_a": "x1"}),
        ("[{regex: 'a', action: labeldrop}]", {"a": None, "b": "y"}),
        ("[{regex: 'a', action: labelkeep}]", {"a": "x1", "b": None}),
        ("[{source_labels: [a], target_label: a, action: uppercase}]", {"a": "X1"}),
        ("[{source_labels: [a], target_label: a, action: Lowercase}]", {"a": "x1"}),
    ],
)
def test_relabelling(steps: str, expected: dict[str, str | None] | None) -> None:
    result = relabelled({"a": "x1", "b": "y"}, steps)
    if expected is None:
        assert result is None
    else:
        assert result is not None
        assert {name: result.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("0", 0),
        ("250ms", 0.25),
        ("1y2w3d", 33_004_800),
        ("5", None),
        ("", None),
        ("1m1h", None),
    ],
)
def test_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("expression", "lead"),
    [
        ("probe_ssl_earliest_cert_expiry - time() < 86400 * 14", 1_209_600),
        ("(probe_ssl_earliest_cert_expiry - time()) / 86400 <= 7", 604_800),
        ("time() + 3600 * 24 > x509_cert_not_after", 86_400),
        ("30 * 24 * 3600 > (min by (instance) (ssl_cert_not_after) - time())", 2_592_000),
        ("x509_cert_expires_in_seconds < 3600", 3600),
        ("ssl_cert_days_left < 20", 1_728_000),
        ("avg(a) < 5 and probe_ssl_earliest_cert_expiry - time() < 60", 60),
        ("probe_ssl_earliest_cert_expiry < 1700000000", None),
        ("time() - certbot_last_success_timestamp > 5", None),
    ],
)
def test_lead_before_expiry(expression: str, lead: float | None) -> None:
    found = read_expression(expression).lead
    assert found is None if lead is None else found == pytest.approx(lead)


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('a{instance="x", mode="idle"} / b', {"a": "x", "b": "x"}),
        ('sum by (instance) (a{instance="x"}) / on (instance) group_left b', {"a": "x", "b": "x"}),
        ('sum(a{instance="x"}) / sum(b)', {"a": "x", "b": ""}),
        ('a{instance="x"} / on (job) b', {"a": "x", "b": ""}),
        ('a{instance="x"} or b', {"a": "x", "b": ""}),
        ('b unless a{instance="x"}', {"a": "x", "b": ""}),
        ('label_replace(a{instance="x"}, "instance", "y", "", "") * b', {"a": "x", "b": ""}),
        ('absent(a{instance="x"}) and b', {"a": "x", "b": ""}),
        ("rate(a{instance=`x`}[$__rate_interval])", {"a": "x"}),
        ("a{instance='x', p=~`\\d+`} # comment with {b}", {"a": "x"}),
        ('holt_winters(a{instance="x"}[5m], 0.1, 0.1)', {"a": "x"}),
    ],
)
def test_conditions_hold_for_what_they_are_matched_with(expression: str, metrics: dict[str, str]) -> None:
    parsed = read_expression(expression)
    assert not parsed.problem
    found = {s.metric: next((v for label, _, v in s.matchers if label == "instance"), "") for s in parsed.selectors}
    assert found == metrics


@pytest.mark.parametrize(
    ("text", "limit"),
    [("a=" + " " * 4000 + '"', 1), ("{%%}" * 2000 + "x", 1)],
    ids=["spaces", "statements"],
)
def test_text_made_to_be_slow(text: str, limit: float) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="matcher"):
        parse_matchers(text)
    without_templates(text)
    list(literal_names("(" + "a|" * 400 + "b)(c|d)(e|f)(g|h)(i|j)(k|l)"))
    read_expression('"' + '\\"' * 30_000)
    assert time.process_time() - started < limit


@pytest.mark.parametrize("text", ["(" * 50_000 + "x", "+".join(["x"] * 50_000), "-" * 50_000 + "x", "x" * 100_000, ""])
def test_expressions_that_would_crash_the_parser(text: str) -> None:
    assert read_expression(text).problem


def test_a_broken_expression_still_names_its_hosts() -> None:
    parsed = read_expression('up{instance=~"a|b",job="c"} @@ and foo')
    assert parsed.problem.startswith("not PromQL")
    assert ("instance", "=~", "a|b") in parsed.selectors[0].matchers


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("legacy.*", []),
        ("legacy-cert-01:9100", ["legacy-cert-01:9100"]),
        ("(web|db)-01(:.*)?", ["web-01", "db-01"]),
        ("a.b.org|c\\.d\\.net:\\d+", ["a.b.org", "c.d.net"]),
        ("legacy-cert-01.eventide.net.*", ["legacy-cert-01.eventide.net"]),
        ("^x-(1|2):9100$", ["x-1:9100", "x-2:9100"]),
        ("[ab]c", []),
        ("web?", []),
        ("(?i)web", []),
        ("(" * 50 + "a" + ")" * 50, []),
    ],
)
def test_names_in_a_pattern(pattern: str, names: list[str]) -> None:
    assert list(literal_names(pattern)) == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('severity="critical"', [("severity", "=", "critical")]),
        ("team =~ db|web", [("team", "=~", "db|web")]),
        ('{a="b,c", d!~"\\\\d+",}', [("a", "=", "b,c"), ("d", "!~", "\\d+")]),
        ('"key with space" != "x\\"y"', [("key with space", "!=", 'x"y')]),
        ("a=", [("a", "=", "")]),
        ("", []),
    ],
)
def test_matchers(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert list(parse_matchers(text)) == expected


@pytest.mark.parametrize("text", ["a", '="b"', 'a="b'])
def test_what_is_no_matcher(text: str) -> None:
    with pytest.raises(ValueError, match="not a matcher"):
        assert not parse_matchers(text)


def joined(*documents: tuple[str, str, str]) -> list[Parsed]:
    """Facts of documents given as (source, path, text), joined as an estate's."""
    collector = PrometheusCollector()
    fragments = []
    for source, path, text in documents:
        assert collector.recognizes(path, text.encode()[:4096])
        estate_path = f"hosts/{source}{path}" if source else path
        fragments += [
            Fragment(item.kind, item.value, item.where, source, estate_path)
            for item in collector.parse(Document(path, text.encode()))
            if isinstance(item, Fragment)
        ]
    return list(collector.combine(fragments, lambda _: None))


def edges(items: list[Parsed], relation: Relation) -> set[tuple[str, str, str, str]]:
    return {
        (item.consumer.text, item.consumer.scope, item.provider.text, item.provider.scope)
        for item in items
        if isinstance(item, Dependency) and item.relation is relation
    }


def config(target: str, *, rules: str = "rules/*.yml", managers: str = "") -> str:
    return (
        f"rule_files: [{rules}]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: [{managers}]}}]}}]}}\n"
        f"scrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['{target}']}}]\n"
    )


RULES = "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    labels: {severity: critical}\n"
ROUTES = "route: {receiver: all}\nreceivers: [{name: all}]\n"


def test_rules_in_a_repository_watch_the_nearest_configuration() -> None:
    items = joined(
        ("", "prod/prometheus.yml", config("prod-01:9100")),
        ("", "lab/prometheus.yml", config("lab-01:9100")),
        ("", "prod/rules/a.yml", RULES),
    )
    assert edges(items, Relation.WATCHES) == {("g/Down", "", "prod-01:9100", "")}


def test_rules_on_a_host_watch_its_own_configuration() -> None:
    items = joined(
        ("mon-01", "/etc/prometheus/prometheus.yml", config("a-01:9100")),
        ("mon-02", "/etc/prometheus/prometheus.yml", config("b-01:9100")),
        ("mon-01", "/etc/prometheus/rules/a.yml", RULES),
    )
    assert edges(items, Relation.WATCHES) == {("g/Down", "mon-01", "a-01:9100", "")}
    (fact,) = items
    assert fact.where.path == "hosts/mon-01/etc/prometheus/rules/a.yml"


def test_alerts_go_to_the_alertmanager_that_the_configuration_names() -> None:
    items = joined(
        ("mon-01", "/etc/prometheus/prometheus.yml", config("a-01:9100", managers="'am-02.eventide.net:9093'")),
        ("mon-01", "/etc/prometheus/rules/a.yml", RULES),
        ("am-01", "/etc/alertmanager/alertmanager.yml", ROUTES),
        ("am-02", "/etc/alertmanager/alertmanager.yml", ROUTES),
    )
    assert edges(items, Relation.NOTIFIES) == {("g/Down", "mon-01", "all", "am-02")}


def test_an_alert_on_very_many_targets_watches_their_jobs() -> None:
    targets = ", ".join(f"web-{number}:9100" for number in range(MAX_WATCHED + 1))
    text = f"rule_files: [r.yml]\nscrape_configs:\n- job_name: web\n  static_configs: [{{targets: [{targets}]}}]\n"
    items = joined(("m", "/etc/prometheus/prometheus.yml", text), ("m", "/etc/prometheus/r.yml", RULES))
    assert edges(items, Relation.WATCHES) == {("g/Down", "m", "web", "m")}


def test_hidden_targets_keep_an_alert_from_being_blind_unless_it_names_its_host() -> None:
    text = config("a-01:9100", rules="r.yml") + "- job_name: cloud\n  consul_sd_configs: [{server: 'consul:8500'}]\n"
    rules = RULES + "  - alert: One\n    expr: up{instance='old-01:9100'} == 0\n"
    items = joined(("m", "/p/prometheus.yml", text), ("m", "/p/r.yml", rules))
    assert edges(items, Relation.WATCHES) == {
        ("g/Down", "m", "a-01:9100", ""),
        ("g/Down", "m", "cloud", "m"),
        ("g/One", "m", "old-01:9100", ""),
    }


FEDERATING = """\
rule_files: [r.yml]
scrape_configs:
- job_name: others
  honor_labels: true
  metrics_path: /federate
  params: {"match[]": ['{site="ams"}', '{__name__=~"job:.*"}']}
  static_configs: [{targets: ["prom-ams.eventide.net:9090"]}]
"""
FEDERATED = """\
global: {external_labels: {site: ams}}
scrape_configs:
- job_name: node
  static_configs: [{targets: ["a-01:9100", "a-02:9100"]}]
- job_name: hidden
  static_configs: [{targets: ["b-01:9100"], labels: {site: lab}}]
"""
ON_THE_OTHERS = RULES + (
    "  - {alert: One, expr: 'node_load1{instance=\"a-01:9100\"} > 9'}\n"
    "  - {alert: Site, expr: 'node_load1{site=\"ams\"} > 9'}\n"
    "  - {alert: Server, expr: 'up{job=\"others\"} == 0'}\n"
)


def test_a_federation_brings_the_targets_of_a_captured_server() -> None:
    items = joined(
        ("top", "/p/prometheus.yml", FEDERATING),
        ("top", "/p/r.yml", ON_THE_OTHERS),
        ("prom-ams", "/p/prometheus.yml", FEDERATED),
    )
    found = edges(items, Relation.WATCHES)
    watched = {(alert, seen) for alert, scope, seen, _ in found if scope == "top"}
    assert watched == {
        ("g/Down", "a-01:9100"),
        ("g/Down", "a-02:9100"),
        ("g/Down", "prom-ams.eventide.net:9090"),
        ("g/One", "a-01:9100"),
        ("g/Site", "a-01:9100"),
        ("g/Site", "a-02:9100"),
        ("g/Server", "prom-ams.eventide.net:9090"),
    }


def test_a_federation_of_a_server_that_was_not_captured_hides_targets() -> None:
    rules = RULES + (
        "  - {alert: Load, expr: 'node_load1 > 9'}\n"
        "  - {alert: Job, expr: 'job:errors:rate5m > 9'}\n"
        "  - {alert: Lab, expr: 'node_load1{site=\"lab\"} > 9'}\n"
    )
    text = FEDERATING + "- {job_name: own, static_configs: [{targets: ['own-01:9100']}]}\n"
    items = joined(("top", "/p/prometheus.yml", text), ("top", "/p/r.yml", rules))
    found = edges(items, Relation.WATCHES)
    assert ("g/Load", "top", "others", "top") in found
    assert ("g/Job", "top", "others", "top") in found
    assert ("g/Lab", "top", "others", "top") not in found
    assert ("g/Load", "top", "prom-ams.eventide.net:9090", "") not in found


def test_an_alias_of_the_default_port_matches_as_in_prometheus_2() -> None:
    rules = RULES + "  - alert: Port\n    expr: up{instance='a-01:80'} == 0\n"
    items = joined(("m", "/p/prometheus.yml", config("a-01", rules="r.yml")), ("m", "/p/r.yml", rules))
    assert ("g/Port", "m", "a-01", "") in edges(items, Relation.WATCHES)


def test_recording_rules_that_record_themselves_end() -> None:
    rules = "groups:\n- name: g\n  rules:\n  - {record: 'a:b', expr: 'a:b + c:d'}\n  - {record: 'c:d', expr: 'a:b'}\n"
    rules += "  - {alert: Loop, expr: 'a:b > 0'}\n"
    items = joined(("m", "/p/prometheus.yml", config("a-01:1", rules="r.yml")), ("m", "/p/r.yml", rules))
    assert edges(items, Relation.WATCHES) == {("g/Loop", "m", "a-01:1", "")}


def test_a_label_that_an_alert_may_have_goes_both_ways() -> None:
    routes = (
        "route:\n  receiver: rest\n  routes:\n  - {match: {team: tls}, receiver: tls}\n"
        "  - {match: {severity: critical}, receiver: pager}\nreceivers: [{name: rest}, {name: tls}, {name: pager}]\n"
    )
    items = joined(("m", "/p/r.yml", RULES), ("m", "/p/alertmanager.yml", routes))
    assert {edge[2] for edge in edges(items, Relation.NOTIFIES)} == {"tls", "pager"}


COLLECTOR = PrometheusCollector()
WORDS = """\
groups:
- name: g
  rules:
  - alert: A
    expr: up == 0
    expr: |
    for: 5m
    labels:
scrape_configs:
- job_name: x
  static_configs:
  - targets: [a:1, b]
  relabel_configs:
  - {action: keep}
  - {source_labels: [a], regex: '(', target_label: b}
  file_sd_configs: [{files: ['*']}]
route:
  receiver: r
  routes: [{matchers: ['a="']}]
receivers:
  webhook_configs: [{url: 'http://x/y'}]
- targets: [c]
---
*a
&a
{{ x }}
{% if %}
alerting: {alertmanagers: [1, {static_configs: 3}]}
params: [1]
kind: PrometheusRule
global: 3""".split("\n")
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=12), max_size=25).map("\n".join).map(str.encode)


@given(TEXTS | st.binary(max_size=200))
@settings(max_examples=400)
def test_any_bytes_give_facts_or_malformed(content: bytes) -> None:
    fragments = []
    for path in ("/etc/prometheus/prometheus.yml", "roles/x/templates/alerts.yml.j2"):
        COLLECTOR.recognizes(path, content[:4096])
        for item in COLLECTOR.parse(Document(path, content)):
            assert isinstance(item, (Entity, Dependency, Malformed, Fragment))
            hash(item.value if isinstance(item, Fragment) else item.where)
            assert item.where.line <= content.count(b"\n") + content.count(b"\r") + 1
            if isinstance(item, Fragment):
                fragments.append(Fragment(item.kind, item.value, item.where, "h", f"hosts/h{path}"))
    for item in COLLECTOR.combine(fragments, lambda _: None):
        assert item.where.path


@pytest.mark.parametrize("kind", ["prometheus-config", "prometheus-rules", "alertmanager", "grafana-alerting"])
def test_corpus(kind: str) -> None:
    """No crash on real files, and every line that is named holds the excerpt."""
    files = sorted((CORPUS / kind).glob("*"))
    if not files:
        pytest.skip(MISSING)
    facts = 0
    for file in files:
        content = file.read_bytes()
        lines = content.decode().split("\n")
        for item in COLLECTOR.parse(Document(file.name, content)):
            facts += 1
            if item.where.line:
                assert item.where.excerpt[:8] in lines[item.where.line - 1].replace("\t", " ")
            if isinstance(item, Dependency) and item.provider.kind is Kind.ENDPOINT:
                assert "@" not in item.provider.text
    assert facts > 20
