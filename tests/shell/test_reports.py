"""Pings of a dead man's switch and metrics that a command leaves: what they tell, and that no key is kept."""

from __future__ import annotations

import pytest

from auditor.api import Dependency, Entity, Kind, Need, Ref, Relation, Where, analyse_command

KEY = "0f1e2d3c-1111-2222-3333-444455556666"
PING = f"https://hc-ping.com/{KEY}"
JOB = Ref(Kind.JOB, "job")
BOTH = ("attempted", "succeeded")


def stages(command: str, **options: object) -> dict[str, object]:
    facts = analyse_command(command, JOB, Where(1), **options)  # type: ignore[arg-type]
    return {
        fact.ref.text: fact.attributes["stage"]
        for fact in facts
        if isinstance(fact, Entity) and fact.ref.kind is Kind.PROBE
    }


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        (f"certbot renew && curl -fsS {PING} > /dev/null", BOTH),
        (f"certbot renew &&\n  curl {PING}", BOTH),
        (f"certbot renew; curl {PING}", ("attempted",)),
        (f"certbot renew; curl {PING}/$?", BOTH),
        (f"certbot renew; rc=$?; curl {PING}/${{rc}}", BOTH),
        (f"certbot renew || curl {PING}/fail", ("succeeded",)),
        (f"certbot renew || curl {PING}", ("succeeded",)),
        (f"certbot renew; curl {PING}/1", ("succeeded",)),
        (f"curl {PING}/start; certbot renew", ("attempted",)),
        (f"curl {PING} && certbot renew", ("attempted",)),
        (f"certbot renew 2>&1 | curl --data-binary @- {PING}", ("attempted",)),
        (f"curl {PING}/start && certbot renew && curl {PING}", BOTH),
        (f"if certbot renew; then\n  wget -q {PING}\nfi", BOTH),
        (f"if certbot renew; then :; else wget -q {PING}/fail; fi", ("succeeded",)),
        (f"HC={PING}\ncertbot renew\ncurl $HC", ("attempted",)),
        (f"set -eu\nHC='{PING}'\ncertbot renew\ncurl \"${{HC}}\"", BOTH),
        (f"set -e\ncertbot renew | tee log | curl -d @- {PING}", ("attempted",)),
    ],
)
def test_which_stage_a_ping_shows(command: str, stage: tuple[str, ...]) -> None:
    assert stages(command, script=True) == {"ping hc-ping.com/job": stage}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (f"https://hc.eventide.net/ping/{KEY}", "hc.eventide.net"),
        ("https://cronitor.link/p/abcdef12/renewal?state=complete", "cronitor.link"),
        ("https://nosnch.in/abcdef1234", "nosnch.in"),
        ("https://uptime.betterstack.com/api/v1/heartbeat/AbCdEf123456", "uptime.betterstack.com"),
        ("https://kuma.eventide.net/api/push/AbCdEf1234?status=up&msg=OK", "kuma.eventide.net"),
    ],
)
def test_services(url: str, host: str) -> None:
    facts = list(analyse_command(f'certbot renew && curl "{url}"', JOB, Where(1)))
    probe = Ref(Kind.PROBE, f"ping {host}/job")
    assert any(isinstance(f, Dependency) and f.consumer == probe and f.provider == JOB for f in facts)
    needed = [f for f in facts if isinstance(f, Dependency) and f.consumer == probe and f.relation is Relation.CONNECTS]
    assert [(f.provider.text, f.required) for f in needed] == [(f"https://{host}", Need.RUN)]
    assert KEY not in str(facts)
    assert "bcdef1" not in str(facts).lower()


@pytest.mark.parametrize(
    "command",
    [
        "curl https://www.eventide.net/ping",
        "curl https://www.eventide.net/ping/me",
        f"# curl {PING}",
        "ping -c1 hc-ping.com",
        f"HC={PING}",
    ],
)
def test_what_is_no_ping(command: str) -> None:
    assert stages(command, script=True) == {}


def test_variables_of_a_crontab_and_units_that_run_afterwards() -> None:
    assert stages("certbot renew && curl $HC", environment={"HC": PING}) == {"ping hc-ping.com/job": BOTH}
    assert stages(f"/usr/bin/curl {PING}", syntax="exec", after_success=True) == {"ping hc-ping.com/job": BOTH}
    assert stages(f"/usr/bin/curl {PING}", syntax="exec") == {"ping hc-ping.com/job": ("attempted",)}


def test_only_what_runs_by_itself_is_watched() -> None:
    lineage = Ref(Kind.LINEAGE, "certbot:x")
    assert not any(isinstance(fact, Entity) for fact in analyse_command(f"curl {PING}", lineage, Where(1)))


def test_metrics_that_a_job_leaves() -> None:
    command = (
        "certbot renew; echo 'x 1' | curl --data-binary @- http://push.eventide.net:9091/metrics/job/certbot; "
        "mv /tmp/x /var/lib/prometheus/node-exporter/certbot.prom"
    )
    facts = list(analyse_command(command, JOB, Where(1)))
    told = [fact.attributes for fact in facts if isinstance(fact, Entity)]
    assert told == [{"reports": ("push certbot", "textfile /var/lib/prometheus/node-exporter/certbot.prom")}]
    pushed = [f for f in facts if isinstance(f, Dependency) and f.relation is Relation.CONNECTS]
    assert [f.required for f in pushed] == [Need.WRITE]
