"""`--cache-dir`: what was parsed before is not parsed again, and says the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from auditor.capture import reading
from auditor.cli.main import main

SAMPLE = Path(__file__).resolve().parents[2] / "sample_inventories/eventide"
NOW = ["--now", "2025-11-20T00:00:00Z", "--format", "json"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object], str]:
    code = main(words)
    output = capsys.readouterr()
    return code, json.loads(output.out) if output.out else {}, output.err


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are parsed, as it happens."""
    found: list[str] = []
    parse = reading._parse

    def noted(*given: object) -> None:
        found.append(given[3].estate_path)  # type: ignore[attr-defined]
        parse(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_parse", noted)
    return found


def test_the_second_run_parses_what_is_new(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, parsed: list[str]
) -> None:
    estate = tmp_path / "estate"
    shutil.copytree(SAMPLE, estate)
    words = ["audit", "--estate", str(estate), *NOW]
    cached = [*words, "--cache-dir", str(tmp_path / "cache")]
    plain = run(capsys, *words)
    first = run(capsys, *cached)
    assert parsed
    parsed.clear()
    assert run(capsys, *cached) == first == plain
    assert parsed == []
    new = estate / "hosts/legacy-cert-01.eventide.net/etc/cron.d/new"
    new.write_text("1 1 * * * root curl https://legacy-cert-01.eventide.net/new\n")
    code, report, _ = run(capsys, *cached)
    assert parsed == [str(new.relative_to(estate))]
    assert (code, report) == run(capsys, *words)[:2]


def test_a_packed_estate_is_one_of_the_same_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, parsed: list[str]
) -> None:
    pack, cache = tmp_path / "estate.sqlar", str(tmp_path / "cache")
    assert main(["snapshot", "pack", str(SAMPLE), "-o", str(pack)]) == 0
    capsys.readouterr()
    words = ["audit", "--estate", str(pack), *NOW]
    first = run(capsys, *words, "--cache-dir", cache)
    parsed.clear()
    assert run(capsys, *words, "--cache-dir", cache) == first
    assert parsed == []
    assert run(capsys, *words) == first


def test_an_estate_can_not_bring_its_cache(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "estate")
    inside = tmp_path / "estate/cache"
    code, _, error = run(capsys, "audit", "--estate", str(tmp_path / "estate"), "--cache-dir", str(inside))
    assert (code, inside.exists()) == (2, False)
    assert "inside the estate" in error


def test_a_cache_that_can_not_be_written_costs_time_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ["audit", "--estate", str(SAMPLE), *NOW]
    code, report, error = run(capsys, *words, "--cache-dir", str(tmp_path / "file/cache"))
    assert "the cache can't be written" in error
    assert (code, report) == run(capsys, *words)[:2]
