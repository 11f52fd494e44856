"""`auditor guard`: whatever becomes of a run, the metrics and the dead man's switch tell of it."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from auditor.capture.ages import SourceAge
from auditor.cli import common
from auditor.cli.main import main
from auditor.cli.ping import Address, address, ping
from auditor.errors import UsageError
from auditor.report.metrics import Run, read_last_success, render_metrics

ESTATE = Path(__file__).resolve().parent.parent.parent / "sample_inventories/eventide"
NOW = "2025-11-21T12:00:00Z"
SECRET = "s3cr3t-check-id"
PATIENCE = 60.0
"""Seconds for what takes a moment, on a machine that is busy."""


class Switch:
    """A dead man's switch on loopback: what was asked of it, and what it answers, by path."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.drip = 0.0
        switch = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                switch.asked.append(self.path)
                status, body = switch.answers.get(self.path, [(200, b"OK")])[0]
                if len(switch.answers.get(self.path, ())) > 1:
                    switch.answers[self.path].pop(0)
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):
                    for at in range(len(body)):
                        self.wfile.write(body[at : at + 1])
                        self.wfile.flush()
                        time.sleep(switch.drip)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/{SECRET}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def ends(self) -> list[str]:
        """What was asked, without the secret."""
        return [path.removeprefix(f"/ping/{SECRET}") for path in self.asked]


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    made = Switch()
    monkeypatch.setenv("AUDITOR_PING_URL", made.url)
    monkeypatch.delenv("AUDITOR_PING_FAIL_URL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("auditor.cli.guard.ping", partial(ping, pause=0, timeout=PATIENCE))
    yield made
    made.server.shutdown()
    made.server.server_close()


def series(path: Path) -> dict[str, float]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def guard(*options: str, estate: Path = ESTATE, now: str = NOW) -> int:
    return main(["guard", "--snapshot", str(estate), "--now", now, *options])


def test_a_run_that_ends_well(tmp_path: Path, switch: Switch, capsys: pytest.CaptureFixture[str]) -> None:
    textfile, full = tmp_path / "auditor.prom", tmp_path / "last.json"
    assert guard("--textfile", str(textfile), "--report", f"json={full}") == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("BLOCKED: legacy-cert-01.eventide.net is read-only, and still needed: ")
    assert printed.out.count("\n") == 1
    assert printed.err == ""
    assert full.read_text().startswith("{")
    assert switch.ends == [""]
    found = series(textfile)
    assert found["auditor_run_success"] == found["auditor_ping_delivered"] == 1
    assert found['auditor_verdict{verdict="BLOCKED"}'] == 1
    assert found['auditor_verdict{verdict="CLEAR"}'] == 0
    assert found["auditor_last_success_timestamp_seconds"] == datetime(2025, 11, 21, 12, tzinfo=UTC).timestamp()
    assert found['auditor_hosts_going{lifecycle="read-only"}'] == 1
    assert found['auditor_findings{rule="renewal-on-going-host",area="renewal",severity="block"}'] == 1
    assert found['auditor_findings{rule="mount-of-going-host",area="storage",severity="block"}'] == 0
    assert found['auditor_source_age_seconds{kind="hosts",source="legacy-cert-01.eventide.net"}'] == 17688
    assert found["auditor_sources_stale"] == 0
    assert stat.S_IMODE(textfile.stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auditor.prom", "last.json"]


def test_what_is_too_old(tmp_path: Path, switch: Switch, capsys: pytest.CaptureFixture[str]) -> None:
    textfile = tmp_path / "auditor.prom"
    assert guard("--textfile", str(textfile), "--max-age", "1h") == 1
    assert switch.ends == ["/fail"]
    assert series(textfile)["auditor_sources_stale"] == 15
    assert "too old: " in capsys.readouterr().out
    assert series(textfile)["auditor_run_success"] == 1


def test_an_estate_of_unknown_age(tmp_path: Path, switch: Switch, capsys: pytest.CaptureFixture[str]) -> None:
    cron = tmp_path / "estate/hosts/web01/etc/cron.d/job"
    cron.parent.mkdir(parents=True)
    cron.write_text("1 1 * * * root true\n")
    textfile = tmp_path / "auditor.prom"
    guard("--textfile", str(textfile), estate=tmp_path / "estate")
    assert switch.ends == ["/fail"]
    assert "no host of this estate is going" in (printed := capsys.readouterr().out)
    assert "of unknown age: web01" in printed
    assert 'auditor_source_age_seconds{kind="hosts",source="web01"} +Inf\n' in textfile.read_text()


@pytest.mark.parametrize(("level", "end"), [("error", ""), ("incomplete", "/fail"), ("blocked", "/fail")])
def test_what_is_a_failure(switch: Switch, level: str, end: str) -> None:
    assert guard("--ping-fail-on", level) == 1
    assert switch.ends == [end]


def test_a_crash(tmp_path: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    textfile = tmp_path / "auditor.prom"
    guard("--textfile", str(textfile))

    def crash(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(common, "run_audit", crash)
    assert guard("--textfile", str(textfile), now="2025-11-22T12:00:00Z") == 3
    assert switch.ends == ["", "/fail"]
    found = series(textfile)
    assert found["auditor_run_success"] == 0
    assert found["auditor_run_timestamp_seconds"] - found["auditor_last_success_timestamp_seconds"] == 86400
    assert not any(found[f'auditor_verdict{{verdict="{one}"}}'] for one in ("CLEAR", "BLOCKED", "INCOMPLETE"))


def test_a_run_that_is_ended(tmp_path: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def end(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(common, "run_audit", end)
    with pytest.raises(SystemExit) as raised:
        guard("--textfile", str(tmp_path / "auditor.prom"))
    assert raised.value.code == 128 + signal.SIGTERM
    assert switch.ends == ["/fail"]
    assert series(tmp_path / "auditor.prom")["auditor_run_success"] == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_such_snapshot(tmp_path: Path, switch: Switch, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard("--textfile", str(tmp_path / "auditor.prom"), estate=tmp_path / "nosuch") == 2
    assert switch.ends == ["/fail"]
    assert series(tmp_path / "auditor.prom")["auditor_run_success"] == 0
    assert "no such directory" in capsys.readouterr().err


def test_metrics_that_can_not_be_written(tmp_path: Path, switch: Switch, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard("--textfile", str(tmp_path / "nosuch/auditor.prom")) == 1
    assert switch.ends == ["/fail"]
    assert capsys.readouterr().err.count("can't be written") == 1
    with pytest.raises(SystemExit):
        guard("--textfile", str(tmp_path / "auditor.txt"))


def test_a_switch_that_is_not_there(
    tmp_path: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.answers[f"/ping/{SECRET}"] = [(404, b"")]
    textfile = tmp_path / "auditor.prom"
    assert guard("--textfile", str(textfile)) == 1
    assert series(textfile)["auditor_ping_delivered"] == 0
    printed = capsys.readouterr()
    assert "not reached: HTTP status 404" in printed.err
    monkeypatch.setenv("AUDITOR_PING_URL", f"http://127.0.0.1:1/{SECRET}")
    # What would have been clear is not, if nobody could be told.
    monkeypatch.setattr("auditor.report.summary.EXIT_CODES", dict.fromkeys(("CLEAR", "BLOCKED", "INCOMPLETE"), 0))
    assert guard() == 2
    printed = capsys.readouterr()
    assert "no connection" in printed.err
    assert SECRET not in printed.err + printed.out


@pytest.mark.parametrize(
    "url", [f"ftp://x/{SECRET}", f"http://{SECRET} x/", f"http:///{SECRET}", f"http://x:y/{SECRET}"]
)
def test_an_address_that_is_none(
    switch: Switch, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUDITOR_PING_URL", url)
    assert guard() == 2
    printed = capsys.readouterr()
    assert "AUDITOR_PING_URL" in printed.err
    assert SECRET not in printed.err + printed.out


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDITOR_PING_URL", raising=False)
    assert address(None) is None
    monkeypatch.setenv("AUDITOR_PING_URL", "https://hc.example/x/?a=b")
    assert address(None) == Address("https://hc.example/x/?a=b", "https://hc.example/x/fail?a=b")
    assert "hc.example" not in repr(address(None))
    file = tmp_path / "ping"
    file.write_text("https://hc.example/y\nhttps://hc.example/z?status=down\n")
    assert address(file) == Address("https://hc.example/y", "https://hc.example/z?status=down")
    file.write_text("\n")
    with pytest.raises(UsageError, match="empty"):
        address(file)
    with pytest.raises(UsageError, match="can't be read"):
        address(tmp_path / "nosuch")


def test_pings(switch: Switch) -> None:
    to = Address(switch.url, switch.url + "/fail")
    path = f"/ping/{SECRET}"
    switch.answers[path] = [(503, b""), (500, b""), (200, b"OK")]
    assert ping(to, good=True, pause=0, timeout=PATIENCE) == ""
    assert switch.ends == ["", "", ""]
    for status in (301, 404, 200):
        switch.asked.clear()
        switch.answers[path] = [(status, b"OK (not found)")]
        assert ping(to, good=True, pause=0, timeout=PATIENCE)
        assert switch.ends == [""], status
    switch.answers[path] = [(200, b"OK" * 50)]
    switch.drip = 0.05
    assert ping(to, good=True, timeout=0.2, pause=0) == "no answer within 0.2 s"


def test_metrics_with_hostile_names() -> None:
    hostile = 'a"b\\c\nd\u202ee\udce9 {x="y"} 1'
    run = Run(datetime(2026, 1, 1, tzinfo=UTC), 1.5, True, None, (SourceAge("hosts", hostile, None),))
    text = render_metrics(run)
    text.encode()
    (line,) = (line for line in text.splitlines() if line.startswith("auditor_source_age"))
    assert line == (
        'auditor_source_age_seconds{kind="hosts",source="a\\"b\\\\c d\\\\u202ee\\\\udce9 {x=\\"y\\"} 1"} +Inf'
    )
    assert read_last_success(text) == 0
    for bad in ("auditor_last_success_timestamp_seconds x", "auditor_last_success_timestamp_seconds nan", "", "x\0"):
        assert read_last_success(bad) == 0
