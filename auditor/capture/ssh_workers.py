"""Hosts over SSH in several processes: the threads of one share a core, and connections are mostly computing.

Each process writes into the same snapshot, with its own files and its own connections to jump hosts.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditor.capture.snapshot import Record, Snapshot
from auditor.model import Outcome
from auditor.phrases import timestamp

if TYPE_CHECKING:
    from auditor.capture.sources import Target
    from auditor.capture.ssh import HostResult

HOSTS_A_PROCESS: Final = 48
"""Of fewer it is not worth to start one: the first takes half a second."""
MAX_PROCESSES: Final = 8
_READY: Final = "auditor.capture.ssh_ready"
_MAX_SOCKET_DIRECTORY: Final = 64


def processes_for(hosts: int) -> int:
    """How many processes collect so many hosts; 1 is none beside this one."""
    return max(1, min(os.cpu_count() or 1, hosts // HOSTS_A_PROCESS, MAX_PROCESSES))


def warm_up() -> None:
    """Starts to load what processes need, in the one that they are forked from: it goes on beside what comes here."""
    if _context().get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def run(
    snapshot: Snapshot,
    targets: Sequence[Target],
    ssh_config: Path | None,
    *,
    processes: int,
    jobs: int,
    timeout: float,
    done: Callable[[HostResult], None],
) -> None:
    """Collects all of them; `done` is called in this thread as each ends. A process that dies loses its own hosts."""
    from auditor.capture.ssh import HostResult

    context = _context()
    started = []
    waiting: dict[Connection, set[str]] = {}
    try:
        for number in range(processes):
            own = targets[number::processes]
            here, there = context.Pipe(duplex=False)
            arguments = (there, str(snapshot.root), own, ssh_config, timeout, max(1, jobs // processes))
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            there.close()
            started.append(process)
            waiting[here] = {one.host for one in own}
        while waiting:
            for connection in wait(list(waiting)):
                assert isinstance(connection, Connection)
                try:
                    result, outcomes = connection.recv()
                except (EOFError, OSError):
                    for host in sorted(waiting.pop(connection)):
                        lost = HostResult(host, Outcome.PARTIAL, "a fault of the auditor: the process ended")
                        stamp = timestamp(datetime.now(UTC))
                        snapshot.record([Record(f"hosts/{host}", lost.outcome, stamp, lost.detail)])
                        done(lost)
                    continue
                snapshot.learn(outcomes)
                waiting[connection].discard(result.host)
                done(result)
    finally:
        for process in started:
            if waiting:
                process.terminate()
            process.join(10)


def _context() -> ForkServerContext | SpawnContext:
    """How to start processes. None is forked from this one: other sources have threads of their own here.

    What they need is loaded once, in a process that they are forked from. That one listens on a socket in the directory
    for temporary files: without such a directory, or with too long a name for a socket (unix(7)), each loads it anew.
    """
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _MAX_SOCKET_DIRECTORY:
            return multiprocessing.get_context("spawn")
    except FileNotFoundError:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_READY])
    return context


def _work(
    connection: Connection,
    root: str,
    targets: Sequence[Target],
    ssh_config: Path | None,
    timeout: float,
    jobs: int,
) -> None:
    """One process: its hosts, with a word to the other side as each ends."""
    # Interrupting is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is loaded stays: to look through it for garbage, and so to copy it from the other process, is in vain.
    gc.freeze()
    from auditor.capture.named import Named
    from auditor.capture.sources import SshConfig
    from auditor.capture.ssh import Collection, Connector
    from auditor.capture.ssh_ready import COLLECTORS

    snapshot = Snapshot.join(Path(root))
    connector = Connector(SshConfig.read(ssh_config))
    collection = Collection(snapshot, connector, Named(COLLECTORS), timeout=timeout)

    def tell(result: HostResult) -> None:
        connection.send((result, snapshot.forget(f"hosts/{result.host}")))

    try:
        # If nobody listens any more, there is nobody to collect for.
        with suppress(BrokenPipeError):
            collection.run(targets, jobs, tell)
    finally:
        connector.close()
        connection.close()
