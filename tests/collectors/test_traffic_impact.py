"""What the facts of balancers and servers mean once hosts go: pools thin out, and break with their last member."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.api import Area, Impact, Kind, Lifecycle, Outcome, Relation
from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.graph.view import View
from auditor.registry import load_collectors

INVENTORY = """\
version: 1
domains: [example.net]
hosts:
  - {name: lb1.example.net, addresses: [10.0.0.1]}
  - {name: lb2.example.net, addresses: [10.0.0.2]}
  - {name: app1.example.net, addresses: [10.0.1.1]}
  - {name: app2.example.net, addresses: [10.0.1.2]}
  - {name: sso.example.net, addresses: [10.0.1.3]}
  - {name: logs.example.net, addresses: [10.0.1.4]}
"""
FILES = {
    "inventory.yaml": INVENTORY,
    "hosts/lb1.example.net/etc/nginx/nginx.conf": """events {}
http {
    access_log syslog:server=logs.example.net combined;
    include sites-enabled/*;
}
""",
    "hosts/lb1.example.net/etc/nginx/sites-enabled/shop": """upstream shop {
    server app1.example.net:8080;
    server 10.0.1.2:8080;
    server sso.example.net:8080 down;
}
server {
    listen 443 ssl;
    server_name shop.example.net;
    ssl_certificate /etc/ssl/shop.pem;
    location / { proxy_pass http://shop; }
}
server { server_name sso.example.net; location / { proxy_pass https://sso.example.net; } }
""",
    "hosts/lb1.example.net/etc/haproxy/haproxy.cfg": """defaults
    mode tcp
frontend db
    bind :5432
    default_backend db
backend db
    server one app1.example.net:5432 check
    server two app2.example.net:5432 check backup
""",
    "hosts/lb1.example.net/etc/keepalived/keepalived.conf": """vrrp_instance shop {
    unicast_peer { 10.0.0.2 }
    virtual_ipaddress { 10.0.0.100/24 }
}
""",
    "dns/example.net.zone": "$ORIGIN example.net.\n$TTL 1h\n@ SOA ns1 root 1 2 3 4 5\n@ NS ns1\nns1 A 10.0.0.53\n"
    "shop A 10.0.0.100\n",
}
COLLECTORS = [one for one in load_collectors()[0] if one.name in ("nginx", "haproxy", "keepalived", "zone")]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("estate")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def retired(estate: Path, *hosts: str) -> View:
    asked = tuple(parse_host(host) for host in hosts)
    request = Request(estate, asked, Lifecycle.RETIRED, datetime(2026, 11, 1, tzinfo=UTC))
    done = audit(request, COLLECTORS, [])
    unread = {Outcome.PARTIAL, Outcome.UNSUPPORTED, Outcome.DENIED}
    assert not [row for row in done.report.coverage if row.area is Area.CONFIGURATION and row.outcome in unread]
    return done.view


def impact(view: View, text: str, kind: Kind = Kind.SERVICE) -> Impact:
    found = view.find(kind, text, "lb1.example.net" if kind is Kind.SERVICE else "")
    assert found is not None, text
    return view.impact_of(found)


def test_one_of_two_members_thins_the_pool(estate: Path) -> None:
    view = retired(estate, "app1.example.net")
    assert impact(view, "nginx upstream shop") is Impact.DEGRADED
    assert impact(view, "haproxy backend db") is Impact.DEGRADED
    assert impact(view, "nginx server sso.example.net") is Impact.NONE
    # What stands before a pool that still serves is not broken.
    assert impact(view, "nginx server shop.example.net") is not Impact.BROKEN
    assert impact(view, "haproxy frontend db") is not Impact.BROKEN


def test_the_last_member_breaks_all_before_it(estate: Path) -> None:
    view = retired(estate, "app1.example.net", "app2.example.net")
    assert impact(view, "nginx upstream shop") is Impact.BROKEN
    assert impact(view, "nginx server shop.example.net") is Impact.BROKEN
    assert impact(view, "haproxy frontend db") is Impact.BROKEN
    assert impact(view, "nginx server sso.example.net") is Impact.NONE


def test_a_member_that_is_down_and_a_log_break_no_site(estate: Path) -> None:
    view = retired(estate, "sso.example.net", "logs.example.net")
    assert impact(view, "nginx upstream shop") is Impact.NONE
    assert impact(view, "nginx server shop.example.net") is Impact.NONE
    assert impact(view, "nginx server sso.example.net") is Impact.BROKEN
    assert impact(view, "nginx log to logs.example.net") is Impact.BROKEN


def test_a_virtual_address_outlives_one_of_its_hosts(estate: Path) -> None:
    one = retired(estate, "lb1.example.net")
    assert impact(one, "10.0.0.100", Kind.ADDRESS) is Impact.DEGRADED
    assert impact(one, "shop.example.net", Kind.NAME) is not Impact.BROKEN
    both = retired(estate, "lb1.example.net", "lb2.example.net")
    assert impact(both, "shop.example.net", Kind.NAME) is Impact.BROKEN


def test_a_site_reads_its_certificate(estate: Path) -> None:
    view = retired(estate, "app1.example.net")
    site = view.find(Kind.SERVICE, "nginx server shop.example.net", "lb1.example.net")
    assert site is not None
    assert [edge.provider.text for edge in view.outgoing(site, Relation.READS)] == ["/etc/ssl/shop.pem"]
