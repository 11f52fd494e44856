"""Digits that are no decimals (`²`), more of them than Python reads, and names that are none: no error."""

from __future__ import annotations

import pytest

from auditor.api import Collector, Document, Entity, Fragment
from auditor.text import split_endpoint
from collectors.infrastructure.nixos import NixosCollector
from collectors.prometheus import PrometheusCollector
from collectors.prometheus.alertmanager import safe_endpoint
from collectors.services.backup_servers import BackupServersCollector
from collectors.services.proxmox import ProxmoxCollector
from collectors.systemd import SystemdCollector
from collectors.traffic.haproxy import HaproxyCollector

_BACK_END = "backend b\n  server s 192.0.2.1:{}\n"
_TARGET = (
    '{"status": "success", "data": {"activeTargets": '
    '[{"scrapePool": "node", "scrapeUrl": "http://web-0", "labels": {}}]}}'
)
_RULE = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up{instance='web-0:80'} == 0\n"


@pytest.mark.parametrize("port", ["²", "1²", "9" * 5_000, "٣"])
@pytest.mark.parametrize(
    ("collector", "path", "text"),
    [
        (ProxmoxCollector(), "/etc/pve/storage.cfg", "iscsi: a\n portal 192.0.2.1:{}\n"),
        (BackupServersCollector(), "/etc/barman.conf", "[a]\nssh_command = ssh -p {} a@192.0.2.1\n"),
        (BackupServersCollector(), "/etc/barman.conf", "[a]\nconninfo = host=192.0.2.1 port={}\n"),
        (HaproxyCollector(), "/etc/haproxy/haproxy.cfg", _BACK_END),
        (SystemdCollector(), "/etc/systemd/system/a.timer", "[Timer]\nOnBootSec={}\n"),
    ],
    ids=["endpoint", "ssh", "libpq", "haproxy", "span"],
)
def test_a_number_that_is_none_is_no_error(collector: Collector, path: str, text: str, port: str) -> None:
    found = list(collector.parse(Document(path, text.replace("{}", port).encode())))
    fragments = [Fragment(one.kind, one.value, one.where, "h", path) for one in found if isinstance(one, Fragment)]
    assert found + list(collector.combine(fragments, lambda _: None))


@pytest.mark.parametrize("text", ["https://a.example.net:²", "[2001:db8::1]:²", f"a.example.net:{'9' * 5_000}"])
def test_a_port_that_is_none_is_left_out(text: str) -> None:
    parts = split_endpoint(text)
    assert parts is None or parts.port is None


def test_a_target_without_an_instance_is_one_without_a_port() -> None:
    collector = PrometheusCollector()
    found = [
        *collector.parse(Document("services/main/targets.json", _TARGET.encode())),
        *collector.parse(Document("rules.yml", _RULE.encode())),
    ]
    fragments = [Fragment(one.kind, one.value, one.where, "", "x") for one in found if isinstance(one, Fragment)]
    list(collector.combine(fragments, lambda _: None))
    assert fragments


def test_an_endpoint_without_its_fragment() -> None:
    found = safe_endpoint("https://hooks.example.net#x", keep_path=False)
    assert found is not None
    assert found.text == "https://hooks.example.net"


@pytest.mark.parametrize("name", ["a\\nb", "\\na", "a b", "${pkgs.x}"])
def test_no_machine_of_nixos_is_called_by_what_is_no_name(name: str) -> None:
    text = f'{{ networking.hostName = "{name}"; services.a.database.host = "db.example.net"; }}'
    found = list(NixosCollector().parse(Document("a.nix", text.encode())))
    assert [one.ref.scope for one in found if isinstance(one, Entity)] == [""]
