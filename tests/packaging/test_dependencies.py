"""What is declared, what is pinned, what is documented and what is imported are the same."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CORE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DECLARED = CORE + [requirement for extra in EXTRAS.values() for requirement in extra]
IMPORT_NAMES = {"common-expression-language": "cel", "dnspython": "dns", "google-re2": "re2", "pyyaml": "yaml"}
"""Where it is not the distribution's name with `_` for `-`."""

PARTS = {"botocore", "pydantic_core"}
"""Packages that a declared one is made of: boto3 and pydantic pin these."""

_PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


def _normal(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def _pins(name: str) -> dict[str, str]:
    return dict(_PINNED.findall(_lock(name)))


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_each_pin_has_hashes_and_nothing_names_an_index(name: str) -> None:
    text = _lock(name)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(_pins(name))
    assert not [block for block in blocks if "--hash=sha256:" not in block]
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)


def test_one_version_of_each_in_both_lock_files() -> None:
    runtime, development = _pins("runtime"), _pins("dev")
    assert runtime.items() <= development.items()
    assert {_normal(requirement) for requirement in CORE} <= set(runtime)
    assert {_normal(requirement) for requirement in DECLARED} <= set(development)
    assert {_normal(requirement) for requirement in PROJECT["dependency-groups"]["dev"]} <= set(development)


def test_contributing_gives_a_reason_for_each() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("## Dependencies") : text.index("## Benchmarks")]
    rows = re.findall(r"^\| ([\w, -]+) \| (.+) \|$", table, re.MULTILINE)[1:]
    documented = {_normal(name) for names, _ in rows for name in names.split(", ")}
    assert documented == {_normal(requirement) for requirement in DECLARED}


def test_each_is_imported_and_nothing_else_is() -> None:
    imported: set[str] = set()
    for room in ("auditor", "collectors", "rules"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    imported.update(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.partition(".")[0])
    foreign = imported - sys.stdlib_module_names - {"auditor", "collectors", "rules"} - PARTS
    declared = {_normal(requirement) for requirement in DECLARED}
    assert foreign == {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in declared}


def test_the_system_packages_are_listed_with_program_and_reason() -> None:
    lines = [line for line in (ROOT / "requirements" / "debian.txt").read_text().splitlines() if line[:1] != "#"]
    assert lines == sorted(lines)
    assert not [line for line in lines if len(line.split()) < 4]
