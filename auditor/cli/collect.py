"""`auditor collect`: captures from the sources of the inventory, into a snapshot."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditor.errors import UsageError
from auditor.text import printable

if TYPE_CHECKING:
    from auditor.capture.ssh import HostResult

COMPLETE, UNSEEN = 0, 4
_NONCE: Final = "0" * 32

_EPILOG = """\
examples:
  auditor collect --estate estate/ -o snapshot/                 every host of the sources of kind ssh
  auditor collect --estate estate/ -o snapshot/ 'web*' db03     some of them
  auditor collect --estate estate/ -o snapshot/ --resume        go on where it was interrupted
  auditor collect --print-program | less                        what would run on the hosts
  auditor checklist legacy-cert-01 --estate snapshot/           then ask the snapshot

Nothing is written on the hosts. Host keys must be in known_hosts. Secrets are taken out before anything is stored.

exit codes: 0 all was seen, 2 usage, 3 crash, 4 something was not seen (each thing is in the snapshot's captures.jsonl)
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "collect",
        help="capture from live hosts, read-only, into a snapshot",
        description="Logs in to the hosts of the inventory's sources and captures what the auditor reads.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("hosts", metavar="HOST", nargs="*", help="only these hosts: names, ranges or patterns with *")
    parser.add_argument(
        "--estate", metavar="DIR", type=Path, default=Path(), help="the directory of inventory.yaml (default: this one)"
    )
    parser.add_argument(
        "-o", "--output", metavar="SNAPSHOT", type=Path, help="the snapshot's directory (default: snapshot-<time>)"
    )
    parser.add_argument("--jobs", metavar="N", type=_count, default=32, help="hosts at once (default: 32)")
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, default=60.0, help="seconds for one host, all in all (default: 60)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue a snapshot: hosts that are complete are left out"
    )
    parser.add_argument(
        "--print-program", action="store_true", help="print the program that runs on the hosts, and do nothing"
    )
    parser.add_argument("--ssh-config", metavar="FILE", type=Path, help="another ssh_config than ~/.ssh/config")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1024:
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

        sys.stdout.write(program(_NONCE))
        return COMPLETE
    return _collect(arguments)


def _collect(arguments: argparse.Namespace) -> int:
    from auditor.capture.snapshot import INVENTORY, Record, Snapshot
    from auditor.capture.sources import SshConfig, targets
    from auditor.inventory import load_inventory
    from auditor.model import Outcome

    path: Path = arguments.estate / INVENTORY
    if not path.is_file():
        raise UsageError(f"{path}: no such file", hint="The sources to collect from stand in it: see `auditor init`.")
    inventory = load_inventory(path)
    wanted, others = targets(inventory, arguments.hosts)
    if arguments.hosts:
        others = []
    if not wanted and not others:
        raise UsageError(f"{path}: there is nothing to collect from", hint="Add `sources: [{kind: ssh}]`, and `hosts`.")
    started = datetime.now(UTC)
    config = SshConfig.read(arguments.ssh_config)
    root: Path = arguments.output or Path(started.strftime("snapshot-%Y%m%dT%H%M%SZ"))
    when = started.strftime("%Y-%m-%dT%H:%M:%SZ")
    if wanted:
        _need_paramiko()
    snapshot = Snapshot.open(root, inventory=path.read_bytes(), started_at=when, resume=arguments.resume)
    if others:
        snapshot.record(
            Record(f"sources/{name}", Outcome.UNSUPPORTED, when, f"sources of kind {kind} are not collected yet")
            for name, kind in others
        )
    left = [one for one in wanted if not snapshot.complete(one.host)]
    if config.skipped and not arguments.quiet:
        print(f"auditor: {config.skipped} Match blocks of ssh_config were left out", file=sys.stderr)
    failed = _hosts(snapshot, config, left, arguments) if left else 0
    snapshot.close()
    unseen = sum(outcome not in (Outcome.OK, Outcome.ABSENT) for outcome in snapshot.outcomes.values())
    skipped = f", {len(wanted) - len(left)} were complete before" if len(left) < len(wanted) else ""
    print(
        f"{root}: {len(left) - failed} of {len(left)} hosts collected{skipped}; "
        + (f"{unseen} things were not seen: see captures.jsonl." if unseen else "all that was asked was seen.")
    )
    print(f"Next: auditor checklist HOST --estate {root}")
    return UNSEEN if unseen else COMPLETE


def _hosts(snapshot: Any, config: Any, left: Any, arguments: argparse.Namespace) -> int:
    from auditor.capture.named import Named
    from auditor.capture.ssh import Collection, Connector
    from auditor.cli.progress import Progress
    from auditor.model import Outcome
    from auditor.registry import load_collectors

    collectors, _ = load_collectors()
    connector = Connector(config)
    collection = Collection(snapshot, connector, Named(collectors), timeout=arguments.timeout)
    begun = time.monotonic()
    failed = 0
    with Progress("collecting", len(left), quiet=arguments.quiet) as bar:

        def done(result: HostResult) -> None:
            nonlocal failed
            failed += result.outcome is not Outcome.OK
            count = bar.done + 1
            rest = (time.monotonic() - begun) / count * (len(left) - count)
            if result.outcome is not Outcome.OK or (result.unseen and not arguments.quiet):
                bar.clear()
                print(f"auditor: {result.host}: {result.outcome}: {printable(result.detail)}", file=sys.stderr)
            bar.stage(f"collecting, {failed} failed, {rest:.0f} s left", count, len(left))

        try:
            collection.run(left, arguments.jobs, done)
        finally:
            connector.close()
    return failed


def _need_paramiko() -> None:
    import importlib.util

    if importlib.util.find_spec("paramiko") is None:
        raise UsageError("paramiko is not installed, which speaks SSH", hint="pip install 'auditor[ssh]'")
