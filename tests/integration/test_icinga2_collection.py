"""`auditor collect` from a real Icinga 2 over its API, which says the same as its object list, and the checklist."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from grp import getgrgid
from pathlib import Path
from pwd import getpwuid

import pytest

from auditor.api import Dependency, Document, Fragment, Parsed, Relation
from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.cli.main import main
from auditor.model import Lifecycle
from auditor.registry import load_collectors, load_rules
from collectors.icinga2 import Icinga2Collector
from tests.integration.programs import PATIENCE, free_port, listens, need, running

pytestmark = pytest.mark.integration

PASSWORD = "planted-api-password"
CONFIGURATION = """
const NodeName = "localhost"
const ZoneName = NodeName
object Endpoint NodeName { host = "127.0.0.1" }
object Zone ZoneName { endpoints = [ NodeName ] }
object ApiListener "api" { bind_host = "127.0.0.1"; bind_port = "@port@" }
object ApiUser "auditor" { password = "@password@"; permissions = [ @permissions@ ] }
object CheckCommand "alive" { command = [ "/bin/true" ] }
object CheckCommand "proxied" {
  command = [ "/usr/lib/nagios/plugins/check_http", "-p", "3128" ]
  arguments = { "-H" = "proxy.example.net", "-u" = "https://$address$/", "-e" = "200.OK" }
}
object CheckCommand "short" { command = [ "/usr/lib/nagios/plugins/check_tcp", "-H", "cache1", "-p", "$port$" ] }
object CheckCommand "beside" { command = [ "/opt/check.sh" ]; arguments = { "-u" = "https://relay.example.net/$x$" } }
object CheckCommand "of-library" { command = [ "/opt/check.sh", "-4" ]; arguments = { "-H" = "$address$" } }
object NotificationCommand "tell" { command = [ "/opt/tell.sh" ] }
object UserGroup "night" {}
object User "eve" { groups = [ "night" ] }
template Host "base" { check_command = "alive"; check_interval = 1h }
object Host "old.example.net" {
  import "base"
  address = "192.0.2.1"
  vars.page = "shop.example.net"
  vars.snmp_community = "planted-community"
}
object Host "a2.example.net" { import "base"; groups = [ "numbered" ] }
object HostGroup "numbered" {}
object HostGroup "outer" {}
object HostGroup "inner" { groups = [ "outer" ]; assign where host.address }
object ServiceGroup "pages" {}
object ServiceGroup "by-rule" { assign where service.name == "page" }
object NotificationCommand "chat" {
  command = [ "/usr/bin/curl", "-u", "us:planted-login" ]
  arguments = { "url" = { value = "https://chat.example.net/$host.name$"; skip_key = true; order = 1 } }
}
object EventCommand "restart" {
  command = [ "/opt/restart.sh", "$address$" ]
  arguments = {
    "--token" = { value = "planted-token"; order = 1 }
    "-x" = { set_if = "$x$" }
    "-f" = {{ 1 }}
  }
  env = { PGPASSWORD = "planted-in-env" }
}
object EventCommand "remote" {
  command = [ "ssh" ]
  arguments = { "to" = { value = "jump.example.net"; skip_key = true }, "-l" = "root" }
}
object EventCommand "relay" { command = "curl -s https://relay.example.net/$host.name$ || true" }
object EventCommand "off" { command = [ "ssh", "off.example.net" ] }
apply Service "page" {
  check_command = "alive"
  event_command = "restart"
  groups = [ "pages" ]
  vars.page_address = host.vars.page
  assign where host.vars.page
}
apply Service "proxied" { check_command = "proxied"; assign where host.address }
apply Service "ping" {
  check_command = "alive"
  event_command = "relay"
  if (host.address) { event_command = "remote" }
  assign where true
}
apply Service "off" {
  check_command = "alive"
  event_command = "off"
  enable_event_handler = false
  assign where host.address
}
apply Notification "to-chat" to Service { command = "chat"; users = [ "eve" ]; assign where service.name == "ping" }
apply Notification "by-night" to Service {
  command = "tell"
  user_groups = [ "night" ]
  assign where service.name == "page"
}
object Downtime "nights" {
  host_name = "old.example.net"
  author = "eve"
  comment = "until the move"
  start_time = 1700000000
  end_time = 4000000000
  fixed = true
}
"""
INVENTORY = """
version: 1
domains: [example.net]
hosts: [{name: old.example.net, addresses: [192.0.2.1]}]
sources:
  - {kind: icinga2, name: icinga, url: "https://localhost:@port@", user: auditor, ca: "@ca@", token_env: PLANTED}
"""


@dataclass(frozen=True)
class Icinga:
    home: Path
    program: str
    settings: list[str]
    port: int

    @property
    def inventory(self) -> str:
        return INVENTORY.replace("@port@", str(self.port)).replace("@ca@", str(self.home / "DataDir/ca/ca.crt"))


def prepared(home: Path, permissions: str) -> Icinga:
    program = need("icinga2", "icinga2-bin")
    user, group = getpwuid(os.getuid()).pw_name, getgrgid(os.getgid()).gr_name
    settings = ["-D", f"RunAsUser={user}", "-D", f"RunAsGroup={group}"]
    for name in ("CacheDir", "DataDir", "LogDir", "InitRunDir", "SpoolDir"):
        (home / name).mkdir()
        settings += ["-D", f"{name}={home / name}"]
    port = free_port()
    text = CONFIGURATION.replace("@port@", str(port)).replace("@password@", PASSWORD)
    (home / "main.conf").write_text(text.replace("@permissions@", permissions))
    certificates = home / "DataDir/certs"
    certificates.mkdir()
    for words in (
        ["new-ca"],
        ["new-cert", "--cn", "localhost", "--key", certificates / "localhost.key", "--csr", certificates / "own.csr"],
        ["sign-csr", "--csr", certificates / "own.csr", "--cert", certificates / "localhost.crt"],
    ):
        command = [program, "pki", *map(str, words), *settings]
        subprocess.run(command, cwd=home, capture_output=True, timeout=PATIENCE, check=True)
    shutil.copy(home / "DataDir/ca/ca.crt", certificates / "ca.crt")
    return Icinga(home, program, settings, port)


@contextmanager
def started(icinga: Icinga) -> Iterator[Icinga]:
    command = [icinga.program, "daemon", "-c", "main.conf", *icinga.settings]
    with running(command, icinga.home / "log", lambda: listens(icinga.port), cwd=icinga.home):
        yield icinga


@pytest.fixture(scope="module")
def icinga(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Icinga]:
    with started(prepared(tmp_path_factory.mktemp("icinga"), '"objects/query/*"')) as one:
        yield one


def collected(icinga: Icinga, tmp_path: Path) -> tuple[Path, int]:
    estate = tmp_path / "estate"
    estate.mkdir()
    (estate / "inventory.yaml").write_text(icinga.inventory)
    root = tmp_path / "snapshot"
    return root, main(["collect", "--estate", str(estate), "-o", str(root), "--quiet"])


def facts(found: list[Parsed]) -> set[tuple[str, str, str]]:
    return {
        (fact.consumer.text, str(fact.relation), fact.provider.text)
        for fact in found
        if isinstance(fact, Dependency) and fact.relation not in (Relation.RUNS_ON, Relation.SILENCES)
    }


def test_the_api_says_what_the_object_list_says(
    icinga: Icinga, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", PASSWORD)
    root, code = collected(icinga, tmp_path)
    assert code == 0
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"planted" not in kept
    commands = json.loads((root / "services/icinga/objects/checkcommands.json").read_bytes())["results"]
    assert {one["name"] for one in commands} == {"proxied", "short", "beside"}
    collector = Icinga2Collector()
    fragments: list[Fragment] = []
    answered: list[Parsed] = []
    for path in sorted((root / "services/icinga").rglob("*.json")):
        name = path.relative_to(root).as_posix()
        assert collector.recognizes(name, path.read_bytes()[:4096]), name
        for item in collector.parse(Document(name, path.read_bytes())):
            answered.append(item)
            if isinstance(item, Fragment):
                fragments.append(Fragment(item.kind, item.value, item.where, "", name))
    answered.extend(collector.combine(fragments, lambda _path: None))
    command = [icinga.program, "object", "list", *icinga.settings]
    listed = subprocess.run(command, cwd=icinga.home, capture_output=True, timeout=PATIENCE, check=False).stdout
    told = facts(list(collector.parse(Document("/var/tmp/icinga2-objects.txt", listed))))
    assert {
        ("icinga event command restart", "calls", "/opt/restart.sh"),
        ("icinga event command remote", "connects", "jump.example.net"),
        ("icinga servicegroup pages", "member", "shop.example.net"),
        ("icinga event command relay", "connects", "https://relay.example.net/"),
        ("old.example.net/proxied", "watches", "proxy.example.net"),
        ("eve", "calls", "/opt/tell.sh"),
        ("eve", "notifies", "https://chat.example.net/"),
    } <= told
    assert not any("off.example.net" in provider for _, _, provider in told)
    # Whom a group takes by a condition, only the daemon knows.
    assert facts(answered) - told == {
        ("icinga hostgroup inner", "member", "192.0.2.1"),
        ("icinga hostgroup outer", "member", "192.0.2.1"),
        ("icinga servicegroup by-rule", "member", "shop.example.net"),
    }
    assert told <= facts(answered)


def test_the_checklist(icinga: Icinga, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", PASSWORD)
    root, _ = collected(icinga, tmp_path)
    collectors, _ = load_collectors()
    rules, _ = load_rules()
    asked = (parse_host("old.example.net"),)
    report = audit(Request(root, asked, Lifecycle.RETIRED, datetime.now(UTC)), collectors, rules).report
    found = {one.rule: one for one in report.findings}
    blind = [one for one in report.findings if one.rule == "alert-blind"]
    assert any("host old.example.net" in one.message for one in blind)
    assert any(line.path == "services/icinga/objects/hosts.json" for one in blind for line in one.evidence)
    silence = found["silence-hides-going-host"]
    assert "eve made it" in silence.why
    assert "until the move" in silence.why


def test_an_api_user_with_filters_and_one_with_a_wrong_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permissions = '"objects/query/Host", { permission = "objects/query/Service", filter = {{ false }} }'
    (tmp_path / "icinga").mkdir()
    with started(prepared(tmp_path / "icinga", permissions)) as one:
        monkeypatch.setenv("PLANTED", PASSWORD)
        root, code = collected(one, tmp_path)
        assert code == 4
        told = {}
        for line in (root / "captures.jsonl").read_text().splitlines():
            record = json.loads(line)
            told[record["path"].partition("services/icinga/")[2]] = (record["outcome"], record.get("detail", ""))
        why = "the API user sees a part of the objects only: objects/query/Service (filtered)"
        assert told["server.json"] == ("partial", why)
        assert told["objects/hosts.json"][0] == "ok"
        assert told["objects/zones.json"][0] == "denied"
        assert "without the permission objects/query/Zone" in told["objects/zones.json"][1]
        monkeypatch.setenv("PLANTED", "another-password")
        (tmp_path / "other").mkdir()
        root, _ = collected(one, tmp_path / "other")
        lines = [json.loads(line) for line in (root / "captures.jsonl").read_text().splitlines()]
        assert {line["outcome"] for line in lines if line["path"].startswith("services/")} == {"denied"}
