"""Cases of rules: a small estate each, and what must and must not be found in it.

A case is a directory `<family>/<rule>/<case>/` with a `case.yaml`:

    ask: [old.example.net]         # as on the command line
    as: retired                    # or read-only; without it, as the inventory declares
    now: 2025-11-21T12:00:00Z
    "on": 2025-12-01T00:00:00Z     # optional; without quotes YAML reads it as true
    phase: after                   # optional: as with --after
    settings: {rule: {soon: 7d}}   # optional: thresholds, as a policy has them
    expect:                        # each must be found once, and its rule must find nothing else
      - {rule: some-rule, subject: part of it, severity: block, evidence: ["hosts/old/etc/x:3"], says: [words]}
    absent: [other-rule]           # rules that must have looked, and found nothing
    unseen: [blind-rule]           # rules that could not look at all they need
    passed: ["3 of 3 servers"]     # words of what rules say is as it should be

`says` holds words of the message, the reason or the action. Certificates are made anew for each run, from a
`certificates.yaml`: a list of `{names, not_before, not_after, files, ca, issuer, links, served, der, pinned}`, paths
relative to the case. `served` are endpoints (and, behind a blank, their addresses) that showed it when they were
probed, `der` files in DER form, and `pinned` maps files to text in which KEY becomes the hash of its key in base64, and
CERTIFICATE its own in hexadecimal digits. Their keys are never written.
"""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from auditor.api import Collector, Finding, Lifecycle, Phase, Relation, Rule
from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.inventory.values import parse_duration
from auditor.model import Report
from auditor.registry import RULES, load_collectors, load_rules

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/*/case.yaml"))
CASE_KEYS = {"why", "ask", "as", "now", "on", "phase", "settings", "expect", "absent", "unseen", "passed"}
EXPECT_KEYS = {"rule", "subject", "severity", "confidence", "evidence", "says", "never", "impact", "deadline"}
OWN_FILES = ("case.yaml", "certificates.yaml")


@cache
def parts() -> tuple[list[Collector], list[Rule]]:
    collectors, failures = load_collectors()
    rules, more = load_rules()
    assert not failures
    assert not more
    return collectors, rules


def moment(value: object) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def make_certificates(estate: Path) -> None:
    """Writes the certificates of `certificates.yaml`, signed by a key that exists only here."""
    described = estate / "certificates.yaml"
    if not described.is_file():
        return
    signer = ec.generate_private_key(ec.SECP256R1())
    probes: list[str] = []
    for number, one in enumerate(yaml.safe_load(described.read_text()), start=1):
        own = ec.generate_private_key(ec.SECP256R1())
        names = [str(name) for name in one.get("names", [])]
        is_ca = bool(one.get("ca"))
        common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(one.get("subject", (names or ["ca"])[0])))])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(one.get("issuer", "Case CA")))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(common)
            .issuer_name(issuer)
            .public_key(own.public_key())
            .serial_number(1000 + number)
            .not_valid_before(moment(one["not_before"]))
            .not_valid_after(moment(one["not_after"]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(signer, SHA256())
        pem = certificate.public_bytes(Encoding.PEM)
        public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pin = b64encode(sha256(public).digest()).decode()
        for name, text in one.get("pinned", {}).items():
            path = estate / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("KEY", pin).replace("CERTIFICATE", certificate.fingerprint(SHA256()).hex()))
        for name in one.get("der", ()):
            path = estate / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(certificate.public_bytes(Encoding.DER))
        for name in one.get("files", ()):
            path = estate / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pem)
        for endpoint in one.get("served", ()):
            where, _, address = endpoint.partition(" ")
            entry = {"endpoint": where, "address": address, "status": "ok", "certificate": pem.decode()}
            probes.append(json.dumps(entry) + "\n")
        for link, target in one.get("links", {}).items():
            path = estate / link
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
    if probes:
        (estate / "tls").mkdir()
        header = json.dumps({"tls_probes": "edge", "asked": len(probes)}) + "\n"
        (estate / "tls/edge.jsonl").write_text(header + "".join(probes))


def run(case: Path, described: Mapping[str, Any], workspace: Path) -> Report:
    estate = workspace / "estate"
    shutil.copytree(case, estate, symlinks=True)
    make_certificates(estate)
    for name in OWN_FILES:
        (estate / name).unlink(missing_ok=True)
    collectors, rules = parts()
    chosen = {
        rule: {
            name: timedelta(seconds=parse_duration(one)) if isinstance(one, str) else one
            for name, one in values.items()
        }
        for rule, values in described.get("settings", {}).items()
    }
    rules = [rule.with_settings(chosen[rule.id]) if rule.id in chosen else rule for rule in rules]
    request = Request(
        estate=estate,
        hosts=tuple(parse_host(word) for word in described.get("ask", ())),
        lifecycle=Lifecycle(described["as"]) if "as" in described else None,
        now=moment(described["now"]),
        on=moment(described["on"]) if "on" in described else None,
        phase=Phase(described.get("phase", "before")),
    )
    return audit(request, collectors, rules).report


def told(finding: Finding) -> str:
    return "\n".join((finding.message, finding.why, finding.action))


def differs(finding: Finding, wanted: Mapping[str, Any]) -> list[str]:
    """What of a finding is not as a case wants it."""
    lines = {f"{one.path}:{one.line}" for one in finding.evidence}
    found = []
    if str(wanted.get("subject", "")) not in finding.subject:
        found.append(f"subject {finding.subject!r}")
    for key, value in (("severity", finding.severity), ("confidence", finding.confidence), ("impact", finding.impact)):
        if key in wanted and wanted[key] != value.value:
            found.append(f"{key} {value.value}")
    if "deadline" in wanted and (finding.deadline is None or moment(wanted["deadline"]) != finding.deadline):
        found.append(f"deadline {finding.deadline}")
    if missing := set(wanted.get("evidence", ())) - lines:
        found.append(f"no evidence {sorted(missing)}, but {sorted(lines)}")
    found.extend(
        f"does not say {words!r}: {told(finding)}" for words in wanted.get("says", ()) if words not in told(finding)
    )
    found.extend(f"says {words!r}: {told(finding)}" for words in wanted.get("never", ()) if words in told(finding))
    return found


def check(described: Mapping[str, Any], report: Report) -> list[str]:
    """Everything in which a report differs from its case."""
    problems = [f"{one.what}: {one.error}" for one in report.failures]
    runs = {one.rule: one for one in report.rules}
    expected: dict[str, list[Mapping[str, Any]]] = {}
    for wanted in described.get("expect", ()):
        expected.setdefault(wanted["rule"], []).append(wanted)
    for rule, wants in expected.items():
        left = [one for one in report.findings if one.rule == rule]
        for wanted in wants:
            fitting = next((one for one in left if not differs(one, wanted)), None)
            if fitting is None:
                problems.append(f"{rule}: not found: {dict(wanted)}")
                problems.extend(f"  found instead, but {'; '.join(differs(one, wanted))}" for one in left)
            else:
                left.remove(fitting)
        problems.extend(f"{rule}: also found {one.subject}: {one.message}" for one in left)
    for rule in described.get("absent", ()):
        problems.extend(f"{rule}: found {one.subject}: {one.message}" for one in report.findings if one.rule == rule)
    statements = [f"{run.rule}: {text}" for run in report.rules for text in run.passed]
    problems.extend(
        f"not stated: {words!r}, but {statements}"
        for words in described.get("passed", ())
        if not any(words in text for text in statements)
    )
    problems.extend(
        f"{rule}: is said to have looked at all it needs"
        for rule in described.get("unseen", ())
        if runs[rule].looked_at
    )
    return problems


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.relative_to(HERE).as_posix())
def test_case(case: Path, tmp_path: Path) -> None:
    described = yaml.safe_load((case / "case.yaml").read_text(encoding="utf-8"))
    assert set(described) <= CASE_KEYS, "a key that means nothing"
    assert all(set(wanted) <= EXPECT_KEYS for wanted in described.get("expect", ())), "a key that means nothing"
    named = [
        *(one["rule"] for one in described.get("expect", ())),
        *described.get("absent", ()),
        *described.get("unseen", ()),
    ]
    assert named or described.get("passed"), "a case that can't fail"
    assert set(named) <= set(RULES), "a rule that does not exist"
    problems = check(described, run(case, described, tmp_path))
    assert not problems, "\n".join(problems)


def test_each_rule_has_a_case_where_it_fires_one_where_it_is_silent_and_one_where_it_can_not_look() -> None:
    """Text is always looked at: a rule that needs mentions alone can't miss them."""
    seen: dict[str, set[str]] = {rule: set() for rule in RULES}
    for case in CASES:
        described = yaml.safe_load((case / "case.yaml").read_text(encoding="utf-8"))
        for rule in (wanted["rule"] for wanted in described.get("expect", ())):
            seen[rule].add("fires")
        for key in ("absent", "unseen"):
            for rule in described.get(key, ()):
                seen[rule].add(key)
    blind = {rule.id for rule in parts()[1] if rule.needs - {Relation.MENTIONS}}
    wanted = {rule: {"fires", "absent", *(["unseen"] if rule in blind else [])} for rule in RULES}
    assert not {rule: keys - seen[rule] for rule, keys in wanted.items() if keys - seen[rule]}


def test_no_private_key_is_among_the_cases() -> None:
    """Test data may be copied anywhere: a key in it is one that someone will use."""
    holders = [
        path.relative_to(HERE).as_posix()
        for path in HERE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and b"PRIVATE KEY-----" in path.read_bytes()
    ]
    assert not holders
