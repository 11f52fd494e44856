"""Hosts over SSH: `auditor collect`'s transport beside Ansible, pyinfra and OpenSSH under xargs, in one run.

Everything is on loopback: 127.0.0.1, 127.0.0.2, … are the hosts, of one light server (light_server.c, which answers 50
kB to any command, for less than a millisecond of CPU; it is compiled here and wants Debian's libssh-dev) or of several
real sshds (`--server sshd`; each session then costs the server some 20 ms of CPU). What is compared is from a virtual
environment of its own, made beforehand and outside of the repository:

    python3 -m venv /tmp/bench && /tmp/bench/bin/pip install ansible-core pyinfra
    python benchmarks/ssh.py --tools /tmp/bench --hosts 1000 --directory /dev/shm
    python benchmarks/ssh.py --tools /tmp/bench --hosts 200 --server sshd --servers 13 --repeat 1

Ours is `auditor collect` from its start to its end, with frames, redaction, the snapshot's files and a look into each
file. CPU is that of the client and of all that it starts, by getrusage; MB is that of its largest process.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def addresses(count: int) -> list[str]:
    return [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(count)]


class Bench:
    """Keys, configurations and servers in a directory of their own."""

    def __init__(self, root: Path, hosts: int, tools: Path, output: int) -> None:
        self.root, self.tools, self.output = root, tools, output
        self.hosts = addresses(hosts)
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        keygen(root / "id")
        keygen(root / "host")
        key = " ".join((root / "host.pub").read_text().split()[:2])
        (root / "known_hosts").write_text("".join(f"[{one}]:{self.port} {key}\n" for one in self.hosts))
        # The inventory's names are not addresses.
        blocks = "".join(f"Host h{number}.bench\n  HostName {one}\n" for number, one in enumerate(self.hosts))
        (root / "config").write_text(
            f"{blocks}Host *\n  Port {self.port}\n  User {os.environ.get('USER', 'root')}\n  IdentityFile {root}/id\n"
            f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {root}/known_hosts\n"
            "  GlobalKnownHostsFile none\n  BatchMode yes\n  StrictHostKeyChecking yes\n"
        )
        script = f"#!/bin/sh\nhead -c {output} /dev/zero | tr '\\0' x\n"
        (root / "script.sh").write_text(script)
        (root / "script.sh").chmod(0o755)

    def start(self, kind: str, count: int) -> None:
        if kind == "light":
            server = str(self.root / "light_server")
            source = str(Path(__file__).with_name("light_server.c"))
            subprocess.run(
                ["cc", "-O2", "-Wno-deprecated-declarations", "-o", server, source, "-lssh", "-lpthread"], check=True
            )
            words = [server, str(self.port), str(self.root / "host"), str(self.output)]
            self.processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
        else:
            for number in range(count):
                self._sshd(number, self.hosts[number::count])
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                time.sleep(1)
                return
        raise SystemExit("the server did not start")

    def _sshd(self, number: int, hosts: Sequence[str]) -> None:
        config = self.root / f"sshd_config{number}"
        config.write_text(
            "".join(f"ListenAddress {one}:{self.port}\n" for one in hosts)
            + f"HostKey {self.root}/host\nPidFile {self.root}/pid{number}\n"
            f"AuthorizedKeysFile {self.root}/id.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nLogLevel QUIET\n"
            "PasswordAuthentication no\nMaxStartups 500\nMaxSessions 100\nSubsystem sftp internal-sftp\n"
        )
        sshd = f"exec {shutil.which('sshd', path='/usr/sbin:/sbin')} -D -f {config}"
        # sshd as root wants /run/sshd: a mount of its own, which nobody else sees.
        inside = f"mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && {sshd}"
        self.processes.append(subprocess.Popen(["unshare", "-m", "sh", "-c", inside]))

    def cpu(self) -> float:
        """Seconds that the light server has taken so far; of sshd only those that listen, which says nothing."""
        ticks = 0
        for process in self.processes:
            words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(20)


def ours(bench: Bench, servers: str) -> Sequence[str]:
    """The command as people run it; what is collected is also looked into for further files."""
    hosts = "".join(f"  - name: h{number}.bench\n" for number in range(len(bench.hosts)))
    estate = bench.root / "estate"
    estate.mkdir(exist_ok=True)
    (estate / "inventory.yaml").write_text(f"version: 1\nhosts:\n{hosts}sources:\n  - kind: ssh\n")
    return [
        sys.executable, "-m", "auditor.cli.main", "collect", "--quiet", "--estate", str(estate), "-o",
        tempfile.mkdtemp(dir=bench.root), "--ssh-config", f"{bench.root}/config", "--timeout", "120",
    ]  # fmt: skip


def openssh(bench: Bench, servers: str) -> Sequence[str]:
    inner = f"ssh -F {bench.root}/config {{}} exec /bin/sh -s <{bench.root}/script.sh >/dev/null"
    return ["sh", "-c", f"xargs -P 32 -I {{}} sh -c '{inner}' <{bench.root}/hosts"]


def ansible(bench: Bench, servers: str) -> Sequence[str]:
    module = ["-m", "raw", "-a", "cat"] if servers == "light" else ["-m", "script", "-a", f"{bench.root}/script.sh"]
    return [
        str(bench.tools / "bin/ansible"), "all", "-i", f"{bench.root}/hosts", "-f", "32", "-o", *module,
        "--ssh-common-args", f"-F {bench.root}/config",
    ]  # fmt: skip


def pyinfra(bench: Bench, servers: str) -> Sequence[str]:
    (bench.root / "inventory.py").write_text(
        f"hosts = [(h, {{'ssh_port': {bench.port}, 'ssh_user': {os.environ.get('USER', 'root')!r}, "
        f"'ssh_key': '{bench.root}/id', 'ssh_known_hosts_file': '{bench.root}/known_hosts', "
        f"'ssh_config_file': '{bench.root}/config', '_shell_executable': 'sh'}}) "
        f"for h in open('{bench.root}/hosts').read().split()]\n"
    )
    return [
        str(bench.tools / "bin/pyinfra"), "-y", "--parallel", "32", f"{bench.root}/inventory.py", "exec", "--",
        f"sh {bench.root}/script.sh",
    ]  # fmt: skip


def parsing(root: Path, output: int, hosts: int = 500) -> tuple[float, float]:
    """What of our CPU is for parsing: ms a host for what becomes of its answer, and seconds once, to load the parsers.

    The answer is the light server's: frames, secrets taken out, files of the snapshot, a look into each.
    """
    begun = time.process_time()
    from auditor.capture.ssh_ready import COLLECTORS

    loaded = time.process_time() - begun
    from auditor.capture.named import Named
    from auditor.capture.program import FrameReader
    from auditor.capture.snapshot import Snapshot
    from auditor.capture.ssh import _Host

    nonce = "0" * 32
    body = "# a line of a configuration that is neither short nor long\n" * (output // 10 // 59)
    answer = f"\n{nonce}.1 START 1\n"
    for number in range(10):
        at = 2 * number + 2
        answer += f"\n{nonce}.{at} BEGIN FILE /etc/cron.d/job{number}\n{body}\n{nonce}.{at + 1} END 0\n"
    data = (answer + f"\n{nonce}.22 DONE 10\n").encode()
    snapshot = Snapshot.open(root / "parsed", inventory=b"version: 1\n", started_at="", resume=False)
    named = Named(COLLECTORS)
    begun = time.process_time()
    for number in range(hosts):
        host, reader = _Host(snapshot, f"h{number}"), FrameReader(nonce)
        for start in range(0, len(data), 32768):
            for item in reader.feed(data[start : start + 32768]):
                host.take(item)
        named.wanted(host.documents, frozenset(host.asked))
        snapshot.record(host.records.values())
        assert reader.done
        assert len(host.documents) == 10
    return (time.process_time() - begun) * 1000 / hosts, loaded


def adopt() -> None:
    """Makes this process the parent of what its children leave behind, so that their CPU is counted (prctl(2))."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("only Linux 3.4 and later can tell the CPU of a command's orphans")


def timed(words: Sequence[str], root: Path, servers: Set[int], limit: float) -> tuple[float, float, float, int]:
    """Seconds, CPU seconds and exit code of a command with all that it starts, and the MB of its largest process.

    The code is -1 if it did not end within `limit` seconds.
    """
    environment = {
        **os.environ,
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_LOCAL_TEMP": str(root / "ansible"),
        "ANSIBLE_HOME": str(root / "ansible"),
        "HOME": str(root),
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }
    log = root / "log"
    started = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=stream, env=environment, start_new_session=True
        )
    seconds, cpu, memory, code = 0.0, 0.0, 0, None
    while left := children() - servers:
        for pid in left:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                cpu += usage.ru_utime + usage.ru_stime
                memory = max(memory, usage.ru_maxrss)
            if ended == process.pid:
                seconds = time.monotonic() - started
                code = process.returncode = -1 if seconds >= limit else os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - started
        if code is None and passed >= limit:
            os.killpg(process.pid, signal.SIGKILL)
        elif code is not None and passed > seconds + 2:
            # Connections that are kept for a next command.
            for pid in children() - servers:
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.005)
    if code:
        print(f"exit {code}: {log.read_text(errors='replace')[-300:]}", file=sys.stderr)
    return seconds, cpu, memory / 1024, code or 0


def children() -> Set[int]:
    me = os.getpid()
    return {int(one) for one in Path(f"/proc/{me}/task/{me}/children").read_text().split()}


CLIENTS: dict[str, Callable[[Bench, str], Sequence[str]]] = {
    "auditor": ours,
    "OpenSSH, xargs -P 32": openssh,
    "pyinfra, 32": pyinfra,
    "Ansible, forks 32": ansible,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--tools", type=Path, help="a virtual environment with ansible-core and pyinfra")
    parser.add_argument("--server", choices=("light", "sshd"), default="light")
    parser.add_argument("--servers", type=int, default=1, help="how many sshds; one listens at 16 addresses at most")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one run of one client")
    parser.add_argument("--output", type=int, default=50_000, help="bytes that a host answers")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--directory", type=Path, help="where keys and snapshots are written: a disk may be what counts"
    )
    parser.add_argument("--only", action="append", default=[], help="only clients whose name has this in it")
    arguments = parser.parse_args()
    if arguments.tools is None:
        parser.error("--tools is needed")
    root = Path(tempfile.mkdtemp(prefix="ssh-bench-", dir=arguments.directory))
    adopt()
    bench = Bench(root, arguments.hosts, arguments.tools, arguments.output)
    (root / "hosts").write_text("".join(f"{one}\n" for one in bench.hosts))
    try:
        bench.start(arguments.server, arguments.servers)
        rates: dict[str, float] = {}
        print("| client | hosts/s | CPU ms/host | MB | server's ms/host | ratio |\n|---|---|---|---|---|---|")
        for name, command in CLIENTS.items():
            if arguments.only and not any(word in name for word in arguments.only):
                continue
            servers = {process.pid for process in bench.processes}
            before = bench.cpu()
            runs = [
                timed(command(bench, arguments.server), root, servers, arguments.limit) for _ in range(arguments.repeat)
            ]
            served = (bench.cpu() - before) * 1000 / arguments.hosts / arguments.repeat
            if any(code for *_, code in runs):
                late = any(code < 0 for *_, code in runs)
                print(f"| {name} | {f'not within {arguments.limit:.0f} s' if late else 'failed'} | | | | |", flush=True)
                continue
            seconds, cpu, memory, _ = sorted(runs)[len(runs) // 2]
            rates[name] = arguments.hosts / seconds
            first = next(iter(rates.values()))
            each = cpu * 1000 / arguments.hosts
            row = f"{rates[name]:.1f} | {each:.1f} | {memory:.0f} | {served:.1f} | {first / rates[name]:.1f}×"
            print(f"| {name} | {row} |", flush=True)
        if "auditor" in rates:
            each, once = parsing(root, arguments.output)
            print(f"Of the auditor's CPU, parsing is {each:.2f} ms/host, and {once:.2f} s to load the parsers.")
    finally:
        bench.stop()
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
