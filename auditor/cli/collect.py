"""`auditor collect`: captures from the sources of the inventory, into a snapshot."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditor.errors import UsageError
from auditor.phrases import timestamp
from auditor.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.capture.kinds import Job, SourceResult
    from auditor.capture.snapshot import Snapshot
    from auditor.inventory.schema import Inventory

COMPLETE, UNSEEN = 0, 4
_NONCE: Final = "0" * 32
_BEGINNING: Final = 1024 * 1024
"""Bytes of the inventory that are looked at before it is loaded."""

_EPILOG = """\
examples:
  auditor collect --estate estate/ -o snapshot/                 every source of the inventory
  auditor collect --estate estate/ -o snapshot/ --only aws      the sources of a kind, or of a name
  auditor collect --estate estate/ -o snapshot/ 'web*' db03     some hosts, and nothing but hosts
  auditor collect --estate estate/ -o snapshot/ --resume        go on where it was interrupted
  auditor collect --estate estate/ -o monday.sqlar --pack       one file, equal files stored once
  auditor collect --print-program | less                        what would run on the hosts
  auditor collect --print-iam-policy > policy.json              what the role in an AWS account must be allowed
  auditor checklist legacy-cert-01 --estate snapshot/           then ask the snapshot

Sources are collected side by side, and one that fails never stops the others. Nothing is written on the hosts. Host
keys must be in known_hosts. Secrets are taken out before anything is stored. A run that is killed leaves a snapshot
that can be read, and continued with --resume.

exit codes: 0 all was seen, 2 usage, 3 crash, 4 something was not seen (each thing is in the snapshot's captures.jsonl)
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "collect",
        help="capture from live hosts, accounts and services, read-only, into a snapshot",
        description="Captures from the inventory's sources what the auditor reads: hosts over SSH, AWS accounts, DNS, "
        "TLS, and services over HTTP.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("hosts", metavar="HOST", nargs="*", help="only these hosts: names, ranges or patterns with *")
    parser.add_argument(
        "--estate", metavar="DIR", type=Path, default=Path(), help="the directory of inventory.yaml (default: this one)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="SNAPSHOT",
        type=Path,
        help="the snapshot's directory or file (default: snapshot-<time>)",
    )
    parser.add_argument(
        "--pack",
        action="store_true",
        help="write the snapshot as one file (SQLite in the sqlar layout); until it is whole, as FILE.collecting/",
    )
    parser.add_argument("--jobs", metavar="N", type=_count, default=32, help="hosts or requests at once (default: 32)")
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, default=60.0, help="seconds for one host, all in all (default: 60)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue a snapshot: hosts that are complete are left out"
    )
    parser.add_argument(
        "--print-program", action="store_true", help="print the program that runs on the hosts, and do nothing"
    )
    parser.add_argument(
        "--print-iam-policy",
        action="store_true",
        help="print the least IAM policy for sources of kind aws, and do nothing",
    )
    parser.add_argument(
        "--only",
        metavar="SOURCE",
        action="append",
        default=[],
        help="only sources of this kind (ssh, aws, github, …) or of this name; may be given several times",
    )
    parser.add_argument("--ssh-config", metavar="FILE", type=Path, help="another ssh_config than ~/.ssh/config")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 1 to 1024")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of seconds from 1 to 86400")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Collects; exit code 0 if all was seen, else 4."""
    if arguments.print_program:
        from auditor.capture.program import program
        from auditor.capture.windows import script

        sys.stdout.write(program(_NONCE, comments=True))
        sys.stdout.write("\n# On hosts of a source with `system: windows`, PowerShell:\n")
        sys.stdout.writelines(f"# {line}\n" for line in script(_NONCE).splitlines())
        return COMPLETE
    if arguments.print_iam_policy:
        import json

        from auditor.capture.aws_calls import iam_policy

        print(json.dumps(iam_policy(), indent=2))
        return COMPLETE
    return _collect(arguments)


def _collect(arguments: argparse.Namespace) -> int:
    from auditor.capture.snapshot import INVENTORY, Snapshot

    path: Path = arguments.estate / INVENTORY
    if not path.is_file():
        raise UsageError(f"{path}: no such file", hint="The sources to collect from stand in it: see `auditor init`.")
    _warm_up(path, arguments)
    from auditor.capture.kinds import Options, jobs_of, need_libraries
    from auditor.capture.pack import finish, prepare
    from auditor.capture.sources import SshConfig, targets_by_source
    from auditor.cli.common import fewer_collections
    from auditor.inventory import load_inventory
    from auditor.model import Outcome

    inventory = load_inventory(path)
    started = datetime.now(UTC)
    # Whoever names a host means it.
    left_out = frozenset() if arguments.hosts else _left_out(inventory, started)
    options = Options(arguments.jobs, arguments.timeout, tuple(arguments.hosts), arguments.ssh_config, left_out)
    jobs = jobs_of(inventory, options, arguments.only)
    # What is wrong with the command line or with ssh_config is said before anything is asked.
    hosts = {id(source): found for source, found in targets_by_source(inventory, options.hosts, left_out)}
    jobs = [job for job in jobs if hosts.get(id(job.source), True)]
    if not jobs:
        hint = "Add `sources: [{kind: ssh}]`, and `hosts`."
        if left_out:
            hint = "Every host of its sources is under `not_collected`: name those to collect from all the same."
        raise UsageError(f"{path}: there is nothing to collect from", hint=hint)
    if any(job.kind == "ssh" for job in jobs):
        SshConfig.read(options.ssh_config)
    need_libraries(jobs)
    if any(job.kind == "aws" for job in jobs):
        # What AWS answers makes no cycles.
        fewer_collections()
    place: Path = arguments.output or Path(
        started.strftime("snapshot-%Y%m%dT%H%M%SZ") + (".sqlar" if arguments.pack else "")
    )
    root = prepare(place, resume=arguments.resume) if arguments.pack else place
    when = timestamp(started)
    snapshot = Snapshot.open(root, inventory=path.read_bytes(), started_at=when, resume=arguments.resume)
    results = _run(jobs, snapshot, arguments)
    # What is packed must not change meanwhile.
    snapshot.close(hold=True)
    if arguments.pack:
        finish(root, place)
    snapshot.let_go()
    unseen = sum(outcome not in (Outcome.OK, Outcome.ABSENT) for outcome in snapshot.outcomes.values())
    # A record that could not be written is no record.
    unseen = unseen or sum(result.outcome is not Outcome.OK for result in results)
    print(
        f"{place}: {_told(results)}; "
        + (f"{_not_seen(unseen)}: see captures.jsonl." if unseen else "all that was asked was seen.")
    )
    if left_out:
        some = "1 host was" if len(left_out) == 1 else f"{len(left_out):,} hosts were"
        print(f"{some} left out, as `not_collected` of the inventory says.")
    print(f"Next: auditor checklist HOST --estate {place}")
    return UNSEEN if unseen else COMPLETE


def _warm_up(path: Path, arguments: argparse.Namespace) -> None:
    """Begins to load SSH before the inventory is known, if it looks as if several processes would collect hosts."""
    if arguments.hosts or arguments.only:
        return
    from auditor.capture.ssh_workers import HOSTS_A_PROCESS, warm_up

    with path.open("rb") as stream:
        beginning = stream.read(_BEGINNING)
    many = beginning.count(b"\n") > 2 * HOSTS_A_PROCESS
    if many and b"kind: ssh" in beginning and importlib.util.find_spec("paramiko") is not None:
        warm_up()


def _left_out(inventory: Inventory, now: datetime) -> frozenset[str]:
    """The hosts of which the inventory says that nobody has to look there."""
    from auditor.inventory.facts import not_collected

    names = {host.name for host in inventory.expanded()}
    return frozenset(
        name for statement, found in not_collected(inventory, names, now) if statement.holds(now) for name in found
    )


def _not_seen(count: int) -> str:
    return "1 thing was not seen" if count == 1 else f"{count} things were not seen"


def _run(jobs: Sequence[Job], snapshot: Snapshot, arguments: argparse.Namespace) -> list[SourceResult]:
    from auditor.capture.kinds import run as run_jobs
    from auditor.cli.progress import Progress

    begun = time.monotonic()
    failed = 0
    with Progress("collecting", quiet=arguments.quiet) as bar:

        def progress(done: int, total: int, problem: str) -> None:
            nonlocal failed
            if problem:
                failed += 1
                bar.clear()
                print(f"auditor: {printable(problem)}", file=sys.stderr)
            rest = (time.monotonic() - begun) / done * (total - done) if done else 0.0
            bar.stage(f"collecting, {failed} with problems, {rest:.0f} s left", done, total)

        return run_jobs(jobs, snapshot, progress=progress)


def _told(results: Sequence[SourceResult]) -> str:
    """`3 of 4 hosts and 2 of 2 AWS requests collected` of all sources, and what became of a source as a whole."""
    parts = []
    for noun in dict.fromkeys(result.noun for result in results if result.asked or result.before):
        some = [result for result in results if result.noun == noun]
        asked, missed = sum(one.asked for one in some), sum(one.unseen for one in some if one.asked)
        before = sum(one.before for one in some)
        kept = f", {before} were complete before" if before else ""
        parts.append(f"{asked - missed} of {asked} {noun}s collected{kept}")
    parts.extend(
        f"{printable(result.name)}: {result.outcome}: {printable(result.detail)}"
        for result in results
        if result.outcome.value != "ok"
    )
    return "; ".join(parts) or "nothing was left to collect"
