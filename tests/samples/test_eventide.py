"""Both estates of Eventide Logistics: the incident shows all that nobody saw, and the estate afterwards is clear.

What each rule must say is a table. A rule that is not in the registry's table yet is skipped by its id, and checked as
soon as it is there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auditor.api import Finding, Impact, Kind, Lifecycle, Outcome, Relation, Severity
from auditor.audit.engine import Audited, Request, audit
from auditor.audit.scenario import parse_host
from auditor.cli.main import main
from auditor.model import Area, Verdict
from auditor.registry import RULES, load_collectors, load_rules

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLES: Final = ROOT / "sample_inventories"
BEFORE: Final = SAMPLES / "eventide"
AFTER: Final = SAMPLES / "eventide-after"
LEGACY: Final = "legacy-cert-01.eventide.net"
CORE: Final = "cert-core-01.eventide.net"
ON_LEGACY: Final = f"hosts/{LEGACY}"
ON_MON: Final = "hosts/mon-01.eventide.net"
ZONE: Final = "dns/eventide.net.zone"
LINEAGE: Final = f"{ON_LEGACY}/etc/letsencrypt/renewal/eventide.net.conf"
NOW: Final = datetime(2025, 11, 21, 12, tzinfo=UTC)
END: Final = datetime(2025, 11, 22, 22, tzinfo=UTC)
LATER: Final = datetime(2025, 12, 15, 9, tzinfo=UTC)
NAMES: Final = tuple(
    f"{name}.eventide.net" if name else "eventide.net"
    for name in (
        "api",
        "dashboards",
        "",
        "mobile-api",
        "mobile-push",
        "staging-api",
        "staging-app",
        "tracking",
        "www",
    )
)
BLIND: Final = ("CertificateExpiresSoon", "CertServerDown", "CertServerDiskFull", "RenewalHookDown")


@dataclass(frozen=True)
class Said:
    """What findings of one rule must say together: of which subjects, in which words, on which evidence.

    `words` are regular expressions over everything that is said. `evidence` is "path" or "path:text of the line".
    """

    rule: str
    subjects: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    severity: Severity | None = None
    never: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.rule


READ_ONLY: Final = (
    Said(
        "renewal-on-going-host",
        ("eventide.net",),
        (r"\b34 h\b", r"\b340\b", r"\b9 names\b", "legacy-cert-01", "cert-core-01"),
        (LINEAGE,),
        Severity.BLOCK,
    ),
    Said(
        "renewal-hook-on-going-host",
        ("eventide.net",),
        ("acme-hook", "cert-core-01"),
        (f"{LINEAGE}:https://acme-hook.eventide.net/renewed",),
    ),
    Said(
        "renewal-validation-on-going-host",
        ("eventide.net",),
        (r"_acme-challenge|rfc2136|10\.20\.4\.17",),
    ),
    Said("certificate-overdue", ("eventide.net",), ("2025-10-2[0-9]|[0-9]+ days|month",)),
    Said("certificate-expiry", ("eventide.net",), (r"\b34 h\b", r"\b340\b", r"\b9 names\b"), severity=Severity.BLOCK),
    Said(
        "renewal-stages-unwatched",
        ("eventide.net",),
        ("not attempted", "not succeed", "not deployed", "0 of its 3 stages"),
    ),
    Said(
        "recovery-too-slow",
        ("Emergency reissue",),
        (
            "Mon 2025-11-24 15:04 UTC at the earliest",
            "41 h after the certificate ends",
            "longest step is Sign-off: 69 h, waiting for Compliance",
            "Without its 5 approvals it would be done Fri 2025-11-21 18:49 UTC, in time",
            "340 servers and 9 names",
        ),
        ("inventory.yaml:name: Sign-off",),
        Severity.BLOCK,
    ),
    Said("recovery-approvals", ("Emergency reissue",), ("5 approvals, one after the other",), never=("Renewal of",)),
    Said("recovery-needs-going-host", ("Emergency reissue", "Renewal of"), ("2 of 5 steps", "Push to the API servers")),
    Said("recovery-not-rehearsed", ("Renewal of", "Emergency", "Recovery"), ("3 of 3 procedures",)),
    Said("recovery-document-stale", ("Renewal of", "Emergency"), ("2024-03-11", "2025-06-20", "15 months later")),
    Said("recovery-key-single-place", ("eventide-wildcard-signing",), ("one HSM, hsm-01", "after 3 h")),
    Said("recovery-procedure-missing", ("eventide.net",), ("no procedure for revocation", "3 of 4")),
    Said(
        "renewal-chain-broken",
        ("eventide.net",),
        (r"3 of 6 stages, first the challenge \(3\), then the storage and deployment", "340 servers and 9 names"),
        severity=Severity.INFO,
    ),
    Said(
        "renewal-alert-unheard",
        ("eventide.net",),
        ("1 of 1 alert .* CertificateExpiresSoon is told to pki-oncall alone, on legacy-cert-01",),
        (f"{ON_MON}/etc/alertmanager/alertmanager.yml",),
    ),
    Said("renewal-single-trigger", ("eventide.net",), ("Only one thing",), (f"{ON_LEGACY}/etc/cron.d/certbot",)),
    Said("expiry-alert-too-late", ("eventide.net",), ("comes 23 h before it: 90 days", "told to pki-oncall alone")),
    Said("certificate-for-everything", ("eventide.net",), ("9 names and 340 servers at 1 site, ashburn", "wildcard")),
    Said("issuance-single-place", ("eventide.net",), ("one site only, ashburn", "northgate", "one account")),
    Said("name-not-covered", ("eventide.net",), (r"not for api\.eu\.eventide\.net", "1 name of 10")),
    Said("dns-refuses-reissue", ("eventide.net",), ("only the account", "pins the key"), (ZONE,)),
    Said("webhook-to-going-host", ("cert-config",), ("cert-core-01",), never=("tracking-app",)),
    Said(
        "write-on-read-only",
        ("cert-inventory",),
        (),
        (f"{ON_LEGACY}/usr/local/sbin/cert-inventory.sh|{ON_LEGACY}/etc/cron.d/cert-inventory",),
        never=("pull-certs", "sbom"),
    ),
    Said(
        "alert-blind",
        BLIND,
        (),
        (f"{ON_MON}/etc/prometheus/rules/certificates.yml",),
        never=("InstanceDown", "SiteDown"),
    ),
    Said("successor-unwatched", ("cert-core-01",)),
    Said("job-calls-going-host", ("csr-sync",), ("cert-core-01",), never=("pull-certs", "sbom")),
    Said("job-missing-on-successor", ("cert-housekeeping",), ("cert-core-01",), never=("cron.daily/logrotate",)),
    Said(
        "authorized-key-of-going-host",
        ("authorized_keys",),
        (r"api\[001:340\].*certs@legacy-cert-01.*from 10\.20\.4\.17 alone, and nothing of cert-core-01",),
    ),
    Said("coverage-gap", (), ("crontabs",)),
)
"""The demo: read-only since June, and nothing was moved."""

RETIRED: Final = (
    Said("renewal-on-going-host", ("eventide.net",), (r"\b34 h\b", r"\b340\b", r"\b9 names\b"), (), Severity.BLOCK),
    Said("renewal-hook-on-going-host", ("eventide.net",), ("acme-hook",), (LINEAGE,), Severity.BLOCK),
    Said("renewal-validation-on-going-host", ("eventide.net",), (r"_acme-challenge|rfc2136|10\.20\.4\.17",)),
    Said("alert-blind", BLIND, never=("InstanceDown", "SiteDown")),
    Said("successor-unwatched", ("cert-core-01",)),
    Said(
        "alert-receiver-going",
        ("pki-oncall",),
        (),
        (f"{ON_MON}/etc/alertmanager/alertmanager.yml:http://10.20.4.17:9095/alert",),
        Severity.BLOCK,
        never=("platform-oncall", "platform-chat"),
    ),
    Said(
        "webhook-to-going-host",
        ("cert-config",),
        ("cert-core-01",),
        ("webhooks/github/eventide/cert-config.json:https://acme-hook.eventide.net/github",),
        Severity.BLOCK,
        never=("tracking-app",),
    ),
    Said("job-on-going-host", ("logrotate",)),
    Said("job-calls-going-host", ("csr-sync", "pull-certs"), (), (), never=("sbom",)),
    Said("job-missing-on-successor", ("cert-inventory", "cert-housekeeping"), never=("cron.daily/logrotate",)),
    Said(
        "dns-leads-to-going-host",
        ("acme-hook", "certs", "_acme-hook._tcp"),
        (),
        (
            f"{ZONE}:acme-hook   300 IN CNAME",
            f"{ZONE}:certs           IN CNAME",
            f"{ZONE}:IN SRV",
            f"{ZONE}:v=spf1",
            f"{ZONE}:_acme-challenge IN NS",
            "dns/20.10.in-addr.arpa.zone:17.4",
        ),
        never=("www.eventide.net", "staging-app"),
    ),
    Said("dns-dangling", ("crl.pki",), (), (f"{ZONE}:crl.pki",)),
    Said("group-left-empty", ("certs",), (), ("ansible/inventory/hosts.ini",)),
    Said("mention", ("docs/wiki/renewal.md", "ansible/group_vars/all.yml")),
    Said("coverage-gap", (), ("crontabs",)),
)
"""What stands out as soon as it is switched off as it is."""

ABANDONED: Final = Said("certificate-without-renewal", ("eventide.net",))
"""Of the estate afterwards it must not be said: the certificate is on 340 servers, and renewed on the successor."""


@cache
def audited(estate: str, lifecycle: str, now: datetime, host: str = "legacy-cert-01") -> Audited:
    collectors, failures = load_collectors()
    rules, more = load_rules()
    assert not failures
    assert not more
    request = Request(SAMPLES / estate, (parse_host(host),), Lifecycle(lifecycle), now)
    return audit(request, collectors, rules)


def demo() -> Audited:
    return audited("eventide", "read-only", NOW)


def after() -> Audited:
    return audited("eventide-after", "retired", LATER)


def told(findings: Iterable[Finding]) -> str:
    lines = []
    for one in findings:
        lines += [one.subject, one.message, one.why, one.action]
        lines += [f"{step.consumer} {step.relation} {step.provider} {step.note}" for step in one.path]
        lines += [f"{place.path}:{place.line} {place.excerpt}" for place in one.evidence]
    return "\n".join(lines)


def check(result: Audited, wanted: Said) -> None:
    found = [one for one in result.report.findings if one.rule == wanted.rule]
    everything = told(found)
    assert found, f"{wanted.rule} found nothing"
    for subject in wanted.subjects:
        assert any(subject in told([one]) for one in found), f"nothing about {subject} in\n{everything}"
    for words in wanted.words:
        assert re.search(words, everything), f"no {words!r} in\n{everything}"
    for place in wanted.evidence:
        path, _, text = place.partition(":")
        assert any(
            evidence.path in path.split("|") and text in evidence.excerpt for one in found for evidence in one.evidence
        ), f"no evidence {place} in\n{everything}"
    if wanted.severity is not None:
        assert wanted.severity in {one.severity for one in found}, everything
    for one in found:
        assert not [word for word in wanted.never if word in f"{one.subject} {one.message}"], told([one])


def rules(*tables: Iterable[Said]) -> list[object]:
    return [
        pytest.param(
            said,
            id=said.rule,
            marks=pytest.mark.skipif(said.rule not in RULES, reason=f"there is no rule {said.rule} yet"),
        )
        for table in tables
        for said in table
    ]


# -- what must be found ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", rules(READ_ONLY))
def test_the_incident_is_found(said: Said) -> None:
    check(demo(), said)


@pytest.mark.parametrize("said", rules(RETIRED))
def test_switching_it_off_is_found(said: Said) -> None:
    check(audited("eventide", "retired", NOW), said)


@pytest.mark.skipif(ABANDONED.rule not in RULES, reason=f"there is no rule {ABANDONED.rule} yet")
def test_a_lineage_that_is_renewed_elsewhere_is_not_called_abandoned() -> None:
    assert not [one for one in after().report.findings if one.rule == ABANDONED.rule]


def test_every_line_that_names_the_old_server_is_shown() -> None:
    """Whatever rule shows it: as grep would find it, outside the server's own files and the inventory."""
    shown = {
        (place.path, place.line)
        for one in audited("eventide", "retired", NOW).report.findings
        for place in one.evidence
    }
    shown |= {
        (step.evidence.path, step.evidence.line)
        for one in audited("eventide", "retired", NOW).report.findings
        for step in one.path
        if step.evidence
    }
    missed = []
    for path in files(BEFORE):
        if path.startswith(ON_LEGACY) or path in ("inventory.yaml", "captures.jsonl"):
            continue
        for number, line in enumerate((BEFORE / path).read_text().splitlines(), 1):
            if re.search(r"legacy-cert-01|10\.20\.4\.17|203\.0\.113\.17", line) and (path, number) not in shown:
                missed.append(f"{path}:{number}: {line.strip()}")
    assert not missed


@pytest.mark.skipif("renewal-on-going-host" not in RULES, reason="there is no rule renewal-on-going-host yet")
def test_the_demo_is_blocked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make demo` runs it."""
    monkeypatch.chdir(ROOT)
    assert main([*demo_command(), "--quiet"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("BLOCKED")
    assert "34 h" in out
    assert "340" in out


def test_make_demo_asks_34_hours_before_the_end() -> None:
    command = demo_command()
    assert command[:2] == ["checklist", "legacy-cert-01"]
    assert command[command.index("--estate") + 1] == "sample_inventories/eventide"
    assert command[command.index("--as") + 1] == "read-only"
    assert datetime.fromisoformat(command[command.index("--now") + 1]) == NOW
    assert timedelta(hours=34) == END - NOW


def demo_command() -> list[str]:
    found = re.search(r"(?m)^DEMO := (.*)$", (ROOT / "Makefile").read_text())
    assert found is not None
    return found[1].split()


def test_the_one_gap_of_the_demo_is_told() -> None:
    gaps = [row for row in demo().report.coverage if not row.seen and row.needed]
    assert [(row.source, row.what, row.outcome) for row in gaps] == [
        ("build-01.eventide.net", "/var/spool/cron/crontabs", Outcome.DENIED)
    ]


def test_nothing_went_wrong_on_the_way() -> None:
    for result in (demo(), after(), audited("eventide", "retired", NOW)):
        assert result.report.failures == ()


# -- what is as it should be ----------------------------------------------------------------------------------------


def stated(result: Audited) -> dict[str, str]:
    return {run.rule: " ".join(run.passed) for run in result.report.rules if run.passed}


def test_what_went_well_in_the_incident_is_stated() -> None:
    """The push reached all servers, and nothing there wants another form than PEM."""
    said = stated(demo())
    assert said["renewed-not-deployed"].startswith("340 of 340 servers have the newest certificate of *.eventide.net")
    assert said["certificate-format"].startswith("340 of 340 servers have *.eventide.net as PEM")
    assert set(said) == {"renewed-not-deployed", "certificate-format"}


def test_afterwards_it_is_stated_that_each_stage_is_watched_and_heard() -> None:
    said = stated(after())
    assert re.search(r"3 of 3 stages .*attempted by .*succeeded by .*deployed by", said["renewal-stages-unwatched"])
    assert said["renewal-alert-unheard"].startswith("3 of 3 alerts on the renewal of *.eventide.net reach somebody")
    assert "340 of 340" in said["renewed-not-deployed"]
    assert "340 of 340" in said["certificate-format"]


# -- what must not be found -----------------------------------------------------------------------------------------


def test_afterwards_all_is_clear(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "checklist",
            "legacy-cert-01",
            "--estate",
            str(AFTER),
            "--as",
            "retired",
            "--now",
            LATER.isoformat(),
            "--quiet",
        ]
    )
    out = capsys.readouterr().out
    assert code == 0, out
    assert out.startswith("CLEAR")


def test_afterwards_nothing_is_reported() -> None:
    report = after().report
    assert report.verdict is Verdict.CLEAR
    assert [told([one]) for one in report.findings] == []


def test_afterwards_everything_was_looked_at() -> None:
    report = after().report
    assert [row for row in report.coverage if row.needed and not row.seen] == []
    # Addresses of the zone that no host of the inventory has.
    (row,) = [row for row in report.coverage if not row.seen]
    assert row.what == "6 names under our domains whose machine the inventory does not declare"
    internal = {f"{name}.int.eventide.net" for name in ("artifacts", "chat", "siem", "wiki")}
    assert set(row.hosts) == internal | {"dashboards.eventide.net", "staging-api.eventide.net"}
    assert [run for run in report.rules if not run.looked_at] == []
    looked_at = {row.area for row in report.coverage if row.seen}
    assert set(Area) - looked_at == {Area.COVERAGE}


def test_afterwards_nothing_depends_on_the_old_server() -> None:
    view = after().view
    hit = [
        node.label
        for kind in Kind
        for node in view.nodes(kind)
        if view.impact_of(node) is not Impact.NONE and LEGACY not in (node.text, node.scope)
    ]
    assert hit == []


def test_afterwards_each_stage_has_its_alert() -> None:
    view = after().view
    stages = Counter(
        stage
        for alert in view.nodes(Kind.ALERT)
        for stage in (alert.attributes.get("stage") or ())  # type: ignore[union-attr]
    )
    assert {"attempted", "succeeded", "deployed", "expiry"} <= set(stages)
    (lead,) = (
        alert.attributes["expiry_lead_seconds"]
        for alert in view.nodes(Kind.ALERT)
        if "expiry_lead_seconds" in alert.attributes
    )
    assert lead == 90 * 86400


# -- what the graph holds, whatever the rules -----------------------------------------------------------------------


def test_the_certificate_reaches_340_servers_and_nine_names() -> None:
    view = demo().view
    lineage = view.find(Kind.LINEAGE, "certbot:eventide.net", LEGACY)
    assert lineage is not None
    blast = view.blast_radius(lineage)
    assert blast is not None
    assert blast.not_after == END
    assert blast.names == NAMES
    assert blast.hosts == tuple(f"api{n:03}.eventide.net" for n in range(1, 341))


def test_the_renewal_can_not_write() -> None:
    view = demo().view
    lineage = view.find(Kind.LINEAGE, "certbot:eventide.net", LEGACY)
    assert lineage is not None
    assert view.impact_of(lineage) is Impact.BROKEN
    steps = view.path(lineage)
    assert steps[0].relation == Relation.WRITES.value
    assert steps[-1].evidence is not None or "mount" in steps[-1].provider
    triggers = {
        edge.consumer.text for client in view.nodes(Kind.CLIENT) for edge in view.incoming(client, Relation.CALLS)
    }
    assert len(triggers) == 1
    assert triggers.pop().startswith("/etc/cron.d/certbot:")


def test_a_certificate_outlives_one_of_its_copies() -> None:
    """One of 340 API servers goes: what they share is degraded, and nothing of it breaks."""
    view = audited("eventide-after", "retired", LATER, "api001.eventide.net").view
    impacts = {
        node.text: view.impact_of(node)
        for kind in (Kind.CERTIFICATE, Kind.LINEAGE, Kind.NAME)
        for node in view.nodes(kind)
        if "api001" not in node.text
    }
    assert Impact.BROKEN not in impacts.values()
    assert impacts["api.eventide.net"] is Impact.DEGRADED


def test_a_retired_server_takes_the_certificate_with_its_renewal() -> None:
    """Not with the copy of it that lies there."""
    view = audited("eventide", "retired", NOW).view
    (certificate,) = (
        node
        for node in view.nodes(Kind.CERTIFICATE)
        if "*.eventide.net" in str(node.attributes["sans"]) and str(node.attributes["not_after"]) == END.isoformat()
    )
    assert view.impact_of(certificate) is Impact.BROKEN
    assert view.path(certificate)[0].relation == Relation.CERTIFIED_BY.value


def test_the_hook_leads_to_the_old_server() -> None:
    view = demo().view
    for text in ("https://acme-hook.eventide.net/renewed", "https://acme-hook.eventide.net/github"):
        endpoint = view.find(Kind.ENDPOINT, text)
        assert endpoint is not None
        assert [host.text for host in view.reaches(endpoint)] == [LEGACY]


def test_what_only_reads_goes_on_while_it_is_read_only() -> None:
    view = demo().view
    jobs = {node.text.split(":", 1)[0]: view.impact_of(node) for node in view.nodes(Kind.JOB) if node.scope != LEGACY}
    assert jobs["/etc/cron.d/csr-sync"] is Impact.BROKEN
    assert jobs["/etc/cron.d/pull-certs"] is Impact.NONE
    assert jobs["/etc/cron.d/sbom"] is Impact.NONE


def test_the_alerts_for_the_old_server_are_blind() -> None:
    view = demo().view
    blind = {node.text for node in view.nodes(Kind.ALERT) if view.impact_of(node) is Impact.BLIND}
    assert {f"certificates/{name}" for name in BLIND} <= blind
    assert "platform/InstanceDown" not in blind


# -- the estates themselves -----------------------------------------------------------------------------------------


def files(estate: Path) -> list[str]:
    return sorted(
        path.relative_to(estate).as_posix() for path in estate.rglob("*") if path.is_symlink() or not path.is_dir()
    )


@pytest.mark.parametrize("estate", [BEFORE, AFTER], ids=lambda estate: estate.name)
def test_the_inventory_is_good(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "check", str(estate)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("estate", [BEFORE, AFTER], ids=lambda estate: estate.name)
def test_every_file_is_a_recorded_capture(estate: Path) -> None:
    records = [json.loads(line) for line in (estate / "captures.jsonl").read_text().splitlines()]
    # A record of the host itself says that the collection saw all of it.
    whole = {f"hosts/{host.name}" for host in (estate / "hosts").iterdir()}
    got = [one["path"] for one in records if one["outcome"] == "ok" and one["path"] not in whole]
    assert got == [path for path in files(estate) if path not in ("inventory.yaml", "captures.jsonl")]
    for one in records:
        moment = datetime.fromisoformat(one["collected_at"])
        assert moment.tzinfo is not None
        assert moment < (NOW if estate is BEFORE else LATER)
        if one["outcome"] == "absent":
            assert not (estate / one["path"]).exists()


def test_no_private_key_is_in_the_samples() -> None:
    marked = [
        path
        for path in SAMPLES.rglob("*")
        if path.is_file() and re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY", path.read_bytes())
    ]
    assert marked == []
    assert [path for path in SAMPLES.rglob("*") if path.name.startswith("privkey")] == []


def test_links_stay_inside() -> None:
    """An absolute link would keep pip from unpacking the source distribution (tarfile's data filter)."""
    links = [path for path in SAMPLES.rglob("*") if path.is_symlink()]
    assert links
    for link in links:
        assert not link.readlink().is_absolute(), link
        assert link.resolve().is_relative_to(SAMPLES), link
        assert link.is_file(), link


def load(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


@pytest.mark.parametrize(
    ("estate", "lineage", "number", "start", "end"),
    [
        (BEFORE, LEGACY, 3, datetime(2024, 11, 20, 22, tzinfo=UTC), END),
        (AFTER, CORE, 1, datetime(2025, 11, 22, 19, 31, tzinfo=UTC), datetime(2026, 11, 22, 22, tzinfo=UTC)),
    ],
    ids=["eventide", "eventide-after"],
)
def test_certificates(estate: Path, lineage: str, number: int, start: datetime, end: datetime) -> None:
    directory = estate / "hosts" / lineage / "etc/letsencrypt"
    served = load(estate / "hosts/api[001:340].eventide.net/etc/ssl/eventide/fullchain.pem")
    assert served == load(directory / f"archive/eventide.net/fullchain{number}.pem")
    assert served == load(directory / "live/eventide.net/fullchain.pem")
    leaf, issuer = served
    leaf.verify_directly_issued_by(issuer)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.eventide.net", "eventide.net"]
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (start, end)
    pin = sha256(leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    assert f"TLSA  3 1 1 {pin}\n" in (estate / ZONE).read_text()


@pytest.mark.parametrize("estate", [BEFORE, AFTER], ids=lambda estate: estate.name)
def test_it_stays_small(estate: Path) -> None:
    assert len(files(estate)) < 150


def test_afterwards_only_the_inventory_names_the_old_server() -> None:
    naming = [
        path
        for path in files(AFTER)
        if path not in ("captures.jsonl", "inventory.yaml")
        and not path.startswith(ON_LEGACY)
        and (AFTER / path).is_file()
        and re.search(rb"legacy-cert|10\.20\.4\.17|203\.0\.113\.17", (AFTER / path).read_bytes())
    ]
    assert naming == []
