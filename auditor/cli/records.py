"""`auditor checklist show|answer|sign|verify FILE`: a run that is kept."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditor.cli import common
from auditor.errors import UsageError
from auditor.model import Answer
from auditor.phrases import plural

if TYPE_CHECKING:
    from auditor.audit.engine import Audited
    from auditor.model import Report
    from auditor.policy.chain import Record

COMPLETE, ALTERED, OPEN = 0, 1, 4
_EVIDENCE_LIMIT: Final = 4 * 1024 * 1024 * 1024

_EPILOG = """\
examples:
  auditor checklist legacy-cert-01 --estate estate/ --run run.jsonl          keeps the run, and tells what is new
  auditor checklist show run.jsonl
  auditor checklist answer run.jsonl records-notice --by "Ada" --answer yes --evidence https://tickets/CHG-1
  auditor checklist sign run.jsonl --area renewal --by "Ada"
  auditor checklist verify run.jsonl --head 4f1c…
"""


def add(make: Any) -> dict[str, argparse.ArgumentParser]:
    """The parsers by their word. `make` makes one from a program name and what argparse takes."""
    parsers = {}
    for word, description, run in (
        ("show", "Shows a kept run: what is open, answered and signed off. Exit code 0 if it is complete.", run_show),
        ("answer", "Answers a question of a kept run. A later answer takes the place of an earlier one.", run_answer),
        ("sign", "Signs off an area of the last run of a file, or every area that NAME may sign.", run_sign),
        ("verify", "Finds what was changed in a file of kept runs. Exit code 0 if nothing was, else 1.", run_verify),
    ):
        parser = make(
            prog=f"auditor checklist {word}",
            description=description,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("file", metavar="FILE", type=Path, help="the file that --run named")
        parser.set_defaults(run=run)
        parsers[word] = parser
    common.output_options(parsers["show"], ("text", "json"))
    answer = parsers["answer"]
    answer.add_argument("item", metavar="ITEM", help="the question's id")
    answer.add_argument("--by", metavar="NAME", required=True, help="who answers")
    answer.add_argument("--answer", choices=[one.value for one in Answer], required=True, help="na: not applicable")
    answer.add_argument("--note", metavar="TEXT", default="", help="what is to be said to it")
    answer.add_argument(
        "--evidence", metavar="TEXT", default="", help="a link, a ticket, or a file, whose SHA-256 is kept"
    )
    sign = parsers["sign"]
    sign.add_argument("--area", metavar="AREA", required=True, help="the area's id; `all` for each that NAME may sign")
    sign.add_argument("--by", metavar="NAME", required=True, help="who signs")
    sign.add_argument("--note", metavar="TEXT", default="", help="what is to be said to it")
    sign.add_argument(
        "--despite", metavar="REASON", default="", help="sign off an area in which something is open, and say why"
    )
    parsers["verify"].add_argument(
        "--head", metavar="HASH", help="a hash that was noted elsewhere: the file must still hold its record"
    )
    return parsers


def run_show(arguments: argparse.Namespace) -> int:
    """Shows the state of a file."""
    from auditor.policy.kept import kept
    from auditor.report.kept import render_kept

    chain = _read(arguments.file)
    with _readable(arguments.file):
        state = kept(chain.records)
        common.write(
            lambda color, width: render_kept(state, chain, format=arguments.format, color=color, width=width), arguments
        )
        if chain.flaws:
            return ALTERED
        return COMPLETE if state.complete else OPEN


def run_answer(arguments: argparse.Namespace) -> int:
    """Adds an answer."""
    from auditor.policy.chain import append
    from auditor.policy.kept import answer_record

    _exists(arguments.file)
    evidence = _evidence(arguments.evidence)
    answer = Answer(arguments.answer)
    with _readable(arguments.file):
        record = append(
            arguments.file,
            lambda records: answer_record(records, arguments.item, answer, arguments.by, arguments.note, evidence),
        )
    _told(arguments.file, record)
    return 0


def run_sign(arguments: argparse.Namespace) -> int:
    """Adds signatures."""
    from auditor.policy.chain import append
    from auditor.policy.kept import kept, sign_records

    _exists(arguments.file)
    with _readable(arguments.file):
        # All of them are looked at before the first is written.
        wanted = list(_signatures(arguments, _read(arguments.file).records))
        for area in wanted:

            def make(records: Sequence[Record], area: str = area) -> Record:
                return next(sign_records(records, area, arguments.by, arguments.note, arguments.despite))

            record = append(arguments.file, make)
            despite = f", despite: {'; '.join(record['against'])}" if record["despite"] else ""
            print(f"{area}: signed off by {record['by']}{despite}")
        _told(arguments.file, record)
        left = [one.id for one in kept(_read(arguments.file).records).areas if not one.current]
    print(f"not signed off: {', '.join(left)}" if left else "all areas are signed off")
    return 0


def _signatures(arguments: argparse.Namespace, records: Sequence[Record]) -> Iterator[str]:
    from auditor.policy.kept import sign_records

    for one in sign_records(records, arguments.area, arguments.by, arguments.note, arguments.despite):
        yield one["area"]


def run_verify(arguments: argparse.Namespace) -> int:
    """Says what was changed, and the last hash."""
    from auditor.text import printable

    _exists(arguments.file)
    chain = _read(arguments.file)
    for flaw in chain.flaws:
        print(f"{arguments.file}:{flaw.line}: this line {printable(flaw.what)}")
    wanted = (arguments.head or "").strip().lower()
    missing = False
    if wanted:
        at = next((place for place, one in enumerate(chain.records, 1) if str(one["hash"]) == wanted), None)
        missing = at is None
        if at is None:
            print(
                f"{arguments.file}: no record has the hash {printable(wanted[:80])}: its end was taken away, or all of"
            )
            print("  it was written anew")
        elif at < len(chain.records):
            came = plural(len(chain.records) - at, "record")
            print(f"{arguments.file}: the noted record is number {at}; {came} came after it")
    for record in chain.records:
        if record.get("cut_off_bytes"):
            print(f"{arguments.file}: record {record['number']} took the place of a line that was cut off")
    if chain.flaws or missing:
        return ALTERED
    print(f"{arguments.file}: {plural(len(chain.records), 'record')}, each as it was written")
    print(f"head {chain.head}")
    if not wanted:
        print("That its end was not taken away, and that it was not written anew as a whole, only a hash")
        print("shows that was noted elsewhere: note this one, and give it with --head.")
    return COMPLETE


def _read(path: Path) -> Any:
    from auditor.policy.chain import read

    return read(path)


def _exists(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"{path}: no such file", hint="`auditor checklist HOST… --run FILE` begins one.")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a file says is somebody's text: where it is not as this version writes it, it is an error, and no crash."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UsageError(
            f"{path}: holds something that is not as this version writes it: {type(error).__name__}: {error}",
            hint="Was it written by a later version? `auditor checklist verify` says whether it was changed.",
        ) from error


def _evidence(text: str) -> dict[str, str]:
    """What is shown for an answer: a text, and the SHA-256 if it is a file."""
    from auditor.policy.baseline import printed
    from auditor.redaction import redact

    if not text.strip():
        return {}
    found = {"text": printed(redact(" ".join(text.split())))[:2000]}
    try:
        file = Path(text)
        if file.is_file():
            if file.stat().st_size > _EVIDENCE_LIMIT:
                raise UsageError(f"{text}: too large to be taken as evidence", hint="Give a link to it.")
            with file.open("rb") as stream:
                found["sha256"] = file_digest(stream, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        if Path(text).is_absolute():
            raise UsageError(
                f"{text}: can't be read: {error.strerror}", hint="Give a file that can be read."
            ) from error
    return found


def _told(path: Path, record: Record) -> None:
    print(f"{path}: record {record['number']}, head {record['hash']}")


def with_kept(path: Path, audited: Audited) -> Report:
    """A run's report with what a file says: answers, signatures, and what differs from the last run that it keeps.

    Raises UsageError if the file is about other hosts.
    """
    from auditor.audit.sight import blind_to
    from auditor.policy.kept import answers, check_hosts, signatures, since_last

    chain, report = _read(path), audited.report
    texts = {item.id: item.text for area in report.profile.areas for item in area.items}
    with _readable(path):
        check_hosts(chain.records, report)
        return replace(
            report,
            answers=answers(chain.records, texts),
            signed=signatures(chain.records, report, _rows(report)),
            since=since_last(chain.records, report, blind_to(audited.reading)),
        )


def intact(path: Path) -> None:
    """Raises UsageError if there is no such file, or if it is not as it was written."""
    _exists(path)
    if flaws := _read(path).flaws:
        raise UsageError(
            f"{path}:{flaws[0].line}: this line {flaws[0].what}",
            hint="Nothing is shown of such a file. `auditor checklist verify` says all that is wrong.",
        )


def keep(path: Path, report: Report, *, quiet: bool) -> None:
    """Adds a run to a file."""
    from auditor.policy.chain import append
    from auditor.policy.kept import check_hosts, run_record
    from auditor.report.summary import EXIT_CODES

    def make(records: Sequence[Record]) -> Record:
        check_hosts(records, report)
        return run_record(report, EXIT_CODES[report.verdict], _rows(report))

    with _readable(path):
        record = append(path, make)
    if not quiet:
        print(f"kept as record {record['number']} of {path}, head {record['hash']}", file=sys.stderr)


def _rows(report: Report) -> list[dict[str, Any]]:
    """What is kept of each area of a run."""
    from auditor.report.summary import NO_GAP, areas

    return [
        {
            "id": row.area.id,
            "blockers": row.blockers,
            "warnings": row.warnings,
            "notes": row.notes,
            "not_looked_at": "" if row.unseen in NO_GAP else row.unseen,
        }
        for row in areas(report)
    ]
