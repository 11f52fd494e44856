"""How each kind of source of the inventory is collected: one small table, and what runs its entries side by side.

An entry is a function `collect(job, snapshot, *, now, progress) -> SourceResult`, imported only when a source of its
kind is collected. What goes wrong at one source is recorded there, and the others go on.
"""

from __future__ import annotations

import importlib
import importlib.util
import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from auditor.capture.snapshot import CUT_OFF, Record
from auditor.errors import AuditorError, UsageError
from auditor.model import Outcome
from auditor.phrases import timestamp
from auditor.text import printable, reason_of

if TYPE_CHECKING:
    from auditor.capture.snapshot import Snapshot
    from auditor.inventory.schema import Inventory


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of all sources. `timeout` is in seconds, for one host or one request."""

    jobs: int = 32
    timeout: float = 60.0
    hosts: tuple[str, ...] = ()
    """Only these hosts; then only sources of kind ssh are asked."""
    ssh_config: Path | None = None
    left_out: frozenset[str] = frozenset()
    """Hosts that are not asked."""


@dataclass(frozen=True, slots=True)
class Job:
    """One source that is to be collected."""

    name: str
    kind: str
    source: Any
    """The source as the inventory declares it: the model of its kind."""
    inventory: Inventory
    options: Options = Options()
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run is interrupted: nothing more is asked."""


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What became of a source: how many things were asked of it, and how many of them were not, or not all, seen.

    `outcome` is that of the source as a whole: OK if it was asked for everything, be it with refusals, which are in the
    snapshot's records one by one.
    """

    name: str
    asked: int
    unseen: int
    detail: str = ""
    outcome: Outcome = Outcome.OK
    noun: str = "request"
    """What `asked` counts, in the singular."""
    before: int = 0
    """How many were complete in the snapshot already."""


class Progress(Protocol):
    """Told as a source comes along, from the thread of the source: how far, and what was not seen if anything was."""

    def __call__(self, done: int, total: int, problem: str = "", /) -> None: ...


class Collect(Protocol):
    """How one source is collected. May raise AuditorError for the source as a whole, OSError if nothing can be kept."""

    def __call__(
        self, job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress
    ) -> SourceResult: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """An entry of the table: where the function is, and what must be installed for it."""

    module: str
    function: str
    package: str = ""
    """The library that it needs, as it is imported."""
    speaks: str = ""
    """What that library is for, as in `which speaks SSH`."""
    extra: str = ""
    """The extra of the auditor that installs it."""


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "ssh": Kind("auditor.capture.ssh_source", "collect", "paramiko", "speaks SSH", "ssh"),
        "aws": Kind("auditor.capture.aws", "collect", "boto3", "speaks to AWS", "aws"),
        "prometheus": Kind("auditor.capture.service_source", "collect"),
        "alertmanager": Kind("auditor.capture.service_source", "collect"),
        "github": Kind("auditor.capture.service_source", "collect"),
        "gitlab": Kind("auditor.capture.service_source", "collect"),
        "grafana": Kind("auditor.capture.service_source", "collect"),
        "healthchecks": Kind("auditor.capture.service_source", "collect"),
        "icinga2": Kind("auditor.capture.service_source", "collect"),
        "kubernetes": Kind("auditor.capture.service_source", "collect"),
        "netbox": Kind("auditor.capture.service_source", "collect"),
        "dns": Kind("auditor.capture.service_source", "collect_names"),
        "tls": Kind("auditor.capture.service_source", "collect_certificates"),
        "tree": Kind("auditor.capture.files_source", "collect"),
        "git": Kind("auditor.capture.files_source", "collect"),
    }
)
"""Kind of source -> how it is collected."""


def jobs_of(inventory: Inventory, options: Options = Options(), only: Sequence[str] = ()) -> list[Job]:
    """The sources to collect, each with a name of its own. `only` holds kinds or names of sources.

    Raises UsageError for a word of `only` that is none of them.
    """
    jobs: list[Job] = []
    taken: set[str] = set()
    stop = threading.Event()
    for number, source in enumerate(inventory.sources, 1):
        name = source.name or f"{source.kind}-{number}"
        if name in taken:
            name = f"{name}-{number}"
        taken.add(name)
        jobs.append(Job(name, source.kind, source, inventory, options, stop))
    known = {job.kind for job in jobs} | taken
    for word in only:
        if word not in known:
            raise UsageError(
                f"{word}: no source of the inventory has this kind or name",
                hint=f"There are: {', '.join(sorted(known))}." if known else "It has no sources.",
            )
    if only:
        jobs = [job for job in jobs if job.kind in only or job.name in only]
    if options.hosts:
        jobs = [job for job in jobs if job.kind == "ssh"]
    return jobs


def need_libraries(jobs: Sequence[Job], table: Mapping[str, Kind] = KINDS) -> None:
    """Raises UsageError if a library is not installed that one of them needs: before anything is asked."""
    for kind in dict.fromkeys(job.kind for job in jobs):
        entry = table.get(kind)
        if entry is not None and entry.package and importlib.util.find_spec(entry.package) is None:
            raise UsageError(
                f"{entry.package} is not installed, which {entry.speaks}",
                hint=f"It is in the extra `{entry.extra}`: "
                f"pip install '.[{entry.extra}]' where the auditor's source is. "
                "Or leave these sources out with --only.",
            )


def place_of(job: Job) -> str:
    """The path under which the snapshot records a source as a whole."""
    return "sources/" + (re.sub(r"[^\w.-]+", "_", job.name).strip(".") or "source")


def run(
    jobs: Sequence[Job],
    snapshot: Snapshot,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    progress: Callable[[int, int, str], None] = lambda _done, _total, _problem: None,
    ended: Callable[[SourceResult], None] = lambda _result: None,
    table: Mapping[str, Kind] = KINDS,
) -> list[SourceResult]:
    """Collects all sources side by side, and gives their results in the order of `jobs`.

    `progress` gets how much is done of how much over all sources, and a problem or an empty text, never from two
    threads at once; `ended` is called in this thread. Interrupting leaves a readable snapshot.
    """
    results: queue.SimpleQueue[tuple[int, SourceResult]] = queue.SimpleQueue()
    lock = threading.Lock()
    counts = [(0, 0)] * len(jobs)

    def work(number: int, job: Job) -> None:
        def tell(done: int, total: int, problem: str = "", /) -> None:
            with lock:
                counts[number] = done, total
                progress(sum(one for one, _ in counts), sum(one for _, one in counts), problem)

        results.put((number, _one(job, snapshot, now, tell, table)))

    # Daemons: an interrupted run does not wait for a server that does not answer.
    for number, job in enumerate(jobs):
        threading.Thread(target=work, args=(number, job), daemon=True, name=f"source-{number}").start()
    found: dict[int, SourceResult] = {}
    try:
        while len(found) < len(jobs):
            number, result = results.get()
            found[number] = result
            ended(result)
    except BaseException:
        for job in jobs:
            job.stop.set()
        raise
    return [found[number] for number in range(len(jobs))]


def _one(
    job: Job, snapshot: Snapshot, now: Callable[[], datetime], progress: Progress, table: Mapping[str, Kind]
) -> SourceResult:
    """One source, from its first record to its last. Never raises."""
    place = place_of(job)

    def record(outcome: Outcome, detail: str = "") -> None:
        snapshot.record([Record(place, outcome, timestamp(now()), printable(detail))])

    try:
        entry = table.get(job.kind)
        if entry is None:
            result = SourceResult(
                job.name, 0, 1, f"sources of kind {job.kind} are not collected yet", Outcome.UNSUPPORTED
            )
        else:
            snapshot.directory(place)
            record(Outcome.PARTIAL, CUT_OFF)
            collect: Collect = getattr(importlib.import_module(entry.module), entry.function)
            result = replace(collect(job, snapshot, now=now, progress=progress), name=job.name)
    except AuditorError as error:
        result = SourceResult(job.name, 0, 1, str(error), Outcome.PARTIAL)
    except OSError as error:
        result = SourceResult(job.name, 0, 1, f"the snapshot can't be written: {reason_of(error)}", Outcome.PARTIAL)
    # One source must never end the others, whatever a library raises.
    except Exception as error:  # noqa: BLE001
        why = f"a fault of the auditor: {type(error).__name__}: {reason_of(error)}"
        result = SourceResult(job.name, 0, 1, why, Outcome.PARTIAL)
    try:
        record(result.outcome, "" if result.outcome is Outcome.OK else result.detail)
    except OSError as error:
        detail = f"the snapshot can't be written: {reason_of(error)}"
        result = replace(result, outcome=Outcome.PARTIAL, unseen=max(1, result.unseen), detail=detail)
    return result
