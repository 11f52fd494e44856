"""`auditor collect` against real sshds on loopback: a host of planted files, host keys, jump hosts, ways to log in.

Each sshd has its own directory, keys and configuration and answers every command in a root of planted files, so that
nothing of this machine is read but what stands there. sshd(8), ssh-keygen(1), ssh-agent(1) of OpenSSH 9.2 and later.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.integration.programs import need

pytestmark = pytest.mark.integration

SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534

PLANTED = {
    "etc/hostname": "legacy-cert-01\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/hosts": "127.0.0.1 localhost\n10.20.4.17 legacy-cert-01.eventide.net legacy-cert-01\n",
    "etc/resolv.conf": "search eventide.net\nnameserver 10.20.0.53\n",
    "etc/fstab": "/dev/sda1 / ext4 ro 0 1\n",
    "etc/crontab": "17 3 * * * root /opt/renew.sh\n",
    "etc/cron.d/sync": "*/5 * * * * root rsync -a /srv/certs/ db07.eventide.net:/srv/certs/\n",
    "etc/letsencrypt/renewal/eventide.conf": (
        "cert = /etc/letsencrypt/live/eventide/cert.pem\nprivkey = /etc/letsencrypt/live/eventide/privkey.pem\n"
        "chain = /etc/letsencrypt/live/eventide/chain.pem\nfullchain = /etc/letsencrypt/live/eventide/fullchain.pem\n"
        "[renewalparams]\nauthenticator = webroot\n"
        "renew_hook = /opt/hooks/deploy.sh\n"
    ),
    "home/deploy/.ssh/authorized_keys": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGWqD3PaDuXpVyTqJLbnQwIDrtHCRr1Zu7PXUVm2bH0x jobs@build-07\n"
    ),
    "opt/renew.sh": "#!/bin/sh\ncertbot renew --quiet\n. /opt/lib/common.sh\n",
    "opt/lib/common.sh": "curl -s https://hooks.eventide.net/renewed\n",
    "opt/hooks/deploy.sh": "#!/bin/sh\ncurl -u deploy:hunter2000 https://acme-hook.eventide.net/renewed\n",
}


def keygen(*arguments: str | Path) -> None:
    subprocess.run([need("ssh-keygen", "openssh-client"), "-q", *arguments], check=True, timeout=20)


@dataclass
class Sshd:
    """A running server."""

    directory: Path
    port: int

    @property
    def key(self) -> str:
        """Its public host key: kind and base64."""
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


class Bench:
    """One directory of keys and sshds, and a configuration of the client that knows only them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: list[subprocess.Popen[bytes]] = []
        self.made = False
        keygen("-t", "ed25519", "-N", "", "-f", directory / "id")
        keygen("-t", "ed25519", "-N", "", "-f", directory / "other")
        self.known = directory / "known_hosts"

    def root(self, *, sudo: str = "") -> tuple[Path, str]:
        """A root of planted files with busybox for programs, and the command that enters it."""
        busybox = need("busybox", "busybox-static")
        place = self.directory / f"root{len(list(self.directory.glob('root*')))}"
        for name, text in PLANTED.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        for name in ("bin", "dev", "proc", "usr/bin", "etc/systemd/system", "var/spool/cron"):
            (place / name).mkdir(parents=True, exist_ok=True)
        (place / "dev/null").write_text("")
        (place / "dev/null").chmod(0o666)
        shutil.copy2(busybox, place / "bin/busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in applets:
            if name != "busybox":
                (place / "bin" / name).symlink_to("busybox")
        if sudo:
            (place / "usr/bin/sudo").write_text(sudo)
            (place / "usr/bin/sudo").chmod(0o755)
        for directory in (place, *place.rglob("*")):
            if directory.is_dir():
                directory.chmod(0o755)
        chroot = need("chroot", "coreutils")
        if os.geteuid() != 0:
            unshare = need("unshare", "util-linux")
            if subprocess.run([unshare, "-r", "true"], capture_output=True, check=False).returncode:
                pytest.skip("needs root, or namespaces of users, to enter a root of planted files")
            return place, f"{unshare} -r {chroot} {place}"
        return place, f"{chroot} {place}"

    def start(self, name: str, *lines: str, force: str = "") -> Sshd:
        """An sshd that takes the key `id`, unless these lines say otherwise (the first of a keyword wins)."""
        sshd = need("sshd", "openssh-server")
        inside: list[str] = []
        if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
            # The service makes it when it starts (sshd(8), FILES). Here in a mount of its own, which nobody else sees.
            inside = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs x /run && mkdir -m 755 /run/sshd && exec "$@"', "sh"]
            if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
                # A container of CI has no services, and perhaps no mounts.
                if not os.environ.get("CI"):
                    pytest.skip("sshd as root needs /run/sshd, which the service makes when it starts")
                inside = []
                Path("/run/sshd").mkdir(mode=0o755)
                self.made = True
        place = self.directory / name
        place.mkdir()
        keygen("-t", "ed25519", "-N", "", "-f", place / "host")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        configuration = [
            *lines,
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {place}/host",
            f"PidFile {place}/pid",
            f"AuthorizedKeysFile {self.directory}/id.pub",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "StrictModes no",
            "UsePAM no",
            "LogLevel VERBOSE",
        ]
        if force:
            configuration.append(f'ForceCommand {force} /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
        (place / "sshd_config").write_text("\n".join(configuration) + "\n")
        command = [*inside, sshd, "-D", "-f", str(place / "sshd_config"), "-E", str(place / "log")]
        self.running.append(subprocess.Popen(command))
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return Sshd(place, port)
        pytest.fail((place / "log").read_text() if (place / "log").exists() else "sshd did not start")

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(10)
        if self.made:
            Path("/run/sshd").rmdir()

    def knows(self, *lines: str) -> None:
        self.known.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("ssh")
    directory.chmod(0o755)
    found = Bench(directory)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def planted(bench: Bench) -> Sshd:
    return bench.start("planted", force=bench.root()[1])


@dataclass
class Result:
    code: int
    out: str
    err: str
    snapshot: Path

    @property
    def records(self) -> dict[str, dict[str, str]]:
        lines = (self.snapshot / "captures.jsonl").read_text().splitlines()
        return {entry["path"]: entry for entry in map(json.loads, lines)}

    def host(self, name: str = "legacy-cert-01") -> dict[str, str]:
        return self.records[f"hosts/{name}"]


class Collect:
    """Runs the command with an ssh_config of these lines."""

    def __init__(self, bench: Bench, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bench = bench
        self.directory = directory
        self.capsys = capsys

    def __call__(
        self, port: int, *settings: str, source: str = "", identity: str | None = None, resume: bool = False
    ) -> Result:
        estate = self.directory / "estate"
        estate.mkdir(exist_ok=True)
        (estate / "inventory.yaml").write_text(
            "version: 1\ndomains: [eventide.net]\nhosts:\n  - name: legacy-cert-01\n    lifecycle: read-only\n"
            f"sources:\n  - {{kind: ssh{source}}}\n"
        )
        config = self.directory / "config"
        config.write_text(
            "\n".join(
                [
                    "Host legacy-cert-01",
                    *settings,
                    "HostName 127.0.0.1",
                    f"Port {port}",
                    "Host *",
                    f"User {getpass.getuser()}",
                    f"UserKnownHostsFile {self.bench.known}",
                    "GlobalKnownHostsFile none",
                    f"IdentityFile {identity or self.bench.directory / 'id'}",
                    "IdentityAgent none",
                    "",
                ]
            )
        )
        snapshot = self.directory / "snapshot"
        words = [
            "collect",
            "--estate",
            str(estate),
            "-o",
            str(snapshot),
            "--ssh-config",
            str(config),
            "--timeout",
            "20",
        ]
        code = main([*words, *(["--resume"] if resume else [])])
        out, err = self.capsys.readouterr()
        assert code in (0, 4), err
        return Result(code, out, err, snapshot)


@pytest.fixture
def collect(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Collect:
    return Collect(bench, tmp_path, capsys)


def test_from_a_host_to_its_checklist(
    bench: Bench, planted: Sshd, collect: Collect, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    result = collect(planted.port)
    assert result.host()["outcome"] == "ok", (result.err, planted.log)
    root = result.snapshot / "hosts/legacy-cert-01"
    for name in PLANTED:
        assert (root / name).is_file(), f"{name}: {result.records.get(f'hosts/legacy-cert-01/{name}')}"
    assert (root / "etc/crontab").read_text() == PLANTED["etc/crontab"]
    keys = "home/deploy/.ssh/authorized_keys"
    assert (root / keys).read_text() == PLANTED[keys]
    # A second round fetched what a job calls, a third what that includes.
    assert (root / "opt/lib/common.sh").read_text() == PLANTED["opt/lib/common.sh"]
    everything = b"".join(path.read_bytes() for path in result.snapshot.rglob("*") if path.is_file())
    assert b"hunter2000" not in everything
    assert result.records["hosts/legacy-cert-01/etc/anacrontab"]["outcome"] == "absent"

    code = main(["checklist", "legacy-cert-01", "--estate", str(result.snapshot), "--as", "read-only"])
    out = capsys.readouterr().out
    assert code == 1
    assert "eventide" in out
    assert "renewal" in out.lower()


def test_an_unknown_key_is_refused_and_shown(bench: Bench, planted: Sshd, collect: Collect) -> None:
    bench.knows()
    result = collect(planted.port)
    assert result.code == 4
    assert result.host()["outcome"] == "unreachable"
    shown = subprocess.run(
        [need("ssh-keygen", "openssh-client"), "-l", "-f", planted.directory / "host.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    assert "host key unknown" in result.err
    assert shown in result.err
    assert not (result.snapshot / "hosts/legacy-cert-01/etc").exists()


def test_a_changed_key_is_refused(bench: Bench, planted: Sshd, collect: Collect) -> None:
    other = " ".join((bench.directory / "other.pub").read_text().split()[:2])
    bench.knows(f"[127.0.0.1]:{planted.port} {other}")
    result = collect(planted.port)
    assert result.host()["outcome"] == "unreachable"
    assert "host key changed" in result.err
    assert f"{bench.known}:1" in result.err


def test_a_revoked_key_is_refused(bench: Bench, planted: Sshd, collect: Collect) -> None:
    called = f"[127.0.0.1]:{planted.port}"
    bench.knows(f"{called} {planted.key}", f"@revoked {called} {planted.key}")
    assert "host key revoked" in collect(planted.port).err


def test_names_in_known_hosts_may_be_hashed(bench: Bench, planted: Sshd, collect: Collect) -> None:
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    keygen("-H", "-f", bench.known)
    assert "127.0.0.1" not in bench.known.read_text()
    assert collect(planted.port).host()["outcome"] == "ok"


def test_through_a_jump_host(bench: Bench, planted: Sshd, collect: Collect) -> None:
    gate = bench.start("gate", "ForceCommand /bin/false")
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}", f"[127.0.0.1]:{gate.port} {gate.key}")
    assert collect(planted.port, f"ProxyJump 127.0.0.1:{gate.port}").host()["outcome"] == "ok"
    assert gate.log.count("Accepted publickey") == 1


def test_a_jump_host_with_an_unknown_key_is_not_used(bench: Bench, planted: Sshd, collect: Collect) -> None:
    gate = bench.start("stranger", "ForceCommand /bin/false")
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    result = collect(planted.port, source=f', jump: "127.0.0.1:{gate.port}"')
    assert result.host()["outcome"] == "unreachable"
    assert "jump host" in result.err
    assert "host key unknown" in result.err
    assert "Accepted" not in gate.log


def test_a_wrong_key_is_denied_and_says_so(bench: Bench, planted: Sshd, collect: Collect) -> None:
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    result = collect(planted.port, identity=str(bench.directory / "other"))
    assert result.host()["outcome"] == "denied"
    assert "1 keys were refused" in result.host()["detail"]


def test_a_key_with_a_passphrase_is_for_the_agent(bench: Bench, planted: Sshd, collect: Collect) -> None:
    locked = bench.directory / "locked"
    keygen("-t", "ed25519", "-N", "a passphrase", "-f", locked)
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    result = collect(planted.port, identity=str(locked))
    assert result.host()["outcome"] == "denied"
    assert "load it into the agent" in result.host()["detail"]


def test_with_a_certificate(bench: Bench, collect: Collect) -> None:
    directory = bench.directory
    keygen("-t", "ed25519", "-N", "", "-f", directory / "ca")
    keygen("-t", "ed25519", "-N", "", "-f", directory / "signed")
    sign = ("-I", "collector", "-n", getpass.getuser(), "-V", "-1h:+1h")
    keygen("-s", directory / "ca", *sign, directory / "signed.pub")
    server = bench.start(
        "certified",
        f"TrustedUserCAKeys {directory}/ca.pub",
        "AuthorizedKeysFile none",
        force=bench.root()[1],
    )
    bench.knows(f"[127.0.0.1]:{server.port} {server.key}")
    result = collect(server.port, identity=str(directory / "signed"))
    assert result.host()["outcome"] == "ok", (result.err, server.log)
    assert "ID collector" in server.log


def test_with_an_agent(bench: Bench, planted: Sshd, collect: Collect, tmp_path: Path) -> None:
    place = f"{bench.directory}/agent"
    agent = subprocess.Popen(
        [need("ssh-agent", "openssh-client"), "-D", "-a", place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 5
        while not Path(place).exists() and time.monotonic() < until:
            time.sleep(0.02)
        subprocess.run(
            [need("ssh-add", "openssh-client"), "-q", bench.directory / "id"],
            env={"SSH_AUTH_SOCK": place, "PATH": SEARCH},
            check=True,
            timeout=10,
            capture_output=True,
        )
        bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
        result = collect(planted.port, f"IdentityAgent {place}", identity=str(tmp_path / "none"))
        assert result.host()["outcome"] == "ok", result.err
    finally:
        agent.terminate()
        agent.wait(5)


REFUSES = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"


def test_what_sudo_does_not_allow_is_denied_not_absent(bench: Bench, collect: Collect) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to answer as another user")
    place, enter = bench.root(sudo=REFUSES)
    (place / "etc/cron.d").chmod(0o700)
    (place / "home/deploy/.ssh").chmod(0o700)
    (place / "etc/letsencrypt").chmod(0o700)
    (place / "opt/renew.sh").chmod(0o700)
    (place / "etc/anacrontab").write_text("1 5 nightly /opt/nightly.sh\n")
    (place / "etc/anacrontab").chmod(0o600)
    server = bench.start("refused", force=enter.replace("chroot ", f"chroot --userspec={NOBODY}:{NOBODY} "))
    bench.knows(f"[127.0.0.1]:{server.port} {server.key}")
    result = collect(server.port, source=", sudo: true")
    base = "hosts/legacy-cert-01"
    assert result.host()["outcome"] == "ok", (result.err, server.log)
    for name in (
        "etc/cron.d",
        "etc/letsencrypt/renewal",
        "opt/renew.sh",
        "etc/anacrontab",
        "home/deploy/.ssh/authorized_keys",
    ):
        assert result.records[f"{base}/{name}"]["outcome"] == "denied", name
    assert result.records[f"{base}/etc/crontab"]["outcome"] == "ok"
    assert result.records[f"{base}/etc/cron.hourly"]["outcome"] == "absent"
    assert result.code == 4


def test_a_host_that_was_collected_is_not_asked_again(bench: Bench, planted: Sshd, collect: Collect) -> None:
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    collect(planted.port)
    before = planted.log.count("Accepted publickey")
    result = collect(planted.port, resume=True)
    assert planted.log.count("Accepted publickey") == before
    assert "1 were complete before" in result.out
