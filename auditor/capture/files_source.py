"""Sources that are files already: a directory, and a revision of a git repository. Nothing of them is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditor.capture.kinds import SourceResult, place_of
from auditor.capture.snapshot import Record
from auditor.capture.tree import CAPTURES, INVENTORY, MAX_FILE, File, Tree
from auditor.errors import EstateError
from auditor.model import Outcome
from auditor.phrases import timestamp

if TYPE_CHECKING:
    from auditor.capture.kinds import Job, Progress
    from auditor.capture.snapshot import Snapshot

FILES_LIMIT: Final = 500_000
BYTES_LIMIT: Final = 4 * 1024**3
_TOLD_EVERY: Final = 200
_OWN: Final = frozenset({INVENTORY, CAPTURES, "snapshot.json", "policy.yaml"})
"""Files of an estate's own, which the snapshot has itself."""


def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """Copies the files, without their secrets, to `trees/<name>/`; files of hosts to `hosts/<host>/`.

    Raises EstateError if there is no such directory or revision, OSError if the snapshot can't be written.
    """
    tree = _tree(job)
    place = f"trees/{place_of(job).removeprefix('sources/')}"
    if snapshot.outcomes.get(place) is Outcome.OK:
        return SourceResult(job.name, 0, 0, noun="file", before=1)
    when = timestamp(now())
    files = list(_wanted(tree))
    missed: list[Record] = []
    size = stored = 0
    progress(0, len(files))
    for number, (file, content) in enumerate(zip(files, tree.read_all(files), strict=True), 1):
        target = file.estate_path if file.source else f"{place}/{file.estate_path}"
        if job.stop.is_set():
            missed.append(Record(place, Outcome.PARTIAL, when, "the run was interrupted"))
            break
        if isinstance(content, OSError):
            missed.append(Record(target, Outcome.DENIED, when, content.strerror or type(content).__name__))
            continue
        size += len(content)
        if size > BYTES_LIMIT:
            missed.append(Record(place, Outcome.PARTIAL, when, f"more than {BYTES_LIMIT // 1024**3} GiB of files"))
            break
        try:
            snapshot.store(target, content)
        except ValueError as error:
            missed.append(Record(place, Outcome.PARTIAL, when, f"{file.estate_path}: {error}"))
            continue
        stored += 1
        if file.size > MAX_FILE:
            missed.append(Record(target, Outcome.PARTIAL, when, f"only its first {MAX_FILE // 1024**2} MiB"))
        if number % _TOLD_EVERY == 0:
            progress(number, len(files))
    # Read now: what could not be listed is known only after all was listed.
    missed += [Record(f"{place}/{one.path}", one.outcome, when, one.detail) for one in tree.coverage]
    whole = next((one for one in missed if one.path == place), Record(place, Outcome.OK, when))
    snapshot.record([*(one for one in missed if one.path != place), whole])
    progress(len(files), len(files), f"{job.name}: {missed[0].detail}" if missed else "")
    detail = f"{len(missed):,} of {len(files):,} files were not, or not all, read: {missed[0].detail}" if missed else ""
    return SourceResult(job.name, stored + len(missed), len(missed), detail, noun="file")


def _tree(job: Job) -> Tree:
    beside = Path(job.inventory.path).parent if job.inventory.path else Path()
    path = beside / job.source.path
    if job.kind == "tree":
        return Tree.open(path, has_inventory=(path / INVENTORY).is_file())
    from auditor.capture.git import Repository
    from auditor.capture.git_tree import GitTree

    repository = Repository(path)
    commit = repository.commit(job.source.rev)
    return GitTree.of(repository, commit, f"{job.source.rev} ({commit[:12]})")


def _wanted(tree: Tree) -> Iterator[File]:
    """The files to copy. Raises EstateError if they are too many to be meant."""
    for count, file in enumerate(tree.files()):
        if count >= FILES_LIMIT:
            raise EstateError(
                f"{tree.label}: more than {FILES_LIMIT:,} files", hint="Name the directory that holds configuration."
            )
        if file.estate_path not in _OWN:
            yield file
