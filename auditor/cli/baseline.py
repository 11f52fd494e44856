"""`auditor baseline write|prune`: findings that are known, as a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.cli import common
from auditor.errors import UsageError
from auditor.phrases import plural

if TYPE_CHECKING:
    from auditor.model import Report

_EPILOG = """\
examples:
  auditor baseline write known.json --estate estate/                      of all hosts that the inventory declares
  auditor baseline write known.json legacy-cert-01 --estate estate/
  auditor checklist legacy-cert-01 --estate estate/ --baseline known.json
  auditor baseline prune known.json legacy-cert-01 --estate estate/       leaves out what is gone, and adds nothing
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "baseline", help="write down the findings that are known, so that only what is new blocks"
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)
    for name, help_text, run in (
        ("write", "write all that is found now to a file", run_write),
        ("prune", "take out of a file what is no longer found; nothing is added", run_prune),
    ):
        command = below.add_parser(
            name,
            help=help_text,
            description=f"{help_text[:1].upper()}{help_text[1:]}. What a policy waives is not written.",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("file", metavar="FILE", type=Path, help="the file of known findings")
        command.add_argument(
            "hosts",
            metavar="HOST[=ALIAS,…]",
            nargs="*",
            help="the hosts, as for `checklist` (default: all that the inventory declares as going)",
        )
        common.estate_options(command)
        common.policy_options(command, baseline=False)
        command.add_argument(
            "--as",
            dest="lifecycle",
            type=common.lifecycle,
            metavar="LIFECYCLE",
            help="retired or read-only (default: as the inventory declares, else retired)",
        )
        command.set_defaults(run=run)


def run_write(arguments: argparse.Namespace) -> int:
    """Writes what is found."""
    from auditor.model import Aside
    from auditor.policy.baseline import entry, render

    report = _report(arguments)
    findings = {one.fingerprint: entry(one) for one in report.findings}
    # What the policy's own baseline knows already stays known.
    findings.update({one.finding.fingerprint: entry(one.finding) for one in report.aside if one.why is Aside.KNOWN})
    _write(arguments.file, render(report.now, report.estate, list(findings.values())))
    print(f"{arguments.file}: {plural(len(findings), 'finding')} written; they are known from now on")
    return 0


def run_prune(arguments: argparse.Namespace) -> int:
    """Leaves out what this run has looked for and not found."""
    from auditor.policy.baseline import render
    from auditor.policy.decisions import earlier
    from auditor.policy.loading import load_baseline

    known = load_baseline(arguments.file)
    arguments.baseline = arguments.file
    report = _report(arguments)
    gone = {one.fingerprint for one in report.policy.gone}
    document = known.document
    left = [earlier(one) for one in document.findings if one.fingerprint not in gone]
    _write(arguments.file, render(report.now, document.estate, left))
    for one in report.policy.gone:
        print(f"gone: {one.message} [{one.rule}]")
    print(f"{arguments.file}: {plural(len(gone), 'finding')} taken out, {len(left):,} left")
    return 0


def _report(arguments: argparse.Namespace) -> Report:
    from auditor.audit.scenario import parse_hosts

    hosts = parse_hosts(arguments.hosts)
    request = common.request_of(arguments, hosts, arguments.lifecycle)
    return common.run_audit(request, quiet=arguments.quiet, own=arguments.rules).report


def _write(path: Path, document: dict[str, Any]) -> None:
    """One finding a line, so that a review of the file shows what came and went."""
    findings = [json.dumps(one, ensure_ascii=False) for one in document.pop("findings")]
    head = json.dumps(document, ensure_ascii=False)[:-1]
    body = "\n" + ",\n".join(findings) + "\n" if findings else ""
    text = f'{head}, "findings": [{body}]}}\n'
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror}", hint="Give another file.") from error
