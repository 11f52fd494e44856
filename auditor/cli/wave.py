"""`auditor wave HOSTS.txt…`: which hosts of a migration wave can go, and in which order."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.cli import common
from auditor.errors import UsageError
from auditor.text import is_hostname

if TYPE_CHECKING:
    from auditor.wave import Wave

_EPILOG = """\
examples:
  auditor wave week-49.txt --estate estate/                     what can go, what waits, what is blocked
  auditor wave week-49.txt week-50.txt --estate estate/         two waves, the second after the first
  echo 'db[01:04].example.org' | auditor wave - --estate estate/ --format json

A file has a host or a range a line, HOST or HOST=ALIAS,ALIAS; # begins a comment. What needs a host of the wave and is
on another one of it does not block: it goes before. Hosts that need each other are told.

exit codes:
  0  all of them can go, in the order that is printed
  1  something that stays needs one of them
  2  usage: the command line, a file or the estate is wrong
  3  crash: a fault of the auditor
  4  nothing blocks, but not everything needed was looked at
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "wave",
        help="which hosts of a migration wave can go, and in which order",
        description="Judges hosts that are to go together: which can go now, which must wait for others of the wave, "
        "which something that stays still needs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="HOSTS.txt", nargs="+", help="a wave's hosts; - for standard input")
    common.estate_options(parser)
    common.policy_options(parser)
    parser.add_argument(
        "--as",
        dest="lifecycle",
        type=common.lifecycle,
        metavar="LIFECYCLE",
        help="retired or read-only (default: as the inventory declares, else retired)",
    )
    parser.add_argument("--on", metavar="DATE", type=common.moment, help="the day it is to happen")
    common.output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Judges each wave with those before it gone."""
    from auditor.audit.scenario import Asked
    from auditor.audit.waves import judge_wave, read_hosts
    from auditor.report.wave import render
    from auditor.report.wave.wording import exit_code

    gone: list[Asked] = []
    waves: list[Wave] = []
    for file in arguments.files:
        hosts = read_hosts(_text(file), file)
        arguments.confirm_hosts = max(arguments.confirm_hosts, len(gone) + len(hosts))
        request = common.request_of(arguments, [*gone, *hosts], arguments.lifecycle, arguments.on)
        audited = common.run_audit(request, quiet=arguments.quiet, own=arguments.rules)
        name = "standard input" if file == "-" else Path(file).stem
        waves.append(judge_wave(name, audited, hosts, [one.name for one in waves]))
        gone.extend(hosts)
    common.write(lambda color, width: render(waves, arguments.format, color=color, width=width), arguments)
    return exit_code(waves)


def _text(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read(1 << 24)
        with Path(file).open(encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 24)
    except OSError as error:
        hint = "Give a file with a host a line."
        if "." in file and "/" not in file and is_hostname(file):
            hint = f"Give a file with a host a line; of one host: `echo {file} | auditor wave -`."
        raise UsageError(f"{file}: can't be read: {error.strerror}", hint=hint) from error
