"""Hosts that misbehave, played by a small SSH server: each has its outcome, and none holds up another."""

from __future__ import annotations

import base64
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditor.capture.named import Named
from auditor.capture.snapshot import Snapshot
from auditor.capture.sources import SshConfig, Target
from auditor.capture.ssh import Collection, Connector, HostResult
from auditor.capture.ssh_host_keys import KnownHosts
from auditor.cli.main import main
from auditor.model import Outcome

if TYPE_CHECKING:
    import paramiko
else:
    paramiko = pytest.importorskip("paramiko")

CRONTAB = b"17 3 * * * root /usr/bin/true\n"
PATIENCE = 120.0
"""Seconds for what takes a moment, on a machine that is busy."""
FOREVER = threading.Event()


class Clock:
    """The time of the connections, which a test may turn on: no test of a time that runs out waits for it."""

    hanging: queue.SimpleQueue[str] = queue.SimpleQueue()
    """The plays that hang, as they begin to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def past(self, seconds: float, when: Callable[[], bool]) -> None:
        """Turns it on by so many seconds as soon as something holds, in a thread of its own."""

        def turn() -> None:
            wait_for(when)
            self.ahead += seconds

        threading.Thread(target=turn, daemon=True).start()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("auditor.capture.ssh.time", found)
    while not found.hanging.empty():
        found.hanging.get()
    return found


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "what is waited for does not come"
        time.sleep(0.02)


def frames(nonce: str, *parts: bytes, done: bool = True) -> bytes:
    """A well-formed answer: START, these contents as files, and DONE."""
    count = 1
    out = [f"\n{nonce}.1 START 1\n".encode()]
    for number, content in enumerate(parts):
        name = "/etc/crontab" if number == 0 else f"/etc/cron.d/job{number}"
        out.append(f"\n{nonce}.{count + 1} BEGIN FILE {name}\n".encode() + content)
        out.append(f"\n{nonce}.{count + 2} END 0\n".encode())
        count += 2
    if done:
        out.append(f"\n{nonce}.{count + 1} DONE 1\n".encode())
    return b"".join(out)


Play = Callable[[Any, str, bool], None]


def good(channel: Any, nonce: str, again: bool) -> None:
    channel.sendall(frames(nonce) if again else frames(nonce, CRONTAB))


def hang(channel: Any, nonce: str, again: bool) -> None:
    Clock.hanging.put("hang")
    FOREVER.wait()


def hang_later(channel: Any, nonce: str, again: bool) -> None:
    Clock.hanging.put("hang-later")
    channel.sendall(frames(nonce, CRONTAB, done=False))
    FOREVER.wait()


def silent_later(channel: Any, nonce: str, again: bool) -> None:
    if not again:
        channel.sendall(frames(nonce, CRONTAB))


def flood(channel: Any, nonce: str, again: bool) -> None:
    while True:
        channel.sendall(b"y\n" * 16384)


def flood_in_frame(channel: Any, nonce: str, again: bool) -> None:
    channel.sendall(frames(nonce, CRONTAB, done=False) + f"\n{nonce}.4 BEGIN FILE /etc/fstab\n".encode())
    while True:
        channel.sendall(b"y\n" * 16384)


def cut(channel: Any, nonce: str, again: bool) -> None:
    channel.sendall(frames(nonce, CRONTAB, done=False) + f"\n{nonce}.4 BEGIN FILE /etc/fstab\n/dev/sd".encode())


def motd(channel: Any, nonce: str, again: bool) -> None:
    channel.sendall(b"Welcome!\n\x1b[31m" + b"#" * 10_000_000 + b"\n")
    good(channel, nonce, again)


def garbage(channel: Any, nonce: str, again: bool) -> None:
    channel.sendall(b"% Invalid input detected at '^' marker.\r\n" * 20 + bytes(range(256)))
    channel.sendall_stderr(b"sh: not found\n")


def forged(channel: Any, nonce: str, again: bool) -> None:
    """Content with ends that are none: of another nonce, and of this one with another count."""
    if again:
        return good(channel, nonce, again)
    fake = f"{'f' * 32}.3 END 0\n\n{nonce}.9 END 0\n\n{nonce}.2 BEGIN FILE /etc/forged\nx\n\n{nonce}.1 DONE 1\n"
    channel.sendall(frames(nonce, CRONTAB + b"\n" + fake.encode()))
    return None


def outside(channel: Any, nonce: str, again: bool) -> None:
    """A name that would leave the directory of the host."""
    channel.sendall(
        frames(nonce, CRONTAB, done=False)
        + f"\n{nonce}.4 BEGIN FILE /etc/../../../inventory.yaml\nx\n{nonce}.5 END 0\n\n{nonce}.6 DONE 1\n".encode()
    )


def twice(channel: Any, nonce: str, again: bool) -> None:
    """A file where another needs a directory, and a link that leads out."""
    text = f"\n{nonce}.1 START 1\n\n{nonce}.2 BEGIN FILE /etc/x\na\n{nonce}.3 END 0\n"
    text += f"\n{nonce}.4 BEGIN FILE /etc/x/y\nb\n{nonce}.5 END 0\n"
    text += f"\n{nonce}.6 BEGIN LINK /etc/up\n../../../../..\n{nonce}.7 END 0\n"
    text += f"\n{nonce}.8 BEGIN FILE /etc/up/z\nc\n{nonce}.9 END 0\n\n{nonce}.10 DONE 1\n"
    channel.sendall(frames(nonce) if again else text.encode())


def large(channel: Any, nonce: str, again: bool) -> None:
    channel.sendall(frames(nonce) if again else frames(nonce, CRONTAB, b"# " + b"x" * 300_000))


def win_app(channel: Any, nonce: str, again: bool) -> None:
    """PowerShell on a host of `system: windows`."""
    task = '<Task xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"/>'
    told = {"admin": False, "listed": True, "tasks": [{"path": "\\Eventide\\Copy", "xml": task}]}
    text = base64.b64encode(json.dumps(told).encode()).decode()
    channel.sendall(f"{nonce} BEGIN\r\n{text}\r\n{nonce} END\r\n".encode())


PLAYS: dict[str, Play] = {
    play.__name__.replace("_", "-"): play
    for play in (
        good,
        hang,
        hang_later,
        silent_later,
        flood,
        flood_in_frame,
        cut,
        motd,
        garbage,
        forged,
        outside,
        twice,
        large,
        win_app,
    )
}


class FakeHost(paramiko.ServerInterface):
    """Takes any key; who logs in says which play is played."""

    def __init__(self, plays: dict[str, Play]) -> None:
        self.plays = plays
        self.user = ""

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        self.user = username
        return 0  # AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return 0  # OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        threading.Thread(target=self.play, args=(channel, command), daemon=True).start()
        return True

    def play(self, channel: Any, command: bytes) -> None:
        with suppress(Exception):
            text = bytearray()
            while piece := channel.recv(65536):
                text += piece
            if command.startswith(b"powershell "):
                text[:] = base64.b64decode(command.rsplit(b" ", 1)[1]).decode("utf-16-le").encode()
                found = re.search(r"'([0-9a-f]{32}) BEGIN'", text.decode())
                first = ""
            else:
                first = bytes(text).split(b"\n", 1)[0].decode()
                found = re.match(r"N=([0-9a-f]{32}) ", first)
            assert found is not None
            self.plays[self.user](channel, found[1], not first.endswith("WANT=''"))
            channel.send_exit_status(0)
        with suppress(Exception):
            channel.close()


class Server:
    def __init__(self, directory: Path) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.directory = directory
        for name in ("host", "id"):
            (directory / name).write_bytes(
                Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.OpenSSH,
                    serialization.NoEncryption(),
                )
            )
        self.key = paramiko.PKey.from_path(directory / "host")
        self.plays = dict(PLAYS)
        self.logins: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.raw = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.shout, daemon=True).start()
        known = "".join(
            f"[127.0.0.1]:{port} {self.key.get_name()} {self.key.get_base64()}\n"
            for port in (self.port, self.raw.getsockname()[1])
        )
        (directory / "known_hosts").write_text(known)
        blocks = [f"Host {name}\n  User {name}\n  Port {self.port}\n" for name in PLAYS]
        blocks.append(f"Host shouting\n  Port {self.raw.getsockname()[1]}\n")
        (directory / "config").write_text(
            "".join(blocks)
            + f"Host *\n  HostName 127.0.0.1\n  User nobody\n  IdentityAgent none\n  IdentityFile {directory}/id\n"
            f"  UserKnownHostsFile {directory}/known_hosts\n  GlobalKnownHostsFile none\n"
        )

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream: socket.socket) -> None:
        with suppress(Exception):
            transport = paramiko.Transport(stream)
            transport.add_server_key(self.key)
            host = FakeHost(self.plays)
            transport.start_server(server=host)
            transport.join()
            self.logins.append(host.user)

    def shout(self) -> None:
        """Ten megabytes before SSH begins, without the end of a line."""
        with suppress(OSError):
            while True:
                stream, _ = self.raw.accept()
                with suppress(OSError), stream:
                    stream.sendall(b"x" * 10_000_000)
                    stream.recv(1)

    def close(self) -> None:
        self.listener.close()
        self.raw.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("fake"))
    yield found
    found.close()


def snapshot_at(place: Path, *, resume: bool = False) -> Snapshot:
    return Snapshot.open(place, inventory=b"version: 1\n", started_at="2026-11-23T00:00:00Z", resume=resume)


def collect(
    server: Server, place: Path, *hosts: str, timeout: float = PATIENCE, named: Named | None = None
) -> list[HostResult]:
    snapshot = snapshot_at(place)
    connector = Connector(SshConfig.read(server.directory / "config", server.directory / "none"))
    collection = Collection(snapshot, connector, named or Named([]), timeout=timeout)
    results = collection.run([Target(name) for name in hosts], len(hosts), lambda _: None)
    connector.close()
    snapshot.close()
    return results


def records(place: Path) -> dict[str, dict[str, str]]:
    return {entry["path"]: entry for entry in map(json.loads, (place / "captures.jsonl").read_text().splitlines())}


@pytest.mark.parametrize(
    ("play", "outcome", "detail", "kept"),
    [
        ("good", Outcome.OK, "", True),
        ("hang", Outcome.UNREACHABLE, "longer than 120 s", False),
        ("hang-later", Outcome.PARTIAL, "longer than 120 s", True),
        ("flood-in-frame", Outcome.PARTIAL, "longer than the program may send", True),
        ("cut", Outcome.PARTIAL, "stopped in the middle", True),
        ("motd", Outcome.OK, "", True),
        ("garbage", Outcome.UNSUPPORTED, "no POSIX shell", False),
        ("outside", Outcome.PARTIAL, "without a usable name", True),
        ("shouting", Outcome.UNREACHABLE, "", False),
    ],
)
def test_what_becomes_of_a_host(
    play: str, outcome: Outcome, detail: str, kept: bool, server: Server, tmp_path: Path, clock: Clock
) -> None:
    place = tmp_path / "snapshot"
    crontab = place / f"hosts/{play}/etc/crontab"
    if play.startswith("hang"):
        clock.past(PATIENCE, lambda: crontab.exists() if kept else not clock.hanging.empty())
    [result] = collect(server, place, play)
    assert (result.outcome, detail in result.detail) == (outcome, True), result
    assert crontab.exists() is kept
    if kept:
        assert crontab.read_bytes() == CRONTAB
    assert records(place)[f"hosts/{play}"]["outcome"] == outcome
    assert not (tmp_path / "inventory.yaml").exists()
    assert (place / "inventory.yaml").read_text() == "version: 1\n"


class Asking(Named):
    def wanted(self, documents: Mapping[str, bytes], asked: frozenset[str]) -> list[str]:
        return ["/opt/renew.sh"]


def test_a_host_that_falls_silent_in_a_later_round_was_reached(server: Server, tmp_path: Path) -> None:
    place = tmp_path / "snapshot"
    [result] = collect(server, place, "silent-later", named=Asking([]))
    assert (result.outcome, result.detail) == (Outcome.PARTIAL, "it stopped in the middle")
    assert (place / "hosts/silent-later/etc/crontab").read_bytes() == CRONTAB


def test_tasks_of_windows_are_asked_for_with_powershell(server: Server, tmp_path: Path) -> None:
    snapshot = snapshot_at(tmp_path / "snapshot")
    connector = Connector(SshConfig.read(server.directory / "config", server.directory / "none"))
    result = Collection(snapshot, connector, Named([]), timeout=PATIENCE).host(Target("win-app", windows=True))
    assert (result.outcome, result.files) == (Outcome.OK, 1), result
    root = tmp_path / "snapshot/hosts/win-app"
    assert (root / "Windows/System32/Tasks/Eventide/Copy").read_text().startswith("<Task")
    noted = records(tmp_path / "snapshot")["hosts/win-app/Windows/System32/Tasks"]
    assert noted["outcome"] == "partial"
    assert "administrator" in noted["detail"]


def test_a_host_without_powershell_is_unsupported(server: Server, tmp_path: Path) -> None:
    server.plays["win-app"], before = garbage, server.plays["win-app"]
    try:
        snapshot = snapshot_at(tmp_path / "snapshot")
        connector = Connector(SshConfig.read(server.directory / "config", server.directory / "none"))
        result = Collection(snapshot, connector, Named([]), timeout=PATIENCE).host(Target("win-app", windows=True))
    finally:
        server.plays["win-app"] = before
    assert result.outcome is Outcome.UNSUPPORTED
    assert "PowerShell" in result.detail


def test_a_flood_is_stopped(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import auditor.capture.program as program

    monkeypatch.setattr(program.FrameReader.__init__, "__kwdefaults__", {"cap": 1000, "total": 10**9, "noise": 10**6})
    [result] = collect(server, tmp_path / "snapshot", "flood")
    assert result.outcome is Outcome.PARTIAL
    assert "outside frames" in result.detail


def test_what_is_cut_in_a_file_is_partial(server: Server, tmp_path: Path) -> None:
    collect(server, tmp_path / "snapshot", "cut")
    found = records(tmp_path / "snapshot")
    assert found["hosts/cut/etc/crontab"]["outcome"] == "ok"
    assert found["hosts/cut/etc/fstab"]["outcome"] == "partial"


def test_frames_that_are_forged_are_content(server: Server, tmp_path: Path) -> None:
    [result] = collect(server, tmp_path / "snapshot", "forged")
    assert result.outcome is Outcome.OK
    root = tmp_path / "snapshot/hosts/forged"
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["crontab"]
    assert b"BEGIN FILE /etc/forged" in (root / "etc/crontab").read_bytes()


def test_nothing_is_written_outside_or_over_something_else(server: Server, tmp_path: Path) -> None:
    [result] = collect(server, tmp_path / "a/snapshot", "twice")
    root = tmp_path / "a/snapshot/hosts/twice"
    assert result.unseen >= 1
    assert (root / "etc/x").read_text() == "a"
    assert records(tmp_path / "a/snapshot")["hosts/twice/etc/x/y"]["outcome"] == "partial"
    assert not (root / "etc/up").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_bad_hosts_hold_up_nobody(server: Server, tmp_path: Path, clock: Clock) -> None:
    hosts = ("hang", "hang-later", "shouting", "cut", "garbage", "good")
    others = [f"hosts/{name}" for name in hosts[2:]]

    def ended() -> bool:
        """Whether the others have their last record, after the one that says that they were cut off."""
        place = tmp_path / "snapshot/captures.jsonl"
        lines = place.read_text().splitlines() if place.exists() else []
        return clock.hanging.qsize() == 2 and all(
            sum(line.startswith(f'{{"path": "{name}", ') for line in lines) == 2 for name in others
        )

    clock.past(PATIENCE, ended)
    results = collect(server, tmp_path / "snapshot", *hosts)
    order = [result.host for result in results]
    assert set(order[-2:]) == {"hang", "hang-later"}
    assert {result.host for result in results if result.outcome is Outcome.OK} == {"good"}


def test_a_host_name_that_is_nobodys(server: Server, tmp_path: Path) -> None:
    (server.directory / "nowhere").write_text("Host x\n  HostName does-not-exist.invalid\n")
    snapshot = snapshot_at(tmp_path / "snapshot")
    connector = Connector(SshConfig.read(server.directory / "nowhere", server.directory / "none"))
    result = Collection(snapshot, connector, Named([]), timeout=PATIENCE).host(Target("x"))
    assert result.outcome is Outcome.UNREACHABLE
    assert "does not resolve" in result.detail


def estate(server: Server, directory: Path, *hosts: str) -> list[str]:
    place = directory / "estate"
    place.mkdir()
    names = "".join(f"  - name: {name}\n    lifecycle: read-only\n" for name in hosts)
    (place / "inventory.yaml").write_text(f"version: 1\nhosts:\n{names}sources:\n  - kind: ssh\n")
    config = str(server.directory / "config")
    return ["collect", "--estate", str(place), "-o", str(directory / "snapshot"), "--ssh-config", config]


LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def start(words: list[str], *, limit: int | None = None) -> subprocess.Popen[str]:
    # Not in a `preexec_fn`: this process has threads, whose locks its child would wait for.
    limited = ["-c", LIMITED, str(limit)] if limit is not None else []
    command = [sys.executable, *limited, "-m", "auditor.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_told_and_what_was_written_stays(server: Server, tmp_path: Path) -> None:
    process = start(estate(server, tmp_path, "good", "large"), limit=100_000)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, (out, err)
    assert "large: partial: the snapshot can't be written: File too large" in err
    found = records(tmp_path / "snapshot")
    assert found["hosts/good"]["outcome"] == "ok"
    assert found["hosts/large"]["outcome"] == "partial"
    assert not (tmp_path / "snapshot/hosts/large/etc/cron.d/job1").exists()


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.capture.snapshot import Record

    snapshot = snapshot_at(tmp_path / "snapshot")
    snapshot.record([Record("hosts/a", Outcome.OK, "2026-11-23T00:00:00Z")])
    write = os.write
    full: list[bool] = []

    def on_a_full_disk(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(28, "No space left on device")
        full.append(True)
        return write(descriptor, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", on_a_full_disk)
        with pytest.raises(OSError, match="No space"):
            snapshot.record([Record("hosts/b", Outcome.OK, "2026-11-23T00:00:00Z")])
    snapshot.record([Record("hosts/c", Outcome.OK, "2026-11-23T00:00:00Z")])
    assert list(records(tmp_path / "snapshot")) == ["hosts/a", "hosts/c"]
    # What could not be recorded was not seen, whatever its outcome was.
    assert snapshot.outcomes["hosts/b"] is Outcome.PARTIAL


def test_killed_in_the_middle_then_resumed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = estate(server, tmp_path, "good", "hang-later")
    process = start(words)
    place = tmp_path / "snapshot"
    try:
        wait_for((place / "hosts/hang-later/etc/crontab").exists)
        wait_for(lambda: '"hosts/good", "outcome": "ok"' in (place / "captures.jsonl").read_text())
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL

    assert records(place)["hosts/hang-later"]["outcome"] == "partial"
    assert main(["checklist", "hang-later", "--estate", str(place), "--format", "json"]) in (1, 4)
    assert "the collection was cut off here" in capsys.readouterr().out

    with (place / "captures.jsonl").open("a") as stream:
        stream.write('{"path": "hosts/hang-la')
    monkeypatch.setitem(server.plays, "hang-later", good)
    code = main([*words, "--resume"])
    out, err = capsys.readouterr()
    assert code == 0, (out, err)
    assert "1 were complete before" in out
    assert records(place)["hosts/hang-later"]["outcome"] == "ok"


def test_known_hosts_that_are_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(b"\xff\xfe|1|x|y ssh-rsa !!\nhost ssh-ed25519\n|1| ssh-rsa AAAA\n@revoked\n" * 3)
    assert KnownHosts([str(tmp_path / "known"), str(tmp_path / "none"), str(tmp_path)]).keys("host", 22) == []


def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes for two hosts."""
    monkeypatch.setattr("auditor.capture.ssh_workers.HOSTS_A_PROCESS", 1)
    monkeypatch.setattr("auditor.capture.ssh_workers.os.cpu_count", lambda: 2)


def test_many_hosts_are_collected_by_several_processes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    several(monkeypatch)
    words = estate(server, tmp_path, "good", "cut", "motd", "garbage")
    assert main(words) == 4
    out, err = capsys.readouterr()
    found = records(tmp_path / "snapshot")
    assert {name: found[f"hosts/{name}"]["outcome"] for name in ("good", "cut", "motd", "garbage")} == {
        "good": "ok",
        "cut": "partial",
        "motd": "ok",
        "garbage": "unsupported",
    }
    assert found["hosts/cut/etc/fstab"]["outcome"] == "partial"
    assert "2 of 4 hosts collected" in out
    assert "cut: partial: it stopped in the middle" in err
    assert not (tmp_path / "snapshot/.incomplete").exists()
    assert main([*words, "--resume"]) == 4
    assert "2 were complete before" in capsys.readouterr().out


def test_processes_need_no_directory_for_temporary_files(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several(monkeypatch)
    monkeypatch.setattr("auditor.capture.ssh_workers.tempfile.gettempdir", lambda: "/no/" + "such" * 20)
    assert main(estate(server, tmp_path, "good", "motd")) == 0


def test_a_process_that_dies_loses_its_own_hosts_only(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import multiprocessing

    several(monkeypatch)

    def begun() -> bool:
        place = tmp_path / "snapshot/captures.jsonl"
        text = place.read_text() if place.exists() else ""
        return "hosts/hang-later" in text and '"hosts/good", "outcome": "ok"' in text

    def kill() -> None:
        wait_for(begun)
        # The first process has the first host, which hangs.
        min(multiprocessing.active_children(), key=lambda one: int(one.name.rpartition("-")[2])).kill()

    threading.Thread(target=kill, daemon=True).start()
    assert main([*estate(server, tmp_path, "hang-later", "good"), "--timeout", "3600"]) == 4
    found = records(tmp_path / "snapshot")
    assert found["hosts/good"]["outcome"] == "ok"
    assert found["hosts/hang-later"]["outcome"] == "partial"
    assert "the process ended" in found["hosts/hang-later"]["detail"]
    assert "hang-later: partial" in capsys.readouterr().err
