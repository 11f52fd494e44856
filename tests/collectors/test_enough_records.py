"""Each kind of real file is known from at least twenty records of the cases, each checked by hand.

A record is one item of a case: a fact that must be yielded, or one that must not. A kind is a set of directories of
cases, with a part of the case's path where a directory holds cases of several kinds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

HERE = Path(__file__).parent
ENOUGH: Final = 20

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "acme.sh": ("acme.acme_sh",),
    "alertmanager": ("prometheus: alertmanager",),
    "ansible-inventory": ("ansible_inventory: inventor", "ansible_inventory: host_vars", "ansible_inventory: captures"),
    "apache": ("traffic.apache",),
    "aws-api-json": ("aws.ec2", "aws.route53", "aws.events", "aws.balancers", "aws.certificates"),
    "certbot-renewal": ("certbot",),
    "certmonger": ("acme.certmonger",),
    "cron": ("crontab", "anacron", "run_parts"),
    "dehydrated": ("acme.dehydrated",),
    "dns-zone": ("zone",),
    "docker-compose": ("infrastructure.compose",),
    "github-actions": ("schedulers.github_actions",),
    "github-webhook-json": ("github_webhooks: webhooks/github",),
    "grafana-alerting": ("prometheus: grafana", "prometheus.dashboards"),
    "haproxy": ("traffic.haproxy",),
    "icinga2": ("icinga2",),
    "infra-trees": ("ansible_inventory: playbooks", "infrastructure.ansible_tasks"),
    "kubernetes": ("infrastructure.kubernetes",),
    "lego": ("acme.lego",),
    "nagios": ("nagios",),
    "nginx": ("traffic.nginx",),
    "prometheus-config": ("prometheus: prometheus.yml",),
    "prometheus-rules": ("prometheus: rules",),
    "renewal-hooks": ("shell",),
    "systemd": ("systemd",),
    "terraform-json": ("infrastructure.terraform",),
    "windows-task-xml": ("schedulers.windows_tasks",),
    "zabbix": ("zabbix",),
}
"""Kind of real file: the directories of its cases, `directory: part of the case's path` for some of one."""


def records(source: str) -> int:
    """The items of the cases of a directory, or of those whose path has a part."""
    directory, _, part = source.partition(": ")
    cases = [json.loads(file.read_text("utf-8")) for file in (HERE / directory).glob("*.json")]
    cases = [case for case in cases if case.get("why") and part in case["path"]]
    return sum(len(case.get("expect", ())) + len(case.get("absent", ())) for case in cases)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_enough_records(kind: str) -> None:
    found = {source: records(source) for source in KINDS[kind]}
    assert all(found.values()), f"a directory without records: {found}"
    assert sum(found.values()) >= ENOUGH, found
