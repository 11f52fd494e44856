"""What several commands share: options, times, and where the output goes."""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import EstateError, UsageError
from auditor.model import Failure, Lifecycle, Phase, Profile, Report
from auditor.policy import POLICY

if TYPE_CHECKING:
    from auditor.api import Collector, Rule
    from auditor.audit.engine import Audited, Request
    from auditor.audit.kept import KeptEstates
    from auditor.audit.scenario import Asked
    from auditor.capture.parsed import ParsedFiles
    from auditor.capture.reading import Templates
    from auditor.policy.decisions import Policy


def estate_options(parser: argparse.ArgumentParser) -> None:
    """--estate, --max-age, --now, --cache-dir, --quiet."""
    parser.add_argument(
        "--estate",
        dest="estates",
        metavar="DIR",
        type=Path,
        action="append",
        help="the estate: a directory or a packed one; several are read as one (default: this directory)",
    )
    parser.add_argument(
        "--max-age",
        metavar="AGE",
        type=age,
        help="what was captured longer ago (90m, 36h, 7d, 2w) counts as not seen",
    )
    parser.add_argument(
        "--now", metavar="TIME", type=moment, help="judge as of this time, ISO 8601 (default: the present)"
    )
    cache_option(parser)
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def cache_option(parser: argparse.ArgumentParser) -> None:
    """--cache-dir."""
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        type=Path,
        help="keep here what files yielded and how a packed estate was linked: the next run does what is new. Who "
        "writes to it can hide something",
    )


def policy_options(parser: argparse.ArgumentParser, *, baseline: bool = True) -> None:
    """--policy, --no-policy, --profile, --baseline, --confirm-hosts, --rules."""
    rule_option(parser)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--policy", metavar="FILE", type=Path, help=f"the policy (default: {POLICY} beside the estate's inventory)"
    )
    chosen.add_argument("--no-policy", action="store_true", help="no policy: everything counts as the rules say")
    parser.add_argument(
        "--profile", metavar="FILE", type=Path, help="the areas of the checklist and its questions for people"
    )
    if baseline:
        parser.add_argument(
            "--baseline",
            metavar="FILE",
            type=Path,
            help="findings that are known, as `auditor baseline write` wrote them",
        )
    confirm_option(parser)


def rule_option(parser: argparse.ArgumentParser, where: str = "") -> None:
    """--rules. `where` says which files are meant, if not those on disk."""
    parser.add_argument(
        "--rules",
        metavar="PATH",
        type=Path,
        action="append",
        default=[],
        help="rules of your own in YAML: a file, or a directory of them"
        + (f", {where}" if where else "")
        + "; may be given several times",
    )


def confirm_option(parser: argparse.ArgumentParser) -> None:
    """--confirm-hosts."""
    parser.add_argument(
        "--confirm-hosts",
        metavar="N",
        type=count,
        default=0,
        help="yes, so many hosts are going: a large part of the estate is otherwise taken for a mistake",
    )


def count(text: str) -> int:
    """A number from 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def scenario_options(parser: argparse.ArgumentParser) -> None:
    """--as, --on, --after: what is to happen to the hosts, and when, or that it has happened."""
    parser.add_argument(
        "--as",
        dest="lifecycle",
        type=lifecycle,
        metavar="LIFECYCLE",
        help="retired or read-only (default: as the inventory declares, else retired)",
    )
    parser.add_argument("--on", metavar="DATE", type=moment, help="the day it is to happen, or has happened")
    parser.add_argument(
        "--after",
        action="store_true",
        help="after the switch-off: does it still answer, does anything still refer to it, did its jobs run elsewhere?",
    )


def output_options(parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json", "markdown")) -> None:
    """--format, -o, --no-color, --width."""
    parser.add_argument("--format", choices=formats, default=formats[0], help=f"what to print (default: {formats[0]})")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to a file instead of stdout")
    parser.add_argument("--no-color", action="store_true", help="no colour (as does the variable NO_COLOR)")
    parser.add_argument("--width", metavar="N", type=int, help="columns of the text output (default: the terminal's)")


def report_file(formats: Sequence[str]) -> Callable[[str], tuple[str, Path]]:
    """What reads the value of --report: `FORMAT=FILE`."""

    def read(text: str) -> tuple[str, Path]:
        kind, equals, path = text.partition("=")
        if not equals or not path or kind not in formats:
            raise argparse.ArgumentTypeError(f"{text!r}: say FORMAT=FILE, with one of {', '.join(formats)}")
        return kind, Path(path)

    return read


def write_report(path: Path, text: str) -> None:
    """Writes one more output. Raises UsageError if it can't be written."""
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror}", hint="Give another file.") from error


def age(text: str) -> timedelta:
    """The value of --max-age."""
    number, unit = text[:-1], text[-1:]
    names = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    if unit not in names or not (number.isascii() and number.isdigit()) or not 0 < int(number) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r}: a number with m, h, d or w, such as 36h or 7d")
    return timedelta(**{names[unit]: int(number)})


def moment(text: str) -> datetime:
    """An ISO 8601 date or time as aware UTC; a date alone is its midnight."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no ISO 8601 date or time, such as 2026-12-01T18:00:00Z"
        ) from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def lifecycle(text: str) -> Lifecycle:
    """The value of --as."""
    allowed = (Lifecycle.RETIRED, Lifecycle.READ_ONLY)
    if text not in allowed:
        raise argparse.ArgumentTypeError(f"{text!r}: say retired or read-only")
    return Lifecycle(text)


def known_hosts(audited: Audited) -> None:
    """Raises UsageError for a host that was asked for and is named nowhere, EstateError for an empty estate."""
    from auditor.audit.coverage import NOWHERE, nearly_called
    from auditor.audit.engine import EMPTY_HINT

    if not audited.reading.bound:
        raise EstateError(f"{audited.report.estate}: no file in it that can be read", hint=EMPTY_HINT)
    view = audited.view
    for one in view.going:
        node = view.host(one.host)
        asked_alone = view.linked.hosts.records[one.host].origins == {"asked"}
        if asked_alone and (node is None or not view.incoming(node)):
            hint = f"Is the name spelt right, and is this the right estate?{nearly_called(one.host, view.linked.hosts)}"
            raise UsageError(f"{one.host} {NOWHERE}", hint=hint)


def request_of(
    arguments: argparse.Namespace,
    hosts: Sequence[Asked] = (),
    lifecycle: Lifecycle | None = None,
    on: datetime | None = None,
) -> Request:
    """What is asked, of the estates that the options name."""
    from auditor.audit.engine import Request

    first, *others = arguments.estates or [Path()]
    now = arguments.now or datetime.now(UTC)
    request = Request(first, tuple(hosts), lifecycle, now, on, tuple(others), arguments.max_age)
    request = replace(request, cache=getattr(arguments, "cache_dir", None))
    if getattr(arguments, "after", False):
        if lifecycle is Lifecycle.READ_ONLY:
            raise UsageError("a host that is read-only is not gone", hint="Leave out --as, or --after.")
        request = replace(request, lifecycle=Lifecycle.RETIRED, phase=Phase.AFTER)
    if not hasattr(arguments, "policy"):
        return request
    policy, output = arguments.policy, getattr(arguments, "output", None)
    baseline = getattr(arguments, "baseline", None)
    known = None
    if baseline is not None:
        from auditor.policy.loading import load_baseline

        known = load_baseline(baseline)
    return replace(
        request,
        policy=_policy(policy, now, arguments.rules) if policy is not None else None,
        policy_beside=not arguments.no_policy,
        baseline=known,
        confirmed=arguments.confirm_hosts,
        profile=_profile(arguments.profile),
        own=tuple(
            inside
            for one in (policy, baseline, output, arguments.profile, getattr(arguments, "kept", None))
            if one and (inside := _inside(one, first))
        ),
    )


def _profile(path: Path | None) -> Profile | None:
    """The profile of a file; None for the one that the policy names, or the built-in one."""
    if path is None:
        return None
    from auditor.policy.profile import load_profile

    return load_profile(path)


def _policy(path: Path, now: datetime, own: Sequence[Path]) -> Policy:
    from auditor.policy.loading import load_policy

    return load_policy(path, all_rules(own)[0], now)


def all_rules(own: Sequence[Path]) -> tuple[list[Rule], list[Failure]]:
    """Built-in rules, those of plugins, and rules in YAML; with what did not load.

    Raises PolicyError for YAML that is wrong: a rule that somebody wrote must not be left out in silence.
    """
    from auditor.registry import load_rules

    rules, failures = load_rules()
    for path in own:
        from auditor.yamlrules.loading import load_rules as load_yaml_rules

        rules.extend(load_yaml_rules(path, rules).rules)
    return rules, failures


def _inside(file: Path, estate: Path) -> str:
    """A file's path within an estate; empty if it is not inside."""
    try:
        return file.resolve().relative_to(estate.resolve()).as_posix()
    except (OSError, ValueError):
        return ""


def fewer_collections() -> None:
    """Facts are kept until the end and make no cycles: looking through them for garbage all the time took a fifth."""
    gc.set_threshold(1_000_000, 20, 20)


def run_audit(request: Request, *, quiet: bool, rules: bool = True, own: Sequence[Path] = ()) -> Audited:
    """Loads collectors and rules, and audits with progress on stderr. Without `rules` none is asked.

    `own` are files and directories of rules in YAML.
    """
    from auditor.audit.engine import audit
    from auditor.cli.progress import Progress
    from auditor.registry import load_collectors

    fewer_collections()
    collectors, failures = load_collectors()
    asked, more = all_rules(own) if rules else ([], [])
    with (
        caching(request, collectors) as (known, linked),
        Progress("auditing", quiet=quiet) as bar,
    ):
        return audit(request, collectors, asked, (*failures, *more), known=known, kept=linked, progress=bar.stage)


@contextmanager
def caching(request: Request, collectors: Sequence[Collector]) -> Iterator[tuple[Templates, KeptEstates | None]]:
    """What earlier runs have parsed and linked. What is added to it is written down at the end, unless that fails."""
    from auditor.capture.reading import Templates

    kept = _cache(request, collectors)
    known = Templates(kept)
    linked = _linked(request, collectors, known)
    yield known, linked
    if kept is not None:
        saved = save(kept)
        if linked is not None and linked.refused is not None and kept.refused is None:
            _not_read(linked.refused)
        if linked is not None and linked.failed is not None and saved:
            _not_written(kept.directory, linked.failed)


def _linked(request: Request, collectors: Sequence[Collector], known: Templates) -> KeptEstates | None:
    """Packed estates as they were linked before; None if nobody asked for it, or it is none that is kept."""
    if request.cache is None or request.merged or not request.estate.is_file():
        return None
    from auditor.audit.kept import KeptEstates
    from auditor.capture.parsed import KEY

    return KeptEstates(request.cache, collectors, known, secret=os.environ.get(KEY, ""))


def _cache(request: Request, collectors: Sequence[Collector]) -> ParsedFiles | None:
    """What was parsed before; None if nobody asked for it. Raises UsageError if it is a part of an estate."""
    if request.cache is None:
        return None
    for estate in (request.estate, *request.merged):
        outside(request.cache, estate)
    return parsed_files(request.cache, collectors)


def outside(cache: Path, estate: Path) -> None:
    """Raises UsageError for a cache that is a part of an estate."""
    if _inside(cache, estate):
        raise UsageError(
            f"{cache}: it is inside the estate {estate}, which could then say what is in the cache",
            hint="Give a directory outside of it.",
        )


def parsed_files(directory: Path, collectors: Sequence[Collector]) -> ParsedFiles:
    """What is kept in a directory of what was parsed before, signed if there is a key for that."""
    from auditor.capture.parsed import KEY, ParsedFiles

    return ParsedFiles(directory, collectors, secret=os.environ.get(KEY, ""))


def save(kept: ParsedFiles) -> bool:
    """Writes down what was parsed; whether it could. What can't be read or written costs time, and nothing else."""
    if kept.refused is not None:
        _not_read(kept.refused)
    try:
        kept.save()
    except OSError as error:
        _not_written(kept.directory, error)
        return False
    return True


def _not_read(error: OSError) -> None:
    print(f"auditor: {error}: it was not read. Sign the cache (AUDITOR_CACHE_KEY), or empty it", file=sys.stderr)


def _not_written(directory: Path, error: OSError) -> None:
    print(f"auditor: {directory}: the cache can't be written: {error.strerror}", file=sys.stderr)


def finish(report: Report, arguments: argparse.Namespace) -> int:
    """Renders a report to where it should go; returns the exit code of its verdict."""
    from auditor.report import render
    from auditor.report.summary import EXIT_CODES

    write(lambda color, width: render(report, arguments.format, color=color, width=width), arguments)
    return EXIT_CODES[report.verdict]


def write(text: Callable[[bool, int], str], arguments: argparse.Namespace) -> None:
    """Writes what `text(color, width)` gives to -o or stdout. Raises UsageError if the file can't be written."""
    output: Path | None = arguments.output
    terminal = output is None and sys.stdout.isatty()
    color = terminal and not arguments.no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = arguments.width or (shutil.get_terminal_size().columns if terminal or "COLUMNS" in os.environ else 80)
    write_file(text(color, max(40, min(width, 120) if arguments.width is None else width)), output)


def write_file(body: str, output: Path | None) -> None:
    """Writes to a file, or to stdout without one. Raises UsageError if the file can't be written."""
    if output is None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stdout.write(body)
        return
    try:
        output.write_text(body, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"{output}: can't be written: {error.strerror}", hint="Give another file with -o.") from error
