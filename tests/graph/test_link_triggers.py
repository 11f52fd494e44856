"""What the linker takes for the trigger of a renewal, and which certificates it gives to a lineage."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from auditor.graph.columns import KIND_ID, RELATION_ID
from auditor.graph.hosts import HostTable
from auditor.graph.link import Linker
from auditor.graph.resolved import Linked
from auditor.model import THIS_HOST, Attribute, Dependency, Entity, Kind, Parsed, Ref, Relation, Where

HOST = "cert-01.example.net"
CLIENT = Ref(Kind.CLIENT, "certbot")
GUARD = ("if /usr/bin/certbot exists", "unless /run/systemd/system exists")
Given = tuple[str, Parsed]


def job(text: str, *calls: Ref, path: str = "/etc/cron.d/certbot", **attributes: Attribute) -> list[Given]:
    ref = Ref(Kind.JOB, text)
    facts: list[Parsed] = [Entity(ref, Where(1), attributes), Dependency(ref, THIS_HOST, Relation.RUNS_ON, Where(1))]
    return [(path, fact) for fact in (*facts, *(Dependency(ref, one, Relation.CALLS, Where(1)) for one in calls))]


def linked(given: Iterable[Given]) -> Linked:
    hosts = HostTable()
    hosts.add(HOST, "captured")
    linker = Linker(hosts)
    for path, fact in given:
        linker.add(HOST, f"hosts/{HOST}{path}", None, fact)
    linker.resolve()
    return linker.build()


def triggers(found: Linked, ref: Ref = CLIENT) -> set[str]:
    graph = found.graph
    node = graph.find(KIND_ID[ref.kind], ref.text, HOST)
    assert node is not None
    wanted = RELATION_ID[Relation.TRIGGERED_BY]
    return {graph.texts[graph.provider[edge]] for edge in graph.outgoing(node) if graph.relation[edge] == wanted}


def test_a_cron_line_is_a_trigger() -> None:
    assert triggers(linked(job("renew", CLIENT))) == {"renew"}


@pytest.mark.parametrize(
    "attributes",
    [{"ignored": "bad minute"}, {"never_runs": "none of its months has a day 30"}, {"enabled": False}],
)
def test_what_never_runs_is_no_trigger(attributes: dict[str, Attribute]) -> None:
    assert triggers(linked([*job("broken", CLIENT, **attributes), *job("good", CLIENT, enabled=True)])) == {"good"}


def test_a_job_that_only_debians_cron_ignores_is_one() -> None:
    assert triggers(linked(job("certbot.bak", CLIENT, ignored_by_debian="the file name"))) == {"certbot.bak"}


@pytest.mark.parametrize(
    ("others", "counts"),
    [
        pytest.param([], True, id="nothing-of-systemd"),
        pytest.param(job("backup.timer", path="/etc/systemd/system/backup.timer"), True, id="another-timer-of-etc"),
        pytest.param(
            job("certbot.timer", path="/etc/systemd/system/certbot.timer", ignored="masked"), False, id="masked"
        ),
        pytest.param(job("apt-daily.timer", path="/usr/lib/systemd/system/apt-daily.timer"), False, id="of-packages"),
    ],
)
def test_a_line_that_leaves_it_to_systemd_counts_only_without_it(others: list[Given], counts: bool) -> None:
    found = triggers(linked([*job("renew", CLIENT, guards=GUARD), *others]))
    assert ("renew" in found) is counts


def test_a_script_that_a_job_calls_is_triggered_by_the_job() -> None:
    script = Ref(Kind.PATH, "/usr/local/sbin/renew.sh")
    own: list[Given] = [
        (script.text, Entity(script, Where(1))),
        (script.text, Dependency(script, CLIENT, Relation.CALLS, Where(2))),
    ]
    found = linked([*job("renew", script), *own])
    assert triggers(found) == {script.text}
    assert triggers(found, script) == {"renew"}


def test_a_timer_triggers_the_client_through_its_service() -> None:
    service = Ref(Kind.UNIT, "certbot.service")
    path = "/lib/systemd/system/certbot.service"
    own: list[Given] = [
        (path, Entity(service, Where(1))),
        (path, Dependency(service, CLIENT, Relation.CALLS, Where(2))),
    ]
    found = linked([*job("certbot.timer", service), *own])
    assert triggers(found) == {"certbot.service"}
    assert triggers(found, service) == {"certbot.timer"}


def certificate(serial: str, start: str, sans: tuple[str, ...], *paths: str) -> list[Given]:
    ref = Ref(Kind.CERTIFICATE, f"sha256:{serial}")
    facts: list[Parsed] = [Entity(ref, Where(1), {"not_before": start, "sans": sans, "is_ca": False})]
    facts.extend(Dependency(ref, Ref(Kind.PATH, path), Relation.STORED_AT, Where(1)) for path in paths)
    return [(paths[0], fact) for fact in facts]


def test_a_lineage_has_the_newest_certificate_of_its_directories_and_its_names() -> None:
    lineage = Ref(Kind.LINEAGE, "certbot:x")
    archive, live = "/etc/letsencrypt/archive/x", "/etc/letsencrypt/live/x"
    about = {"archive_dir": archive, "cert": f"{live}/cert.pem", "domains": ("example.net",)}
    names = ("*.example.net", "example.net")
    found = linked(
        [
            ("/etc/letsencrypt/renewal/x.conf", Entity(lineage, Where(1), about)),
            *certificate("old", "2025-01-01", names, f"{archive}/cert1.pem"),
            *certificate("new", "2025-03-01", names, f"{archive}/cert2.pem", f"{live}/cert.pem"),
            *certificate("copy", "2024-11-01", names, "/etc/nginx/tls.pem"),
            *certificate("other", "2025-03-01", ("other.example.net",), "/etc/nginx/other.pem"),
        ]
    )
    graph = found.graph
    node = graph.find(KIND_ID[Kind.LINEAGE], lineage.text, HOST)
    assert node is not None
    assert found.attributes[node]["domains"] == names
    wanted = RELATION_ID[Relation.CERTIFIED_BY]
    held = {graph.texts[graph.consumer[edge]] for edge in graph.incoming(node) if graph.relation[edge] == wanted}
    assert held == {"sha256:new", "sha256:copy"}
    old = graph.find(KIND_ID[Kind.CERTIFICATE], "sha256:old", "")
    assert old is not None
    assert found.attributes[old]["superseded"] is True
