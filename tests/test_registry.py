"""The registry: its tables name what the tree holds, and what does not load is a failure in the report."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from auditor import registry
from auditor.api import Collector, Rule

ROOT = Path(__file__).parent.parent


def _defined(package: str, base: type) -> dict[str, str]:
    """Name to "module:class" of each concrete subclass in the tree, by the module that defines it."""
    found: dict[str, str] = {}
    top = importlib.import_module(package)
    for info in pkgutil.walk_packages(top.__path__, f"{package}."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if not (inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)):
                continue
            if value.__module__ == module.__name__ and not value.__name__.startswith("_"):
                name = str(getattr(value, "name" if base is Collector else "id"))
                assert name not in found, f"two of the name {name}: {found[name]}, {module.__name__}"
                found[name] = f"{module.__name__}:{value.__name__}"
    return found


@pytest.mark.parametrize(
    ("package", "base", "table"),
    [("collectors", Collector, registry.COLLECTORS), ("rules", Rule, registry.RULES)],
    ids=["collectors", "rules"],
)
def test_the_table_names_what_the_tree_holds(package: str, base: type, table: Mapping[str, str]) -> None:
    assert dict(table) == _defined(package, base)


def test_all_built_ins_load() -> None:
    collectors, failures = registry.load_collectors()
    assert not failures
    assert [collector.name for collector in collectors] == list(registry.COLLECTORS)
    rules, failures = registry.load_rules()
    assert not failures
    assert [rule.id for rule in rules] == list(registry.RULES)


def test_two_loads_give_separate_instances() -> None:
    first, _ = registry.load_collectors()
    second, _ = registry.load_collectors()
    assert all(one is not other for one, other in zip(first, second, strict=True))


PLUGINS = """
from auditor.api import Area, Collector, Relation, Rule, Severity


class Good(Collector):
    name = "good"
    title = "Good files"
    area = Area.CONFIGURATION
    provides = frozenset({Relation.CONNECTS})

    def recognizes(self, path, head):
        return False

    def parse(self, document):
        return iter(())


class Misnamed(Good):
    name = "something-else"


class Abstract(Collector):
    name = "abstract"
    title = "Abstract"
    area = Area.CONFIGURATION
    provides = frozenset()

    def recognizes(self, path, head):
        return False


class Incomplete(Collector):
    name = "incomplete"

    def recognizes(self, path, head):
        return False

    def parse(self, document):
        return iter(())


class Raising(Good):
    name = "raising"

    def __init__(self):
        raise OSError("no licence")


class GoodRule(Rule):
    id = "good-rule"
    title = "A rule"
    area = Area.CONFIGURATION
    severity = Severity.INFO

    def check(self, estate):
        return iter(())


def function():
    pass
"""


class Site:
    """A directory with an installed plugin distribution."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        monkeypatch.syspath_prepend(path)
        (path / "sample_plugin.py").write_text(PLUGINS)
        (path / "leaving_plugin.py").write_text("raise SystemExit(0)\n")
        (path / "broken_plugin.py").write_text("def broken(:\n")

    def install(self, distribution: str, group: str, **points: str) -> None:
        info = self.path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{name.replace('_', '-')} = {target}" for name, target in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    before = set(sys.modules)
    registry._installed.cache_clear()
    yield Site(tmp_path, monkeypatch)
    registry._installed.cache_clear()
    for name in set(sys.modules) - before:
        if name.endswith("_plugin"):
            del sys.modules[name]


def test_a_plugin_loads_through_its_entry_point(site: Site) -> None:
    site.install("sample", registry.COLLECTOR_GROUP, good="sample_plugin:Good")
    site.install("sample-rules", registry.RULE_GROUP, good_rule="sample_plugin:GoodRule")
    collectors, failures = registry.load_collectors()
    assert not failures
    assert [collector.name for collector in collectors] == [*registry.COLLECTORS, "good"]
    rules, failures = registry.load_rules()
    assert not failures
    assert [rule.id for rule in rules] == [*registry.RULES, "good-rule"]


@pytest.mark.parametrize(
    ("name", "target", "error"),
    [
        ("absent", "no_such_module:Collector", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("missing", "sample_plugin:Missing", "AttributeError: module 'sample_plugin' has no attribute 'Missing'"),
        ("syntax", "broken_plugin:Collector", "SyntaxError: "),
        ("leaving", "leaving_plugin:Collector", "SystemExit: 0"),
        ("function", "sample_plugin:function", "is not a subclass of auditor.api.Collector"),
        ("rule", "sample_plugin:GoodRule", "is not a subclass of auditor.api.Collector"),
        ("misnamed", "sample_plugin:Misnamed", "it is registered as misnamed and calls itself something-else"),
        ("abstract", "sample_plugin:Abstract", "Abstract does not define parse"),
        ("incomplete", "sample_plugin:Incomplete", "Incomplete does not set area, provides, title"),
        ("raising", "sample_plugin:Raising", "OSError: no licence"),
    ],
)
def test_a_plugin_that_does_not_load_is_a_failure(site: Site, name: str, target: str, error: str) -> None:
    site.install("sample", registry.COLLECTOR_GROUP, good="sample_plugin:Good", **{name: target})
    collectors, failures = registry.load_collectors()
    assert [collector.name for collector in collectors] == [*registry.COLLECTORS, "good"]
    (failure,) = failures
    assert failure.what == f"collector {name} ({target} of sample)"
    assert error in failure.error
    assert failure.hint


def test_of_two_plugins_of_one_name_the_second_is_a_failure(site: Site) -> None:
    site.install("b-sample", registry.COLLECTOR_GROUP, good="sample_plugin:Good")
    site.install("a-sample", registry.COLLECTOR_GROUP, good="sample_plugin:Good")
    collectors, failures = registry.load_collectors()
    assert [collector.name for collector in collectors].count("good") == 1
    (failure,) = failures
    assert "b-sample" in failure.what
    assert failure.error == "the name is taken"


@pytest.fixture
def sample_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `collectors` of its own, which the table names, in a process that has not imported ours yet."""

    def ours() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] == "collectors"]

    kept = {name: sys.modules.pop(name) for name in ours()}
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "collectors"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sample.py").write_text(PLUGINS)
    targets = {"good": "collectors.sample:Good", "function": "collectors.sample:function"}
    monkeypatch.setattr(registry, "COLLECTORS", MappingProxyType(targets))
    yield package
    for name in ours():
        del sys.modules[name]
    sys.modules.update(kept)


def test_built_ins_come_through_the_same_door_and_win_over_plugins(
    site: Site, sample_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "built_in_root", lambda: sample_package.parent)
    site.install("sample", registry.COLLECTOR_GROUP, good="sample_plugin:Good")
    collectors, failures = registry.load_collectors()
    assert [type(collector).__module__ for collector in collectors] == ["collectors.sample"]
    assert [failure.what for failure in failures] == [
        "collector function (collectors.sample:function)",
        "collector good (sample_plugin:Good of sample)",
    ]


def test_a_foreign_package_of_the_same_name_is_not_mistaken_for_ours(sample_package: Path) -> None:
    importlib.import_module("collectors")
    collectors, failures = registry.load_collectors()
    assert not collectors
    assert len(failures) == 2
    for failure in failures:
        assert failure.error.startswith("another package called collectors is already imported, from ")
        assert str(sample_package) in failure.error


def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from auditor import registry\n"
        "print(*sorted(m for m in sys.modules if m in ('collectors', 'rules', 'importlib.metadata')))\n"
        "registry.load_collectors(); registry.load_rules()\n"
        "heavy = {'yaml', 'numpy', 'networkx', 'pydantic', 'cryptography', 'tree_sitter', 'dns', 'promql_parser',\n"
        "         'configobj', 'ahocorasick_rs', 're2', 'cronsim', 'oncalendar'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.process_time()
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "\n\n"
    assert time.process_time() - started < 5


def test_a_plugin_in_an_archive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("archived_plugin.py", PLUGINS)
        stream.writestr("archived-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: archived\nVersion: 1.0\n")
        points = f"[{registry.COLLECTOR_GROUP}]\ngood = archived_plugin:Good\n"
        stream.writestr("archived-1.0.dist-info/entry_points.txt", points)
    monkeypatch.syspath_prepend(archive)
    collectors, failures = registry.load_collectors()
    assert not failures
    assert "good" in {one.name for one in collectors}


def test_entry_points_are_only_looked_up_where_there_may_be_some(tmp_path: Path, site: Site) -> None:
    assert not registry._may_be_installed()
    site.install("sample", registry.RULE_GROUP, good="sample_plugin:Good")
    assert registry._may_be_installed()
