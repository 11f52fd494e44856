"""The real programs and servers that the tests here drive."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"


def need(program: str, package: str = "") -> str:
    """The path of a program, also of one that is on root's path alone; skips without it, and fails where CI is set."""
    found = shutil.which(program) or shutil.which(program, path=_ADMINISTRATORS)
    if found is None:
        missing = f"{program} is not installed" + (f" (Debian: {package})" if package else "")
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def node_package(name: str, version: str, sha512: str, file: str) -> Path:
    """A file of an npm package, fetched once by version and hash (in base64); skips if it can't be had."""
    script = Path(__file__).parents[2] / ".ci" / "node-package"
    got = subprocess.run(
        [script, name, version, sha512, file], capture_output=True, text=True, check=False, timeout=300
    )
    if got.returncode:
        pytest.skip(f"{name} can't be had: {got.stderr.strip()}")
    return Path(got.stdout.strip())


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
