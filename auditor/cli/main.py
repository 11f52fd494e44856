"""Entry point: parses the command line, runs one command, maps exceptions to exit codes."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

from auditor import __version__
from auditor.errors import AuditorError
from auditor.text import printable

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLEAR, BLOCKED, USAGE, CRASH, INCOMPLETE = range(5)
COMMANDS: Final = (
    "checklist",
    "audit",
    "report",
    "gate",
    "guard",
    "diff",
    "wave",
    "why",
    "graph",
    "collect",
    "serve",
    "snapshot",
    "inventory",
    "policy",
    "baseline",
    "profile",
    "init",
    "rules",
    "explain",
    "sources",
)
"""The modules of `auditor.cli` that add a command of their name, in the order of the help."""

_EPILOG = """\
examples:
  auditor checklist legacy-cert-01 --estate estate/             what still depends on it, if it is retired
  auditor checklist db03 --as read-only --on 2026-12-01         the same, if it can't be written any more
  auditor audit --estate estate/                                every host that is declared, or was seen, to go
  auditor report legacy-cert-01 --estate estate/ -o review.html  a page for the meeting
  auditor why alert:CertificateExpiry legacy-cert-01 --estate estate/
  auditor graph --focus legacy-cert-01 --estate estate/ -o review.svg
  auditor init estate/                                          a commented inventory to start from

exit codes:
  0  clear: nothing depends on it, and everything needed was looked at
  1  blocked: something would break or go blind
  2  usage: the command line or the estate is wrong
  3  crash: a fault of the auditor
  4  incomplete: nothing blocks, but not everything needed was looked at
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")


class _Top(_Parser):
    """The whole command line. A word behind `checklist` may be a command on a kept run, where a host would stand."""

    records: dict[str, argparse.ArgumentParser]
    commands: Mapping[str, argparse.ArgumentParser]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, left = self.parse_known_args(args, namespace)
        if left:
            # Its own usage says what the command takes.
            self.commands.get(found.command, self).error(f"unrecognized arguments: {' '.join(left)}")
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        if words[:1] == ["checklist"] and words[1:2] and words[1] in self.records:
            return self.records[words[1]].parse_args(words[2:], namespace), []
        return super().parse_known_args(words, namespace)


def parser(only: str = "") -> argparse.ArgumentParser:
    """The whole command line, or that of one command, for which the modules of the others need not be loaded."""
    top = _Top(
        prog="auditor",
        description="Before a server is retired or made read-only: find everything that still depends on it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"auditor {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    top.commands = commands.choices
    for name in (only,) if only else COMMANDS:
        import_module(f"auditor.cli.{name}").add(commands)
    if only in ("", "checklist"):
        from auditor.cli import records

        top.records = records.add(_Parser)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code. Argparse itself exits with 0 or 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser(words[0] if words[:1] and words[0] in COMMANDS else "").parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except AuditorError as error:
        for line in str(error).splitlines():
            print(f"auditor: {printable(line)}", file=sys.stderr)
        if error.hint:
            print(f"  {printable(error.hint)}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has gone: say nothing, and keep Python from complaining while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CRASH
    except KeyboardInterrupt:
        print("auditor: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            print(f"auditor: the output can't be written: {error.strerror}", file=sys.stderr)
            return USAGE
        if os.environ.get("AUDITOR_TRACEBACK"):
            raise
        print(f"auditor: internal error: {type(error).__name__}: {printable(str(error))}", file=sys.stderr)
        print("  This is a fault of the auditor. Set AUDITOR_TRACEBACK=1 and report what it prints.", file=sys.stderr)
        return CRASH


def entry() -> NoReturn:
    """Runs the command line as a process of its own."""
    code = main()
    # A million facts that nobody needs any more would be looked through once for cycles: a tenth of a second.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    entry()
