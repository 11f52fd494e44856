"""Configurations of services as the programs themselves read them: ssh, Postfix, chrony, BIND, Unbound, dnsmasq."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from auditor.api import Collector, Dependency, Document, Fragment, Kind, Malformed, Parsed, Relation
from collectors.services.mail_relay import MailRelayCollector
from collectors.services.name_servers import NameServersCollector
from collectors.services.named import NamedCollector
from collectors.services.ssh import SshCollector
from collectors.services.time_sync import TimeSyncCollector
from tests.integration.programs import PATIENCE, need

pytestmark = pytest.mark.integration


def run(program: str, package: str, *arguments: str | Path, directory: Path | None = None) -> tuple[int, str]:
    """Exit code and output of a program that must be there."""
    command = [need(program, package), *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout.decode()


def facts(collector: Collector, path: str, text: str) -> list[Parsed]:
    """What a collector says of one document."""
    found = list(collector.parse(Document(path, text.encode())))
    fragments = [Fragment(one.kind, one.value, one.where, "host", path) for one in found if isinstance(one, Fragment)]
    return [*found, *collector.combine(fragments, lambda _: None)]


def edges(found: list[Parsed]) -> set[tuple[str, ...]]:
    """Every dependency without its place."""
    return {
        (one.consumer.text, str(one.relation), str(one.provider.kind), one.provider.text, str(one.required), one.group)
        for one in found
        if isinstance(one, Dependency)
    }


def targets(found: list[Parsed], consumer: str) -> set[str]:
    """What a service connects to."""
    return {
        one.provider.text
        for one in found
        if isinstance(one, Dependency) and one.relation is Relation.CONNECTS and one.consumer.text == consumer
    }


SSH = """\
# Host c
Host a
    HostName a.example.net
    HostName later.example.net
    ProxyJump ops@gate.example.net:2222,10.0.0.9
host=b
    hostname = %h.example.org
    proxyjump none
Host "c"
    HOSTNAME 2001:db8::7
Host d
    ProxyJump first.example.net
    ProxyJump second.example.net
"""


@pytest.mark.parametrize("alias", ["a", "b", "c", "d"])
def test_ssh_goes_where_the_collector_says(alias: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(SSH)
    code, answer = run("ssh", "openssh-client", "-G", "-F", file, alias)
    assert code == 0
    values = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
    expected = {values["hostname"]} - {alias}
    for hop in values.get("proxyjump", "").split(","):
        expected |= {hop.rpartition("@")[2].partition(":")[0].strip("[]")} - {"", "none"}
    assert expected
    assert targets(facts(SshCollector(), "/etc/ssh/ssh_config", SSH), f"ssh_config Host {alias}") == expected


def test_ssh_refuses_a_keyword_without_a_value(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("Host a\n    HostName\n")
    assert run("ssh", "openssh-client", "-G", "-F", file, "a")[0] != 0
    assert any(isinstance(one, Malformed) for one in facts(SshCollector(), "/etc/ssh/ssh_config", file.read_text()))


POSTFIX = """\
# relayhost = [ghost.example.net]
compatibility_level = 3.6
domain = example.net
relayhost = [one.$domain],
# between
    [two.${domain}]
smtp_fallback_relay =
    [10.0.0.25]
relayhost_note = x
mynetworks = 127.0.0.0/8,
\t10.1.0.0/16
"""


def test_postfix_relays_through_the_same_hosts(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(POSTFIX)
    (tmp_path / "master.cf").write_text("")
    code, answer = run("postconf", "postfix", "-c", tmp_path, "-x", "-h", "relayhost", "smtp_fallback_relay")
    assert code == 0
    expected = {word.strip("[]") for word in answer.replace(",", " ").split()}
    assert len(expected) == 3
    assert targets(facts(MailRelayCollector(), "/etc/postfix/main.cf", POSTFIX), "postfix relay") == expected


CHRONY = """\
! a comment
pool pool.example.net iburst maxsources 4
% another
  server 10.0.0.1 key 7
peer ntp2.example.net
allow 10.0.0.0/8
"""


def test_chrony_has_the_same_sources(tmp_path: Path) -> None:
    file = tmp_path / "chrony.conf"
    file.write_text(CHRONY)
    code, answer = run("chronyd", "chrony", "-p", "-f", file)
    assert code == 0
    words = [line.split() for line in answer.splitlines()]
    expected = {line[1] for line in words if line and line[0] in ("server", "pool", "peer")}
    assert len(expected) == 3
    assert targets(facts(TimeSyncCollector(), "/etc/chrony/chrony.conf", CHRONY), "chrony") == expected


def test_chrony_refuses_a_server_without_a_name(tmp_path: Path) -> None:
    file = tmp_path / "chrony.conf"
    file.write_text("server\n")
    assert run("chronyd", "chrony", "-p", "-f", file)[0] != 0
    found = facts(TimeSyncCollector(), "/etc/chrony/chrony.conf", "server\n")
    assert any(isinstance(one, Malformed) for one in found)


NAMED = """\
// zone "ghost.net" {{ type slave; masters {{ 10.9.9.9; }}; }};
options {{ directory "{directory}"; forwarders {{ 10.0.0.5; 10.0.0.6 port 5300; }}; }};
primaries "hidden" {{ 10.0.0.18; more; }};
masters more {{ 10.0.0.19 port 5353; }};
acl inside {{ 10.0.0.0/8; }}; # comment
view "in" {{ match-clients {{ inside; }};
  zone "example.net" {{ type slave; masters {{ 10.0.0.17; 2001:db8::17; }}; file "sec/example.net"; }};
  /* zone "x.net" {{ type primary; file "x"; }}; */
  zone "example.org" IN {{ type secondary; primaries {{ hidden; }}; allow-transfer {{ 10.0.0.9; none; }}; }};
}};
view out {{
  zone "example.net" {{ type primary; file "{directory}/db.net"; also-notify {{ 192.0.2.53; }}; }};
  zone "fwd.net" {{ type forward; forwarders {{ 10.0.0.5; }}; }};
}};
"""


def test_named_reads_the_same_zones(tmp_path: Path) -> None:
    text = NAMED.format(directory=tmp_path)
    (tmp_path / "named.conf").write_text(text)
    code, answer = run("named-checkconf", "bind9-utils", "-p", tmp_path / "named.conf")
    assert code == 0
    ours = edges(facts(NamedCollector(), "/etc/named.conf", text))
    assert ours == edges(facts(NamedCollector(), "/etc/named.conf", answer))
    assert sum(one[1] == "connects" for one in ours) == 7


def test_named_refuses_a_block_that_is_not_closed(tmp_path: Path) -> None:
    file = tmp_path / "named.conf"
    file.write_text('zone "a.net" { type primary; file "a";\n')
    assert run("named-checkconf", "bind9-utils", file)[0] != 0
    found = facts(NamedCollector(), "/etc/named.conf", file.read_text())
    assert [one.reason for one in found if isinstance(one, Malformed)] == ["a block that is not closed"]


UNBOUND = """\
server:
    local-data: "api.example.net. 300 IN A 10.0.0.17"
    local-data: 'www.example.net CNAME api.example.net'
    local-data-ptr: "10.0.0.18 db.example.net"
forward-zone:
    name: "corp.example.net"
    forward-addr: 10.0.0.6@853#dns.example.net
    forward-addr: 10.0.0.7 # comment
stub-zone:
    name: ad.example.net
    stub-addr: 10.0.0.8
"""


@pytest.mark.parametrize(
    ("more", "accepted"), [("", True), ("nonsense\n", False), ("server: \n  verbosity: 1\n", True)]
)
def test_unbound_takes_what_the_collector_takes(more: str, accepted: bool, tmp_path: Path) -> None:
    file = tmp_path / "unbound.conf"
    file.write_text(f'server:\n  chroot: ""\n  directory: "{tmp_path}"\n  username: ""\n{UNBOUND}{more}')
    code, _ = run("unbound-checkconf", "unbound", file)
    found = facts(NameServersCollector(), "/etc/unbound/unbound.conf", file.read_text())
    assert (code == 0) is accepted
    assert any(isinstance(one, Malformed) for one in found) is not accepted
    for zone, expected in {"corp.example.net": "10.0.0.6@853 10.0.0.7", "ad.example.net": "10.0.0.8"}.items():
        kind = "forward" if zone.startswith("corp") else "stub"
        ours = {one.replace(":", "@") for one in targets(found, f"unbound {kind} zone {zone}")}
        assert ours == set(expected.split())


def test_dnsmasq_takes_what_the_collector_reads(tmp_path: Path) -> None:
    text = (
        "address=/apps.example.net/dev.example.net/10.0.0.17\nserver=/ad.example.net/10.0.0.7#5353\n"
        "server=/example.net/#\nserver=10.0.0.6  # upstream\nrev-server=10.0.0.0/8,10.0.0.7\n"
        "host-record=nas,nas.example.net,10.0.0.30,2001:db8::30\ncname=files.example.net,nas.example.net,300\n"
        "dhcp-host=11:22:33:44:55:66,printer,10.0.0.77,12h\n"
    )
    file = tmp_path / "dnsmasq.conf"
    file.write_text(text)
    assert run("dnsmasq", "dnsmasq-base", "--test", f"--conf-file={file}")[0] == 0
    found = facts(NameServersCollector(), "/etc/dnsmasq.conf", text)
    assert not any(isinstance(one, Malformed) for one in found)
    answered = {
        (one.consumer.text, one.provider.text)
        for one in found
        if isinstance(one, Dependency) and one.relation is Relation.RESOLVES and one.provider.kind is Kind.ADDRESS
    }
    assert ("apps.example.net", "10.0.0.17") in answered
    assert ("nas", "2001:db8::30") in answered
