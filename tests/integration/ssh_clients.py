"""Keys and certificates by ssh-keygen(1), and a connection to one host by us and by ssh(1), with one configuration."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from auditor.capture.sources import SshConfig, Target
from auditor.capture.ssh import ConnectError, Connector
from tests.integration.programs import PATIENCE, need
from tests.integration.sshds import ME, Bench, keygen

NOW = "-1h:+1h"


def key_of(kind: str, path: Path) -> None:
    # Larger keys of RSA take seconds to find.
    keygen("-t", kind, *(["-b", "2048"] if kind == "rsa" else []), "-N", "", "-f", path)


def public(path: Path) -> str:
    return " ".join(path.read_text().split()[:2])


def sign(
    ca: Path, key: Path, *options: str, host: bool = True, names: str = "legacy-cert-01", valid: str = NOW
) -> None:
    """Makes the certificate beside the public key."""
    keygen(
        "-s", ca, "-I", "x", "-V", valid, *(["-h"] if host else []), *(["-n", names] if names else []), *options,
        key.with_suffix(".pub"),
    )  # fmt: skip


def configuration(bench: Bench, port: int, *lines: str) -> Path:
    path = bench.directory / "config"
    settings = [
        *lines, "HostName 127.0.0.1", f"Port {port}", f"User {ME}", "HostKeyAlias legacy-cert-01",
        f"UserKnownHostsFile {bench.known}", "GlobalKnownHostsFile none", f"IdentityFile {bench.directory}/id",
        "IdentityAgent none", "StrictHostKeyChecking yes", "BatchMode yes",
    ]  # fmt: skip
    path.write_text("Host legacy-cert-01\n" + "".join(f"  {line}\n" for line in settings))
    return path


def ours(config: Path) -> str:
    """Why we did not connect; empty if we did."""
    connector = Connector(SshConfig.read(config, config.parent / "none"))
    try:
        connector.open(Target("legacy-cert-01"), time.monotonic() + 60).close()
    except ConnectError as error:
        return error.detail
    return ""


def theirs(config: Path) -> bool:
    """Whether ssh itself connects."""
    words = [need("ssh", "openssh-client"), "-F", str(config), "legacy-cert-01", "true"]
    return subprocess.run(words, capture_output=True, timeout=PATIENCE).returncode == 0
