"""Files of RevokedHostKeys that ssh-keygen does not write: hostile, of other versions, and lists of keys."""

from __future__ import annotations

import base64
import hashlib
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("paramiko")

from auditor.capture import ssh_host_keys, ssh_revoked
from auditor.capture.ssh_host_keys import AUTHORITY, HostKey, KnownHosts, in_hardware, refusal
from auditor.capture.ssh_keys import Certificate
from auditor.capture.ssh_revoked import Revoked
from tests.capture.ssh_wire import CA, KEY, certificate, hardware_key, string, strings

HEADER = b"SSHKRL\n\0" + struct.pack(">IQQQ", 1, 1, 0, 0) + string(b"") + string(b"a comment")
HIGHEST = (1 << 64) - 1


def section(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + string(data)


def issued(*inner: bytes, authority: bytes = CA) -> bytes:
    return section(1, string(authority) + string(b"") + b"".join(inner))


def serials(*numbers: int) -> bytes:
    return section(0x20, struct.pack(f">{len(numbers)}Q", *numbers))


def interval(first: int, last: int) -> bytes:
    return section(0x21, struct.pack(">QQ", first, last))


def bitmap(first: int, bits: bytes) -> bytes:
    return section(0x22, struct.pack(">Q", first) + string(bits))


def extension(critical: int, kind: int = 255) -> bytes:
    return section(kind, string(b"x@example.com") + bytes([critical]) + string(b"anything"))


SIGNED = b"\x04" + string(CA) + string(b"a signature")


def read(tmp_path: Path, *sections: bytes) -> Revoked:
    (tmp_path / "krl").write_bytes(HEADER + b"".join(sections))
    return Revoked([str(tmp_path / "krl")])


def why(revoked: Revoked, *, serial: int = 7, identity: bytes = b"web-01", authority: bytes = CA) -> str:
    shown = certificate(serial=serial, identity=identity, authority=authority)
    return revoked.why(KEY, Certificate.read(shown))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ([], ""),
        ([section(2, string(KEY))], "host key revoked: ssh-ed25519 SHA256:"),
        ([section(3, string(hashlib.sha1(KEY).digest()))], "host key revoked"),
        ([section(5, string(bytes(32)) + string(hashlib.sha256(KEY).digest()))], "host key revoked"),
        ([section(2, string(CA))], "host certificate of a revoked authority: SHA256:"),
        ([issued(serials(1, 7))], "host certificate revoked: serial number 7 of authority SHA256:"),
        ([issued(serials(6, 8))], ""),
        ([issued(serials(7), authority=b"")], "serial number 7"),
        ([issued(serials(7), authority=KEY)], ""),
        ([issued(interval(7, 7))], "serial number 7"),
        ([issued(interval(8, HIGHEST), interval(1, 6))], ""),
        ([issued(interval(1, HIGHEST))], "serial number 7"),
        ([issued(bitmap(6, b"\x02"))], "serial number 7"),
        ([issued(bitmap(6, b"\x00\xfd"), bitmap(8, b"\x01"), bitmap(0, b"\x02"))], ""),
        ([issued(bitmap(HIGHEST - 1, b"\x03"))], ""),
        ([issued(section(0x23, string(b"web-01")))], "key ID 'web-01' of authority"),
        ([issued(section(0x23, string(b"web-01\0")))], "key ID 'web-01'"),
        ([issued(section(0x23, string(b"web-0") + string(b"WEB-01")))], ""),
        # Sections that a later version may have, and that say of themselves that they may be left out.
        ([extension(0), issued(extension(0, 0x39), serials(7))], "serial number 7"),
        # Of one authority in several sections, and the signature at the end.
        ([issued(serials(1)), issued(serials(7)), SIGNED, SIGNED], "serial number 7"),
    ],
)
def test_what_a_list_revokes(sections: list[bytes], said: str, tmp_path: Path) -> None:
    found = why(read(tmp_path, *sections))
    assert said in found
    assert bool(found) is bool(said)


def test_a_certificate_without_a_number_is_not_revoked_by_numbers(tmp_path: Path) -> None:
    revoked = read(tmp_path, issued(interval(1, HIGHEST), bitmap(0, b"\x7e"), section(0x23, string(b"other"))))
    assert why(revoked, serial=0) == ""
    assert why(revoked, serial=0, identity=b"other")
    assert why(revoked, serial=HIGHEST)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ([extension(1)], "a critical extension that is not known: 'x@example.com'"),
        ([issued(extension(7, 0x39))], "a critical extension"),
        ([section(6, b"")], "a section of type 6, which is not known"),
        ([issued(section(0x24, b""))], "a section of certificates of type 0x24"),
        ([SIGNED, section(2, string(KEY))], "comes after its signature"),
        ([b"\x04" + string(CA) + string(b""), section(2, string(KEY))], "comes after its signature"),
        ([SIGNED[:-1]], "cut off"),
        ([section(2, string(KEY))[:-1]], "cut off"),
        ([section(3, string(bytes(19)))], "19 bytes, not 20"),
        ([section(5, string(bytes(20)))], "20 bytes, not 32"),
        ([issued(serials(0))], "serial number 0"),
        ([issued(interval(0, 7))], "serial number 0"),
        ([issued(interval(8, 7))], "ends before it begins: 8-7"),
        ([issued(section(0x21, struct.pack(">QQQ", 1, 2, 3)))], "goes on after its end"),
        ([issued(section(0x20, b"\0\0\0\0"))], "cut off"),
        ([issued(bitmap(0, b"\x01"))], "serial numbers that are none"),
        ([issued(bitmap(HIGHEST, b"\x02"))], "serial numbers that are none"),
        ([issued(bitmap(1, b"\x80"))], "negative"),
        ([issued(bitmap(1, b"\x01" + bytes(2048)))], "more than 2,048 bytes"),
        ([issued(section(0x23, string(b"web\0-01")))], "zero byte"),
        ([issued(serials(7), authority=string(b"ssh-later") + string(b""))], "'ssh-later', which is not supported"),
        ([issued(serials(7), authority=CA[:-1])], "cut off"),
        ([section(255, string(b"x") + b"\0" + string(b"") + b"more")], "goes on after its end"),
        ([b"\0"], "cut off"),
    ],
)
def test_a_list_that_is_not_understood_is_refused(sections: list[bytes], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"krl is a key revocation list .* that can't be read: ") as caught:
        read(tmp_path, issued(serials(1)), *sections)
    assert said in str(caught.value)


def test_other_versions_of_the_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "krl").write_bytes(HEADER.replace(b"\0\0\0\0\x01", b"\0\0\0\0\x02", 1))
    with pytest.raises(ValueError, match="its format has version 2"):
        Revoked([str(tmp_path / "krl")])


@pytest.mark.parametrize(
    ("limit", "sections", "said"),
    [
        ("MAX_ENTRIES", [issued(serials(*range(1, 9)))], "more than 3 entries"),
        ("MAX_ENTRIES", [section(2, string(KEY) * 4)], "more than 3 entries"),
        ("MAX_ENTRIES", [issued(section(0x23, string(b"") * 4))], "more than 3 entries"),
        ("MAX_PIECES", [issued(*[interval(1, 2)] * 3)], "more than 3 sections"),
        ("MAX_PIECES", [issued(*[bitmap(1, b"\x01")] * 3)], "more than 3 sections"),
        ("MAX_PIECES", [SIGNED] * 4, "more than 3 sections"),
    ],
)
def test_what_is_too_much_is_refused(
    limit: str, sections: list[bytes], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_revoked, limit, 3)
    with pytest.raises(ValueError, match=said):
        read(tmp_path, *sections)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_revoked, "MAX_FILE", 1 << 20)
    (tmp_path / "revoked").write_bytes(b"\n" * (1 << 20))
    Revoked([str(tmp_path / "revoked")])
    (tmp_path / "revoked").write_bytes(b"\n" * (1 << 20) + b"x")
    with pytest.raises(ValueError, match="is larger than 1 MiB"):
        Revoked([str(tmp_path / "revoked")])
    monkeypatch.setattr(ssh_host_keys, "MAX_FILE", 1 << 20)
    with pytest.raises(ValueError, match=r"known_hosts .* is larger than 1 MiB"):
        KnownHosts([str(tmp_path / "revoked")])


@given(st.binary(max_size=300))
@example(b"\xff" * 40)
def test_any_bytes_are_a_list_or_none(content: bytes) -> None:
    for head in (b"SSHKRL\n\0", HEADER, HEADER + b"\x01" + struct.pack(">I", len(content)) + string(CA) + string(b"")):
        try:
            found = ssh_revoked._KeyRevocationList.read("krl", head + content)
        except ValueError:
            continue
        found.revokes(Certificate.read(certificate()))


def test_lists_of_keys_and_several_files(tmp_path: Path) -> None:
    def line(blob: bytes, kind: bytes = b"ssh-ed25519") -> bytes:
        return kind + b" " + base64.b64encode(blob)

    (tmp_path / "krl").write_bytes(HEADER + issued(serials(9)))
    (tmp_path / "keys").write_bytes(b"# none\n\n \t" + line(CA) + " a comment\u2028of two lines\x0c\r\n".encode())
    (tmp_path / "certificate").write_bytes(line(certificate(), b"ssh-ed25519-cert-v01@openssh.com"))
    names = [str(tmp_path / name) for name in ("krl", "keys")]
    revoked = Revoked(names)
    assert why(revoked).endswith(f" is @revoked at {tmp_path}/keys:3")
    assert why(Revoked(names[:1])) == ""
    assert why(revoked, serial=9, authority=CA)
    # Of a certificate in a list the key is revoked, as for ssh.
    assert Revoked([str(tmp_path / "certificate")]).why(KEY, None).endswith(f"@revoked at {tmp_path}/certificate:1")

    for bad in (
        b"@revoked * " + line(CA),
        b"ssh-ed25519",
        line(CA, b"ssh-rsa"),
        line(CA) + b"!",
        b"\xff\0 \xfe",
        b"1 2",
    ):
        (tmp_path / "keys").write_bytes(line(KEY) + b"\n" + bad + b"\n")
        with pytest.raises(ValueError, match=r"keys:2: neither a public key nor a comment"):
            Revoked(names)
    with pytest.raises(ValueError, match="can't be read: No such file"):
        Revoked([str(tmp_path / "none")])


SIGNERS = [ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), ec.derive_private_key(7, ec.SECP256R1())]


def said(blob: bytes, authority: bytes) -> str:
    keys = [HostKey(AUTHORITY, "any", authority, "known:1")]
    return refusal(blob, keys, "web-01", 22, now=time.time())


@pytest.mark.parametrize("signer", SIGNERS, ids=["ed25519", "ecdsa"])
def test_authorities_in_hardware(signer: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    authority, sign = hardware_key(signer)
    assert said(certificate(authority=authority, sign=sign), authority) == ""

    # Whoever's the application, whatever the flags and the counter: it is what was signed that counts.
    other, sign_other = hardware_key(signer, b"ssh:eventide", flags=0x45, counter=1 << 31)
    assert said(certificate(authority=other, sign=sign_other), other) == ""
    assert "which is no authority for web-01" in said(certificate(authority=other, sign=sign_other), authority)
    for wrong in (sign_other, lambda signed: sign(signed + b"x"), lambda signed: sign(signed) + b"\0"):
        assert "is not that of its authority" in said(certificate(authority=authority, sign=wrong), authority)

    blob = certificate(authority=authority, sign=sign)
    for at in range(len(blob)):
        changed = bytearray(blob)
        changed[at] ^= 1
        assert said(bytes(changed), authority), at
    for end in range(len(blob)):
        assert said(blob[:end], authority), end


def test_signatures_of_another_kind_than_the_key_in_hardware() -> None:
    authority, sign = hardware_key(SIGNERS[0])
    other, sign_other = hardware_key(SIGNERS[1])
    for mine, theirs in ((authority, sign_other), (other, sign)):
        assert "is not that of its authority" in said(certificate(authority=mine, sign=theirs), mine)
    for kind in (b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com", b"ssh-rsa"):

        def renamed(signed: bytes, kind: bytes = kind) -> bytes:
            return string(kind) + sign_other(signed)[4 + 34 :]

        blob = certificate(authority=other, sign=renamed)
        assert f"signed with {kind.decode()}, which is not accepted" in said(blob, other)


def test_points_and_numbers_that_ssh_does_not_take() -> None:
    signer = SIGNERS[1]
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    short = signer.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    authority, sign = hardware_key(signer)
    compressed = strings(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", short, b"ssh:")
    other_curve = authority.replace(b"nistp256\0", b"nistp384\0", 1)
    for mine in (compressed, other_curve):
        assert "is not that of its authority" in said(certificate(authority=mine, sign=sign), mine)

    def negative(number: Callable[[int], bytes]) -> Callable[[bytes], bytes]:
        def signed_by(signed: bytes) -> bytes:
            flags = b"\x01\0\0\0\x05"
            whole = hashlib.sha256(b"ssh:").digest() + flags + hashlib.sha256(signed).digest()
            pair = utils.decode_dss_signature(signer.sign(whole, ec.ECDSA(SHA256())))
            value = b"".join(string(number(one)) for one in pair)
            return strings(b"sk-ecdsa-sha2-nistp256@openssh.com", value) + flags

        return signed_by

    # With a zero byte before it each number is positive; without one, the half of them is negative.
    padded = negative(lambda one: b"\0" + one.to_bytes(32, "big"))
    assert said(certificate(authority=authority, sign=padded), authority) == ""
    bare = negative(lambda one: b"\x80" + one.to_bytes(32, "big"))
    assert "is not that of its authority" in said(certificate(authority=authority, sign=bare), authority)


def test_a_host_that_is_known_by_a_key_in_hardware(tmp_path: Path) -> None:
    blob, _ = hardware_key(SIGNERS[0])
    text = base64.b64encode(blob).decode()
    (tmp_path / "known").write_text(f"web-01 sk-ssh-ed25519@openssh.com {text}\n")
    keys = KnownHosts([str(tmp_path / "known")]).keys("web-01", 22)
    why = refusal(KEY, keys, "web-01", 22, now=time.time())
    assert why.startswith("host key not verified: it shows ssh-ed25519 SHA256:")
    assert f"known_hosts has sk-ssh-ed25519@openssh.com for it ({tmp_path}/known:1): a key in hardware" in why
    assert in_hardware(keys) in why

    # Beside another key of the host it is in nobody's way.
    with (tmp_path / "known").open("a") as stream:
        stream.write(f"web-01 ssh-ed25519 {base64.b64encode(KEY).decode()}\n")
    keys = KnownHosts([str(tmp_path / "known")]).keys("web-01", 22)
    assert refusal(KEY, keys, "web-01", 22, now=time.time()) == ""
    assert "host key changed" in refusal(CA, keys, "web-01", 22, now=time.time())
    assert in_hardware([]) == ""
