"""The real programs and servers that the tests here drive."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

Answer = TypeVar("Answer")

PATIENCE = 120.0
"""Seconds that a program is given on a busy machine; it ends, or is ready, in a few."""
_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"
_given: set[int] = set()


def need(program: str, package: str = "") -> str:
    """The path of a program, also of one that is on root's path alone; skips without it, and fails where CI is set."""
    found = shutil.which(program) or shutil.which(program, path=_ADMINISTRATORS)
    if found is None:
        missing = f"{program} is not installed" + (f" (Debian: {package})" if package else "")
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def node_package(name: str, version: str, sha512: str, *files: str) -> Path:
    """The first of these files or directories of an npm package, fetched once by version and hash (in base64).

    Skips if it can't be had.
    """
    script = Path(__file__).parents[2] / ".ci" / "node-package"
    got = subprocess.run(
        [script, name, version, sha512, *files], capture_output=True, text=True, check=False, timeout=600
    )
    if got.returncode:
        pytest.skip(f"{name} can't be had: {got.stderr.strip()}")
    return Path(got.stdout.strip())


def wheel_files(package: str, version: str, sha256: str, *files: str) -> Path:
    """The directory with files of a wheel, fetched once by version and hash; skips if it can't be had."""
    script = Path(__file__).parents[2] / ".ci" / "wheel-file"
    got = subprocess.run(
        [script, package, version, sha256, *files],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if got.returncode:
        pytest.skip(f"{package} can't be had: {got.stderr.strip()}")
    return Path(got.stdout.strip())


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, over TCP or UDP, and that was not given before.

    It is below those that the system hands out by itself: no connection of anybody takes it before its server does.
    """
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    ports = [port for port in range(10240, max(first, 11240)) if port not in _given]
    for port in random.SystemRandom().sample(ports, 100):
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams, suppress(OSError):
            stream.bind(("127.0.0.1", port))
            datagrams.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    pytest.fail("no free port was found")


def listens(port: int) -> bool:
    """Whether a server on 127.0.0.1 takes connections."""
    with socket.socket() as probe:
        probe.settimeout(PATIENCE)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settled(ask: Callable[[], Answer], holds: Callable[[Answer], bool]) -> Answer:
    """What is answered as soon as it is as it should be; the last answer, if it never is."""
    until = time.monotonic() + PATIENCE
    while not holds(answer := ask()) and time.monotonic() < until:
        time.sleep(0.1)
    return answer


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, ready: Callable[[], bool], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A server from when it is ready until it has ended, its output in a file. Fails with that if it never is."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, **options)
    try:
        until = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{command[0]} is not ready: {log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program, and waits until it has."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
