"""`auditor snapshot pack|unpack`: an estate as one file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EPILOG = """\
examples:
  auditor snapshot pack snapshot/ -o monday.sqlar
  auditor checklist legacy-cert-01 --estate monday.sqlar        a packed estate is read as it is
  sqlite3 monday.sqlar -At                                      lists it; -Ax extracts it
  auditor snapshot unpack monday.sqlar -o monday/
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "snapshot",
        help="pack an estate into one file, or unpack it",
        description="One file for a whole estate: SQLite in the sqlar layout, compressed, equal files stored once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)
    pack = below.add_parser(
        "pack",
        help="write a directory into one file",
        description="Packs an estate's directory. The same files give the same bytes.",
    )
    pack.add_argument("directory", metavar="DIR", type=Path, help="the estate")
    pack.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the file to write")
    pack.set_defaults(run=run_pack)
    unpack = below.add_parser(
        "unpack",
        help="write a packed estate into a directory",
        description="Unpacks an estate into a new directory, whose files are private to you.",
    )
    unpack.add_argument("file", metavar="FILE", type=Path, help="the packed estate")
    unpack.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="the directory to write")
    unpack.set_defaults(run=run_unpack)


def run_pack(arguments: argparse.Namespace) -> int:
    """Packs; exit code 0."""
    from auditor.capture.pack import pack
    from auditor.phrases import plural

    result = pack(arguments.directory, arguments.output)
    print(
        f"{arguments.output}: {plural(result.files, 'file')}, {result.contents:,} distinct, "
        f"{result.size:,} bytes in {result.packed:,}"
    )
    if result.gaps:
        print(f"{plural(result.gaps, 'place')} could not be read: the audit of the pack tells which.")
    return 0


def run_unpack(arguments: argparse.Namespace) -> int:
    """Unpacks; exit code 0."""
    from auditor.capture.pack import unpack
    from auditor.phrases import plural

    print(f"{arguments.output}: {plural(unpack(arguments.file, arguments.output), 'file')}")
    return 0
