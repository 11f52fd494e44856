"""Answers of services over HTTP, cut, mixed and wrong: facts or what was malformed, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Document, Fragment
from collectors.acme.cert_manager import CertManagerCollector
from collectors.github_webhooks import GithubWebhooksCollector
from collectors.healthchecks import HealthchecksCollector
from collectors.icinga2 import Icinga2Collector
from collectors.infrastructure.kubernetes import KubernetesCollector
from collectors.netbox import NetboxCollector
from collectors.prometheus import PrometheusCollector

SHAPES: dict[str, tuple[Collector, str, str]] = {
    "checks": (HealthchecksCollector(), "services/p/checks.json", "checks name grace n_pings unique_key ping_url tz"),
    "pings": (HealthchecksCollector(), f"services/p/pings/{'a' * 40}.json", "pings remote_addr n date type"),
    "machines": (
        NetboxCollector(),
        "services/n/devices.json",
        "results id name status value device_type primary_ip4 address role",
    ),
    "addresses": (
        NetboxCollector(),
        "services/n/ip-addresses.json",
        "results address dns_name assigned_object device id nat_outside role value",
    ),
    "deliveries": (
        GithubWebhooksCollector(),
        "services/g/deliveries/a/b/7.json",
        "id delivered_at status_code status response_status response_headers Date",
    ),
    "icinga": (
        Icinga2Collector(),
        "services/i/objects/hosts.json",
        "results attrs name type vars address groups host_name source_location path first_line Host Downtime end_time",
    ),
    "cluster": (
        KubernetesCollector(),
        "services/k/x.json",
        "kind apiVersion items metadata name spec CronJobList EndpointSliceList endpoints addresses targetRef status",
    ),
    "certificates": (
        CertManagerCollector(),
        "services/k/certificates.json",
        "kind apiVersion items metadata name spec CertificateList cert-manager.io/v1 status notAfter conditions type",
    ),
    "grafana": (
        PrometheusCollector(),
        "services/g/x.json",
        "receiver routes group_by access type url name settings data condition title record folderUID ruleGroup",
    ),
}


def read(collector: Collector, path: str, content: bytes) -> None:
    collector.recognizes(path, content[:4096])
    pieces = []
    for item in collector.parse(Document(path, content)):
        if isinstance(item, Fragment):
            hash(item.value)
            pieces.append(Fragment(item.kind, item.value, item.where, "", path))
    list(collector.combine(pieces, lambda _: None))


def values(words: str) -> st.SearchStrategy[Any]:
    names = st.sampled_from([*words.split(), "10.0.0.1", "https://a.example.net/x", "", "7", "2026-11-23T03:17:31Z"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=25
    )


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=80)
@given(data=st.data())
def test_any_json(shape: str, data: st.DataObject) -> None:
    collector, path, words = SHAPES[shape]
    value = data.draw(values(words))
    read(collector, path, json.dumps(value, indent=data.draw(st.sampled_from([None, 1]))).encode())
    first = words.split()[0]
    read(collector, path, json.dumps({first: [value, value]}).encode())


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40)
@given(content=st.binary(max_size=300))
def test_any_bytes(shape: str, content: bytes) -> None:
    collector, path, words = SHAPES[shape]
    read(collector, path, content)
    read(collector, path, f'{{"{words.split()[0]}": ['.encode() + content)
