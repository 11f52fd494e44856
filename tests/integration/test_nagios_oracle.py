"""Objects are resolved as Nagios resolves them: `nagios4 -vp` writes what it made of a configuration."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from grp import getgrgid
from pathlib import Path
from pwd import getpwuid

import pytest

from auditor.api import Dependency, Document, Fragment, Relation, Where, decode
from collectors.nagios import NagiosCollector
from collectors.nagios.objects import Definition, Installation, read_definitions
from tests.integration.programs import PATIENCE, need
from tests.realfiles import CORPUS, MISSING, REPLAYS

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent

COMMON = """
define timeperiod {
  timeperiod_name  24x7
  alias            always
  sunday           00:00-24:00
}
define command {
  command_name  ask
  command_line  /usr/lib/nagios/plugins/check_http -H $HOSTADDRESS$ -u $ARG1$ \\; x ; said by nobody
}
define command {
  command_name  tell
  command_line  /usr/bin/mail
}
define contact {
  name                           person
  register                       0
  host_notification_commands     tell
  service_notification_commands  tell
  host_notification_period       24x7
  service_notification_period    24x7
}
define contact {
  use            person
  contact_name   ann
  contactgroups  +night
}
define contact {
  use           person
  contact_name  bob
}
define contactgroup {
  contactgroup_name  night
  members            bob
}
define contactgroup {
  contactgroup_name     all-of-them
  contactgroup_members  night
}
define host {
  name                 base
  register             0
  max_check_attempts   3
  check_command        ask
  check_period         24x7
  notification_period  24x7
  contact_groups       night
  hostgroups           linux
  parents              gw
}
define service {
  name                 basic
  register             0
  max_check_attempts   3
  check_period         24x7
  notification_period  24x7
  check_interval       5
  retry_interval       5
}
define host {
  use        base
  host_name  gw
  address    192.0.2.1
  parents    null
}
"""

CASES = {
    "several templates, the first wins, and + adds": """
define host {
  name            extra
  register        0
  hostgroups      +web
  contact_groups  +all-of-them
  address         192.0.2.7
}
define host {
  use        extra,base
  host_name  one
}
define host {
  use             base,extra
  host_name       two
  hostgroups      +db, \\
                  odd
  contact_groups  null
  parents         null
}
define hostgroup { ; with a comment
  hostgroup_name  linux
}
define hostgroup{
  hostgroup_name  web
  members         *,!gw
}
define hostgroup{
  hostgroup_name     db
  hostgroup_members  odd
}
define hostgroup{
  hostgroup_name  odd
}
define service {
  use                  basic
  service_description  any
  hostgroup_name       web
  check_command        ask
  contact_groups       +night
}
""",
    "groups, exclusions and both ways to name a host": """
define host {
  use        base
  host_name  one
  address    192.0.2.11
}
define host {
  use        base
  host_name  two
}
define host {
  use        base
  host_name  three
}
define hostgroup {
  hostgroup_name  linux
  members         gw
}
define hostgroup {
  hostgroup_name  some
  members         one , two,
}
define hostgroup {
  hostgroup_name     more
  hostgroup_members  some
  members            three,!two,!four
}
define host {
  use        base
  host_name  four
  hostgroups  more
}
define service {
  use                  basic
  service_description  A/b
  hostgroup            more,!some
  host                 gw
  check_command        ask!/x;y\\;z
}
define service {
  use                  basic
  description          everywhere
  host_name            *,!gw
  check_command        ask!\\;a!b
  contact_groups       +all-of-them
}
define service {
  use                  basic
  service_description  of all groups
  hostgroup_name       *
  host_name            !three
  check_command        ask
  contacts             ann
}
""",
    "a template that is a host itself": """
define host {
  use        base
  name       first
  host_name  one
  address    192.0.2.21
}
define host {
  use        first
  host_name  two
}
define hostgroup {
  hostgroup_name  linux
}
define service {
  use                  basic
  name                 ping
  service_description  ping
  host_name            one
  check_command        ask
  contact_groups       night
}
define service {
  use                  ping
  service_description  ping again
  host_name            +two
  contact_groups       +all-of-them
}
""",
}


def precache(directory: Path, sources: dict[str, str], settings: str = "") -> str | None:
    """What Nagios resolves these object files to; None if it refuses them."""
    objects = directory / "objects"
    objects.mkdir()
    for name, text in sources.items():
        (objects / name).write_text(text)
    paths = {
        "object_cache_file": "cache",
        "precached_object_file": "precache",
        "log_file": "log",
        "status_file": "status",
        "command_file": "command",
        "lock_file": "lock",
    }
    # It would drop root's privileges, and then not be allowed into the directory.
    user, group = getpwuid(os.getuid()).pw_name, getgrgid(os.getgid()).gr_name
    main = f"nagios_user={user}\nnagios_group={group}\n"
    main += f"cfg_dir={objects}\ncheck_result_path={directory}\ntemp_path={directory}\n{settings}"
    main += "".join(f"{key}={directory / name}\n" for key, name in paths.items())
    (directory / "nagios.cfg").write_text(main)
    subprocess.run(
        [need("nagios4", "nagios4-core"), "-vp", "nagios.cfg"],
        cwd=directory,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    written = directory / "precache"
    return written.read_text() if written.exists() else None


def definitions(path: str, text: str) -> Iterator[tuple[str, Definition]]:
    for item in read_definitions(text, templated=False):
        assert isinstance(item, Definition), item
        yield path, item


def listed(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def state(installation: Installation) -> dict[str, object]:
    """What both sides must agree on."""
    hosts = {
        name: (
            one.addresses[-1].text if one.addresses else name,
            listed(one.text("parents")),
            one.text("check_command"),
            frozenset(installation.contacts(one)),
        )
        for name, one in installation.hosts.items()
    }
    services = {}
    for service in installation.of("service"):
        for host in installation.selection(service).hosts:
            told = installation.contacts(service)
            if "contacts" not in service.values and "contact_groups" not in service.values:
                told = installation.contacts(installation.hosts[host])
            key = (host, service.text("service_description"))
            services[key] = (service.text("check_command"), frozenset(told))
    groups = {name: frozenset(installation.members(name)) for name in installation.groups}
    commands = {one.text("command_name"): one.text("command_line") for one in installation.of("command")}
    return {"hosts": hosts, "services": services, "groups": groups, "commands": commands}


def compare(directory: Path, sources: dict[str, str], settings: str = "") -> bool:
    written = precache(directory, sources, settings)
    if written is None:
        return False
    # The precache escapes nothing: a `;` there is one that the source escaped.
    theirs = state(Installation(definitions("precache", written.replace(";", "\\;"))))
    ours = state(
        Installation(
            (pair for name, text in sorted(sources.items()) for pair in definitions(name, text)),
            regexp="use_regexp_matching=1" in settings,
        )
    )
    for key, value in theirs.items():
        assert ours[key] == value, key
    return True


@pytest.mark.parametrize("case", CASES)
def test_objects_are_resolved_as_nagios_does(case: str, tmp_path: Path) -> None:
    assert compare(tmp_path, {"common.cfg": COMMON, "objects.cfg": CASES[case]}), "Nagios refuses the case"


def test_names_may_be_patterns_where_the_configuration_says_so(tmp_path: Path) -> None:
    text = """
define host {
  use        base
  host_name  web1
}
define host {
  use        base
  host_name  web2
}
define host {
  use        base
  host_name  db1
}
define hostgroup {
  hostgroup_name  linux
}
define service {
  use                  basic
  service_description  by pattern
  host_name            ^web.*
  check_command        ask
}
"""
    assert compare(tmp_path, {"common.cfg": COMMON, "objects.cfg": text}, "use_regexp_matching=1\n")


def test_the_alerts_watch_what_nagios_would_ask(tmp_path: Path) -> None:
    case = CASES["groups, exclusions and both ways to name a host"]
    written = precache(tmp_path, {"common.cfg": COMMON, "objects.cfg": case})
    assert written is not None
    expected = set(re.findall(r"define service \{\n\thost_name\t(\S+)\n\tservice_description\t(.+)\n", written))
    addresses = dict(re.findall(r"define host \{\n\thost_name\t(\S+)\n(?:\t.*\n)*?\taddress\t(\S+)\n", written))
    collector = NagiosCollector()
    pieces = []
    for path, text in (("/etc/nagios4/conf.d/common.cfg", COMMON), ("/etc/nagios4/conf.d/objects.cfg", case)):
        for item in collector.parse(Document(path, text.encode())):
            assert isinstance(item, Fragment)
            pieces.append(Fragment(item.kind, item.value, Where(1), "noc", path))
    watched = {
        (fact.provider.text, fact.consumer.text.partition("/")[2])
        for fact in collector.combine(pieces, lambda _: None)
        if isinstance(fact, Dependency)
        and fact.relation is Relation.WATCHES
        and not fact.consumer.text.endswith("/host")
    }
    assert watched == {(addresses[host], description) for host, description in expected}


def test_sample_configurations(tmp_path: Path) -> None:
    """The samples that Nagios ships, with the names that its build fills in."""
    corpus = CORPUS / "nagios"
    if not corpus.is_dir():
        pytest.skip(MISSING)
    sources = {
        path.name.rpartition("__")[2].removesuffix(".in"): re.sub(r"@\w+@", "x", path.read_text())
        for path in corpus.glob("*sample-config*template-object*")
    }
    assert sources
    sources["times.cfg"] = """
define timeperiod {
  timeperiod_name  24x7
  alias            always
}
define timeperiod {
  timeperiod_name  workhours
  alias            day
}
define contact {
  contact_name                   nagiosadmin
  use                            generic-contact
}
define contactgroup {
  contactgroup_name  admins
  members            nagiosadmin
}
"""
    assert compare(tmp_path, sources), "Nagios refuses its samples"


def test_whole_installations_of_the_replays(tmp_path: Path) -> None:
    """Real repositories' object files, as far as Nagios takes them without what their templates fill in."""
    if not REPLAYS.is_dir():
        pytest.skip(MISSING)
    agreed = 0
    for number, root in enumerate(sorted(REPLAYS.glob("*/tree/roles/*/*/files/nagios"))):
        sources = {}
        for top in (root, root.parent.parent / "templates" / "nagios"):
            for path in top.rglob("*.cfg"):
                text = decode(path.read_bytes())
                # A file of examples defines again what the others do, which Nagios takes in no certain way.
                if re.search(r"^\s*define\s", text, re.MULTILINE) and "{%" not in text and path.name != "minimal.cfg":
                    sources[str(path.relative_to(top)).replace("/", "_")] = re.sub(r"\{\{.*?\}\}", "x", text)
        if not sources:
            continue
        place = tmp_path / str(number)
        place.mkdir()
        agreed += compare(place, sources)
    assert agreed, "Nagios refuses all of them"
