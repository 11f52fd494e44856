"""Key revocation lists as ssh-keygen(1) writes and reads them, and authorities in hardware, before real sshds."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

pytest.importorskip("paramiko")

from auditor.capture.ssh_host_keys import KnownHosts, refusal
from auditor.capture.ssh_keys import CERTIFICATE, Certificate, kind_of, plain_key
from auditor.capture.ssh_revoked import Revoked
from tests.capture.ssh_wire import certificate, hardware_key
from tests.integration.programs import PATIENCE, need
from tests.integration.ssh_clients import configuration, key_of, ours, public, sign, theirs
from tests.integration.sshds import Bench, keygen

pytestmark = pytest.mark.integration

HIGHEST = (1 << 64) - 1


@dataclass(frozen=True)
class Keys:
    """Two authorities, and certificates of hosts: file -> blob."""

    directory: Path
    files: dict[str, bytes]


def blob(path: Path) -> bytes:
    return base64.b64decode(path.read_text().split()[1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    directory = tmp_path_factory.mktemp("keys")
    for name in ("ca", "ca2"):
        key_of("ed25519", directory / name)
    for name, kind in (("web", "ed25519"), ("old", "rsa"), ("db", "ecdsa")):
        key_of(kind, directory / name)
    numbered = [("web", n, ca) for n in (0, 1, 7, 8, 20, 1000, HIGHEST) for ca in ("ca", "ca2")] + [("old", 7, "ca")]
    for key, number, ca in numbered:
        place = directory / f"{key}-{number}-{ca}"
        place.with_suffix(".pub").write_bytes((directory / f"{key}.pub").read_bytes())
        keygen("-s", directory / ca, "-I", f"{key}-{number}", "-h", "-z", str(number), "-n", "x", place)
    files = [*directory.glob("*-cert.pub"), *(directory / f"{name}.pub" for name in ("web", "old", "db", "ca"))]
    assert len(files) == 19
    return Keys(directory, {str(file): blob(file) for file in sorted(files)})


def asked(krl: Path, files: list[str]) -> tuple[int, dict[str, bool]]:
    """The exit code of ssh-keygen, and which files it says are revoked."""
    command = [need("ssh-keygen", "openssh-client"), "-Q", "-f", str(krl), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    said = [line.rsplit(": ", 1) for line in done.stdout.splitlines() if line.endswith((": ok", ": REVOKED"))]
    return done.returncode, {where.split(" (")[0]: what == "REVOKED" for where, what in said}


def revoked_by_us(krl: Path, files: dict[str, bytes]) -> dict[str, bool]:
    """Raises ValueError if the list can't be read."""
    revoked = Revoked([str(krl)])
    return {
        file: bool(revoked.why(plain_key(one), Certificate.read(one) if kind_of(one).endswith(CERTIFICATE) else None))
        for file, one in files.items()
    }


@pytest.mark.parametrize(
    ("authority", "lines", "count"),
    [
        ("ca", "serial: 7", 2),
        ("ca2", "serial: 7", 1),
        ("none", "serial: 7", 3),
        ("ca", "serial: 2-19", 3),
        ("ca", f"serial: 900-{HIGHEST}", 2),
        # Numbers near each other become a bitmap, those far apart a list.
        ("ca", "\n".join(f"serial: {number}" for number in (1, 3, 5, 8, 9, 11, 14, 20, 22, 25)), 3),
        ("ca", "\n".join(f"serial: {number}" for number in (1, 5000, 90000, 1 << 40, HIGHEST)), 2),
        ("ca", "id: web-0\nid: old-7", 2),
        ("none", "id: web-0", 2),
        ("ca", "key: WEB", 15),
        ("ca", "sha1: WEB", 15),
        ("ca", "sha256: OLD\nkey: DB", 3),
        ("ca", "sha256: CA", 9),
        ("ca", "serial: 2", 0),
    ],
)
def test_lists_that_ssh_keygen_writes(authority: str, lines: str, count: int, keys: Keys, tmp_path: Path) -> None:
    for name in ("web", "old", "db", "ca"):
        lines = lines.replace(f": {name.upper()}", f": {public(keys.directory / f'{name}.pub')}")
    (tmp_path / "said").write_text(lines + "\n")
    of = "none" if authority == "none" else str(keys.directory / f"{authority}.pub")
    keygen("-k", "-f", tmp_path / "krl", "-s", of, "-z", "3", tmp_path / "said")
    mine = revoked_by_us(tmp_path / "krl", keys.files)
    assert sum(mine.values()) == count, mine
    assert asked(tmp_path / "krl", list(keys.files))[1] == mine


def test_broken_lists_are_refused_where_ssh_keygen_does(keys: Keys, tmp_path: Path) -> None:
    """Of each byte that is another, and of each place where the list is cut off."""
    web, db, old = (public(keys.directory / f"{name}.pub") for name in ("web", "db", "old"))
    spread = "".join(f"serial: {number}\n" for number in (1, 3, 5, 8, 9, 11, 14, 20, 22, 25))
    (tmp_path / "said").write_text(
        f"{spread}serial: 500-600\nserial: 100000\nid: web-0\nkey: {db}\nsha1: {old}\nsha256: {web}\n"
    )
    keygen("-k", "-f", tmp_path / "krl", "-s", keys.directory / "ca.pub", tmp_path / "said")
    whole = (tmp_path / "krl").read_bytes()
    shown = {
        file: keys.files[file] for file in keys.files if file.endswith(("/old.pub", "web-8-ca-cert.pub", "db.pub"))
    }
    assert revoked_by_us(tmp_path / "krl", shown) == asked(tmp_path / "krl", list(shown))[1]

    changed = [bytes([*whole[:at], whole[at] ^ 0x40, *whole[at + 1 :]]) for at in range(0, len(whole), 2)]
    changed += [whole[:end] for end in range(8, len(whole), 16)] + [whole + b"\0"]
    outcomes = set()
    for content in changed:
        (tmp_path / "krl").write_bytes(content)
        code, theirs = asked(tmp_path / "krl", list(shown))
        try:
            mine: dict[str, bool] | None = revoked_by_us(tmp_path / "krl", shown)
        except ValueError:
            mine = None
        # ssh-keygen asks for all, and says nothing more, once the list can't be read.
        assert (mine is None) is (code not in (0, 1)), (content, code, mine)
        assert mine is None or mine == theirs, content
        outcomes.add(None if mine is None else sum(mine.values()))
    assert {None, 2, 3} <= outcomes


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("revocation")
    directory.chmod(0o755)
    found = Bench(directory)
    key_of("ed25519", directory / "ca")
    try:
        yield found
    finally:
        found.stop()


def test_hosts_that_a_list_revokes(bench: Bench, tmp_path: Path) -> None:
    """Also where known_hosts has the plain key: what is revoked stays so."""
    host = bench.directory / "listed" / "host"
    ca = bench.directory / "ca.pub"
    server = bench.start(
        "listed",
        f"HostCertificate {host}-cert.pub",
        prepare=lambda key: sign(bench.directory / "ca", key, "-z", "7"),
    )
    bench.knows(f"@cert-authority legacy-* {public(ca)}", f"legacy-cert-01 {server.key}")
    krl, good = tmp_path / "krl", tmp_path / "good"
    for lines, said in (
        ("serial: 6\nserial: 8-20\nid: y", ""),
        ("serial: 7", "host certificate revoked: serial number 7 of authority SHA256:"),
        ("serial: 1-100", f"is revoked by {krl}; not connected"),
        ("id: x", "host certificate revoked: key ID 'x' of authority SHA256:"),
        (f"key: {server.key}", "host key revoked: ssh-ed25519 SHA256:"),
        (f"sha1: {server.key}", "host key revoked: ssh-ed25519 SHA256:"),
        (f"sha256: {public(ca)}", "host certificate of a revoked authority: SHA256:"),
    ):
        (tmp_path / "said").write_text(lines + "\n")
        keygen("-k", "-f", krl, "-s", ca, tmp_path / "said")
        config = configuration(bench, server.port, f"RevokedHostKeys {krl}")
        why = ours(config)
        assert (said in why, bool(why)) == (True, bool(said)), (lines, why)
        assert theirs(config) is not bool(why), lines

    good.write_bytes(krl.read_bytes())
    krl.write_bytes(krl.read_bytes() + b"\x06\0\0\0\0")
    config = configuration(bench, server.port, f"RevokedHostKeys {krl}")
    assert f"{krl} is a key revocation list (KRL) that can't be read: it has a section of type 6" in ours(config)
    assert not theirs(config)
    # Several files: OpenSSH 10.3 and later.
    config = configuration(bench, server.port, f"RevokedHostKeys /dev/null {good}")
    assert "of a revoked authority" in ours(config)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_hosts_whose_authority_is_in_hardware(kind: str, bench: Bench) -> None:
    signer = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    authority, by_token = hardware_key(signer)
    host = bench.directory / f"{kind}-token" / "host"
    shown = []

    def prepared(key: Path) -> None:
        shown.append(
            certificate(key=blob(key.with_suffix(".pub")), names=b"legacy-cert-01", authority=authority, sign=by_token)
        )
        text = base64.b64encode(shown[0]).decode()
        Path(f"{key}-cert.pub").write_text(f"ssh-ed25519-cert-v01@openssh.com {text}\n")

    server = bench.start(f"{kind}-token", f"HostCertificate {host}-cert.pub", prepare=prepared)
    line = f"{kind_of(authority)} {base64.b64encode(authority).decode()}"
    bench.knows(f"@cert-authority legacy-* {line}")
    config = configuration(bench, server.port)
    assert ours(config) == ""
    assert theirs(config)
    other, _ = hardware_key(signer, b"ssh:other")
    bench.knows(f"@cert-authority legacy-* {kind_of(other)} {base64.b64encode(other).decode()}")
    assert "which is no authority for legacy-cert-01" in ours(config)
    assert not theirs(config)
    bench.knows(f"legacy-cert-01 {line}")
    assert ours(config).startswith("host key not verified: it shows ssh-ed25519 SHA256:")
    assert not theirs(config)

    # What ssh-keygen reads of it, and that it lists the authority as revoked like any other.
    keygen("-L", "-f", Path(f"{host}-cert.pub"))
    ca, krl = bench.directory / f"{kind}.pub", bench.directory / f"{kind}.krl"
    ca.write_text(line + "\n")
    keygen("-k", "-f", krl, ca)
    found = refusal(
        shown[0], KnownHosts([]).keys("legacy-cert-01", 22), "legacy-cert-01", 22, now=time.time(),
        revoked=Revoked([str(krl)]),
    )  # fmt: skip
    assert found.startswith("host certificate of a revoked authority")


def test_a_host_with_no_kind_of_key_that_is_spoken_here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose only key is in hardware: there is nothing to agree on."""
    monkeypatch.setattr("auditor.capture.ssh.algorithms", lambda _keys, _usual: ("ecdsa-sha2-nistp521",))
    server = bench.start("other-kind")
    authority, _ = hardware_key(ed25519.Ed25519PrivateKey.generate())
    bench.knows(f"legacy-cert-01 {kind_of(authority)} {base64.b64encode(authority).decode()}")
    config = configuration(bench, server.port)
    assert ours(config).startswith("host key not verified: known_hosts has sk-ssh-ed25519@openssh.com for it (")
    bench.knows(f"legacy-cert-01 {server.key}")
    assert "no acceptable host key" in ours(config)
