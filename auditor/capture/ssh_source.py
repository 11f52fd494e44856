"""A source of kind ssh: its hosts, several at once, with a few threads for each source if there are several."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from auditor.capture.kinds import Job, Progress, SourceResult
from auditor.capture.sources import SshConfig, targets_by_source
from auditor.model import Outcome

if TYPE_CHECKING:
    from auditor.capture.snapshot import Snapshot
    from auditor.capture.ssh import HostResult


def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """Captures the hosts of one source that no earlier source has. Raises UsageError for an unusable ssh_config."""
    from auditor.capture.named import Named
    from auditor.capture.ssh import Collection, Connector
    from auditor.registry import load_collectors

    options = job.options
    by_source = targets_by_source(job.inventory, options.hosts)
    own = next((found for source, found in by_source if source is job.source), [])
    everyone = sum(len(found) for _, found in by_source)
    left = [one for one in own if not snapshot.complete(one.host)]
    progress(0, len(left))
    if not left:
        return SourceResult(job.name, 0, 0, noun="host", before=len(own))
    config = SshConfig.read(options.ssh_config)
    if config.skipped:
        progress(0, len(left), f"{config.skipped} Match blocks of ssh_config were left out")
    collectors, _ = load_collectors()
    connector = Connector(config)
    collection = Collection(snapshot, connector, Named(collectors), timeout=options.timeout)
    done = failed = 0
    first = ""

    def one(result: HostResult) -> None:
        nonlocal done, failed, first
        done += 1
        failed += result.outcome is not Outcome.OK
        problem = ""
        if result.outcome is not Outcome.OK or result.unseen:
            problem = f"{result.host}: {result.outcome}: {result.detail}"
            first = first or problem
        progress(done, len(left), problem)

    try:
        collection.run(left, max(1, round(options.jobs * len(own) / max(everyone, 1))), one)
    finally:
        connector.close()
    return SourceResult(job.name, len(left), failed, first, noun="host", before=len(own) - len(left))
