"""Hosts over SSH: one connection a host, one program a round, host keys checked strictly.

paramiko's Transport is used as it is, without its client: that leaves out what reads the user's configuration and would
run what it says, and lets Nagle's delay be switched off.
"""

from __future__ import annotations

import base64
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from auditor.capture import windows
from auditor.capture.named import UNIT_PLACES, Named
from auditor.capture.program import MAX_CONTENT, MAX_FILES, FrameError, FrameReader, Item, program, usable
from auditor.capture.snapshot import CUT_OFF, Record, Snapshot, keepable
from auditor.capture.sources import MAX_JUMPS, Endpoint, SshConfig, Target
from auditor.capture.ssh_host_keys import KnownHosts, algorithms, in_hardware, refusal
from auditor.capture.ssh_keys import plain_key
from auditor.errors import UsageError
from auditor.model import Outcome
from auditor.phrases import timestamp
from auditor.text import reason_of

if TYPE_CHECKING:
    import paramiko

    from auditor.capture.ssh_transport import Transport

ROUNDS: Final = 3
"""The first, and two that ask for what was named before."""
CONNECT_SECONDS: Final = 15.0
_FIRST_THREADS: Final = 2
_LOOK_SECONDS: Final = 0.1
_BUSY: Final = 0.5
"""The part of one core from which on more threads would only take the interpreter from each other."""
_PIECE: Final = 65536
_SHELL: Final = "exec /bin/sh -s"
# sudo takes the environment away: what of it the program needs is its argument.
# Where it is refused (1) or missing (127) it has read nothing of the program: another shell does.
_SUDO_SHELL: Final = (
    """exec /bin/sh -c 'sudo -n /bin/sh -s -- "$SSH_CONNECTION"; case $? in 1 | 127) exec /bin/sh -s ;; esac'"""
)
_MAX_GREETING: Final = 32768


class ConnectError(Exception):
    """A host that was not reached, or did not let us in."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class _UnwrittenError(Exception):
    """The snapshot can't be written: a fault on our side, not the host's."""


@dataclass(frozen=True, slots=True)
class HostResult:
    """What became of one host. `detail` says why it is not OK; `unseen` counts what was asked and not seen of it."""

    host: str
    outcome: Outcome
    detail: str = ""
    files: int = 0
    unseen: int = 0


class _Deadlines:
    """Closes what is still open at its time, whatever its thread waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[float, Callable[[], None]]] = {}
        self._number = 0
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    def add(self, at: float, close: Callable[[], None]) -> int:
        with self._lock:
            self._number += 1
            self._open[self._number] = (at, close)
            return self._number

    def remove(self, number: int) -> None:
        with self._lock:
            self._open.pop(number, None)

    def _watch(self) -> None:
        while True:
            time.sleep(0.2)
            now = time.monotonic()
            with self._lock:
                late = [number for number, (at, _) in self._open.items() if at <= now]
                closing = [self._open.pop(number)[1] for number in late]
            for close in closing:
                # Closing may wait for the thread that hangs.
                threading.Thread(target=close, daemon=True).start()


class _Stream:
    """A socket or channel that is read in large pieces, and ends if too much comes before SSH does.

    paramiko asks for a packet's head and then for its rest, each time of the system; and for what comes before the
    protocol's version it has no limit, as RFC 4253, 4.2, has none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._piece = b""
        self._at = 0
        self._noise = b""
        self._greeted = False
        # What is called for each packet.
        self.send = stream.send
        self.settimeout = stream.settimeout

    def recv(self, count: int) -> bytes:
        at = self._at
        if at == len(self._piece):
            self._piece = self._stream.recv(_PIECE)
            at = 0
            if not self._greeted and not self._greets():
                return b""
        found = self._piece[at : at + count]
        self._at = at + len(found)
        return found

    def _greets(self) -> bool:
        """Whether what has come so far is, or may become, a greeting of SSH."""
        self._noise += self._piece
        self._greeted = b"SSH-" in self._noise
        if self._greeted:
            self._noise = b""
        return len(self._noise) <= _MAX_GREETING

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(slots=True)
class _Jump:
    lock: threading.Lock = field(default_factory=threading.Lock)
    transport: paramiko.Transport | None = None
    failure: ConnectError | None = None


class Connector:
    """Opens connections, over jump hosts that are shared by all who need them."""

    def __init__(self, config: SshConfig) -> None:
        _quiet()
        self._config = config
        self._lock = threading.Lock()
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], KnownHosts] = {}
        self._keys: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[list[paramiko.PKey], list[str]]] = {}
        self._jumps: dict[tuple[str, ...], _Jump] = {}
        self.deadlines = _Deadlines()

    def open(self, target: Target, until: float) -> paramiko.Transport:
        """A connection that is logged in, by this time of the monotonic clock. Raises ConnectError."""
        try:
            endpoint = self._config.endpoint(target.host, user=target.user, port=target.port, jump=target.jump)
        except UsageError as error:
            raise ConnectError(Outcome.UNREACHABLE, f"{error}. {error.hint}".strip()) from error
        return self._connect(endpoint, until, target.address, 0)

    def close(self) -> None:
        """Closes the connections to jump hosts."""
        for jump in self._jumps.values():
            if jump.transport is not None:
                jump.transport.close()

    def _connect(self, endpoint: Endpoint, until: float, address: str = "", depth: int = 0) -> paramiko.Transport:
        import paramiko

        from auditor.capture.ssh_transport import Transport

        known = self._known_hosts(endpoint)
        stream = self._stream(endpoint, until, address, depth)
        try:
            transport = Transport(cast("paramiko.Channel", _Stream(stream)))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise ConnectError(Outcome.UNREACHABLE, f"no SSH there: {reason_of(error)}") from error
        number = self.deadlines.add(until, transport.close)
        try:
            self._start(transport, endpoint, known, until)
            self._log_in(transport, endpoint)
        except ConnectError:
            _hang_up(transport)
            raise
        except (OSError, EOFError, paramiko.SSHException, ValueError) as error:
            _hang_up(transport)
            why = "it took too long" if time.monotonic() >= until else reason_of(error)
            raise ConnectError(Outcome.UNREACHABLE, f"no connection to {endpoint.host}: {why}") from error
        finally:
            self.deadlines.remove(number)
        return transport

    def _stream(self, endpoint: Endpoint, until: float, address: str, depth: int) -> Any:
        """A socket, or a channel through the last jump host."""
        if endpoint.jumps:
            return self._through(endpoint, until, depth)
        seconds = max(0.1, min(CONNECT_SECONDS, until - time.monotonic()))
        failure: OSError | None = None
        for place in dict.fromkeys(filter(None, (endpoint.host, address))):
            try:
                stream = socket.create_connection((place, endpoint.port), timeout=seconds)
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return stream
            except socket.gaierror as error:
                # Only then the inventory's address is tried: another failure is an answer.
                failure = error
            except (OSError, UnicodeError) as error:
                detail = "no answer in time" if isinstance(error, TimeoutError) else reason_of(error)
                raise ConnectError(Outcome.UNREACHABLE, f"{place} port {endpoint.port}: {detail}") from error
        raise ConnectError(Outcome.UNREACHABLE, f"{endpoint.host}: the name does not resolve") from failure

    def _through(self, endpoint: Endpoint, until: float, depth: int) -> Any:
        import paramiko

        if depth >= MAX_JUMPS or len(endpoint.jumps) > MAX_JUMPS:
            raise ConnectError(Outcome.UNREACHABLE, f"more than {MAX_JUMPS} jump hosts")
        via = ",".join(endpoint.jumps)
        transport = self._jump(endpoint.jumps, until, depth)
        try:
            seconds = max(0.1, min(CONNECT_SECONDS, until - time.monotonic()))
            return transport.open_channel(
                "direct-tcpip", (endpoint.host, endpoint.port), ("127.0.0.1", 0), timeout=seconds
            )
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise ConnectError(
                Outcome.UNREACHABLE, f"{endpoint.host} port {endpoint.port}, through {via}: {reason_of(error)}"
            ) from error

    def _jump(self, jumps: tuple[str, ...], until: float, depth: int) -> paramiko.Transport:
        """The connection to the last of these jump hosts, through those before it. One attempt serves all."""
        with self._lock:
            jump = self._jumps.setdefault(jumps, _Jump())
        with jump.lock:
            if jump.failure is not None:
                raise jump.failure
            if jump.transport is not None and jump.transport.is_active():
                return jump.transport
            try:
                endpoint = self._config.hop(jumps[-1])
                if len(jumps) > 1:
                    from dataclasses import replace

                    endpoint = replace(endpoint, jumps=jumps[:-1])
                jump.transport = self._connect(endpoint, until, "", depth + 1)
                jump.transport.set_keepalive(30)
                return jump.transport
            except UsageError as error:
                jump.failure = ConnectError(Outcome.UNREACHABLE, f"jump host {jumps[-1]}: {error}")
            except ConnectError as error:
                jump.failure = ConnectError(error.outcome, f"jump host {jumps[-1]}: {error.detail}")
            raise jump.failure

    @staticmethod
    def _start(transport: Transport, endpoint: Endpoint, known: KnownHosts, until: float) -> None:
        """Key exchange, and the host's key against those that are known."""
        from paramiko.ssh_exception import IncompatiblePeer

        keys = known.keys(endpoint.key_name, endpoint.port)
        transport.host_key_algorithms = algorithms(keys, transport.get_security_options().key_types)
        seconds = max(0.1, until - time.monotonic())
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
        try:
            transport.start_client(timeout=seconds)
        except IncompatiblePeer as error:
            if "host key" in str(error) and (why := in_hardware(keys)):
                raise ConnectError(Outcome.UNREACHABLE, f"host key not verified: {why}; not connected") from error
            raise
        now = datetime.now(UTC).timestamp()
        why = refusal(transport.host_key_blob, keys, endpoint.key_name, endpoint.port, now=now, revoked=known.revoked)
        if why:
            raise ConnectError(Outcome.UNREACHABLE, f"{why}; not connected")

    def _known_hosts(self, endpoint: Endpoint) -> KnownHosts:
        files = (endpoint.known_hosts, endpoint.revoked)
        with self._lock:
            known = self._known.get(files)
            if known is None:
                try:
                    known = self._known[files] = KnownHosts(endpoint.known_hosts, endpoint.revoked)
                except ValueError as error:
                    raise ConnectError(Outcome.UNREACHABLE, f"{error}; not connected") from error
            return known

    def _log_in(self, transport: paramiko.Transport, endpoint: Endpoint) -> None:
        import paramiko

        keys, problems = self._identities(endpoint)
        agent, agent_keys = _agent(endpoint.agent, endpoint.certificates)
        try:
            offered = list(keys)
            if agent_keys:
                own = {key.asbytes() for key in keys} | _public((*endpoint.identities, *endpoint.certificates))
                offered = [key for key in agent_keys if key.asbytes() in own] + offered
                if not endpoint.only_identities:
                    offered += [key for key in agent_keys if key.asbytes() not in own]
            for key in offered:
                try:
                    rest = transport.auth_publickey(endpoint.user, key)
                except paramiko.BadAuthenticationType as error:
                    raise ConnectError(
                        Outcome.DENIED,
                        f"{endpoint.user}@{endpoint.host}: it takes no public keys, {error.allowed_types} only",
                    ) from error
                except paramiko.AuthenticationException:
                    if not transport.is_active():
                        break
                    continue
                except paramiko.SSHException:
                    if not transport.is_active():
                        raise
                    continue
                if transport.is_authenticated():
                    return
                raise ConnectError(
                    Outcome.DENIED,
                    f"{endpoint.user}@{endpoint.host}: it wants more than a key: {', '.join(rest)}",
                )
        finally:
            if agent is not None:
                agent.close()
        tried = f"{len(offered)} keys were refused" if offered else "there is no key to offer"
        why = f" ({'; '.join(problems)})" if problems else ""
        raise ConnectError(Outcome.DENIED, f"{endpoint.user}@{endpoint.host}: {tried}{why}")

    def _identities(self, endpoint: Endpoint) -> tuple[list[paramiko.PKey], list[str]]:
        with self._lock:
            files = endpoint.identities, endpoint.certificates
            known = self._keys.get(files)
            if known is None:
                known = self._keys[files] = _load_keys(*files)
            return known


def _load_keys(files: Sequence[str], certificates: Sequence[str]) -> tuple[list[paramiko.PKey], list[str]]:
    """Private keys without a passphrase, and why others are left out. A certificate goes with the key beside it."""
    import paramiko

    keys: list[paramiko.PKey] = []
    problems: list[str] = []
    for name in files:
        if not os.path.isfile(name):
            continue
        try:
            key = paramiko.PKey.from_path(name)
        except TypeError:
            problems.append(f"{name} is encrypted: load it into the agent")
            continue
        except (OSError, ValueError, paramiko.SSHException) as error:
            problems.append(f"{name}: {reason_of(error)}")
            continue
        if key.public_blob is not None:
            # The plain key as well: a server may take one and not the other.
            keys.append(key)
            key = paramiko.PKey.from_path(name)
            key.public_blob = None
        for certificate in certificates:
            try:
                with_certificate = paramiko.PKey.from_path(name)
                with_certificate.load_certificate(certificate)
                keys.append(with_certificate)
            except (OSError, ValueError, paramiko.SSHException):
                continue
        keys.append(key)
    return keys, problems


def _public(files: Iterable[str]) -> set[bytes]:
    """The public halves beside identity files, and those in certificates: which of the agent's keys are meant."""
    blobs: set[bytes] = set()
    for name in files:
        for place in (f"{name}.pub", name):
            try:
                with open(place, "rb") as stream:
                    words = stream.read(65536).split()
                if len(words) >= 2 and words[0].startswith((b"ssh-", b"ecdsa-", b"sk-")):
                    blobs.add(plain_key(base64.b64decode(words[1], validate=True)))
            except (OSError, ValueError):
                continue
    return blobs


def _agent(path: str, certificates: Sequence[str]) -> tuple[socket.socket | None, list[paramiko.PKey]]:
    """The agent's keys over a connection of our own: one agent connection answers one question at a time.

    A certificate in a file goes with the agent's key that it is for, beside the key alone.
    """
    if not path:
        return None, []
    import paramiko
    from paramiko.agent import AgentKey, AgentSSH

    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(CONNECT_SECONDS)
        stream.connect(path)
        agent = AgentSSH()
        agent._connect(stream)  # type: ignore[attr-defined]
        keys: list[paramiko.PKey] = []
        for key in agent.get_keys():
            for certificate in certificates:
                if key.asbytes() in _public([certificate]):
                    certified = AgentKey(key.agent, key.blob)
                    certified.load_certificate(certificate)
                    keys.append(certified)
            keys.append(key)
        return stream, keys
    except (OSError, ValueError, paramiko.SSHException):
        stream.close()
        return None, []


def _hang_up(transport: paramiko.Transport) -> None:
    """Closes a connection at once: paramiko's thread, which is waited for, looks up ten times a second only."""
    # It may be closed already.
    with suppress(OSError, EOFError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    # paramiko closes those only that had begun.
    transport.sock.close()


def _quiet() -> None:
    """paramiko logs what goes wrong with a traceback; it is reported here as one line."""
    import logging

    logger = logging.getLogger("paramiko")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(logging.CRITICAL)


def _now() -> str:
    return timestamp(datetime.now(UTC))


_DETAIL: Final[Mapping[str, tuple[Outcome, str]]] = {
    "ABSENT": (Outcome.ABSENT, ""),
    "DENIED": (Outcome.DENIED, "the user who logs in may not read it"),
    "REMOTE": (Outcome.UNSUPPORTED, "on a network mount, or behind a link that leads to one: not touched"),
    "FULL": (Outcome.PARTIAL, f"more than {MAX_FILES} files: this and what follows was not captured"),
    "DEEP": (Outcome.PARTIAL, "directories too deep: not captured"),
    "ODD": (Outcome.PARTIAL, "a name with control characters: not captured"),
}


class _Host:
    """The collection of one host: takes items, writes them, and remembers what to record."""

    def __init__(self, snapshot: Snapshot, host: str) -> None:
        self._snapshot = snapshot
        self._base = f"hosts/{host}"
        self.documents: dict[str, bytes] = {}
        self.records: dict[str, Record] = {}
        self.asked: set[str] = set()
        self.files = 0

    def take(self, item: Item) -> None:
        if item.kind == "OUT":
            self._output(item)
        elif item.kind == "FILE":
            self.asked.add(item.name)
            self._file(item)
        elif item.kind == "LINK":
            self._link(item)
        elif item.kind == "SEEN":
            self._note(item.name, Outcome.OK)
            self._do(item.name, lambda path: self._snapshot.directory(path))
        elif item.kind == "LIMITED":
            self._note(item.name, Outcome.PARTIAL, item.content.decode())
        elif item.kind in _DETAIL:
            # A unit that a first round named is in one of several places, and not in the others.
            guessed = item.kind == "ABSENT" and item.name in self.asked and item.name.startswith(UNIT_PLACES)
            self.asked.add(item.name)
            if not guessed and self.records.get(self._base + item.name) is None:
                self._note(item.name, *_DETAIL[item.kind])
        else:
            self.asked.add(item.name)

    def _note(self, path: str, outcome: Outcome, detail: str = "") -> None:
        self.records[self._base + path] = Record(self._base + path, outcome, _now(), detail)

    def _do(self, path: str, write: Callable[[str], None]) -> None:
        try:
            write(self._base + path)
        except ValueError as error:
            self._note(path, Outcome.PARTIAL, f"can't be kept: {error}")
        except OSError as error:
            self._note(path, Outcome.PARTIAL, f"can't be written: {reason_of(error)}")
            raise _UnwrittenError(reason_of(error)) from error

    def _file(self, item: Item) -> None:
        if why := keepable(item.name, item.content):
            self._note(item.name, Outcome.UNSUPPORTED, why)
            return
        if item.status > 0 and not item.content:
            self._note(item.name, Outcome.DENIED, "it can't be read")
            return
        self._note(item.name, *_completeness(item))
        self._do(item.name, lambda path: self._snapshot.store(path, item.content))
        self.documents[item.name] = item.content
        self.files += 1

    def _link(self, item: Item) -> None:
        target = item.content.decode("utf-8", "surrogateescape")
        if target == "/dev/null":
            self._do(item.name, lambda path: self._snapshot.link(path, target))
        elif usable(target):
            self._do(item.name, lambda path: self._snapshot.link(path, self._base + target))

    def _output(self, item: Item) -> None:
        path = f"/.auditor/{item.name}"
        if not item.content and item.status:
            why = "the command took too long" if item.status == 124 else f"the command ended with {item.status}"
            self._note(path, Outcome.PARTIAL if item.status in (124, -1) else Outcome.UNSUPPORTED, why)
            return
        if keepable(path, item.content):
            self._note(path, Outcome.UNSUPPORTED, "not text: not kept")
            return
        self._note(path, *_completeness(item))
        self._do(path, lambda place: self._snapshot.store(place, item.content))


def _completeness(item: Item) -> tuple[Outcome, str]:
    if item.status == -1:
        return Outcome.PARTIAL, "cut off: only the beginning was captured"
    if len(item.content) >= MAX_CONTENT:
        return Outcome.PARTIAL, f"longer than {MAX_CONTENT} bytes: only the beginning was captured"
    if item.status == 124:
        return Outcome.PARTIAL, "the command took too long"
    if item.status:
        return Outcome.PARTIAL, f"reading it ended with {item.status}"
    return Outcome.OK, ""


class Collection:
    """Collects hosts into a snapshot, several at once. A bad host holds up nobody but its own thread."""

    def __init__(self, snapshot: Snapshot, connector: Connector, named: Named, *, timeout: float = 60.0) -> None:
        self._snapshot = snapshot
        self._connector = connector
        self._named = named
        self._timeout = timeout

    @property
    def _late(self) -> str:
        return f"it took longer than {self._timeout:.0f} s"

    def run(self, targets: Sequence[Target], jobs: int, done: Callable[[HostResult], None]) -> list[HostResult]:
        """All of them; `done` is called in this thread as each ends. Interrupting leaves a readable snapshot.

        Up to `jobs` at once: threads are added as long as there is time to compute, for sixteen that only compute
        take twice the time of two.
        """
        waiting: queue.SimpleQueue[Target] = queue.SimpleQueue()
        ended: queue.SimpleQueue[HostResult] = queue.SimpleQueue()
        for target in targets:
            waiting.put(target)

        def work() -> None:
            while True:
                try:
                    target = waiting.get_nowait()
                except queue.Empty:
                    return
                ended.put(self.host(target))

        def start(count: int) -> None:
            for _ in range(count):
                threading.Thread(target=work, daemon=True).start()

        most = max(1, min(jobs, len(targets)))
        threads = min(most, _FIRST_THREADS)
        looked, computed = time.monotonic(), time.process_time()
        start(threads)
        results: list[HostResult] = []
        while len(results) < len(targets):
            with suppress(queue.Empty):
                results.append(ended.get(timeout=_LOOK_SECONDS if threads < most else None))
                done(results[-1])
            passed = time.monotonic() - looked
            if threads < most and passed >= _LOOK_SECONDS:
                if time.process_time() - computed < _BUSY * passed:
                    start(more := min(threads, most - threads))
                    threads += more
                looked, computed = time.monotonic(), time.process_time()
        return results

    def host(self, target: Target) -> HostResult:
        """One host, from the connection to the last record. Never raises."""
        base = f"hosts/{target.host}"
        host = _Host(self._snapshot, target.host)
        try:
            self._snapshot.directory(base)
            self._snapshot.record([Record(base, Outcome.PARTIAL, _now(), CUT_OFF)])
            outcome, detail = self._rounds(target, host)
            if outcome is Outcome.OK and (missed := [one for one in host.records.values() if one.outcome not in _SEEN]):
                detail = f"{len(missed)} things were not seen"
        except ConnectError as error:
            outcome, detail = error.outcome, error.detail
        except (OSError, _UnwrittenError) as error:
            outcome, detail = Outcome.PARTIAL, f"the snapshot can't be written: {reason_of(error)}"
        # One host must never end the others, whatever a library raises.
        except Exception as error:  # noqa: BLE001
            outcome, detail = Outcome.PARTIAL, f"a fault of the auditor: {type(error).__name__}: {reason_of(error)}"
        unseen = sum(one.outcome not in _SEEN for one in host.records.values())
        self._snapshot.leave(base)
        try:
            last = Record(base, outcome, _now(), "" if outcome is Outcome.OK else detail)
            self._snapshot.record([*host.records.values(), last])
        except OSError as error:
            outcome, detail = Outcome.PARTIAL, f"the snapshot can't be written: {reason_of(error)}"
        return HostResult(target.host, outcome, detail, host.files, unseen)

    def _rounds(self, target: Target, host: _Host) -> tuple[Outcome, str]:
        until = time.monotonic() + self._timeout
        transport = self._connector.open(target, until)
        number = self._connector.deadlines.add(until, transport.close)
        try:
            if target.windows:
                return self._windows(transport, host, until)
            wanted: list[str] = []
            for count in range(ROUNDS):
                problem = self._round(transport, target, host, wanted, until)
                if problem is not None:
                    return problem
                if count + 1 < ROUNDS:
                    wanted = self._named.wanted(host.documents, frozenset(host.asked))
                    if not wanted:
                        break
                    host.asked.update(wanted)
            return Outcome.OK, ""
        finally:
            self._connector.deadlines.remove(number)
            _hang_up(transport)

    def _round(
        self, transport: paramiko.Transport, target: Target, host: _Host, wanted: Sequence[str], until: float
    ) -> tuple[Outcome, str] | None:
        """One program on the host. None if it came to its end; else what became of the host."""
        import paramiko

        from auditor.capture.ssh_transport import execute

        nonce = secrets.token_hex(16)
        reader = FrameReader(nonce)
        # A later round: the host has answered before.
        silent = Outcome.PARTIAL if wanted else Outcome.UNREACHABLE
        left = max(1.0, until - time.monotonic())
        text = program(nonce, wanted, deadline=int(left) + 1)
        try:
            channel = transport.open_session(timeout=left)
            channel.settimeout(left)
            execute(channel, _SUDO_SHELL if target.sudo else _SHELL, text.encode("utf-8", "surrogateescape"))
            while not reader.done:
                channel.settimeout(max(0.05, until - time.monotonic()))
                piece = channel.recv(_PIECE)
                if not piece:
                    break
                for item in reader.feed(piece):
                    host.take(item)
                if time.monotonic() >= until:
                    raise TimeoutError
        except FrameError as error:
            self._finish(reader, host)
            return Outcome.PARTIAL, f"what it sent can't be read on: {error}"
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._finish(reader, host)
            late = isinstance(error, TimeoutError) or time.monotonic() >= until
            why = self._late if late else reason_of(error)
            return (Outcome.PARTIAL if reader.started else silent), f"cut off: {why}"
        if reader.done:
            channel.close()
            return None
        self._finish(reader, host)
        # The watch over deadlines closes a connection as the other side would.
        if time.monotonic() >= until:
            return (Outcome.PARTIAL if reader.started else silent), f"cut off: {self._late}"
        if not reader.started and not wanted:
            return Outcome.UNSUPPORTED, "it let us in, and no POSIX shell answered"
        return Outcome.PARTIAL, "it stopped in the middle"

    def _windows(self, transport: paramiko.Transport, host: _Host, until: float) -> tuple[Outcome, str]:
        """One command of PowerShell."""
        import paramiko

        from auditor.capture.ssh_transport import execute

        nonce, answer = secrets.token_hex(16), bytearray()
        try:
            channel = transport.open_session(timeout=max(1.0, until - time.monotonic()))
            channel.settimeout(max(1.0, until - time.monotonic()))
            execute(channel, windows.command(nonce), b"")
            while piece := channel.recv(_PIECE):
                answer += piece
                if len(answer) > windows.MAX_ANSWER:
                    return Outcome.PARTIAL, f"it answered more than {windows.MAX_ANSWER} bytes"
                if time.monotonic() >= until:
                    raise TimeoutError
                channel.settimeout(max(0.05, until - time.monotonic()))
        except (OSError, EOFError, paramiko.SSHException) as error:
            late = isinstance(error, TimeoutError) or time.monotonic() >= until
            return Outcome.PARTIAL, f"cut off: {self._late if late else reason_of(error)}"
        try:
            for item in windows.items(bytes(answer), nonce):
                host.take(item)
        except FrameError as error:
            if time.monotonic() >= until:
                return Outcome.PARTIAL, f"cut off: {self._late}"
            return Outcome.UNSUPPORTED, str(error)
        return Outcome.OK, ""

    @staticmethod
    def _finish(reader: FrameReader, host: _Host) -> None:
        for item in reader.finish():
            host.take(item)


_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
