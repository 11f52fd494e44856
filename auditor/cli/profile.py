"""`auditor profile show|check|schema`: the areas of the checklist and its questions for people."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from auditor.cli import common
from auditor.phrases import plural


def add(commands: Any) -> None:
    parser = commands.add_parser("profile", help="the areas and questions of the checklist: print, check, schema")
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)
    show = below.add_parser(
        "show",
        help="print the built-in profile, to start from",
        description="Prints the built-in profile as YAML, to start from. `--profile FILE` then takes yours.",
    )
    common.output_options(show, ("yaml",))
    show.set_defaults(run=run_show)
    check = below.add_parser(
        "check",
        help="say what is wrong with a profile, by file and line",
        description="Says what is wrong with a profile, by file and line. Exit code 0 if nothing is, 2 otherwise.",
    )
    check.add_argument("file", metavar="FILE", type=Path, help="the profile")
    check.set_defaults(run=run_check)
    schema = below.add_parser(
        "schema", help="print the JSON Schema for editors", description="Prints the JSON Schema of a profile."
    )
    common.output_options(schema, ("json",))
    schema.set_defaults(run=run_schema)


def run_show(arguments: argparse.Namespace) -> int:
    """Prints the built-in profile."""
    from auditor.policy.built_in import BUILT_IN

    common.write(lambda _color, _width: BUILT_IN.read_text(encoding="utf-8"), arguments)
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Loads a profile; its problems are raised as PolicyError."""
    from auditor.policy.profile import load_profile

    profile = load_profile(arguments.file)
    items = sum(len(area.items) for area in profile.areas)
    print(f"{arguments.file}: good: {plural(len(profile.areas), 'area')}, {plural(items, 'question')} for people")
    return 0


def run_schema(arguments: argparse.Namespace) -> int:
    """Prints the schema."""
    from auditor.policy.profile import profile_json_schema

    common.write(lambda _color, _width: json.dumps(profile_json_schema(), indent=2) + "\n", arguments)
    return 0
