"""The wheel: one top-level name, so that it lives beside the packages `rules` and `collectors` of other projects."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
from configparser import ConfigParser
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

import auditor
from auditor import registry

ROOT = Path(__file__).parent.parent.parent
DJANGO_RULES = "rules==3.5"

pytest.importorskip("hatchling", reason="the build back end is not installed")
pytest.importorskip("pip", reason="pip is not installed")


def _run(*command: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT / "tests",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _build(target: str, directory: Path) -> Path:
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (made,) = directory.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


def _modules(package: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}


def test_the_only_top_level_name_is_ours(names: list[str]) -> None:
    assert {name.partition("/")[0] for name in names} == {"auditor", f"auditor-{auditor.__version__}.dist-info"}


def test_collectors_and_rules_are_bundled_whole(names: list[str]) -> None:
    modules = {name for name in names if name.endswith(".py")}
    bundled = {f"auditor/_bundled/{module}" for module in _modules("collectors") | _modules("rules")}
    assert modules == _modules("auditor") | bundled


def test_only_code_is_in_the_wheel(names: list[str]) -> None:
    others = {name for name in names if ".dist-info/" not in name and not name.endswith(".py")}
    assert "auditor/py.typed" in others
    pages = [path for room in ("assets", "vendor") for path in (ROOT / "auditor" / "page" / room).iterdir()]
    assert {str(path.relative_to(ROOT)) for path in pages} <= others
    assert not [name for name in others if "test" in name or "sample_inventories" in name or "__pycache__" in name]


def test_metadata(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        info = f"auditor-{auditor.__version__}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        points = ConfigParser()
        points.read_string(archive.read(f"{info}/entry_points.txt").decode())
        assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert metadata["Version"] == auditor.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert dict(points["console_scripts"]) == {"auditor": "auditor.cli.main:entry"}


def test_the_source_distribution_holds_the_samples_and_the_tests(tmp_path: Path) -> None:
    with tarfile.open(_build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {"LICENSE", "Makefile", "pyproject.toml", "requirements/runtime.lock", "tests/packaging/test_wheel.py"}
    assert tracked <= names
    assert _modules("collectors") | _modules("rules") <= names
    samples = {str(path.relative_to(ROOT)) for path in (ROOT / "sample_inventories").rglob("inventory.yaml")}
    assert samples <= names


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new virtual environment with the wheel; its dependencies are those of this one."""
    directory = tmp_path_factory.mktemp("installed") / "venv"
    run = _run(sys.executable, "-m", "venv", "--without-pip", directory)
    assert run.returncode == 0, run.stderr
    python = directory / "bin" / "python"
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    # A path that is added this way has its own .pth files ignored: the editable install is out of reach.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run = _run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    assert run.returncode == 0, run.stderr
    return python


def test_the_wheel_runs_with_its_bundled_collectors_and_rules(installed: Path) -> None:
    code = (
        "from auditor import registry\n"
        "collectors, failures = registry.load_collectors()\n"
        "rules, more = registry.load_rules()\n"
        "print(registry.built_in_root(), len(collectors), len(rules), failures + more)\n"
    )
    run = _run(installed, "-c", code)
    assert run.returncode == 0, run.stderr
    root, collectors, rules, failures = run.stdout.split(maxsplit=3)
    assert Path(root).is_relative_to(installed.parent.parent)
    assert Path(root).name == "_bundled"
    assert (int(collectors), int(rules)) == (len(registry.COLLECTORS), len(registry.RULES))
    assert failures.strip() == "[]"


def test_the_command_of_the_wheel(installed: Path) -> None:
    command = installed.with_name("auditor")
    run = _run(command, "--version")
    assert run.returncode == 0, run.stderr
    assert auditor.__version__ in run.stdout
    run = _run(command, "rules")
    assert run.returncode == 0, run.stderr
    assert not [rule for rule in registry.RULES if rule not in run.stdout]


def test_it_lives_beside_django_rules(installed: Path) -> None:
    arguments = ("--quiet", "--no-deps", "--retries", "1", "--timeout", "10", DJANGO_RULES)
    run = _run(sys.executable, "-m", "pip", "--python", installed, "install", *arguments)
    if run.returncode != 0:
        pytest.skip(f"{DJANGO_RULES} can't be had from the package index: {run.stderr.strip().splitlines()[-1]}")
    code = (
        "import rules\n"
        "rules.add_rule('is-owner', rules.predicate(lambda user: user == 'owner'))\n"
        "print(rules.test_rule('is-owner', 'owner'), rules.__file__)\n"
    )
    run = _run(installed, "-c", code)
    assert run.returncode == 0, run.stderr
    answer, place = run.stdout.split()
    assert answer == "True"
    assert "_bundled" not in place
    assert Path(place).is_relative_to(installed.parent.parent)
    test_the_wheel_runs_with_its_bundled_collectors_and_rules(installed)
    test_the_command_of_the_wheel(installed)
