"""Sources of the inventory that answer over HTTP, DNS and TLS, as `auditor.capture.kinds` runs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.capture.http.services import ServiceResult
from auditor.capture.kinds import SourceResult

if TYPE_CHECKING:
    from auditor.capture.kinds import Job, Progress
    from auditor.capture.snapshot import Snapshot


def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """A service over HTTP, by its kind. Raises OSError if the snapshot can't be written."""
    from auditor.capture.http.services import collect_service
    from auditor.capture.http.table import steps_for

    steps = steps_for(job.source)
    progress(0, len(steps))
    result = collect_service(job.name, job.source, snapshot, steps, now=_stamp(now), stop=job.stop.is_set)
    return _told(result, len(steps), progress)


def collect_names(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """A DNS server: its zones, and what it answers for the names of the estate."""
    from auditor.capture.dns_live import collect_dns, questions_for

    beside = Path(job.inventory.path).parent if job.inventory.path else None
    roots = [root for root in (beside, snapshot.root) if root is not None]
    questions = questions_for(job.inventory, roots)
    total = len(job.source.zones) + bool(questions)
    progress(0, total)
    result = collect_dns(job.name, job.source, snapshot, questions, timeout=job.options.timeout, now=_stamp(now))
    return _told(result, total, progress)


def _stamp(now: Callable[[], datetime]) -> Callable[[], str]:
    return lambda: now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _told(result: ServiceResult, total: int, progress: Progress) -> SourceResult:
    progress(total, total, f"{result.name}: {result.detail}" if result.unseen else "")
    return SourceResult(result.name, result.asked, result.unseen, result.detail, before=total - result.asked)
