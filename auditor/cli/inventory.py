"""`auditor inventory check|schema`: the inventory alone."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from auditor.cli import common
from auditor.errors import UsageError


def add(commands: Any) -> None:
    parser = commands.add_parser("inventory", help="check an inventory, or print its JSON Schema")
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)
    check = below.add_parser(
        "check",
        help="say what is wrong with an inventory, by file and line",
        description="Says what is wrong with an inventory, by file and line. Exit code 0 if nothing is, 2 otherwise.",
    )
    check.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        default=Path("inventory.yaml"),
        help="the inventory, or its estate's directory",
    )
    check.set_defaults(run=run_check)
    schema = below.add_parser(
        "schema",
        help="print the JSON Schema for editors",
        description="Prints the JSON Schema of inventory.yaml, for editors.",
    )
    common.output_options(schema, ("json",))
    schema.set_defaults(run=run_schema)


def run_check(arguments: argparse.Namespace) -> int:
    """Loads an inventory; its problems are raised as InventoryError."""
    from auditor.inventory import load_inventory

    path: Path = arguments.file / "inventory.yaml" if arguments.file.is_dir() else arguments.file
    if not path.is_file():
        raise UsageError(f"{path}: no such file", hint="`auditor init` writes one to start from.")
    inventory = load_inventory(path)
    hosts = sum(len(host.expanded()) for host in inventory.hosts)
    print(f"{path}: good: {hosts} hosts, {len(inventory.sources)} sources")
    return 0


def run_schema(arguments: argparse.Namespace) -> int:
    """Prints the schema."""
    from auditor.inventory import inventory_json_schema

    common.write(lambda _color, _width: json.dumps(inventory_json_schema(), indent=2) + "\n", arguments)
    return 0
