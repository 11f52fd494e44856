"""Sources of the inventory side by side: each by its kind, none in the way of another."""

from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.capture import kinds
from auditor.capture.kinds import Job, Kind, Options, Progress, SourceResult, jobs_of
from auditor.capture.snapshot import Record, Snapshot
from auditor.cli.main import main
from auditor.errors import UsageError
from auditor.inventory import load_inventory
from auditor.model import Outcome

INVENTORY = """\
version: 1
hosts:
  - {name: web1.eventide.net, lifecycle: active}
sources:
  - {kind: ssh, name: hosts}
  - {kind: aws, account: "123456789012"}
  - {kind: prometheus, url: https://prom.eventide.net}
  - {kind: aws, name: other}
"""


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    (tmp_path / "estate").mkdir()
    (tmp_path / "estate" / "inventory.yaml").write_text(INVENTORY)
    return tmp_path / "estate"


def opened(root: Path) -> Snapshot:
    return Snapshot.open(root, inventory=INVENTORY.encode(), started_at="2026-11-23T10:00:00Z", resume=False)


def records(root: Path) -> dict[str, dict[str, str]]:
    lines = (root / "captures.jsonl").read_text().splitlines()
    return {one["path"]: one for one in map(json.loads, lines)}


def test_sources_are_chosen_by_kind_and_by_name(estate: Path) -> None:
    inventory = load_inventory(estate / "inventory.yaml")
    assert [job.name for job in jobs_of(inventory)] == ["hosts", "aws-2", "prometheus-3", "other"]
    assert [job.name for job in jobs_of(inventory, only=["aws"])] == ["aws-2", "other"]
    assert [job.name for job in jobs_of(inventory, only=["other", "ssh"])] == ["hosts", "other"]
    assert [job.name for job in jobs_of(inventory, Options(hosts=("web1",)))] == ["hosts"]
    with pytest.raises(UsageError, match="azure: no source of the inventory"):
        jobs_of(inventory, only=["azure"])


def test_one_bad_source_never_stops_the_others(estate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One crashes, one has no function yet, one waits for another: they run side by side."""
    gate = threading.Event()

    def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
        if job.kind == "ssh":
            assert gate.wait(60), "the sources do not run side by side"
            progress(1, 1)
            snapshot.store("aws/1/x.json", b"{}\n")
            snapshot.record([Record("aws/1/x.json", Outcome.OK, "2026-11-23T10:00:00Z")])
            return SourceResult("", 1, 0)
        gate.set()
        if job.name == "other":
            return SourceResult("", 0, 1, "no such role", Outcome.DENIED)
        raise RuntimeError("password=hunter2000")

    module = types.ModuleType("made_up_kind")
    module.collect = collect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_kind", module)
    table = {"ssh": Kind("made_up_kind", "collect"), "aws": Kind("made_up_kind", "collect")}
    root = tmp_path / "snapshot"
    jobs = jobs_of(load_inventory(estate / "inventory.yaml"))
    results = kinds.run(jobs, opened(root), table=table, now=lambda: datetime(2026, 11, 23, tzinfo=UTC))
    assert [one.outcome for one in results] == [
        Outcome.OK, Outcome.PARTIAL, Outcome.UNSUPPORTED, Outcome.DENIED,
    ]  # fmt: skip
    said = records(root)
    assert said["sources/hosts"]["outcome"] == "ok"
    assert "a fault of the auditor: RuntimeError" in said["sources/aws-2"]["detail"]
    assert "hunter2000" not in (root / "captures.jsonl").read_text()
    assert said["sources/prometheus-3"]["detail"] == "sources of kind prometheus are not collected yet"
    assert said["sources/other"] == {
        "path": "sources/other",
        "outcome": "denied",
        "collected_at": "2026-11-23T00:00:00Z",
        "detail": "no such role",
    }


def test_an_interrupted_source_is_recorded_as_cut_off(estate: Path, tmp_path: Path) -> None:
    """What is in the records while a source is asked is what a killed run leaves."""
    root = tmp_path / "snapshot"
    seen: list[str] = []

    def look(_done: int, _total: int, _problem: str) -> None:
        seen.append(records(root)["sources/other"]["detail"])

    module = types.ModuleType("made_up_kind_2")

    def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
        progress(0, 1)
        return SourceResult("", 1, 0)

    module.collect = collect  # type: ignore[attr-defined]
    sys.modules["made_up_kind_2"] = module
    try:
        jobs = jobs_of(load_inventory(estate / "inventory.yaml"), only=["other"])
        kinds.run(jobs, opened(root), table={"aws": Kind("made_up_kind_2", "collect")}, progress=look)
    finally:
        del sys.modules["made_up_kind_2"]
    assert seen == ["the collection was cut off here"]
    assert records(root)["sources/other"]["outcome"] == "ok"


def test_a_missing_library_is_said_before_anything_is_asked(
    estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    root = tmp_path / "snapshot"
    assert main(["collect", "--estate", str(estate), "-o", str(root), "--only", "aws"]) == 2
    assert "pip install '.[aws]'" in capsys.readouterr().err
    assert not root.exists()


def test_the_table_names_functions_that_are_there() -> None:
    for entry in kinds.KINDS.values():
        module = __import__(entry.module, fromlist=[entry.function])
        assert callable(getattr(module, entry.function))
