"""Profiles: the built-in one, those of a company, and what is said of those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from auditor.cli.main import main
from auditor.errors import PolicyError
from auditor.inventory.yaml_lines import read_yaml
from auditor.model import Area, Phase
from auditor.policy.built_in import BUILT_IN, built_in
from auditor.policy.profile import load_profile, profile_json_schema, profile_of
from auditor.registry import RULES
from tests.policy.test_decisions import NOW, OLD, estate, run

CASES = sorted((Path(__file__).parent / "profiles").glob("*.yaml"))
OWN = """\
version: 1
name: of Parcel
areas:
  - id: security
    title: Certificates and identity
    covers: [identity, renewal]
    rules: [mention]
    owner: security
    items:
      - {id: revoked, text: Are its accounts revoked?, who: security, evidence: the list, when: after}
      - {id: told, text: Was everybody told?, who: owner}
  - {id: mentions, title: Paper}
"""


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())["problems"]
    with pytest.raises(PolicyError) as caught:
        load_profile(path)
    problems = list(caught.value.problems)
    for item in expected:
        hits = [one for one in problems if one.startswith(f"{path}:{item['line']}: ") and item["text"] in one]
        assert len(hits) == 1, f"{item} in\n" + "\n".join(caught.value.problems)
        problems.remove(hits[0])
    assert not problems


def test_the_built_in_profile() -> None:
    profile = built_in()
    assert profile == profile_of(BUILT_IN.read_bytes(), BUILT_IN.name)
    # Every area has one place, and every id is its own.
    assert sorted(area for one in profile.areas for area in one.covers) == sorted(Area)
    items = [*profile.items(Phase.BEFORE), *profile.items(Phase.AFTER)]
    assert len({item.id for item in items}) == len(items)
    assert {item.id.partition("-")[0] for item in items} <= {area.id for area in profile.areas}
    assert profile.items(Phase.BEFORE)
    assert profile.items(Phase.AFTER)
    assert all(item.text.endswith("?") for item in items)
    assert all(rule in RULES for area in profile.areas for rule in area.rules)
    jsonschema.Draft202012Validator.check_schema(profile_json_schema())
    for content, good in ((BUILT_IN.read_bytes(), True), (CASES[0].read_bytes(), False)):
        root, _ = read_yaml(content)
        assert root is not None
        problems = list(jsonschema.Draft202012Validator(profile_json_schema()).iter_errors(root.plain()))
        assert (not problems) is good


def test_what_no_area_covers_follows() -> None:
    profile = profile_of(OWN.encode(), "profile.yaml")
    assert [area.id for area in profile.areas[:2]] == ["security", "mentions"]
    # `mentions` is taken, and covers nothing.
    assert "other-mentions" in [area.id for area in profile.areas]
    assert sorted(area for one in profile.areas for area in one.covers) == sorted(Area)
    assert profile.area_of("mention", Area.MENTIONS).id == "security"
    assert profile.area_of("other", Area.MENTIONS).id == "other-mentions"


def test_a_profile_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = estate(tmp_path / "estate")
    (root / "profile.yaml").write_text(OWN)
    report = run(root, capsys, "--profile", str(root / "profile.yaml"))
    assert report["checklist"]["profile"] == "of Parcel"
    security = report["checklist"]["areas"][0]
    assert (security["id"], security["owner"]) == ("security", "security")
    assert [item["item"] for item in security["items"]] == ["told"]
    found = [one for one in report["findings"] if one["rule"] == "mention"]
    assert {one["checklist_area"] for one in found} == {"security"}
    # A rule's findings never get lost between the areas.
    counted = sum(area["blockers"] + area["warnings"] + area["notes"] for area in report["checklist"]["areas"])
    assert counted == len(report["findings"])
    # The policy may name it, and the command line goes before.
    (root / "policy.yaml").write_text("version: 1\nprofile: profile.yaml\n")
    assert run(root, capsys)["checklist"]["profile"] == "of Parcel"
    words = ["checklist", OLD, "--estate", str(root), "--now", NOW, "--quiet", "--width", "80"]
    main(words)
    said = capsys.readouterr().out
    assert "CERTIFICATES AND IDENTITY ─" in said
    assert "☐ Was everybody told? [told]" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show"]) == 0
    shown = capsys.readouterr().out
    assert shown == BUILT_IN.read_text()
    file = tmp_path / "profile.yaml"
    file.write_text(shown)
    assert main(["profile", "check", str(file)]) == 0
    assert "13 areas, 21 questions for people" in capsys.readouterr().out
    assert main(["profile", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Profile of a checklist"
    file.write_text("version: 2\n")
    assert main(["profile", "check", str(file)]) == 2
    assert f"{file}:1: " in capsys.readouterr().err


def test_what_must_be_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The built-in profile asks for no balancer, which an estate may not have; a company's own may."""
    files = {"hosts__web01.example.org__etc__cron.d__push": "1 1 * * * root true\n", "docs__wiki.md": "Nothing.\n"}
    root = estate(tmp_path / "estate", **files)
    report = run(root, capsys)
    assert report["verdict"] == "CLEAR"
    (traffic,) = [one for one in report["checklist"]["areas"] if one["id"] == "traffic"]
    assert (traffic["must_see"], traffic["not_looked_at"]) == (False, "none seen")
    own = tmp_path / "own.yaml"
    own.write_text(
        "version: 1\nname: own\nareas:\n  - {id: web, title: Web, covers: [traffic], must_see: true}\n"
        "  - {id: names, title: Names, covers: [names]}\n"
    )
    report = run(root, capsys, "--profile", str(own))
    assert report["verdict"] == "INCOMPLETE"
    (web,) = [one for one in report["checklist"]["areas"] if one["id"] == "web"]
    assert (web["must_see"], web["not_looked_at"]) == (True, "1 unseen")
    (row,) = [one for one in report["coverage"] if one["area"] == "traffic"]
    assert "haproxy.cfg" in row["detail"]
    inventory = root / "inventory.yaml"
    inventory.write_text(inventory.read_text() + "  - {area: traffic, reason: none, by: me, on: 2026-05-01}\n")
    assert run(root, capsys, "--profile", str(own))["verdict"] == "CLEAR"
