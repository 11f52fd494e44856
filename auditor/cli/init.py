"""`auditor init`: a commented inventory to start from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from auditor.errors import UsageError


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "init",
        help="write a commented inventory to start from",
        description="Writes a commented inventory.yaml to start from. An existing one is never overwritten.",
        epilog="example:\n  auditor init estate/ && $EDITOR estate/inventory.yaml && auditor inventory check estate/\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path(), help="where (default: here)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes DIR/inventory.yaml."""
    from auditor.inventory import starter

    path: Path = arguments.directory / "inventory.yaml"
    try:
        arguments.directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(starter())
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", hint="It was left as it is.") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror}") from error
    print(f"{path}: written. Next: describe your hosts in it, then `auditor inventory check {path}`.")
    return 0
