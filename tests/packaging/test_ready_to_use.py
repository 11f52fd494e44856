"""What others take as it is: the GitHub action's own script, the GitLab job, the pre-commit hook."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditor.cli.main import parser

ROOT = Path(__file__).resolve().parent.parent.parent


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    (root / "files").mkdir(parents=True)
    (root / "hosts").write_text("[old]\ncert01.example.net\n[new]\ncert02.example.net\n")
    (root / "files/job.cron").write_text("1 1 * * * root ssh cert01.example.net true\n")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.net"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "1"]):
        subprocess.run([*git, *command], check=True)
    (root / "hosts").write_text("[old]\n[new]\ncert02.example.net\n")
    subprocess.run([*git, "commit", "-qam", "2"], check=True)
    return root


@pytest.mark.parametrize(("base", "status"), [("HEAD~1", 1), ("HEAD", 0), ("nosuch; touch owned", 2)])
def test_the_action(clone: Path, tmp_path: Path, base: str, status: int) -> None:
    action = load("action.yml")
    (install, gate) = action["runs"]["steps"]
    assert "--require-hashes" in install["run"]
    # A value that is put into the script by the runner could be a command.
    assert all("${{" not in step["run"] for step in (install, gate))
    inputs = dict.fromkeys(action["inputs"], "")
    inputs |= {"base": base, "head": "HEAD", "fail-on": "block", "directory": str(clone)}
    inputs["cache-dir"] = str(tmp_path / "cache")
    variables = {}
    for name, value in gate["env"].items():
        variables[name] = inputs[value.removeprefix("${{ inputs.").removesuffix(" }}")]
    program = tmp_path / "auditor/bin/auditor"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m auditor.cli.main "$@"\n')
    program.chmod(0o755)
    outputs, summary = tmp_path / "outputs", tmp_path / "summary"
    done = subprocess.run(
        ["bash", "-c", gate["run"]],
        cwd=tmp_path,
        env={
            **os.environ,
            **variables,
            "PYTHONPATH": str(ROOT),
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(summary),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert not (tmp_path / "owned").exists()
    if status == 2:
        return
    said = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    assert set(said) == set(action["outputs"])
    assert said["passed"] == ("true" if status == 0 else "false")
    assert Path(said["sarif"]).is_file()
    assert summary.read_text() == Path(said["comment"]).read_text()
    assert ("::error file=hosts," in done.stdout) is (status == 1)


def test_every_input_and_output_is_used() -> None:
    action = load("action.yml")
    (_, gate) = action["runs"]["steps"]
    used = {value.removeprefix("${{ inputs.").removesuffix(" }}") for value in gate["env"].values()}
    assert used == set(action["inputs"])


def gate_options(words: list[str]) -> None:
    at = words.index("gate")
    parser().parse_args(words[at:])


def test_the_gitlab_job() -> None:
    job = load("docs/ci/gitlab.yml")["auditor-gate"]
    (command,) = job["script"]
    words = shlex.split(command)
    gate_options(words)
    written = {word.split("=", 1)[1] for word in words if word.startswith(("gitlab=", "junit="))}
    assert written == set(job["artifacts"]["reports"].values())


def test_the_hook() -> None:
    (hook,) = load(".pre-commit-hooks.yaml")
    gate_options(shlex.split(hook["entry"]))
    assert hook["pass_filenames"] is False


@pytest.mark.parametrize("page", ["docs/gate.md", "docs/guard.md"])
def test_the_commands_of_the_pages(page: str) -> None:
    """Those of Jenkins, Atlantis and of a shell are commands that there are."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    found = re.findall(r"(?:^    |sh '|run: )(auditor (?:gate|guard) [^#'\n]+)", text, re.MULTILINE)
    assert len(found) >= 1
    for command in found:
        parser().parse_args(shlex.split(command)[1:])


def test_jenkins_and_atlantis_are_documented() -> None:
    text = (ROOT / "docs/gate.md").read_text()
    groovy = text.split("```groovy")[1].split("```")[0]
    assert "junit 'auditor.xml'" in groovy
    assert "--report junit=auditor.xml" in groovy
    workflow = yaml.safe_load(text.split("## Atlantis")[1].split("```yaml")[1].split("```")[0])
    steps = workflow["workflows"]["default"]["plan"]["steps"]
    assert steps[:2] == ["init", "plan"]
    assert '--plan "$PLANFILE.json"' in steps[-1]["run"]
