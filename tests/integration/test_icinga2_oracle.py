"""What `icinga2 object list` prints of a configuration is read as Icinga 2 resolved it."""

from __future__ import annotations

import os
import subprocess
from grp import getgrgid
from pathlib import Path
from pwd import getpwuid

import pytest

from auditor.api import Dependency, Document, Relation
from collectors.icinga2 import Icinga2Collector
from tests.integration.programs import PATIENCE, need

pytestmark = pytest.mark.integration

CONFIGURATION = """
const NodeName = "noc.example.net"
const ZoneName = NodeName
object CheckerComponent "checker" {}
object CheckCommand "alive" { command = [ "/bin/true" ] }
object CheckCommand "page" { command = [ "/bin/true", "$page_address$" ] }
object NotificationCommand "tell" { command = [ "/opt/tell.sh" ] }
object UserGroup "night" {}
object User "eve" { groups = [ "night" ] }
template Host "base" { check_command = "alive" }
object Host "a1.example.net" {
  import "base"
  address = "192.0.2.1"
  vars.page = "shop.example.net"
}
object Host "a2.example.net" { import "base" }
for (number in [ 3, 4 ]) {
  object Host "a" + number + ".example.net" use (number) {
    import "base"
    address = "192.0.2." + number
    groups = [ "numbered" ]
  }
}
object HostGroup "numbered" {}
apply Service "page" {
  check_command = "page"
  vars.page_address = host.vars.page
  assign where host.vars.page
}
apply Service "ping" {
  check_command = "alive"
  assign where host.address
}
apply Notification "by-night" to Service {
  command = "tell"
  user_groups = [ "night" ]
  assign where service.name == "page"
}
"""


def test_the_list_is_read_as_icinga_resolved_it(tmp_path: Path) -> None:
    program = need("icinga2", "icinga2-bin")
    (tmp_path / "main.conf").write_text(CONFIGURATION)
    user, group = getpwuid(os.getuid()).pw_name, getgrgid(os.getgid()).gr_name
    settings = ["-D", f"RunAsUser={user}", "-D", f"RunAsGroup={group}"]
    for name in ("CacheDir", "DataDir", "LogDir", "InitRunDir"):
        (tmp_path / name).mkdir()
        settings += ["-D", f"{name}={tmp_path / name}"]
    checked = subprocess.run(
        [program, "daemon", "-C", "-c", "main.conf", *settings],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    listed = subprocess.run(
        [program, "object", "list", *settings], cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=False
    ).stdout
    collector = Icinga2Collector()
    path = "/var/tmp/icinga2-objects.txt"
    assert collector.recognizes(path, listed[:4096])
    found = {
        (fact.consumer.text, str(fact.relation), fact.provider.text)
        for fact in collector.parse(Document(path, listed))
        if isinstance(fact, Dependency) and fact.relation is not Relation.RUNS_ON
    }
    assert found == {
        ("a1.example.net/host", "watches", "192.0.2.1"),
        ("a2.example.net/host", "watches", "a2.example.net"),
        ("a3.example.net/host", "watches", "192.0.2.3"),
        ("a4.example.net/host", "watches", "192.0.2.4"),
        ("a1.example.net/page", "watches", "shop.example.net"),
        ("a1.example.net and more/ping", "watches", "192.0.2.1"),
        ("a1.example.net and more/ping", "watches", "192.0.2.3"),
        ("a1.example.net and more/ping", "watches", "192.0.2.4"),
        ("icinga hostgroup numbered", "member", "192.0.2.3"),
        ("icinga hostgroup numbered", "member", "192.0.2.4"),
        ("a1.example.net/page", "notifies", "eve"),
        ("eve", "calls", "/opt/tell.sh"),
    }
