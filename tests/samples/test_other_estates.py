"""The other sample estates: each shows what its kind of retirement leaves behind, and leaves neighbours alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from auditor.cli.main import main

SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_inventories"
ESTATES: Final = {
    "windows-file-server": ("fs-old-01.eventide.net", "2026-12-18", "2026-11-25T09:00:00Z"),
    "aws-migration": ("ship-api-01.ship.eventide.net", "2026-12-01", "2026-11-24T09:00:00Z"),
    "nagios-data-centre": ("core-02.gro.eventide.net", "2026-12-10", "2026-11-26T09:00:00Z"),
}
AWS: Final = "aws/210987654321"
WATCH: Final = "hosts/watch-01.gro.eventide.net/etc/nagios4"

# Rule, severity, words of what is said, a place of the evidence.
SAID: Final = {
    "windows-file-server": [
        ("renewal-on-going-host", "block", "win-acme", "win-acme renew (acme-v02.api.letsencrypt.org)"),
        ("job-calls-going-host", "block", "writes to fs-old-01", "Tasks/Eventide/Export ledger"),
        ("job-calls-going-host", "block", "fetches from fs-old-01", "Tasks/Eventide/Fetch price list"),
        ("job-calls-going-host", "block", "scan-upload.timer", "scan-upload.service:8"),
        ("job-calls-going-host", "warn", "pull-shares", "bkp-01.eventide.net/etc/cron.d/file-servers:2"),
        ("job-missing-on-successor", "warn", "Archive invoices", "Tasks/Eventide/Archive invoices"),
        ("mount-of-going-host", "block", "publish-invoices.sh", "billing-01.eventide.net/etc/fstab:3"),
        ("dns-leads-to-going-host", "block", "files.eventide.net (CNAME)", "eventide.net.zone:8"),
        ("service-needs-going-host", "block", "Team shares", "inventory.yaml"),
        ("alert-blind", "warn", "ShareDiskFull", "rules/files.yml:5"),
        ("alert-blind", "warn", "SharesUnreachable", "prometheus.yml:30"),
        ("successor-unwatched", "warn", "fs-core-01.eventide.net by nobody", "prometheus.yml"),
        ("allow-list-names-going-host", "warn", "10.60.5.20", "nftables.conf:8"),
        ("mention", "warn", "Drives.xml", "policies/drive-maps/Drives.xml:4"),
        ("coverage-gap", "warn", "dc-01.eventide.net could not be reached", "hosts/dc-01.eventide.net"),
    ],
    "aws-migration": [
        ("renewal-on-going-host", "block", "46 days", "cron.d/certbot:2"),
        ("certificate-expiry", "warn", "Shipping API (critical)", f"{AWS}/eu-west-1/acm.DescribeCertificate"),
        ("job-calls-going-host", "block", "EventBridge rule nightly-manifest", "events.ListTargetsByRule"),
        ("webhook-to-going-host", "block", "API destination carrier-events", "events.ListApiDestinations"),
        ("webhook-to-going-host", "block", "eventide/shipping", "webhooks/github/eventide/shipping.json"),
        ("dns-leads-to-going-host", "block", "legacy.ship.eventide.net (A)", "route53.ListResourceRecordSets"),
        ("dns-leads-to-going-host", "block", "carrier.ship.eventide.net", "route53.ListResourceRecordSets"),
        ("dns-leads-to-going-host", "warn", "1 of 2 addresses of rates", "route53.ListResourceRecordSets"),
        ("dns-leads-to-going-host", "warn", "The SPF record", "route53.ListResourceRecordSets"),
        ("alert-receiver-going", "block", "5 of 5 alerts", "sns.ListSubscriptions"),
        ("alert-blind", "warn", "ship-down", "cloudwatch.DescribeAlarms"),
        ("alert-blind", "warn", "health check", "route53.ListHealthChecks"),
        ("service-needs-going-host", "block", "Lambda function label-printer", "lambda.ListFunctions"),
        ("service-needs-going-host", "block", "target group ship-legacy", "elbv2.DescribeTargetHealth"),
        ("coverage-gap", "warn", "glue:GetConnections", "glue.GetConnections"),
    ],
    "nagios-data-centre": [
        ("alert-receiver-going", "block", "10 of 10 alerts", f"{WATCH}/objects/commands.cfg:23"),
        ("alert-blind", "warn", "PostgreSQL", f"{WATCH}/conf.d/hosts.cfg:16"),
        ("alert-blind", "warn", "DNS", f"{WATCH}/conf.d/services.cfg:28"),
        ("successor-unwatched", "warn", "core-03.gro.eventide.net by nobody", WATCH),
        ("dns-leads-to-going-host", "block", "The only mail server", "gro.eventide.net.zone:6"),
        ("dns-leads-to-going-host", "warn", "1 of 2 name servers", "gro.eventide.net.zone:4"),
        ("mount-of-going-host", "block", "app[01:12]", "etc/fstab:2"),
        ("replication-source-going", "block", "postgresql standby", "postgresql.auto.conf:2"),
        ("backup-of-going-host", "warn", "/export/home/", "rsnapshot.conf:7"),
        ("service-needs-going-host", "block", "chrony on app[01:12]", "chrony.conf:1"),
        ("service-needs-going-host", "block", "DHCP clients", "dhcpd.conf:7"),
        ("logs-and-mail-through-going-host", "block", "postfix relay", "main.cf:5"),
        ("logs-and-mail-through-going-host", "block", "rsyslog", "50-central.conf:1"),
        ("pool-loses-member", "warn", "haproxy backend postgres", "haproxy.cfg:17"),
        ("pool-loses-member", "warn", "each resolver", "resolv.conf:2"),
        ("group-left-empty", "warn", "relay.yml is for it alone", "ansible/hosts.ini:5"),
        ("allow-list-names-going-host", "warn", "pg_hba", "pg_hba.conf:3"),
        ("job-missing-on-successor", "warn", "warehouse-dump", "cron.d/warehouse-dump:2"),
        ("job-missing-on-successor", "warn", "warehouse-report.timer", "warehouse-report.timer"),
    ],
}  # fmt: skip

# What looks like it and is not: a neighbour's name, and what goes on without the host.
NEVER: Final = {
    "windows-file-server": ("fs-old-010", "Nightly report"),
    "aws-migration": ("hourly-rates", "ship-worker-02", "ship-public-5xx watches only"),
    "nagios-data-centre": ("core-020", "lb-01.gro.eventide.net:/etc/"),
}


Reports = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What the checklist of an estate says, as JSON; asked once."""
    directory = tmp_path_factory.mktemp("estates")

    @cache
    def asked(estate: str) -> dict[str, Any]:
        host, on, now = ESTATES[estate]
        place = directory / f"{estate}.json"
        words = [
            "--estate",
            str(SAMPLES / estate),
            "--on",
            on,
            "--now",
            now,
            "--format",
            "json",
            "-o",
            str(place),
            "-q",
        ]
        assert main(["checklist", host, *words]) == 1
        told: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        return told

    return asked


def text(finding: dict[str, Any]) -> str:
    return " ".join((finding["message"], finding.get("why", ""), finding.get("action", "")))


@pytest.mark.parametrize(
    ("estate", "rule", "severity", "words", "place"), [(estate, *row) for estate, rows in SAID.items() for row in rows]
)
def test_it_is_said_by_its_rule(report: Reports, estate: str, rule: str, severity: str, words: str, place: str) -> None:
    found = [
        finding
        for finding in report(estate)["findings"]
        if finding["rule"] == rule
        and finding["severity"] == severity
        and words in text(finding)
        and any(place in f"{one['path']}:{one['line']}" for one in finding["evidence"])
    ]
    assert len(found) == 1, [text(one) for one in report(estate)["findings"] if one["rule"] == rule]


@pytest.mark.parametrize("estate", ESTATES)
def test_neighbours_are_left_alone(report: Reports, estate: str) -> None:
    for finding in report(estate)["findings"]:
        for word in NEVER[estate]:
            assert word not in finding["message"], finding["message"]
            assert not any(one["excerpt"].strip() == word for one in finding["evidence"])
    assert report(estate)["verdict"] == "BLOCKED"
    assert report(estate)["failures"] == []


@pytest.mark.parametrize("estate", ESTATES)
def test_each_file_is_recorded_and_named_in_no_other_estate(estate: str) -> None:
    records = [json.loads(line)["path"] for line in (SAMPLES / estate / "captures.jsonl").read_text().splitlines()]
    files = {str(one.relative_to(SAMPLES / estate)) for one in (SAMPLES / estate).rglob("*") if one.is_file()}
    assert files - set(records) == {"inventory.yaml", "captures.jsonl"}
    assert records == sorted(records)
