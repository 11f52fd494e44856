"""Reports made by hand, as the audit would make them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from auditor.model import (
    Answer,
    Answered,
    Area,
    Aside,
    ChecklistArea,
    Confidence,
    Coverage,
    Earlier,
    Failure,
    Finding,
    Going,
    Impact,
    Lifecycle,
    ManualItem,
    Outcome,
    Phase,
    PolicyUse,
    Profile,
    Provenance,
    Report,
    RuleRun,
    SetAside,
    Severity,
    Signed,
    SinceLast,
    Step,
    Verdict,
)

NOW = datetime(2025, 11, 20, 22, 0, tzinfo=UTC)
EXPIRY = datetime(2025, 11, 22, 8, 0, tzinfo=UTC)
COLLECTED = "2025-11-20T21:40:00Z"
LEGACY = "legacy-cert-01.eventide.net"
SUCCESSOR = "cert-core-01.eventide.net"


def at(path: str, line: int = 0, excerpt: str = "") -> Provenance:
    return Provenance(path, line, excerpt, COLLECTED)


CRON = at("hosts/legacy-cert-01.eventide.net/etc/cron.d/certbot", 7, "17 */12 * * * root certbot -q renew")
RENEWAL = at(
    "hosts/legacy-cert-01.eventide.net/etc/letsencrypt/renewal/eventide.net.conf",
    14,
    "renew_hook = /usr/local/sbin/push-wildcard",
)
HOOK = at(
    "hosts/legacy-cert-01.eventide.net/usr/local/sbin/push-wildcard",
    31,
    'curl --fail --silent --show-error --retry 3 --data-binary @"$RENEWED_LINEAGE/fullchain.pem" https://acme-hook.eventide.net/renewed',
)
CNAME = at("dns/eventide.net.zone", 41, "acme-hook  IN CNAME legacy-cert-01")
ADDRESS = at("dns/eventide.net.zone", 57, "legacy-cert-01  IN A 10.20.4.17")
GOING = Going(
    host=LEGACY,
    lifecycle=Lifecycle.READ_ONLY,
    names=("acme-hook.eventide.net", "certs.eventide.net", "legacy-cert-01"),
    addresses=("10.20.4.17",),
    successor=SUCCESSOR,
    since="2025-06-20",
)

RENEWAL_FINDING = Finding(
    rule="renewal-on-going-host",
    area=Area.RENEWAL,
    severity=Severity.BLOCK,
    confidence=Confidence.HIGH,
    subject="*.eventide.net",
    identity=("certbot:eventide.net", LEGACY),
    message="The only renewal of *.eventide.net runs on legacy-cert-01.eventide.net, which can't write",
    why="Nothing else renews it: 9 names and 340 servers lose TLS when it expires.",
    action=(
        "Create the certbot timer on cert-core-01.eventide.net, run `certbot renew --force-renewal` there, "
        "then remove the job."
    ),
    impact=Impact.BROKEN,
    evidence=(CRON, RENEWAL),
    path=(
        Step("certificate *.eventide.net", "certified-by", "lineage certbot:eventide.net", "", RENEWAL),
        Step("lineage certbot:eventide.net", "triggered-by", "job root certbot -q renew", "", CRON),
        Step("job root certbot -q renew", "runs-on", LEGACY, "read-only since 2025-06-20", CRON),
    ),
    hosts=(LEGACY,),
    deadline=EXPIRY,
)
HOOK_FINDING = Finding(
    rule="renewal-hook-to-going-host",
    area=Area.RENEWAL,
    severity=Severity.BLOCK,
    confidence=Confidence.HIGH,
    subject="https://acme-hook.eventide.net/renewed",
    identity=("https://acme-hook.eventide.net/renewed",),
    message="The deploy hook of *.eventide.net posts to acme-hook.eventide.net, which is legacy-cert-01.eventide.net",
    why="A renewed certificate would never reach the load balancers.",
    action="Point acme-hook.eventide.net at cert-core-01.eventide.net, or change the hook's URL.",
    impact=Impact.BROKEN,
    evidence=(HOOK,),
    path=(
        Step("script /usr/local/sbin/push-wildcard", "connects", "https://acme-hook.eventide.net/renewed", "", HOOK),
        Step("https://acme-hook.eventide.net/renewed", "stands-for", "acme-hook.eventide.net", "", HOOK),
        Step("acme-hook.eventide.net", "resolves", "legacy-cert-01.eventide.net", "CNAME", CNAME),
        Step("legacy-cert-01.eventide.net", "resolves", "10.20.4.17", "A", ADDRESS),
        Step("10.20.4.17", "stands-for", LEGACY, "read-only since 2025-06-20"),
    ),
    hosts=(LEGACY,),
)
BLIND_FINDING = Finding(
    rule="alert-watches-only-going-host",
    area=Area.MONITORING,
    severity=Severity.BLOCK,
    confidence=Confidence.HIGH,
    subject="alert tls/CertificateExpiresSoon",
    identity=("tls/CertificateExpiresSoon",),
    message="Alert CertificateExpiresSoon watches only legacy-cert-01.eventide.net",
    why="The old server stays green, so nobody hears of the expiry.",
    action="Add cert-core-01.eventide.net:443 and the served names to the probe's targets.",
    impact=Impact.BLIND,
    evidence=(
        at(
            "prometheus/rules/tls.yml",
            12,
            'expr: probe_ssl_earliest_cert_expiry{job="legacy-cert"} - time() < 14 * 86400',
        ),
        at("prometheus/prometheus.yml", 88, "- legacy-cert-01.eventide.net:443"),
    ),
    path=(
        Step("alert tls/CertificateExpiresSoon", "watches", "scrape legacy-cert"),
        Step("scrape legacy-cert", "watches", "legacy-cert-01.eventide.net:443"),
        Step("legacy-cert-01.eventide.net:443", "stands-for", LEGACY),
    ),
    hosts=(LEGACY,),
    deadline=EXPIRY,
)
SUCCESSOR_FINDING = Finding(
    rule="successor-not-watched",
    area=Area.MONITORING,
    severity=Severity.WARN,
    confidence=Confidence.HIGH,
    subject=SUCCESSOR,
    identity=(SUCCESSOR,),
    message="No scrape, probe or alert watches the successor cert-core-01.eventide.net",
    why="Its failures would go unnoticed.",
    action="Add it to the node and blackbox jobs.",
    impact=Impact.NONE,
    evidence=(at("prometheus/prometheus.yml"),),
    hosts=(LEGACY,),
)
MENTIONS = tuple(
    Finding(
        rule="mention",
        area=Area.MENTIONS,
        severity=Severity.WARN,
        confidence=Confidence.LOW,
        subject=path,
        identity=(path,),
        message=f"{path} names legacy-cert-01.eventide.net",
        why="Text that names a host that is going misleads its readers, or is configuration that no parser knows.",
        action="Change the name to cert-core-01.eventide.net, or delete the line.",
        impact=Impact.MENTIONED,
        evidence=tuple(at(path, line, f"see legacy-cert-01 for step {line}") for line in lines),
        hosts=(LEGACY,),
    )
    for path, lines in (
        ("docs/runbooks/certificates.md", range(4, 44)),
        ("docs/oncall.md", (9,)),
        ("terraform/security-groups.tf", (120, 131)),
    )
)

TITLES = {
    "renewal-on-going-host": "A renewal runs on a host that is going",
    "renewal-hook-to-going-host": "A renewal hook leads to a host that is going",
    "alert-watches-only-going-host": "An alert watches only what is going",
    "successor-not-watched": "Nothing watches the successor",
    "jobs-on-going-host": "A scheduled job runs on a host that is going",
    "webhook-to-going-host": "A webhook delivers to a host that is going",
    "record-to-going-host": "A DNS record leads to a host that is going",
    "write-on-read-only-mount": "Something writes to a read-only mount",
    "inventory-names-going-host": "Configuration management still selects the host",
    "mention": "Text names a host that is going",
    "coverage-gap": "Something was not looked at",
}
AREAS = {
    "renewal-on-going-host": Area.RENEWAL,
    "renewal-hook-to-going-host": Area.RENEWAL,
    "alert-watches-only-going-host": Area.MONITORING,
    "successor-not-watched": Area.MONITORING,
    "jobs-on-going-host": Area.SCHEDULES,
    "webhook-to-going-host": Area.WEBHOOKS,
    "record-to-going-host": Area.NAMES,
    "write-on-read-only-mount": Area.STORAGE,
    "inventory-names-going-host": Area.CONFIGURATION,
    "mention": Area.MENTIONS,
    "coverage-gap": Area.COVERAGE,
}
COVERAGE = (
    Coverage(LEGACY, Area.RENEWAL, "certbot renewal", Outcome.OK, 1),
    Coverage(LEGACY, Area.RENEWAL, "X.509 certificates", Outcome.OK, 4),
    Coverage(LEGACY, Area.SCHEDULES, "crontab", Outcome.OK, 5),
    Coverage(SUCCESSOR, Area.SCHEDULES, "crontab", Outcome.OK, 3),
    Coverage(LEGACY, Area.SCHEDULES, "anacrontab", Outcome.ABSENT),
    Coverage("prometheus", Area.MONITORING, "Prometheus", Outcome.OK, 3),
    Coverage("dns", Area.NAMES, "zone files", Outcome.OK, 2),
    Coverage("github", Area.WEBHOOKS, "webhook lists", Outcome.OK, 1),
    Coverage(LEGACY, Area.STORAGE, "mounts", Outcome.OK, 2),
    Coverage("ansible", Area.CONFIGURATION, "Ansible inventories", Outcome.OK, 2),
    Coverage("tree", Area.MENTIONS, "text files", Outcome.OK, 1389),
)
COUNTS = {"files": 1412, "hosts": 349, "dependencies": 5210}


PASSED = {
    "renewal-on-going-host": (
        "340 of 340 servers hold the newest certificate of *.eventide.net, issued 2024-11-20",
        "`curl` and @everyone stay text",
    )
}


def runs(
    findings: tuple[Finding, ...],
    unseen: dict[str, tuple[str, ...]] | None = None,
    passed: dict[str, tuple[str, ...]] | None = None,
) -> tuple[RuleRun, ...]:
    unseen, passed = unseen or {}, passed or {}
    return tuple(
        RuleRun(
            rule,
            title,
            AREAS[rule],
            sum(f.rule == rule for f in findings),
            rule not in unseen,
            unseen.get(rule, ()),
            passed.get(rule, ()),
        )
        for rule, title in TITLES.items()
    )


def report(
    verdict: Verdict,
    findings: tuple[Finding, ...] = (),
    *,
    coverage: tuple[Coverage, ...] = COVERAGE,
    failures: tuple[Failure, ...] = (),
    unseen: dict[str, tuple[str, ...]] | None = None,
    passed: dict[str, tuple[str, ...]] | None = None,
    going: tuple[Going, ...] = (GOING,),
    on: datetime | None = None,
) -> Report:
    return Report(
        verdict=verdict,
        going=going,
        findings=findings,
        coverage=coverage,
        failures=failures,
        rules=runs(findings, unseen, passed),
        now=NOW,
        on=on,
        estate="sample_inventories/eventide",
        counts=COUNTS,
    )


BLOCKED = report(Verdict.BLOCKED, (*MENTIONS, SUCCESSOR_FINDING, BLIND_FINDING, HOOK_FINDING, RENEWAL_FINDING))
CLEAR = report(Verdict.CLEAR, passed=PASSED)
INCOMPLETE = report(
    Verdict.INCOMPLETE,
    (SUCCESSOR_FINDING,),
    coverage=(
        *COVERAGE[:-1],
        *(
            Coverage(f"web-{n:02}", Area.SCHEDULES, "crontab", Outcome.DENIED, 1, "permission denied")
            for n in range(1, 13)
        ),
        Coverage(
            "dns", Area.NAMES, "zone files", Outcome.PARTIAL, 1, "the $INCLUDE leaves the tree", "dns/partner.zone", 3
        ),
        *(
            Coverage("", Area.NAMES, path, Outcome.PARTIAL, 0, "not a record", path.split(":")[0], 7, (), False)
            for path in ("dns/old-a.zone:7", "dns/old-b.zone:7")
        ),
        Coverage(
            LEGACY,
            Area.STORAGE,
            f"storage on {LEGACY} itself",
            Outcome.UNSEEN,
            detail="To see it, capture /proc/self/mountinfo.",
        ),
        Coverage("tree", Area.MENTIONS, "text files", Outcome.OK, 1389),
    ),
    failures=(
        Failure("rule write-on-read-only-mount", "KeyError: 'options'", "report it with the traceback of --debug"),
    ),
    unseen={
        "write-on-read-only-mount": (),
        "webhook-to-going-host": ("delivers",),
        "alert-watches-only-going-host": ("watches", "notifies"),
    },
    on=datetime(2025, 12, 1, tzinfo=UTC),
)
PROFILE = Profile(
    "of Eventide",
    (
        ChecklistArea(
            "certificates-and-alerts",
            "Certificates and their alerts",
            (Area.RENEWAL, Area.MONITORING),
            items=(
                ManualItem("walked", "Has the renewal been walked once?", "pki", "serial number and date"),
                ManualItem("pinned", "Do `partners` who pinned the old key know?", "partners"),
                ManualItem("silences", "Are its silences removed?", "on call", "", Phase.AFTER),
            ),
        ),
        ChecklistArea(
            "names",
            "Names and addresses",
            (Area.NAMES,),
            ("mention",),
            items=(ManualItem("registrar", "Is it certain that nothing at the registrar names it?", "network"),),
        ),
        ChecklistArea("others", "All others", tuple(set(Area) - {Area.RENEWAL, Area.MONITORING, Area.NAMES})),
        ChecklistArea(
            "records",
            "Records",
            items=(
                ManualItem("agreed", "Has the owner of each service agreed?", "the host's owner", "names and ticket"),
            ),
        ),
    ),
    "00" * 32,
)
EARLIER = Earlier(
    "00112233445566aa",
    "job-on-going-host",
    Area.SCHEDULES,
    Severity.BLOCK,
    "job a",
    "Job /etc/cron.d/push runs on legacy-cert-01.eventide.net",
    (LEGACY,),
    ("hosts/legacy-cert-01.eventide.net/etc/cron.d/push",),
)
DECIDED = replace(
    report(Verdict.BLOCKED, (SUCCESSOR_FINDING, RENEWAL_FINDING)),
    aside=(
        SetAside(
            HOOK_FINDING,
            Aside.WAIVED,
            at("estate/policy.yaml", 12),
            "The partner moves in *December*.",
            "partners",
            "2025-12-31",
        ),
        SetAside(BLIND_FINDING, Aside.OFF, at("estate/policy.yaml", 4), "Others look after the monitoring."),
        *(SetAside(one, Aside.KNOWN, at("known.json", 2)) for one in MENTIONS),
    ),
    policy=PolicyUse(
        "estate/policy.yaml",
        "11" * 32,
        ("all of monitoring: off (Others look after the monitoring.) (estate/policy.yaml:4)",),
        (at("estate/policy.yaml", 20),),
        "known.json",
        (EARLIER,),
        (replace(EARLIER, fingerprint="ffff", rule="dns-dangling", message="crl.eventide.net leads nowhere"),),
    ),
    rules=tuple(
        replace(one, off="estate/policy.yaml:4: Others look after the monitoring.")
        if one.area is Area.MONITORING
        else one
        for one in runs((SUCCESSOR_FINDING, RENEWAL_FINDING))
    ),
    profile=PROFILE,
    owners={"names": "network", "certificates-and-alerts": "pki", "others": "platform", "records": "platform"},
    answers={
        "walked": Answered(
            "walked", Answer.YES, "Ada", "2025-11-20T20:00:00Z", "twice", "https://tickets.eventide.net/CHG-1"
        ),
        "agreed": Answered("agreed", Answer.NO, "Bo", "2025-11-20T21:00:00Z", "not before Monday"),
    },
    signed={
        "names": Signed("Nia", "2025-11-20T21:30:00Z", "see CHG-2"),
        "others": Signed("Ada", "2025-11-20T22:00:00Z", "", ("2 blockers", "not answered: agreed"), "it *must* go"),
        "certificates-and-alerts": Signed("Ada", "2025-11-19T08:00:00Z", current=False),
    },
    since=SinceLast("2025-11-19T09:30:00Z", frozenset({RENEWAL_FINDING.fingerprint}), (EARLIER,)),
)
EVERY = {"blocked": BLOCKED, "clear": CLEAR, "incomplete": INCOMPLETE, "decided": DECIDED}
