"""Changes of lifecycle: what leaves an inventory, a zone, the monitoring or a plan, or is only said to be going."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.cli.main import main
from tests.gate.clones import Clone, judged, standing

CRON = "17 3 * * * root rsync -a /srv/ cert01.example.net:/backup/\n"
JOB = {"roles/backup/files/backup.cron": CRON}
HERE = "roles/backup/files/backup.cron:1"
OURS = "version: 1\nhosts:\n  - name: cert01.example.net\n    lifecycle: active\n  - name: web01.example.net\n"
NAGIOS = (
    "define host{\n  host_name cert01.example.net\n  address 192.0.2.7\n}\n"
    "define host{\n  host_name web01.example.net\n  address 192.0.2.8\n}\n"
)
ANSIBLE = "all:\n  hosts:\n    cert01.example.net:\n    web01.example.net:\n"
ZONE = "$ORIGIN example.net.\n$TTL 300\n@ IN SOA ns1 root 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 192.0.2.1\n"
RECORD = (
    'resource "aws_route53_record" "c" {\n  name = "cert01.example.net"\n  type = "A"\n  records = ["192.0.2.3"]\n}\n'
)


def netbox(status: str, *names: str) -> str:
    devices = [
        {
            "id": number,
            "url": f"https://netbox.example.net/api/dcim/devices/{number}/",
            "name": name,
            "status": {"value": status if number == 1 else "active", "label": "x"},
            "primary_ip": {"id": 1, "address": f"192.0.2.{number}/24"},
        }
        for number, name in enumerate(names, 1)
    ]
    return json.dumps({"count": 2, "next": None, "previous": None, "results": devices}, indent=1)


BOTH = ("cert01.example.net", "web01.example.net")


@pytest.mark.parametrize(
    ("path", "before", "after", "what", "line"),
    [
        ("inventory.yaml", OURS, OURS.split("  - name: cert01")[0] + "  - name: web01.example.net\n", "inventory", 2),
        ("inventory.yaml", OURS, OURS.replace("lifecycle: active", "lifecycle: retired"), "set to retired", 4),
        ("inventory.yaml", OURS, OURS.replace("lifecycle: active", "lifecycle: read-only"), "set to read-only", 4),
        ("inventory.yaml", OURS, OURS.replace("active", "retiring\n    on: 2026-07-01"), "set to retiring", 4),
        ("nagios/hosts.cfg", NAGIOS, NAGIOS.split("}\n", 1)[1], "monitoring", 1),
        ("inventory/hosts.yml", ANSIBLE, ANSIBLE.replace("    cert01.example.net:\n", ""), "inventory", 2),
        ("inventory/hosts.yml", ANSIBLE, ANSIBLE.replace("    cert01", "    # cert01"), "inventory", 3),
        ("netbox/devices.json", netbox("active", *BOTH), netbox("active", *BOTH[1:]), "NetBox", 0),
        ("netbox/devices.json", netbox("active", *BOTH), netbox("decommissioning", *BOTH), "decommissioning", 11),
        (
            "netbox/devices.csv",
            "name,status,role,site\ncert01.example.net,active,web,a\nweb01.example.net,active,web,a\n",
            "name,status,role,site\nweb01.example.net,active,web,a\n",
            "NetBox",
            1,
        ),
        ("dns/example.net.zone", ZONE + "cert01 IN CNAME ns1\n", ZONE, "DNS", 5),
        ("dns/example.net.zone", ZONE + "cert01 IN A 192.0.2.3\n", ZONE + "other IN A 192.0.2.3\n", "DNS", 6),
        ("tf/main.tf", RECORD, "# empty\n", "DNS", 1),
    ],
)
def test_what_goes_and_is_needed(
    clone: Clone, capsys: pytest.CaptureFixture[str], path: str, before: str, after: str, what: str, line: int
) -> None:
    clone.commit({"inventory/hosts": None, "prometheus/prometheus.yml": None, "playbooks/old.yml": None, path: before})
    clone.commit({path: after})
    report = judged(clone, capsys)
    assert not report["passed"]
    (removed,) = report["removed"]
    assert removed["host"] == "cert01.example.net"
    assert what in removed["what"]
    assert removed["at"][0]["path"] == path
    assert line in (0, removed["at"][0]["line"])
    (finding,) = (one for one in report["findings"] if one["fingerprint"] in removed["dependents"])
    assert [f"{place['path']}:{place['line']}" for place in finding["evidence"]] == [HERE]
    # Without the one that needs it, it may go.
    clone.git("reset", "--hard", "-q", "HEAD~1")
    clone.commit({path: after, "roles/backup/files/backup.cron": None})
    assert judged(clone, capsys)["passed"]


def plan(*resources: tuple[str, str, list[str], dict[str, Any]], previous: str = "") -> str:
    changes = []
    for address, kind, actions, values in resources:
        change = {
            "actions": actions,
            "before": None if actions == ["create"] else values,
            "after": None if actions == ["delete"] else values,
        }
        changes.append({"address": address, "mode": "managed", "type": kind, "name": "x", "change": change})
        if previous:
            changes[-1]["previous_address"] = previous
    return json.dumps({"format_version": "1.2", "terraform_version": "1.9.0", "resource_changes": changes}, indent=1)


MACHINE = {"id": "i-0abc", "private_ip": "10.0.0.9", "tags": {"Name": "cert01.example.net"}}
NAME = {"name": "cert01.example.net", "type": "A", "records": ["10.0.0.9"]}


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (plan(("aws_instance.a", "aws_instance", ["delete"], MACHINE)), False),
        (plan(("aws_instance.a", "aws_instance", ["delete", "create"], MACHINE)), True),
        (plan(("aws_instance.a", "aws_instance", ["create", "delete"], MACHINE)), True),
        (plan(("aws_instance.b", "aws_instance", ["no-op"], MACHINE), previous="aws_instance.a"), True),
        (
            plan(
                ("aws_instance.a", "aws_instance", ["delete"], MACHINE),
                ("aws_instance.b", "aws_instance", ["create"], MACHINE),
            ),
            True,
        ),
        (plan(("aws_instance.a", "aws_instance", ["forget"], MACHINE)), True),
        (plan(("aws_route53_record.a", "aws_route53_record", ["delete"], NAME)), False),
        (plan(("aws_route53_record.a", "aws_route53_record", ["delete", "create"], NAME)), True),
    ],
)
def test_plans(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, passed: bool) -> None:
    clone.commit({"README.md": "changed\n"})
    (tmp_path / "plan.json").write_text(text)
    report = judged(clone, capsys, "--plan", str(tmp_path / "plan.json"))
    assert report["passed"] is passed
    assert [one["host"] for one in report["removed"]] == ([] if passed else ["cert01.example.net"])


def test_a_plan_that_destroys_what_nothing_needs(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gone = {"id": "i-0def", "private_ip": "10.0.0.10", "tags": {"Name": "spare01.example.net"}}
    clone.commit({"README.md": "changed\n"})
    (tmp_path / "plan.json").write_text(plan(("aws_instance.a", "aws_instance", ["delete"], gone)))
    report = judged(clone, capsys, "--plan", str(tmp_path / "plan.json"))
    assert report["passed"]
    assert [(one["host"], one["dependents"]) for one in report["removed"]] == [("spare01.example.net", [])]


PLAY = {"playbooks/old.yml": "- hosts: old\n  tasks:\n    - ansible.builtin.debug:\n        msg: renewed\n"}
GROUPS = "[web]\nweb01.example.net\ncert01.example.net\n\n[old]\ncert01.example.net\n\n[legacy:children]\nold\n"


@pytest.mark.parametrize("after", [GROUPS.replace("[old]\ncert01.example.net", "[old]"), GROUPS.split("[old]")[0]])
def test_a_group_that_is_emptied_while_its_hosts_stay(
    clone: Clone, capsys: pytest.CaptureFixture[str], after: str
) -> None:
    clone.commit({"inventory/hosts": GROUPS, **PLAY, "playbooks/legacy.yml": PLAY["playbooks/old.yml"]})
    clone.commit({"playbooks/legacy.yml": "- hosts: legacy\n  tasks: []\n"})
    clone.commit({"inventory/hosts": after})
    report = judged(clone, capsys)
    assert not report["passed"]
    assert {one["host"]: one["what"] for one in report["removed"]} == {
        "group old": "is left without a host",
        "group legacy": "is left without a host",
    } or [one["host"] for one in report["removed"]] == ["group old"]
    assert {"playbooks/old.yml:1", "playbooks/legacy.yml:1"} & standing(report, "new")
    clone.git("reset", "--hard", "-q", "HEAD~1")
    clone.commit({"inventory/hosts": GROUPS.replace("[old]\ncert01", "[old]\nweb01")})
    assert judged(clone, capsys)["passed"]


def test_the_policy_speaks_of_an_emptied_group(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    off = "version: 1\nrules:\n  - rule: group-left-empty\n    enabled: false\n    reason: Groups come and go here.\n"
    clone.commit({"inventory/hosts": GROUPS, "inventory.yaml": "version: 1\n", "policy.yaml": off, **PLAY})
    clone.commit({"inventory/hosts": GROUPS.split("[old]")[0]})
    report = judged(clone, capsys)
    assert report["passed"]
    assert report["removed"] == []
    assert [one["rule"] for one in report["set_aside"]] == ["group-left-empty"]


@pytest.mark.parametrize("path", ["dns/example.net.zone", "dns/internal/example.net.zone"])
def test_the_living_estate_does_not_hide_what_goes(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path, path: str
) -> None:
    """The server still has the record that the change takes out, in a copy that is newer than the repository's."""
    living = tmp_path / "living"
    (living / path).parent.mkdir(parents=True)
    (living / path).write_text(ZONE + "cert01 IN A 192.0.2.3\n")
    stamp = {"path": path, "outcome": "ok", "collected_at": "2026-06-01T11:00:00Z"}
    (living / "captures.jsonl").write_text(json.dumps(stamp) + "\n")
    clone.commit({"inventory/hosts": None, "dns/example.net.zone": ZONE + "cert01 IN A 192.0.2.3\n"})
    clone.commit({"dns/example.net.zone": ZONE})
    report = judged(clone, capsys, "--estate", str(living))
    assert not report["passed"]
    assert [(one["host"], one["what"]) for one in report["removed"]] == [("cert01.example.net", "is taken out of DNS")]


def test_removals_count_also_where_only_the_diff_is_asked_for(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": OURS, "inventory/hosts": None})
    clone.commit({"inventory.yaml": "version: 1\nhosts:\n  - name: web01.example.net\n"})
    report = judged(clone, capsys, "--diff-only")
    assert not report["passed"]
    assert report["removed"][0]["dependents"]


RETIRED = OURS.replace("lifecycle: active", "lifecycle: retired")
OWN = "hosts/cert01.example.net/etc/cron.d/own"


def test_what_nobody_looked_at_before_either_is_not_new(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """A repository has no crontabs of a host: that can't fail each change that retires one."""
    clone.commit(dict.fromkeys(("inventory/hosts", "prometheus/prometheus.yml", *JOB, "playbooks/old.yml")))
    clone.commit({"inventory.yaml": OURS})
    clone.commit({"inventory.yaml": RETIRED})
    report = judged(clone, capsys, "--fail-on", "warn")
    assert report["passed"]
    assert [(one["rule"], one["standing"]) for one in report["findings"]] == [("coverage-gap", "known")]
    assert "schedules on cert01.example.net itself" in [one["what"] for one in report["not_looked_at"]]
    assert any("cert01.example.net" in note and "--estate" in note for note in report["notes"])


def test_what_the_change_hides_is_new(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit(dict.fromkeys(("inventory/hosts", "prometheus/prometheus.yml", *JOB, "playbooks/old.yml")))
    clone.commit({"inventory.yaml": OURS, OWN: "1 1 * * * root /bin/true\n"})
    clone.commit({"inventory.yaml": RETIRED, OWN: None})
    report = judged(clone, capsys, "--fail-on", "warn")
    assert not report["passed"]
    assert [(one["rule"], one["standing"]) for one in report["findings"]] == [("coverage-gap", "new")]


def test_what_a_snapshot_could_not_see_is_told_as_new(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stamp = {"path": OWN, "outcome": "denied", "collected_at": "2026-06-01T11:00:00Z", "detail": "no rights"}
    (tmp_path / "living").mkdir()
    (tmp_path / "living/captures.jsonl").write_text(json.dumps(stamp) + "\n")
    clone.commit(dict.fromkeys(("inventory/hosts", "prometheus/prometheus.yml", *JOB, "playbooks/old.yml")))
    clone.commit({"inventory.yaml": OURS})
    clone.commit({"inventory.yaml": RETIRED})
    options = ("--estate", str(tmp_path / "living"))
    assert judged(clone, capsys, *options)["passed"]
    report = judged(clone, capsys, "--fail-on", "warn", *options)
    assert not report["passed"]
    assert any("no rights" in one["message"] for one in report["findings"] if one["standing"] == "new")


def test_a_group_is_emptied_also_by_a_heading_above_its_host(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """For git the host's line stands as before."""
    clone.commit(
        {"inventory/hosts": "[web]\nweb01.example.net\nweb02.example.net\n\n[old]\n\n[new]\ncert01.example.net\n"}
    )
    report = judged(clone, capsys)
    assert [(one["host"], one["what"]) for one in report["removed"]] == [("group old", "is left without a host")]
    assert not report["passed"]


@pytest.mark.parametrize(("left", "passed"), [(JOB, False), ({}, True)])
def test_a_retired_host_that_is_deleted(
    clone: Clone, capsys: pytest.CaptureFixture[str], left: dict[str, str], passed: bool
) -> None:
    """The last step of a retirement: nobody would know of it any more."""
    clone.commit(dict.fromkeys(("inventory/hosts", "prometheus/prometheus.yml", *JOB, "playbooks/old.yml")))
    clone.commit({"inventory.yaml": RETIRED, **left})
    clone.commit({"inventory.yaml": "version: 1\nhosts:\n  - name: web01.example.net\n"})
    report = judged(clone, capsys, "--fail-on", "warn")
    assert report["passed"] is passed
    assert [(one["host"], one["what"], bool(one["dependents"])) for one in report["removed"]] == [
        ("cert01.example.net", "is taken out of the inventory", not passed)
    ]
    assert report["declared_active_again"] == []


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("netbox/devices.json", netbox("active", *BOTH), netbox("active", *BOTH).replace(BOTH[0], "new01.example.net")),
        ("nagios/hosts.cfg", NAGIOS, NAGIOS.split("}\n", 1)[1]),
    ],
)
def test_the_addresses_of_what_a_list_had_are_known(
    clone: Clone, capsys: pytest.CaptureFixture[str], path: str, before: str, after: str
) -> None:
    before, after = (text.replace("192.0.2.1/", "192.0.2.7/") for text in (before, after))
    after = after.replace("192.0.2.7/", "192.0.2.9/")
    clone.commit({"inventory/hosts": None, "prometheus/prometheus.yml": None, "playbooks/old.yml": None})
    clone.commit({path: before, HERE.partition(":")[0]: "1 1 * * * root curl http://192.0.2.7/x\n"})
    clone.commit({path: after})
    report = judged(clone, capsys)
    assert not report["passed"]
    assert HERE in standing(report, "new")


def test_a_list_that_still_names_what_nagios_has_no_more(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """The line is as before; what it meant is known from before alone."""
    group = "define hostgroup{\n  hostgroup_name all\n  members web01.example.net,cert01.example.net\n}\n"
    clone.commit(dict.fromkeys(("inventory/hosts", "prometheus/prometheus.yml", *JOB, "playbooks/old.yml")))
    clone.commit({"nagios/hosts.cfg": NAGIOS, "nagios/groups.cfg": group})
    clone.commit({"nagios/hosts.cfg": NAGIOS.split("}\n", 1)[1], "nagios/groups.cfg": f"# moved\n{group}"})
    report = judged(clone, capsys)
    assert not report["passed"]
    assert "nagios/groups.cfg:4" in standing(report, "new")


def test_hosts_that_are_called_by_less_of_their_names(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = (clone.root / "inventory/hosts").read_text()
    clone.commit({"inventory/hosts": hosts.replace(".example.net", "")})
    report = judged(clone, capsys)
    assert report["passed"]
    assert report["removed"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Terraform will perform", "no JSON object"),
        ('{"format_version": "1.0", "values": {}}', "no plan"),
        ('{"format_version": "1.2", "resource_changes": [', "not whole"),
        ('{"format_version": "1.2", "errored": true, "resource_changes": []}', "failed half-way"),
    ],
)
def test_what_is_no_plan_is_refused(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    """It would have nothing to say of any host, and everything would pass."""
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD", "--head", "HEAD", "--plan", str(plan)]) == 2
    assert said in capsys.readouterr().err


def test_a_line_that_hides_a_record(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """named loads nothing of it: the record is gone, though its line stands as before."""
    clone.commit({"dns/example.net.zone": ZONE + "cert01 IN A 192.0.2.3\n"})
    clone.commit({"dns/example.net.zone": ZONE.replace("root 1 3600", "root (1 3600") + "cert01 IN A 192.0.2.3\n"})
    report = judged(clone, capsys)
    assert [(one["path"], one["line"]) for one in report["not_seen_any_more"]] == [("dns/example.net.zone", 3)]


def test_what_needs_it_is_named_where_nothing_is_new(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit(dict.fromkeys(("inventory/hosts", "prometheus/prometheus.yml", "playbooks/old.yml")))
    clone.commit({"inventory.yaml": RETIRED})
    clone.commit({"inventory.yaml": OURS.replace("lifecycle: active", "lifecycle: read-only")})
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD~1", "--head", "HEAD", "-q", "--width", "100"]) == 0
    assert f"1 place needs it: {HERE}" in capsys.readouterr().out


def test_the_first_line_says_why_it_fails(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": RETIRED})
    clone.commit({"inventory.yaml": OURS})
    options = ["gate", "--repo", str(clone.root), "--base", "HEAD~1", "--head", "HEAD", "-q", "--width", "400"]
    assert main([*options, "--fail-on", "warn"]) == 1
    assert "but cert01.example.net is not declared as going any more" in capsys.readouterr().out.splitlines()[0]
    clone.commit({"prometheus/prometheus.yml": "scrape_configs: [\n"})
    assert main([*options, "--fail-on", "warn"]) == 1
    assert "1 thing can't be read since" in capsys.readouterr().out.splitlines()[0]
