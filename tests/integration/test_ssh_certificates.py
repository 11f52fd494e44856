"""Certificates of hosts and of users, made by ssh-keygen(1), shown by and to real sshds; ssh(1) is asked beside us."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("paramiko")

from auditor.capture.ssh_host_keys import KnownHosts, refusal
from tests.integration.ssh_clients import NOW, configuration, key_of, ours, public, sign, theirs
from tests.integration.sshds import ME, Bench, agent

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("certificates")
    directory.chmod(0o755)
    found = Bench(directory)
    for name in ("ca", "wrong-ca"):
        key_of("ed25519", directory / name)
    try:
        yield found
    finally:
        found.stop()


@dataclass(frozen=True)
class Case:
    """A certificate of a host, what known_hosts has, and what is said of it."""

    name: str
    said: str
    ca: str = "ca"
    names: str = "legacy-cert-01"
    valid: str = NOW
    host: bool = True
    known: str = "@cert-authority legacy-* CA"


CASES = [
    Case("valid", ""),
    Case("expired", "host certificate not valid: it expired at ", valid="-2h:-1h"),
    Case("of another host", "it is for web-01, web-02, not for legacy-cert-01", names="web-01,web-02"),
    Case("of a user", "it is a certificate for users, not for hosts", host=False),
    Case("of another authority", "which is no authority for legacy-cert-01", ca="wrong-ca"),
    Case("of a revoked authority", "of a revoked authority", known="@cert-authority * CA\n@revoked * CA"),
    Case("revoked", "host key revoked", known="@cert-authority * CA\n@revoked legacy-cert-01 KEY"),
    Case("expired beside the plain key", "", valid="-2h:-1h", known="@cert-authority * CA\nlegacy-cert-01 KEY"),
    Case("expired beside another", "host key changed", valid="-2h:-1h", known="@cert-authority * CA\n* OTHER"),
    Case("not for this name", "host key unknown", known="@cert-authority legacy-*,!legacy-cert-01 CA"),
    Case("plain key, no authority", "", known="legacy-cert-01 KEY"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_host_with_a_certificate(case: Case, bench: Bench) -> None:
    name = case.name.replace(" ", "-").replace(",", "")
    host = bench.directory / name / "host"

    def prepared(host: Path) -> None:
        sign(bench.directory / case.ca, host, host=case.host, names=case.names, valid=case.valid)

    server = bench.start(name, f"HostCertificate {host}-cert.pub", prepare=prepared)
    texts = {"CA": bench.directory / "ca.pub", "KEY": host.with_suffix(".pub"), "OTHER": bench.directory / "other.pub"}
    lines = case.known.split("\n")
    bench.knows(*(f"{line.rsplit(' ', 1)[0]} {public(texts[line.rsplit(' ', 1)[1]])}" for line in lines))
    config = configuration(bench, server.port)
    said = ours(config)
    assert bool(said) is bool(case.said), (said, server.log)
    assert case.said in said
    assert theirs(config) is not bool(said)


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "rsa-sha2-512"), ("ecdsa", "ecdsa-sha2-nistp256")])
def test_each_kind_of_key_can_be_certified(kind: str, algorithm: str, bench: Bench) -> None:
    key = bench.directory / f"{kind}-host" / kind

    def prepared(_: Path) -> None:
        key_of(kind, key)
        sign(bench.directory / "ca", key)

    only = f"HostKeyAlgorithms {algorithm}-cert-v01@openssh.com"
    server = bench.start(f"{kind}-host", f"HostKey {key}", f"HostCertificate {key}-cert.pub", only, prepare=prepared)
    bench.knows(f"@cert-authority legacy-cert-01 {public(bench.directory / 'ca.pub')}")
    config = configuration(bench, server.port)
    assert ours(config) == ""
    assert theirs(config)


@pytest.mark.parametrize(
    ("ca", "options", "names", "valid", "said"),
    [
        ("rsa", (), "legacy-cert-01", NOW, ""),
        ("rsa", ("-t", "ssh-rsa"), "legacy-cert-01", NOW, "signed with ssh-rsa, which is not accepted"),
        ("ecdsa", (), "legacy-cert-01", NOW, ""),
        ("ed25519", (), "web-01,legacy-*", NOW, ""),
        ("ed25519", (), "", NOW, "it names no host"),
        ("ed25519", (), "legacy-cert-01", "+1h:+2h", "it is not valid before"),
        ("ed25519", (), "legacy-cert-01", "always:forever", ""),
        ("ed25519", ("-O", "critical:x@example.com=1"), "legacy-cert-01", NOW, "critical options"),
    ],
)
def test_what_a_certificate_says(
    ca: str, options: tuple[str, ...], names: str, valid: str, said: str, tmp_path: Path
) -> None:
    key_of(ca, tmp_path / "ca")
    key_of("ed25519", tmp_path / "host")
    sign(tmp_path / "ca", tmp_path / "host", *options, names=names, valid=valid)
    (tmp_path / "known").write_text(f"@cert-authority legacy-* {public(tmp_path / 'ca.pub')}\n")
    keys = KnownHosts([str(tmp_path / "known")]).keys("legacy-cert-01", 2222)
    blob = base64.b64decode((tmp_path / "host-cert.pub").read_text().split()[1])
    why = refusal(blob, keys, "legacy-cert-01", 2222, now=time.time())
    assert bool(why) is bool(said)
    assert said in why

    # Whatever bit of it is another, it is none.
    for at in range(0, len(blob), 7):
        changed = bytearray(blob)
        changed[at] ^= 1
        assert refusal(bytes(changed), keys, "legacy-cert-01", 2222, now=time.time()), at
    for end in range(0, len(blob), 7):
        assert refusal(blob[:end], keys, "legacy-cert-01", 2222, now=time.time()), end


def test_revoked_keys_of_ssh_config(bench: Bench, tmp_path: Path) -> None:
    server = bench.start("revoked-by-file")
    bench.knows(f"legacy-cert-01 {server.key}")
    revoked = tmp_path / "revoked"
    for content, said in (
        (f"# none of ours\n{public(bench.directory / 'other.pub')}\n", ""),
        (f"{server.key} a comment\n", f"is @revoked at {revoked}:1"),
        ("SSHKRL\n\0", "is a key revocation list"),
        (None, f"RevokedHostKeys {revoked} can't be read: No such file"),
    ):
        if content is None:
            revoked.unlink()
        else:
            revoked.write_text(content)
        config = configuration(bench, server.port, f"RevokedHostKeys {revoked}")
        why = ours(config)
        assert (said in why, bool(why)) == (True, bool(said))
        assert theirs(config) is not bool(why)


def test_certificates_of_users(bench: Bench, tmp_path: Path) -> None:
    """Beside the key, in a file of its own, in an agent, and of a key that only the agent has."""
    server = bench.start(
        "for-users", f"TrustedUserCAKeys {bench.directory}/ca.pub", "AuthorizedKeysFile none", "MaxAuthTries 20"
    )
    bench.knows(f"legacy-cert-01 {server.key}")
    for name, kind in (("beside", "ed25519"), ("rsa", "rsa"), ("apart", "ed25519")):
        key_of(kind, tmp_path / name)
        sign(bench.directory / "ca", tmp_path / name, host=False, names=ME)
    (tmp_path / "apart-cert.pub").rename(tmp_path / "apart.crt")
    with agent(tmp_path) as (socket, add):
        cases = {
            "beside": [f"IdentityFile {tmp_path}/beside"],
            "rsa": [f"IdentityFile {tmp_path}/rsa"],
            "in a file of its own": [f"IdentityFile {tmp_path}/apart", f"CertificateFile {tmp_path}/apart.crt"],
        }
        for name, lines in cases.items():
            config = configuration(bench, server.port, *lines)
            assert (name, ours(config), theirs(config)) == (name, "", True)
        add(tmp_path / "beside")
        # With the key the agent takes the certificate beside it; the file of the key is not there for us.
        config = configuration(bench, server.port, f"IdentityAgent {socket}", f"IdentityFile {tmp_path}/none")
        assert (ours(config), theirs(config)) == ("", True)
        add(tmp_path / "apart")
        lines = [f"IdentityAgent {socket}", f"CertificateFile {tmp_path}/apart.crt"]
        (tmp_path / "apart").unlink()
        config = configuration(bench, server.port, *lines, "IdentitiesOnly yes", f"IdentityFile {tmp_path}/apart")
        assert (ours(config), theirs(config)) == ("", True)

    sign(bench.directory / "ca", tmp_path / "beside", host=False, names=ME, valid="-2h:-1h")
    config = configuration(bench, server.port, f"IdentityFile {tmp_path}/beside")
    assert "keys were refused" in ours(config)
    assert "expired" in server.log
