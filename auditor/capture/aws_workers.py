"""One AWS account in several processes: to make calls, read answers and write them down is mostly computing.

Each process has services of its own, so that the description of a service is loaded once and its calls are throttled
in one place. It writes into the same snapshot. Credentials stay with the process that started it, which renews them and
may have to ask a person for a code: the others borrow them for a minute at a time, and never keep them anywhere.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from auditor.capture import processes
from auditor.capture.snapshot import Snapshot
from auditor.model import Outcome

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

CHAINS_A_PROCESS: Final = 100
"""Of fewer it is not worth to start one, which takes half a second of CPU. A region has some 65."""
MAX_PROCESSES: Final = 4
LENT_SECONDS: Final = 60
_READY: Final = "auditor.capture.aws_ready"
_PATIENCE: Final = 0.2
_OF_BOTOCORE: Final = re.compile(r"AWS_.*|REQUESTS_CA_BUNDLE|(?:https?|no|all)_proxy", re.I)
_KEYS: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})

Keys: TypeAlias = tuple[str, ...]
Lent: TypeAlias = tuple[str | None, ...]
"""The fields of botocore's ReadOnlyCredentials."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process is to ask: chains as regions with the keys of operations. `ahead` is how much the clock of the
    run is ahead of the computer's, in seconds."""

    root: str
    account: str
    partition: str
    profile: str | None
    region: str | None
    workers: int
    attempts: int
    ahead: float
    chains: tuple[tuple[str, Keys], ...]
    environment: tuple[tuple[str, str], ...]


def environment() -> dict[str, str]:
    """The variables that botocore looks at, without credentials."""
    return {name: value for name, value in os.environ.items() if _OF_BOTOCORE.fullmatch(name) and name not in _KEYS}


def processes_for(chains: int) -> int:
    """How many processes ask so many chains; 1 is none beside this one."""
    return max(1, min(os.cpu_count() or 1, chains // CHAINS_A_PROCESS, MAX_PROCESSES))


def warm_up() -> None:
    """Starts to load what processes need: it goes on beside what comes here."""
    processes.warm_up(_READY)


def run(
    shares: Sequence[Share],
    *,
    lend: Callable[[], Lent],
    done: Callable[[str, Keys, int, dict[str, Outcome]], None],
    lost: Callable[[str, Keys], None],
    stop: threading.Event,
    beside: Callable[[Sequence[Share]], None],
) -> None:
    """Asks the shares in processes of their own, and calls `beside` meanwhile, with those that have got none.

    `done` is called with each chain, of how many of its operations not all was seen, and their outcomes; `lost` with
    each that a process which died had still to do. Both are called from several threads. Raises what a process could
    not go on with: OSError if the snapshot can't be written.
    """
    context = processes.context(_READY)
    failures: list[BaseException] = []
    threads: list[threading.Thread] = []
    left: list[Share] = []
    try:
        for share in shares:
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, share), daemon=True)
            try:
                process.start()
            except OSError:
                here.close()
                left.append(share)
                continue
            finally:
                there.close()
            arguments = (process, here, share, lend, done, lost, stop, failures)
            threads.append(threading.Thread(target=_listen, args=arguments, daemon=True))
            threads[-1].start()
        beside(left)
    except BaseException:
        stop.set()
        raise
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _listen(
    process: BaseProcess,
    connection: Connection,
    share: Share,
    lend: Callable[[], Lent],
    done: Callable[[str, Keys, int, dict[str, Outcome]], None],
    lost: Callable[[str, Keys], None],
    stop: threading.Event,
    failures: list[BaseException],
) -> None:
    left = dict.fromkeys(share.chains)
    try:
        # EOFError: the process has ended, be it by itself.
        with suppress(EOFError, ConnectionError):
            while not stop.is_set():
                if not connection.poll(_PATIENCE):
                    continue
                said = connection.recv()
                if said is None:
                    connection.send(_try(lend))
                elif isinstance(said, BaseException):
                    failures.append(said)
                else:
                    chain, unseen, outcomes = said
                    left.pop(chain, None)
                    done(chain[0], chain[1], unseen, outcomes)
        if not stop.is_set() and not failures:
            for region, keys in left:
                lost(region, keys)
    except Exception as error:  # noqa: BLE001 - raised again by `run`, in the thread that waits
        failures.append(error)
    finally:
        connection.close()
        process.terminate()
        process.join(10)


def _try(lend: Callable[[], Lent]) -> Lent | str:
    """Credentials, or why there are none."""
    try:
        return lend()
    except Exception as error:  # noqa: BLE001 - what providers of credentials raise has no base of its own
        return f"{type(error).__name__}: {error}"


def _work(connection: Connection, share: Share) -> None:
    """One process: its chains, with a word to the other side as each ends."""
    # Interrupting is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Answers make no cycles: to look for some all the time takes a seventh.
    gc.set_threshold(1_000_000, 20, 20)
    # That of the process that this one was forked from may be an older one.
    for name in environment():
        del os.environ[name]
    os.environ.update(share.environment)
    from auditor.capture.aws import collect_share

    lock = threading.Lock()
    snapshot = Snapshot.join(Path(share.root))

    def ask() -> Lent:
        from botocore.exceptions import CredentialRetrievalError

        with lock:
            connection.send(None)
            given = connection.recv()
        if isinstance(given, str):
            raise CredentialRetrievalError(provider="lent", error_msg=given)
        return tuple(given)

    def done(region: str, keys: Keys, unseen: int, outcomes: dict[str, Outcome]) -> None:
        with lock:
            connection.send(((region, keys), unseen, outcomes))

    # If nobody listens any more, there is nobody to collect for.
    with suppress(BrokenPipeError, EOFError):
        try:
            collect_share(share, snapshot, borrowed(ask), done)
        except Exception as error:  # noqa: BLE001 - raised again by the process that started this one
            with lock:
                connection.send(
                    error if isinstance(error, OSError) else RuntimeError(f"{type(error).__name__}: {error}")
                )
    connection.close()


def borrowed(ask: Callable[[], Lent]) -> Any:
    """Credentials for botocore that are asked for anew after a minute."""
    from botocore.credentials import Credentials, ReadOnlyCredentials

    lock = threading.Lock()

    class Borrowed(Credentials):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("", "", method="lent")
            self._until = 0.0
            self._frozen: Any = None

        def get_frozen_credentials(self) -> Any:
            with lock:
                if self._frozen is None or time.monotonic() >= self._until:
                    self._frozen = ReadOnlyCredentials(*ask())
                    self._until = time.monotonic() + LENT_SECONDS
                return self._frozen

    return Borrowed()
