"""What a retirement, or the loss of writing, does to the services of hosts: from the files to the impact."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.api import Impact, Kind, Lifecycle
from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.graph.view import View
from auditor.registry import load_collectors

WEB, DB, NS = "web01.example.net", "db1.example.net", "ns1.example.net"
FILES = {
    "inventory.yaml": """version: 1
hosts:
  - {name: old.example.net, addresses: [10.0.0.7]}
  - {name: new.example.net, addresses: [10.0.0.8]}
""",
    f"hosts/{WEB}/etc/postfix/main.cf": "relayhost = [old.example.net]:587\n",
    f"hosts/{WEB}/etc/postfix/transport": "example.org smtp:[new.example.net]\n",
    f"hosts/{WEB}/etc/ntp.conf": "server old.example.net\nserver new.example.net\n",
    f"hosts/{WEB}/etc/ssh/ssh_config": "Host gate\n  HostName 10.0.0.7\nHost db*\n  ProxyJump gate\n",
    f"hosts/{WEB}/etc/krb5.conf": "[realms]\n X = {\n  kdc = old.example.net\n  admin_server = old.example.net\n }\n",
    f"hosts/{WEB}/etc/borgmatic/config.yaml": "repositories:\n  - path: ssh://borg@old.example.net/./web01\n",
    f"hosts/{WEB}/etc/auto.master": "/home /etc/auto.home\n",
    f"hosts/{WEB}/etc/auto.home": "* old.example.net,new.example.net:/home/&\nteam old.example.net:/team\n",
    f"hosts/{DB}/etc/postgresql/15/main/recovery.conf": "primary_conninfo = 'host=old.example.net,new.example.net'\n",
    f"hosts/{DB}/etc/postgresql/15/main/pg_hba.conf": "host all all 10.0.0.7/32 md5\n",
    f"hosts/{DB}/etc/bacula/bacula-dir.conf": "Client {\n Name = c\n Address = old.example.net\n}\n"
    "Storage {\n Name = s\n Address = new.example.net\n}\nJob {\n Name = j\n Client = c\n Storage = s\n}\n",
    f"hosts/{NS}/etc/bind/named.conf.local": 'zone "example.org" { type slave; masters { hidden; }; file "x"; };\n',
    f"hosts/{NS}/etc/bind/named.conf.options": 'options { directory "/v"; };\nmasters hidden { 10.0.0.7; };\n',
    f"hosts/{NS}/etc/unbound/unbound.conf": 'server:\n  local-data: "api.example.net A 10.0.0.7"\n',
    f"hosts/{NS}/etc/dhcp/dhcpd.conf": "option domain-name-servers 10.0.0.7, 10.0.0.8;\n"
    "host new { fixed-address 10.0.0.99; }\n",
    f"hosts/{NS}/etc/nftables.conf": "table ip nat {\n chain p {\n  tcp dport 443 dnat to 10.0.0.7:8443\n }\n}\n",
    f"hosts/{NS}/etc/chrony/chrony.conf": "server 10.0.0.99\n",
}
COLLECTORS = [one for one in load_collectors()[0] if type(one).__module__.startswith("collectors.services.")]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("estate")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def seen(estate: Path, host: str, lifecycle: Lifecycle = Lifecycle.RETIRED) -> View:
    request = Request(estate, (parse_host(host),), lifecycle, datetime(2026, 11, 1, tzinfo=UTC))
    done = audit(request, COLLECTORS, [])
    assert not done.report.failures
    return done.view


def impact(view: View, text: str, host: str, kind: Kind = Kind.SERVICE) -> Impact:
    found = view.find(kind, text, host)
    assert found is not None, text
    return view.impact_of(found)


BROKEN_WITH_OLD = [
    ("postfix relay", WEB),
    ("ssh_config Host gate", WEB),
    ("ssh_config Host db*", WEB),
    ("Kerberos realm X", WEB),
    ("Kerberos administration of X", WEB),
    ("borgmatic config.yaml: repository ssh://old.example.net/./web01", WEB),
    ("bacula client c", DB),
    ("bacula job j", DB),
    ("named zone example.org", NS),
    ("firewall forward of tcp 443", NS),
]


@pytest.mark.parametrize(("service", "host"), BROKEN_WITH_OLD)
def test_a_service_without_an_alternative_breaks(estate: Path, service: str, host: str) -> None:
    assert impact(seen(estate, "old.example.net"), service, host) is Impact.BROKEN
    assert impact(seen(estate, "other.example.net"), service, host) is Impact.NONE


@pytest.mark.parametrize(
    ("service", "host"),
    [("ntp", WEB), ("postgresql standby", DB), ("name servers of DHCP clients on all networks", NS)],
)
def test_a_service_with_another_server_is_degraded(estate: Path, service: str, host: str) -> None:
    assert impact(seen(estate, "old.example.net"), service, host) is Impact.DEGRADED


def test_what_fails_apart_is_apart(estate: Path) -> None:
    view = seen(estate, "old.example.net")
    assert impact(view, "postfix transport of example.org", WEB) is Impact.NONE
    assert impact(view, "postgresql pg_hba", DB) is Impact.NONE
    assert impact(view, "bacula storage s", DB) is Impact.NONE


def test_automounts_below_their_mount_point(estate: Path) -> None:
    view = seen(estate, "old.example.net")
    assert impact(view, "/home/team", WEB, Kind.MOUNT) is Impact.BROKEN
    assert impact(view, "/home", WEB, Kind.MOUNT) is Impact.DEGRADED


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("postfix relay", Impact.BROKEN),
        ("Kerberos administration of X", Impact.BROKEN),
        ("borgmatic config.yaml: repository ssh://old.example.net/./web01", Impact.BROKEN),
        ("Kerberos realm X", Impact.NONE),
        ("ssh_config Host db*", Impact.NONE),
    ],
)
def test_a_read_only_host_stops_what_writes_to_it(estate: Path, service: str, expected: Impact) -> None:
    assert impact(seen(estate, "old.example.net", Lifecycle.READ_ONLY), service, WEB) is expected


def test_names_that_a_resolver_answers_lead_to_the_host(estate: Path) -> None:
    view = seen(estate, "old.example.net")
    assert impact(view, "api.example.net", "", Kind.NAME) is Impact.BROKEN


def test_a_reservation_tells_the_address_of_a_known_host(estate: Path) -> None:
    assert impact(seen(estate, "new.example.net"), "chrony", NS) is Impact.BROKEN


def test_what_was_not_looked_at_is_not_claimed(estate: Path) -> None:
    request = Request(estate, (parse_host(WEB),), Lifecycle.RETIRED, datetime(2026, 11, 1, tzinfo=UTC))
    gaps = {(row.source, str(row.area)) for row in audit(request, COLLECTORS, []).report.coverage if not row.seen}
    assert {(WEB, "schedules"), (WEB, "storage"), (WEB, "renewal"), ("", "monitoring")} <= gaps
