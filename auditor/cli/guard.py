"""`auditor guard`: an audit that runs by a schedule, and whose own failure is heard."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from auditor.cli import common
from auditor.cli.ping import Address, address, ping

if TYPE_CHECKING:
    from auditor.capture.ages import SourceAge
    from auditor.model import Report
    from auditor.report.metrics import Run

FORMATS: Final = ("text", "json", "markdown")
LEVELS: Final = ("error", "incomplete", "blocked")
MAX_AGE: Final = timedelta(days=7)
_LARGEST: Final = 16 * 1024 * 1024

_EPILOG = """\
examples:
  auditor guard --snapshot /var/lib/auditor/estate --textfile /var/lib/node_exporter/auditor.prom
  AUDITOR_PING_URL=… auditor guard --snapshot monday.sqlar --max-age 36h
  auditor guard --snapshot estate/ --ping-file /run/credentials/auditor.service/ping --report json=last.json

It judges every host that is declared, or was seen, to go, prints one line, and tells a dead-man's switch that it ran:
the variable AUDITOR_PING_URL (or --ping-file) holds the URL. A failure goes to AUDITOR_PING_FAIL_URL, else to the
path /fail below it. docs/guard.md has a systemd timer, a Kubernetes CronJob and alerts.

exit codes: 0 clear, 1 blocked, 2 usage or bad estate, 3 crash, 4 incomplete
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "guard",
        help="audit a snapshot by a schedule, with metrics and a dead-man's ping",
        description="Audits a snapshot, writes metrics, and pings a dead-man's switch, so that the auditor itself does "
        "not fail silently.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--snapshot",
        dest="estates",
        metavar="DIR",
        type=Path,
        action="append",
        required=True,
        help="the estate: a directory or a packed one; several are read as one",
    )
    parser.add_argument(
        "--max-age",
        metavar="AGE",
        type=common.age,
        default=MAX_AGE,
        help="what was captured longer ago (90m, 36h, 7d, 2w) counts as not seen, and fails the ping (default: 7d)",
    )
    parser.add_argument(
        "--textfile", metavar="FILE", type=_prom, help="write metrics for Prometheus to this .prom file"
    )
    parser.add_argument("--ping-file", metavar="FILE", type=Path, help="the URL to ping is the first line of this file")
    parser.add_argument(
        "--ping-fail-on",
        choices=LEVELS,
        default=LEVELS[0],
        help="what is told to the dead-man's switch as a failure: error is a run that came to no answer, a rule that "
        "failed, or sources that are too old; incomplete and blocked also what the verdict says (default: error)",
    )
    parser.add_argument(
        "--report",
        metavar="FORMAT=FILE",
        type=common.report_file(FORMATS),
        action="append",
        default=[],
        help="also write the whole report to a file; may be given several times",
    )
    common.policy_options(parser)
    common.cache_option(parser)
    parser.add_argument(
        "--now", metavar="TIME", type=common.moment, help="judge as of this time, ISO 8601 (default: the present)"
    )
    parser.set_defaults(run=run, output=None)


def _prom(text: str) -> Path:
    if not text.endswith(".prom"):
        raise argparse.ArgumentTypeError(f"{text!r}: the node exporter reads only files that are called *.prom")
    return Path(text)


@dataclass(slots=True)
class _Telling:
    """What is told of a run, whatever becomes of it."""

    textfile: Path | None
    ping: Address | None
    fail_on: str
    run: Run

    def tell(self) -> list[str]:
        """Writes the metrics and pings; returns what went wrong with that."""
        problems = []
        if wrong := self._write():
            problems.append(wrong)
        if self.ping is not None:
            why = ping(self.ping, good=not problems and self._good())
            self.run = replace(self.run, pinged=not why)
            if why:
                problems.append(f"the dead-man's switch was not reached: {why}")
            if (wrong := self._write()) and wrong not in problems:
                problems.append(wrong)
        return problems

    def _good(self) -> bool:
        report = self.run.report
        if not self.run.success or self.run.stale or report is None:
            return False
        blocked = any(one.severity.value == "block" for one in report.findings)
        blind = any(row.needed and not row.seen for row in report.coverage)
        blind = blind or any(not one.looked_at and not one.off for one in report.rules)
        return not (self.fail_on == "blocked" and blocked) and not (self.fail_on != "error" and blind)

    def _write(self) -> str:
        from auditor.report.metrics import render_metrics

        if self.textfile is None:
            return ""
        try:
            write_whole(self.textfile, render_metrics(self.run).encode("utf-8", "backslashreplace"))
        except OSError as error:
            return f"{self.textfile}: can't be written: {error.strerror}"
        return ""


def run(arguments: argparse.Namespace) -> int:
    """Audits, and tells of it; the exit code of the verdict."""
    from auditor.report import render
    from auditor.report.metrics import Run
    from auditor.report.summary import EXIT_CODES

    started = time.monotonic()
    now: datetime = arguments.now or datetime.now(UTC)
    textfile: Path | None = arguments.textfile
    earlier = _last_success(textfile)
    telling = _Telling(
        textfile, address(arguments.ping_file), arguments.ping_fail_on, Run(now, 0.0, False, last_success=earlier)
    )
    try:
        with _ended_by_signals():
            report, sources = _audit(arguments, now)
            for kind, path in arguments.report:
                common.write_report(path, render(report, kind))
            stale = _stale(sources, now, arguments.max_age)
            print(_line(report, sources, stale))
            sys.stdout.flush()
            success = not report.failures
            since = now.timestamp() if success else earlier
            telling.run = Run(now, 0.0, success, report, sources, len(stale), since)
    except BaseException:
        telling.run = replace(telling.run, success=False, seconds=time.monotonic() - started)
        for problem in telling.tell():
            print(f"auditor: {problem}", file=sys.stderr)
        raise
    telling.run = replace(telling.run, seconds=time.monotonic() - started)
    problems = telling.tell()
    for problem in problems:
        print(f"auditor: {problem}", file=sys.stderr)
    return EXIT_CODES[report.verdict] or (2 if problems else 0)


def _audit(arguments: argparse.Namespace, now: datetime) -> tuple[Report, tuple[SourceAge, ...]]:
    from auditor.capture.ages import source_ages

    request = replace(common.request_of(arguments), now=now, going_required=False)
    audited = common.run_audit(request, quiet=True, own=arguments.rules)
    return audited.report, source_ages(audited.reading.tree)


def _stale(sources: Sequence[SourceAge], now: datetime, max_age: timedelta) -> list[SourceAge]:
    """Sources that are too old; all of them, if nothing says of any when it was captured."""
    if all(one.collected_at is None for one in sources):
        return list(sources)
    return [one for one in sources if one.collected_at is not None and now - one.collected_at > max_age]


def _line(report: Report, sources: Sequence[SourceAge], stale: Sequence[SourceAge]) -> str:
    """The run in one line, for a journal."""
    from auditor.report.layout import clean, some
    from auditor.report.summary import headline

    parts = [f"{report.verdict.value}: {headline(report)}"]
    if stale:
        known = any(one.collected_at is not None for one in sources)
        parts.append(f"{'too old' if known else 'of unknown age'}: {some(clean(one.name) for one in stale)}")
    return "; ".join(parts)


def _last_success(textfile: Path | None) -> float:
    from auditor.report.metrics import read_last_success

    if textfile is None:
        return 0.0
    try:
        with textfile.open("rb") as stream:
            return read_last_success(stream.read(_LARGEST).decode("utf-8", "replace"))
    except OSError:
        return 0.0


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one, and never a part. Raises OSError."""
    # The node exporter reads *.prom alone: not this, while it is being written.
    with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent, delete=False) as stream:
        temporary = Path(stream.name)
        try:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A service manager that ends the run ends it as a failure that is told, and not in silence."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
