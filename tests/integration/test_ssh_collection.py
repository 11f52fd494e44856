"""`auditor collect` against real sshds on loopback: a host of planted files, host keys, jump hosts, ways to log in.

Each sshd has its own directory, keys and configuration and answers every command in a root of planted files, so that
nothing of this machine is read but what stands there. sshd(8), ssh-keygen(1), ssh-agent(1) of OpenSSH 9.2 and later.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.integration.programs import PATIENCE, need
from tests.integration.sshds import ME, PLANTED, Bench, Sshd, agent, keygen

pytestmark = pytest.mark.integration

NOBODY = 65534


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
                    f"User {ME}",
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
            f"{PATIENCE:.0f}",
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
        # It is read for the homes that stand there, and not kept.
        told = result.records.get(f"hosts/legacy-cert-01/{name}")
        assert (root / name).is_file() == (name != "etc/passwd"), f"{name}: {told}"
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

    # If another one goes, this one stays, and was looked into whole: also where it has nothing.
    main(["checklist", "gone.example.net", "--estate", str(result.snapshot), "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    stay = report["hosts_that_stay"]
    assert (stay["count"], stay["collected_whole"]) == (1, 1)
    assert not [row for row in report["coverage"] if "hosts" in row]
    parts = {one["part"]: (one["seen"], one["none"], one["unknown"]) for one in stay["parts"]}
    assert parts["system crontabs"] == parts["certificate renewal"] == (1, 0, 0)
    assert parts["web servers and proxies"][2] == 0


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
    sign = ("-I", "collector", "-n", ME, "-V", "-1h:+1h")
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
    with agent(bench.directory) as (place, add):
        add(bench.directory / "id")
        bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
        result = collect(planted.port, f"IdentityAgent {place}", identity=str(tmp_path / "none"))
        assert result.host()["outcome"] == "ok", result.err


REFUSES = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"


def test_what_sudo_does_not_allow_is_denied_not_absent(bench: Bench, collect: Collect) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to answer as another user")
    place, enter = bench.root(sudo=REFUSES)
    (place / "etc/cron.d").chmod(0o700)
    (place / "home/deploy/.ssh").chmod(0o700)
    (place / "etc/letsencrypt").chmod(0o700)
    (place / "opt/renew.sh").chmod(0o700)
    (place / "etc/sudoers").chmod(0o440)
    (place / "etc/sudoers.d").chmod(0o750)
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
        "etc/sudoers",
        "etc/sudoers.d",
        "home/deploy/.ssh/authorized_keys",
    ):
        assert result.records[f"{base}/{name}"]["outcome"] == "denied", name
    assert result.records[f"{base}/etc/crontab"]["outcome"] == "ok"
    assert result.records[f"{base}/etc/cron.hourly"]["outcome"] == "absent"
    assert result.code == 4


# As sudo does it: nothing of the environment but PATH.
ALLOWS = '#!/bin/sh\nshift\nexec env -i PATH="$PATH" "$@"\n'


@pytest.mark.parametrize("sudo", [False, True], ids=["as the user", "under sudo"])
def test_the_host_tells_which_connection_is_that_of_the_collection(sudo: bool, bench: Bench, collect: Collect) -> None:
    """So that the collector of connections leaves out that one. ss of this machine answers in the planted root."""
    place, enter = bench.root(sudo=ALLOWS if sudo else "")
    name = f"talking-{sudo}"
    script = bench.directory / f"{name}.sh"
    script.write_text(f'#!/bin/sh\n{need("ss", "iproute2")} -tn >{place}/sockets\nexec {enter} "$@"\n')
    script.chmod(0o755)
    (place / "bin/ss").write_text("#!/bin/sh\ncat /sockets\n")
    (place / "bin/ss").chmod(0o755)
    server = bench.start(name, force=str(script))
    bench.knows(f"[127.0.0.1]:{server.port} {server.key}")
    with socket.create_connection(("127.0.0.1", server.port)) as another:
        result = collect(server.port, source=", sudo: true" if sudo else "")
        assert result.host()["outcome"] == "ok", (result.err, server.log)
        other = str(another.getsockname()[1])
    told = result.snapshot / "hosts/legacy-cert-01/.auditor"
    peer, peer_port, address, port = (told / "session.txt").read_text().split()
    assert (peer, address, port) == ("127.0.0.1", "127.0.0.1", str(server.port))
    lines = [line.split() for line in (told / "sockets.txt").read_text().splitlines()]
    own = [line for line in lines if f"{address}:{port}" in line and f"{peer}:{peer_port}" in line]
    # ss shows both ends, as both are here.
    assert [line[3:5] for line in own if line[3].endswith(f":{port}")] == [[f"{address}:{port}", f"{peer}:{peer_port}"]]
    assert any(line[3:5] == [f"{address}:{port}", f"{peer}:{other}"] for line in lines)


def test_a_host_that_was_collected_is_not_asked_again(bench: Bench, planted: Sshd, collect: Collect) -> None:
    bench.knows(f"[127.0.0.1]:{planted.port} {planted.key}")
    collect(planted.port)
    before = planted.log.count("Accepted publickey")
    result = collect(planted.port, resume=True)
    assert planted.log.count("Accepted publickey") == before
    assert "1 were complete before" in result.out
