"""What the gate writes, and the files that others take as they are, held against the schemas and programs of those."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from auditor.change import GateReport, Judged, Standing
from auditor.model import Area, Aside, Coverage, Failure, Outcome, Provenance, SetAside
from auditor.report.gate import render
from auditor.report.gate.machines import render_github
from tests.gate.test_gate_outputs import ALL, HELP, HOSTILE, finding, report
from tests.integration.programs import PATIENCE, need, node_package, wheel_files

pytestmark = pytest.mark.integration

ROOT: Final = Path(__file__).resolve().parents[2]
SARIF: Final = (
    "@microsoft/jest-sarif",
    "1.0.0-beta.0",
    "A1fOhPd6Ic5iDk4F9YPw1qNB4XF+7+IviR7xl8r2F6QzQkx5cpY9LsGk2rExiFIEcBbjpVnSmwWGBukASkiQ9A==",
    "lib/schemas/sarif-2.1.0-rtm.5.json",
)
"""The schema of SARIF 2.1.0 as OASIS adopted it (its last candidate)."""
ACTIONS: Final = (
    "@actions/core",
    "3.0.1",
    "a6d/Nwahm9fliVGRhdhofo40HjHQasUPusmc7vBfyky+7Z+P2A1J68zyFVaNcEclc/Se+eO595oAr5nwEIoIUA==",
)
CHECK_JSONSCHEMA: Final = (
    "check-jsonschema",
    "0.39.0",
    "14ce5c94871c551268ea948ffe21e9f1464dc48fb20bf9a4c13deeaaf756cf9b",
)
VENDORED: Final = "check_jsonschema/builtin_schemas/vendor"
KUBERNETES: Final = (
    "kubernetes-validate",
    "1.37.0",
    "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9",
)
STRICT: Final = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict"
JUNITPARSER: Final = ("junitparser", "5.0.3", "553535b8cd1672a9c8bd2c7326ae1ae69279267fbc562106b5aa44d3c5f769af")

EVERYTHING: Final = replace(
    report(*ALL, failures=(Failure(HOSTILE, HOSTILE, HOSTILE),)),
    unseen=(
        Coverage("web01", Area.SCHEDULES, HOSTILE, Outcome.DENIED, detail=HOSTILE, path=f"hosts/{HOSTILE}", line=2),
    ),
    aside=(SetAside(finding(9), Aside.WAIVED, Provenance("policy.yaml", 3, ""), HOSTILE, "ada", "2026-09-01"),),
)


def faults(schema: Mapping[str, Any], document: object, registry: Registry[Any] | None = None) -> list[str]:
    """What is wrong with a document by a JSON Schema."""
    kind = validator_for(schema)
    kind.check_schema(schema)
    validator = kind(schema, registry=registry) if registry is not None else kind(schema)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]


def of_wheel(package: tuple[str, str, str], *files: str) -> list[Any]:
    directory = wheel_files(*package, *files)
    return [json.loads((directory / file).read_text(encoding="utf-8")) for file in files]


@pytest.mark.parametrize("judged", [EVERYTHING, replace(report(), removals=(), lost_sight=())], ids=["all", "nothing"])
def test_sarif_is_as_its_schema_wants_it(judged: GateReport) -> None:
    schema = json.loads(node_package(*SARIF).read_text(encoding="utf-8"))
    document = json.loads(render(judged, "sarif", help_of=HELP))
    assert faults(schema, document) == []
    document["runs"][0]["invocations"][0].pop("executionSuccessful")
    document["runs"][0]["unheard"] = 1
    assert len(faults(schema, document)) == 2


def test_annotations_are_what_github_would_write() -> None:
    """The library that actions use writes the same bytes for the same annotation."""
    node = need("node")
    library = [node_package(*ACTIONS, file) for file in ("package.json", "lib/utils.js", "lib/command.js")][-1]
    texts = [HOSTILE, "a,b:c", "100%\n::error::x", "plain", "%0A", "-->", "é"]
    judged = report(*(Judged(finding(at, text), Standing.NEW) for at, text in enumerate(texts)), text="x")
    ours = render_github(replace(judged, lost_sight=())).splitlines()
    # Taken apart as the runner does, then written anew by the library.
    commands = []
    for line in ours:
        command, properties, data = re.fullmatch(r"::([a-z]+) (.*?)::(.*)", line).groups()  # type: ignore[union-attr]
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        undone = {key: unescaped(value, {"%3A": ":", "%2C": ","}) for key, value in pairs.items()}
        commands.append([command, undone, unescaped(data, {})])
    program = f"""
        import {{issueCommand}} from {json.dumps(str(library))};
        for (const [command, properties, message] of JSON.parse(await new Response(process.stdin).text()))
            issueCommand(command, properties, message);
    """
    done = subprocess.run(
        [node, "--input-type=module", "--eval", program],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ours
    assert len(ours) == len(texts) + 1
    assert "dns/x" in {one[1]["file"] for one in commands}


def unescaped(text: str, more: Mapping[str, str]) -> str:
    """What the runner undoes in a value, `%25` last."""
    for written, meant in {"%0D": "\r", "%0A": "\n", **more, "%25": "%"}.items():
        text = text.replace(written, meant)
    return text


def test_junit_is_read_as_it_is_meant(tmp_path: Path) -> None:
    """By junitparser, which knows what Jenkins and Ant write."""
    modules = [f"junitparser/{name}.py" for name in ("__init__", "junitparser", "xunit2")]
    directory = wheel_files(*JUNITPARSER, *modules, "junitparser-5.0.3.dist-info/METADATA")
    path = tmp_path / "auditor.xml"
    path.write_text(render(EVERYTHING, "junit", help_of={}), encoding="utf-8")
    program = (
        "import sys, json, junitparser\n"
        "xml = junitparser.JUnitXml.fromfile(sys.argv[1])\n"
        "xml.update_statistics()\n"
        "cases = [case for suite in xml for case in suite]\n"
        "kinds = [type(one).__name__ for case in cases for one in case.result]\n"
        "print(json.dumps([[xml.tests, xml.failures, xml.errors, xml.skipped], kinds]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts, kinds = json.loads(done.stdout)
    assert counts == [5, 2, 1, 1]
    assert sorted(kinds) == ["Error", "Failure", "Failure", "Skipped"]


def test_the_action_and_the_gitlab_job_are_as_their_schemas_want_them() -> None:
    files = (f"{VENDORED}/github-actions.json", f"{VENDORED}/gitlab-ci.json")
    for schema, path in zip(of_wheel(CHECK_JSONSCHEMA, *files), ("action.yml", "docs/ci/gitlab.yml"), strict=True):
        document = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        assert faults(schema, document) == [], path
        for part in (document.get("runs"), document.get("auditor-gate")):
            if part is not None:
                part["unheard"] = 1
        assert faults(schema, document) != [], path


def test_pre_commit_takes_the_hook() -> None:
    done = subprocess.run(
        [need("pre-commit"), "validate-manifest", ".pre-commit-hooks.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_takes_the_cronjob() -> None:
    files = (f"{STRICT}/cronjob-batch-v1.json", f"{STRICT}/_definitions.json")
    schema, definitions = of_wheel(KUBERNETES, *files)
    registry = Registry().with_resource(
        "/api/_definitions.json", Resource.from_contents(definitions, default_specification=DRAFT202012)
    )
    (job,) = yaml.safe_load_all((ROOT / "docs/schedule/cronjob.yaml").read_text(encoding="utf-8"))
    assert faults(schema, job, registry) == []
    job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    assert len(faults(schema, job, registry)) == 1
