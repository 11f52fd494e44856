"""A source of kind ssh: its hosts, several at once, in several processes if they are many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from auditor.capture.kinds import Job, Progress, SourceResult
from auditor.capture.sources import SshConfig, targets_by_source
from auditor.model import Outcome

if TYPE_CHECKING:
    from auditor.capture.snapshot import Snapshot
    from auditor.capture.sources import Target
    from auditor.capture.ssh import HostResult


def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """Captures the hosts of one source that no earlier source has. Raises UsageError for an unusable ssh_config."""
    from auditor.capture.ssh_workers import HOSTS_A_PROCESS, processes_for, run

    options = job.options
    by_source = targets_by_source(job.inventory, options.hosts, options.left_out)
    own = next((found for source, found in by_source if source is job.source), [])
    everyone = sum(len(found) for _, found in by_source)
    left = [one for one in own if not snapshot.complete(one.host)]
    progress(0, len(left))
    if not left:
        return SourceResult(job.name, 0, 0, noun="host", before=len(own))
    config = SshConfig.read(options.ssh_config)
    if config.skipped:
        progress(0, len(left), f"{config.skipped} Match blocks of ssh_config were left out")
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

    jobs = max(1, round(options.jobs * len(own) / max(everyone, 1)))
    processes = processes_for(min(len(left), jobs * HOSTS_A_PROCESS))
    if processes > 1:
        run(snapshot, left, options.ssh_config, processes=processes, jobs=jobs, timeout=options.timeout, done=one)
    else:
        _here(snapshot, left, config, jobs, options.timeout, one)
    return SourceResult(job.name, len(left), failed, first, noun="host", before=len(own) - len(left))


def _here(
    snapshot: Snapshot,
    targets: list[Target],
    config: SshConfig,
    jobs: int,
    timeout: float,
    done: Callable[[HostResult], None],
) -> None:
    from auditor.capture.named import Named
    from auditor.capture.ssh import Collection, Connector
    from auditor.registry import load_collectors

    collectors, _ = load_collectors()
    connector = Connector(config)
    try:
        Collection(snapshot, connector, Named(collectors), timeout=timeout).run(targets, jobs, done)
    finally:
        connector.close()
