"""Whatever stands in files of log shippers, Grafana and exporters: facts or malformed places, and no exception."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed
from collectors.log_shippers import LogShippersCollector
from collectors.prometheus import PrometheusCollector
from collectors.prometheus.dashboards import GrafanaDashboardsCollector

SHIPPED = (
    "/etc/vector/vector.toml",
    "/etc/vector/vector.yaml",
    "/etc/fluent-bit/fluent-bit.conf",
    "/etc/fluent-bit/fluent-bit.yaml",
    "/etc/filebeat/filebeat.yml",
    "/etc/heartbeat/heartbeat.yml",
    "/etc/grafana-agent.yaml",
    "/etc/loki/config.yml",
    "/etc/alloy/config.alloy",
    "/etc/systemd/journal-upload.conf",
)
WATCHING = (
    "/etc/grafana/provisioning/alerting/a.yaml",
    "/etc/grafana/grafana.ini",
    "/etc/prometheus/blackbox.yml",
    "/etc/smokeping_prober.yml",
)
WORDS = (
    *("sinks", "sources", "endpoint", "endpoints", "[OUTPUT]\n", "Host ", "output.elasticsearch.hosts"),
    *("heartbeat.monitors", "urls", "type", "remote_write", "clients", "url", "ruler", "alertmanager_url", "pipeline"),
    *("datasources", "contactPoints", "policies", "groups", "rules", "data", "model", "expr", "title", "name"),
    *("receiver", "object_matchers", "muteTimes", "time_intervals", "weekdays", "times", "modules", "prober"),
    *("{", "}", "[", "]", ":", ": ", "- ", "\n", "\n  ", "\n    ", ",", '"', "=", "[sinks.a]\n", "https://h.org:1/"),
    *("a", "1", "null", "{{ x }}", "'", "panels", "time() - x{instance='h'}", "&a ", "*a", "\x00", "é", "routes"),
    *("[smtp]\nhost = h", "[Upload]\nURL=", "targets"),
)
TEXT = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


def holds(collector: Collector, path: str, content: bytes) -> None:
    collector.recognizes(path, content[:4096])
    fragments = []
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for item in collector.parse(Document(path, content)):
        assert isinstance(item, Entity | Dependency | Malformed | Fragment)
        assert item.where.line <= lines
        if isinstance(item, Fragment):
            fragments.append(Fragment(item.kind, item.value, item.where, "h", f"hosts/h{path}"))
    list(collector.combine(fragments, lambda _: None))


@pytest.mark.parametrize("path", SHIPPED)
@settings(max_examples=60)
@given(content=st.one_of(st.binary(max_size=300), TEXT.map(lambda text: text.encode())))
def test_log_shippers(path: str, content: bytes) -> None:
    holds(LogShippersCollector(), path, content)


@pytest.mark.parametrize("path", WATCHING)
@settings(max_examples=60)
@given(content=st.one_of(st.binary(max_size=300), TEXT.map(lambda text: text.encode())))
def test_grafana_and_exporters(path: str, content: bytes) -> None:
    holds(PrometheusCollector(), path, content)


INTERVALS = b"route: {receiver: a}\nreceivers: [{name: a}]\ntime_intervals:\n"
SLOW = {
    "deep toml": ("/etc/vector/vector.toml", b"a=" + b"[" * 50_000),
    "open blocks": ("/etc/alloy/config.alloy", b'a "b" {\n' * 50_000),
    "many outputs": ("/etc/fluent-bit/fluent-bit.conf", b"[OUTPUT]\nHost h\n" * 50_000),
    "deep json": ("/d/grafana/d.json", b'{"panels": ' + b"[" * 100_000),
    "many expressions": ("/d/grafana/d.json", b'{"panels": [' + b'{"expr": "x{instance=\\"h\\"}"},' * 20_000 + b"{}]}"),
    "many intervals": ("/etc/alertmanager.yml", INTERVALS + b"- {name: a, time_intervals: [{}, {}]}\n" * 20_000),
}


@settings(max_examples=100)
@given(content=st.one_of(st.binary(max_size=300), TEXT.map(lambda text: text.encode())))
def test_dashboards(content: bytes) -> None:
    holds(GrafanaDashboardsCollector(), "/var/lib/grafana/dashboards/d.json", content)


@pytest.mark.parametrize(("path", "content"), SLOW.values(), ids=SLOW)
def test_text_made_to_be_slow(path: str, content: bytes) -> None:
    of_prometheus: Collector = PrometheusCollector() if "alert" in path else GrafanaDashboardsCollector()
    collector = of_prometheus if "grafana" in path or "alert" in path else LogShippersCollector()
    start = process_time()
    holds(collector, path, content)
    assert process_time() - start < 10
