"""Sources of the inventory that answer over HTTP, DNS and TLS, as `auditor.capture.kinds` runs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.capture.http.services import ServiceResult
from auditor.capture.kinds import SourceResult
from auditor.phrases import timestamp

if TYPE_CHECKING:
    from auditor.capture.kinds import Job, Progress
    from auditor.capture.snapshot import Snapshot


def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """A service over HTTP, by its kind. Raises OSError if the snapshot can't be written."""
    from auditor.capture.http.services import collect_service
    from auditor.capture.http.table import SERVICES

    service = SERVICES[job.kind]
    steps = service.steps(job.source)
    progress(0, len(steps))
    result = collect_service(
        job.name,
        job.source,
        snapshot,
        steps,
        client=service.client,
        now=_stamp(now),
        stop=job.stop.is_set,
        told=progress,
    )
    return _told(result, result.asked + result.before, progress)


def collect_names(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """A DNS server: its zones, and what it answers for the names of the estate."""
    from auditor.capture.dns_live import collect_dns, questions_for

    questions, cut = questions_for(job.inventory, _roots(job, snapshot))
    total = len(job.source.zones) + bool(questions)
    progress(0, total)
    result = collect_dns(
        job.name, job.source, snapshot, questions, cut=cut, timeout=job.options.timeout, now=_stamp(now)
    )
    return _told(result, total, progress)


def collect_certificates(
    job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress
) -> SourceResult:
    """What endpoints serve over TLS."""
    from auditor.capture.tls_live import collect_tls, endpoints_for

    roots = _roots(job, snapshot)
    endpoints, cut = endpoints_for(job.inventory, job.source.endpoints, roots, discover=job.source.discover)
    progress(0, len(endpoints))
    result = collect_tls(job.name, endpoints, snapshot, cut=cut, now=_stamp(now), stop=job.stop.is_set)
    return _told(result, len(endpoints), progress)


def _roots(job: Job, snapshot: Snapshot) -> list[Path]:
    """Where names and URLs of the estate are looked for: beside the inventory, and in what was collected so far."""
    return [*([Path(job.inventory.path).parent] if job.inventory.path else []), snapshot.root]


def _stamp(now: Callable[[], datetime]) -> Callable[[], str]:
    return lambda: timestamp(now())


def _told(result: ServiceResult, total: int, progress: Progress) -> SourceResult:
    progress(total, total, f"{result.name}: {result.detail}" if result.unseen else "")
    return SourceResult(result.name, result.asked, result.unseen, result.detail, before=total - result.asked)
