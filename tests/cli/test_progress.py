from __future__ import annotations

import io

import pytest

from auditor.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


def test_draws_at_most_ten_times_a_second_and_cleans_up() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress("reading", 1000, stream=terminal, clock=clock) as progress:
        for _ in range(1000):
            clock.now += 0.002
            progress.advance()
    assert progress.done == 1000
    assert 10 <= terminal.getvalue().count("reading") <= 20
    assert "102 of 1,000   10%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_short_run_draws_nothing() -> None:
    terminal = Terminal()
    with Progress("reading", 3, stream=terminal, clock=Clock()) as progress:
        progress.advance(3)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("case", ["quiet", "no terminal", "dumb", "closed"])
def test_silent(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO() if case == "no terminal" else Terminal()
    if case == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    clock = Clock()
    with Progress("reading", 3, quiet=case == "quiet", stream=stream, clock=clock) as progress:
        if case == "closed":
            stream.close()
        for _ in range(3):
            clock.now += 1
            progress.advance()
    assert progress.done == 3
    assert case == "closed" or stream.getvalue() == ""


def test_an_unknown_total_and_more_than_the_total() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress("linking", stream=terminal, clock=clock) as progress:
        clock.now += 1
        progress.advance(1234)
    assert "linking  1,234" in terminal.getvalue()
    with Progress("reading", 2, stream=terminal, clock=clock) as progress:
        clock.now += 1
        progress.advance(5)
    assert "5 of 2  100%" in terminal.getvalue()


def test_goes_from_step_to_step() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress("auditing", stream=terminal, clock=clock) as progress:
        clock.now += 1
        progress.stage("reading", 1024)
        progress.stage("reading", 2048)
        clock.now += 1
        progress.stage("rules", 3, 12)
    assert "reading  1,024" in terminal.getvalue()
    assert "2,048" not in terminal.getvalue()
    assert "3 of 12   25%" in terminal.getvalue()


def test_keeps_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal, clock = Terminal(), Clock()
    with Progress("reading", 100, stream=terminal, clock=clock) as progress:
        clock.now += 1
        progress.advance()
    drawn = terminal.getvalue().split("\r")[1].removesuffix("\x1b[K")
    assert len(drawn) == 19


def test_a_stream_that_can_not_write_the_bar_does_not_end_the_run() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    stream.isatty = lambda: True  # type: ignore[method-assign]
    clock = Clock()
    with Progress("reading", 3, stream=stream, clock=clock) as progress:
        clock.now += 1
        progress.advance()
    assert progress.done == 1
