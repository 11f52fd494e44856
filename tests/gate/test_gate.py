"""The gate on repositories made here: what a change leaves, adds, takes out, and how it may try to get around."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import blake2b
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.gate.clones import BASE, CRONTAB, DECLARED, INVENTORY, NOW, Clone, judged, standing


def test_a_change_without_servers_passes_in_one_line(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"README.md": "Servers of example.net and others\n", "docs/new.md": "# New\n"})
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD~1", "--head", "HEAD", "--width", "120"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "PASSED  nothing that depends on a server that is going was added or left behind by this change\n"
    )
    assert printed.err == ""


def test_a_host_taken_out_of_the_inventory(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory/hosts": INVENTORY.replace("cert01.example.net\n", "")})
    report = judged(clone, capsys)
    assert not report["passed"]
    (removed,) = report["removed"]
    assert removed["host"] == "cert01.example.net"
    assert [(place["path"], place["excerpt"]) for place in removed["at"]] == [("inventory/hosts", "cert01.example.net")]
    left = standing(report, "new")
    assert {"roles/backup/files/backup.cron:1", "prometheus/prometheus.yml:4", "playbooks/old.yml:1"} <= left
    # The line itself is gone; the heading of a group that is now empty is not.
    assert {place for place in left if place.startswith("inventory")} == {"inventory/hosts:5"}


def test_a_host_taken_out_with_all_that_needs_it(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit(
        {
            "inventory/hosts": INVENTORY.replace("\n[old]\ncert01.example.net\n", ""),
            "roles/backup/files/backup.cron": CRONTAB.replace("cert01", "web02"),
            "playbooks/old.yml": None,
            "prometheus/prometheus.yml": BASE["prometheus/prometheus.yml"].replace("cert01", "web02"),
        }
    )
    report = judged(clone, capsys)
    assert report["passed"]
    assert report["findings"] == []
    assert [(one["host"], one["dependents"]) for one in report["removed"]] == [("cert01.example.net", [])]


def test_a_group_that_others_are_in_is_not_left_empty(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit(
        {
            "inventory/hosts": INVENTORY.replace("cert01.example.net", "cert02.example.net"),
            "roles/backup/files/backup.cron": CRONTAB.replace("cert01", "cert02"),
            "prometheus/prometheus.yml": BASE["prometheus/prometheus.yml"].replace("cert01", "cert02"),
        }
    )
    report = judged(clone, capsys)
    assert report["passed"]
    assert not [one for one in report["findings"] if one["severity"] != "info"]


def test_an_inventory_that_moves_takes_nobody_out(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    moved = "all:\n  children:\n    web:\n      hosts:\n        web01.example.net:\n        web02.example.net:\n"
    moved += "    old:\n      hosts:\n        cert01.example.net:\n"
    clone.commit({"inventory/hosts": None, "inventory/hosts.yml": moved})
    report = judged(clone, capsys)
    assert report["passed"]
    assert report["removed"] == []


def test_a_host_that_is_declared_retired(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("active")})
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    report = judged(clone, capsys)
    assert not report["passed"]
    assert "roles/backup/files/backup.cron:1" in standing(report, "new")
    assert [one["host"] for one in report["hosts"]] == ["cert01.example.net"]


def test_what_was_there_before_does_not_fail(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    clone.commit({"README.md": "changed\n"})
    report = judged(clone, capsys)
    assert report["passed"]
    assert "roles/backup/files/backup.cron:1" in standing(report, "known")
    assert not standing(report, "new", "worsened")


def test_a_new_reference_fails(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    new = "5 4 * * * root curl -fsS https://cert01.example.net/renew\n"
    clone.commit({"roles/renew/files/renew.cron": new})
    report = judged(clone, capsys)
    assert not report["passed"]
    assert standing(report, "new") == {"roles/renew/files/renew.cron:1"}
    only = judged(clone, capsys, "--diff-only")
    assert not only["passed"]
    assert standing(only, "new", "known", "worsened") == {"roles/renew/files/renew.cron:1"}


def test_a_comment_beside_a_known_line_is_not_worse(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    clone.commit({"roles/backup/files/backup.cron": f"# was on cert01.example.net too\n{CRONTAB}"})
    report = judged(clone, capsys, "--fail-on", "warn")
    assert report["passed"]
    assert {"roles/backup/files/backup.cron:1", "roles/backup/files/backup.cron:2"} <= standing(report, "known")


def test_a_line_that_stands_once_more_is_worse(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    one = "[a]\naddress=cert01.example.net\n"
    clone.commit({"inventory.yaml": DECLARED.format("retired"), "conf/pool.cnf": one})
    clone.commit({"conf/pool.cnf": f"# moved\n{one}"})
    assert not standing(judged(clone, capsys), "new", "worsened")
    clone.commit({"conf/pool.cnf": f"# moved\n{one}[b]\naddress=cert01.example.net\n"})
    assert "conf/pool.cnf:5" in standing(judged(clone, capsys), "worsened")


def test_moved_lines_and_renamed_files_are_not_new(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    clone.commit(
        {
            "roles/backup/files/backup.cron": None,
            "roles/backups/files/nightly.cron": "MAILTO=root\n# nightly\n" + CRONTAB,
            "prometheus/prometheus.yml": "# comment\n\n" + BASE["prometheus/prometheus.yml"],
        }
    )
    report = judged(clone, capsys)
    assert report["passed"], standing(report, "new", "worsened")
    assert {"roles/backups/files/nightly.cron:3", "prometheus/prometheus.yml:6"} <= standing(report, "known")


def test_what_is_mended_is_credited(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    clone.commit({"roles/backup/files/backup.cron": CRONTAB.replace("cert01", "web02")})
    report = judged(clone, capsys)
    assert report["passed"]
    assert standing(report, "fixed") == {"roles/backup/files/backup.cron:1"}


ZONE = "$ORIGIN example.net.\n$TTL 300\n@ IN SOA ns1 root 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 192.0.2.1\n"


def test_a_record_taken_out_of_a_zone(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    job = "0 1 * * * root curl -fsS https://renew.example.net/run\n"
    clone.commit({"dns/example.net.zone": f"{ZONE}renew IN A 192.0.2.9\n", "roles/renew/files/renew.cron": job})
    clone.commit({"dns/example.net.zone": ZONE})
    report = judged(clone, capsys)
    assert not report["passed"]
    (removed,) = report["removed"]
    assert (removed["host"], removed["what"]) == ("renew.example.net", "is taken out of DNS")
    assert removed["at"][0]["path"] == "dns/example.net.zone"
    assert "roles/renew/files/renew.cron:1" in standing(report, "new")


def test_a_record_that_is_repointed(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    job = "0 1 * * * root curl -fsS https://renew.example.net/run\n"
    clone.commit({"dns/example.net.zone": f"{ZONE}renew IN A 192.0.2.9\n", "roles/renew/files/renew.cron": job})
    clone.commit({"dns/example.net.zone": f"{ZONE}renew IN CNAME web02\nweb02 IN A 192.0.2.12\n"})
    report = judged(clone, capsys)
    assert report["passed"]
    assert report["removed"] == []


def plan(*actions: str) -> str:
    before = {
        "id": "i-0abc",
        "private_ip": "10.0.0.9",
        "private_dns": "cert01.example.net",
        "tags": {"Name": "cert01.example.net"},
    }
    change = {"actions": list(actions), "before": before, "after": None if actions == ("delete",) else before}
    resource = {
        "address": "aws_instance.cert01",
        "mode": "managed",
        "type": "aws_instance",
        "name": "cert01",
        "provider_name": "registry.example/hashicorp/aws",
        "change": change,
    }
    return json.dumps({"format_version": "1.2", "terraform_version": "1.9.0", "resource_changes": [resource]}, indent=1)


@pytest.mark.parametrize(
    ("actions", "passed"), [(("delete",), False), (("delete", "create"), True), (("no-op",), True)]
)
def test_a_terraform_plan(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path, actions: tuple[str, ...], passed: bool
) -> None:
    clone.commit({"README.md": "changed\n"})
    (tmp_path / "plan.json").write_text(plan(*actions))
    report = judged(clone, capsys, "--plan", str(tmp_path / "plan.json"))
    assert report["passed"] is passed
    assert [one["what"] for one in report["removed"]] == ([] if passed else ["is destroyed by the Terraform plan"])


def test_the_files_on_disk(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired"), ".gitignore": "ignored/\n"})
    clone.write(
        {
            "roles/new/files/new.cron": "1 1 * * * root ssh cert01.example.net true\n",
            "ignored/other.cron": "1 1 * * * root ssh cert01.example.net true\n",
        }
    )
    report = judged(clone, capsys, "--head", "worktree", base="HEAD")
    assert standing(report, "new") == {"roles/new/files/new.cron:1"}


def test_a_living_snapshot_beside_it(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cron = tmp_path / "snapshot/hosts/web01.example.net/etc/cron.d/push"
    cron.parent.mkdir(parents=True)
    cron.write_text("7 * * * * root scp /srv/x cert01.example.net:/srv/\n")
    clone.commit({path: None for path in BASE if path not in ("inventory/hosts", "README.md")})
    clone.commit({"inventory/hosts": INVENTORY.replace("\n[old]\ncert01.example.net\n", "")})
    assert judged(clone, capsys)["passed"]
    report = judged(clone, capsys, "--estate", str(tmp_path / "snapshot"))
    assert not report["passed"]
    assert "hosts/web01.example.net/etc/cron.d/push:1" in standing(report, "new")


def test_a_change_can_not_declare_itself_out(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    new = {"inventory.yaml": DECLARED.format("active"), "x.cron": "1 1 * * * root ssh cert01.example.net true\n"}
    clone.commit(new)
    report = judged(clone, capsys)
    assert not report["passed"]
    assert report["declared_active_again"] == ["cert01.example.net"]
    assert standing(report, "new") == {"x.cron:1"}
    trusted = judged(clone, capsys, "--trust-head")
    assert trusted["passed"]


def test_a_file_made_unreadable_is_told(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"prometheus/prometheus.yml": "scrape_configs: [\n"})
    report = judged(clone, capsys)
    assert [one["path"] for one in report["not_seen_any_more"]] == ["prometheus/prometheus.yml"]
    assert not judged(clone, capsys, "--fail-on", "warn")["passed"]


def test_a_wrong_inventory(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": "version: 1\nhosts: nonsense\n"})
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD~1", "--head", "HEAD"]) == 2
    assert "inventory.yaml:2" in capsys.readouterr().err
    clone.commit({"inventory.yaml": DECLARED.format("active")})
    report = judged(clone, capsys)
    assert report["passed"]
    assert "left out" in report["notes"][0]


def test_hostile_trees(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = Clone(tmp_path / "other", {"a": "a\n"})
    clone.git("submodule", "--quiet", "add", str(other.root), "sub")
    clone.git("commit", "-qm", "a submodule")
    outside = tmp_path / "outside.cron"
    outside.write_text("1 1 * * * root ssh cert01.example.net true\n")
    (clone.root / "link.cron").symlink_to(outside)
    (clone.root / "loop").symlink_to("loop")
    (clone.root / "inner.cron").symlink_to("roles/backup/files/backup.cron")
    odd = ["new\nline.cron", "bell\x07.cron", os.fsdecode(b"latin\xe9.cron"), "-rf", ":(glob)x.cron", "spa ce\t.cron"]
    for name in odd:
        (clone.root / name).write_text("1 1 * * * root ssh cert01.example.net true\n")
    (clone.root / "huge.txt").write_bytes(b"cert02 " * (3 * 1024 * 1024))
    (clone.root / ".gitattributes").write_text("* diff=evil filter=evil\n")
    marker = tmp_path / "executed"
    clone.commit({})
    for name in ("diff.evil.textconv", "diff.evil.command", "filter.evil.smudge", "core.fsmonitor"):
        clone.git("config", name, f"touch {marker}; cat")
    clone.git("config", "diff.external", f"touch {marker}")
    (clone.root / ".git/hooks/post-checkout").write_text(f"#!/bin/sh\ntouch {marker}\n")
    report = judged(clone, capsys, "--going", "cert01.example.net")
    assert not marker.exists()
    found = standing(report, "new")
    assert {":(glob)x.cron:1", "inner.cron:1", "-rf:1"} <= found
    assert "roles/backup/files/backup.cron:1" in standing(report, "known")
    assert not any("link.cron" in place or "outside" in place for place in found)
    unseen = {one["path"] for one in report["not_seen_any_more"]}
    assert {"link.cron", "loop", "huge.txt", "new\\nline.cron", "bell\\x07.cron"} <= unseen


def test_a_shallow_clone(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    clone.commit({"README.md": "changed\n"})
    first = clone.git("rev-parse", "HEAD~1")
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{clone.root}", str(shallow)], check=True)
    assert main(["gate", "--repo", str(shallow), "--base", first]) == 2
    said = capsys.readouterr().err
    assert "shallow clone" in said
    assert "fetch-depth: 0" in said


@pytest.mark.parametrize("revision", ["nosuch", "--output=x", "HEAD:README.md"])
def test_no_such_revision(clone: Clone, capsys: pytest.CaptureFixture[str], revision: str) -> None:
    assert main(["gate", "--repo", str(clone.root), f"--base={revision}"]) == 2
    assert revision in capsys.readouterr().err


def test_no_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "--repo", str(tmp_path), "--base", "HEAD"]) == 2
    assert "git" in capsys.readouterr().err


def test_two_runs_say_the_same(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory/hosts": INVENTORY.replace("cert01.example.net\n", "")})
    assert judged(clone, capsys) == judged(clone, capsys)


POLICY = """\
version: 1
waivers:
  - match: {{rule: job-calls-going-host, path: roles/*}}
    reason: The backup moves in July.
    owner: backup
    expires: {}
"""
RETIRED = {"inventory.yaml": DECLARED.format("retired")}


def test_a_change_cannot_waive_what_it_brings(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("active")})
    clone.commit({**RETIRED, "policy.yaml": POLICY.format("2026-07-31")})
    untrusted = judged(clone, capsys)
    assert "roles/backup/files/backup.cron:1" in standing(untrusted, "new")
    assert untrusted["set_aside"] == []
    assert any("counts once it is merged" in note for note in untrusted["notes"])
    trusted = judged(clone, capsys, "--trust-head")
    assert "roles/backup/files/backup.cron:1" not in standing(trusted, "new")
    (waived,) = trusted["set_aside"]
    assert (waived["why"], waived["owner"], waived["expires"]) == ("waived", "backup", "2026-07-31")


def test_the_policy_before_the_change_holds(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("active"), "policy.yaml": POLICY.format("2026-07-31")})
    clone.commit({**RETIRED, "policy.yaml": None})
    report = judged(clone, capsys)
    assert "roles/backup/files/backup.cron:1" not in standing(report, "new")
    assert [one["why"] for one in report["set_aside"]] == ["waived"]
    main(["gate", "--repo", str(clone.root), "--base", "HEAD~1", "--head", "HEAD", "--now", NOW])
    said = " ".join(capsys.readouterr().out.split())
    assert "1 waived, by the policy" in said
    assert "waived until 2026-07-31 by backup: The backup moves in July." in said


def test_an_expired_waiver_fails_a_change(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({**RETIRED, "policy.yaml": POLICY.format("2026-05-31")})
    clone.commit({"docs/new.md": "# New\n"})
    report = judged(clone, capsys)
    assert not report["passed"]
    (failure,) = report["failures"]
    assert "has expired" in failure["what"]
    assert "1 finding counts again" in failure["error"]


def test_a_wrong_policy_fails_the_change_that_writes_it_and_not_the_one_that_mends_it(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    clone.commit({"inventory.yaml": DECLARED.format("active"), "policy.yaml": "version: 1\n"})
    clone.commit({"policy.yaml": "version: 1\nwaiver: []\n"})
    broken = judged(clone, capsys)
    assert not broken["passed"]
    assert "unknown key `waiver`" in broken["failures"][0]["error"]
    clone.commit({"policy.yaml": "version: 1\n"})
    mended = judged(clone, capsys)
    assert mended["passed"]
    assert any("the old policy.yaml is wrong" in note for note in mended["notes"])


def test_a_change_that_takes_out_most_hosts_must_be_confirmed(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = "".join(f"  - name: app{number:02}.example.net\n" for number in range(20))
    clone.commit({"inventory.yaml": f"version: 1\nhosts:\n{hosts}"})
    clone.commit({"inventory.yaml": "version: 1\nhosts:\n  - name: app00.example.net\n"})
    report = judged(clone, capsys)
    assert not report["passed"]
    (failure,) = report["failures"]
    assert "19 of 2" in failure["error"]
    assert "--confirm-hosts 19" in failure["hint"]
    assert judged(clone, capsys, "--confirm-hosts", "19")["passed"]


def test_what_is_the_same_is_parsed_once(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cache = ["--cache-dir", str(tmp_path / "cache")]
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    cold = judged(clone, capsys)
    first = judged(clone, capsys, *cache)
    # Five files on both sides, and one that the change brings.
    assert (first["counts"].pop("parsed"), first["counts"].pop("from_cache")) == (6, 0)
    assert first == cold
    warm = judged(clone, capsys, *cache)
    assert (warm["counts"].pop("parsed"), warm["counts"].pop("from_cache")) == (0, 6)
    assert warm == cold
    clone.commit({"roles/backup/files/backup.cron": CRONTAB + "1 1 * * * root ssh cert01.example.net true\n"})
    later = judged(clone, capsys, *cache)
    assert (later["counts"].pop("parsed"), later["counts"].pop("from_cache")) == (1, 6)
    assert later == judged(clone, capsys)
    assert "roles/backup/files/backup.cron:2" in standing(later, "new", "worsened")
    clone.write({"roles/backup/files/backup.cron": CRONTAB})
    disk = judged(clone, capsys, *cache, "--head", "worktree", base="HEAD")
    assert disk["counts"]["parsed"] == 0


def test_a_cache_full_of_nonsense_changes_nothing(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cache = ["--cache-dir", str(tmp_path / "cache")]
    clone.commit({"inventory.yaml": DECLARED.format("retired")})
    first = judged(clone, capsys, *cache)
    (file,) = (tmp_path / "cache").iterdir()
    head, body = file.read_bytes().split(b"\n", 1)
    said = json.loads(head)
    for wrong in (b"{}", b"[]", b'["x","",0,true,"",true,[],[],[]]'):
        # Each with a sum that is right, as anybody can make one without a key.
        made = b"\n".join(line[:33] + wrong for line in body.split(b"\n"))
        said["sum"] = blake2b(made, digest_size=32).hexdigest()
        file.write_bytes(json.dumps(said).encode() + b"\n" + made)
        assert judged(clone, capsys, *cache) == first


def test_a_cache_that_a_change_can_write_is_refused(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["gate", "--repo", str(clone.root), "--base", "HEAD~1", "--head", "HEAD", "--cache-dir"]
    clone.commit({".cache/parsed-0.jsonl": "x\n"})
    assert main([*arguments, str(clone.root / ".cache")]) == 2
    assert "a change could say what is in the cache" in capsys.readouterr().err
    clone.commit({".cache/parsed-0.jsonl": None})
    assert main([*arguments, str(clone.root / ".cache")]) == 2, "the old side has it"
    clone.commit({"README.md": "changed\n"})
    assert main([*arguments, str(clone.root / ".cache")]) == 0


def test_a_cache_that_can_not_be_written(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    clone.commit({"README.md": "changed\n"})
    (tmp_path / "file").write_text("")
    assert judged(clone, capsys, "--cache-dir", str(tmp_path / "file/cache"))["passed"]


def test_a_bare_repository(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As where a server's hook runs."""
    clone.commit({"inventory/hosts": INVENTORY.split("\n[old]")[0]})
    bare = tmp_path / "bare.git"
    clone.git("clone", "-q", "--bare", ".", str(bare))
    options = ["gate", "--repo", str(bare), "--base", "HEAD~1", "--now", NOW, "--format", "json"]
    assert main([*options, "--head", "HEAD"]) == 1
    assert "roles/backup/files/backup.cron:1" in standing(json.loads(capsys.readouterr().out), "new")
    assert main(options) == 2
    assert "--head" in capsys.readouterr().err


def test_what_a_sparse_checkout_leaves_out_is_there(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.git("sparse-checkout", "set", "inventory")
    assert not (clone.root / "roles").exists()
    clone.write({"inventory/hosts": INVENTORY.split("\n[old]")[0]})
    report = judged(clone, capsys, "--head", "worktree", base="HEAD")
    assert "roles/backup/files/backup.cron:1" in standing(report, "new")
    assert report["not_seen_any_more"] == []


def test_there_is_nothing_to_judge(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipeline that compares a commit with itself passes for ever, and should say why."""
    clone.git("branch", "same")
    report = judged(clone, capsys, base="same")
    assert report["passed"]
    assert any("no change to judge" in note for note in report["notes"])


def test_histories_without_a_commit_in_common(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.git("checkout", "-q", "--orphan", "other")
    clone.git("rm", "-rfq", ".")
    clone.commit({"README.md": "Another beginning\n"})
    report = judged(clone, capsys, base="main")
    assert any("main itself was compared" in note for note in report["notes"])


def test_a_branch_that_is_new_for_the_platform(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "--repo", str(clone.root), "--base", "0" * 40, "--head", "HEAD"]) == 2
    assert "new branch" in capsys.readouterr().err


def test_hosts_that_nobody_looked_into_are_no_fault_of_a_change(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    """A repository is no look into a host, before the change as after it; it is told once, and not by the host."""
    inventory = DECLARED.format("retired") + "  - name: 'app[001:400].example.net'\n"
    clone.commit({"inventory.yaml": inventory})
    clone.commit({"inventory.yaml": inventory + "  - name: new01.example.net\n", "README.md": "Hosts\n"})
    report = judged(clone, capsys, "--fail-on", "warn")
    assert report["passed"]
    assert [one["what"] for one in report["not_looked_at"] if one["area"] == "coverage"] == [
        "402 of 402 hosts that stay, of which nothing was captured"
    ]
