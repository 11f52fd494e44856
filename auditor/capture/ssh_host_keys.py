"""Whether a host is who it should be: the key or the certificate that it shows, against known_hosts.

sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. A certificate is taken as ssh takes it: its authority must be an
`@cert-authority` of that name, and one that does not hold is dropped, so that the plain key in it counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from auditor.capture.sources import any_applies
from auditor.capture.ssh_keys import CERTIFICATE, IN_HARDWARE, Certificate, fingerprint, kind_of, plain_key
from auditor.capture.ssh_revoked import MAX_FILE, Revoked

AUTHORITY: Final = "@cert-authority"
REVOKED: Final = "@revoked"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key of known_hosts. `blob` is in the wire's form (RFC 4253, 6.6), `where` is the file and line."""

    marker: str
    kind: str
    blob: bytes
    where: str


class KnownHosts:
    """The keys of known_hosts files: plain, with patterns, and hashed; and what the files of RevokedHostKeys revoke.

    A file of known hosts that is not there is empty. Raises ValueError if one is too large, or if what is revoked can't
    be read: then nobody can be trusted.
    """

    def __init__(self, files: Sequence[str], revoked: Sequence[str] = ()) -> None:
        self._plain: dict[str, list[HostKey]] = {}
        self._patterns: list[tuple[tuple[str, ...], HostKey]] = []
        self._hashed: list[tuple[bytes, bytes, HostKey]] = []
        for name in files:
            try:
                with open(name, "rb") as stream:
                    text = stream.read(MAX_FILE + 1).decode("utf-8", "replace")
            except OSError:
                continue
            if len(text) > MAX_FILE:
                raise ValueError(f"known_hosts {name} is larger than {MAX_FILE >> 20} MiB")
            for number, line in enumerate(text.splitlines(), 1):
                self._line(line, f"{name}:{number}")
        self.revoked = Revoked(revoked)

    def _line(self, line: str, where: str) -> None:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            return
        key = _key(marker, words[1], words[2], where)
        if key is None:
            return
        if words[0].startswith("|1|"):
            _, _, salt, digest = [*words[0].split("|"), "", "", "", ""][:4]
            try:
                self._hashed.append((base64.b64decode(salt), base64.b64decode(digest), key))
            except (binascii.Error, ValueError):
                return
            return
        names = tuple(words[0].lower().split(","))
        if any(mark in words[0] for mark in "*?!"):
            self._patterns.append((names, key))
        else:
            for name in names:
                self._plain.setdefault(name, []).append(key)

    def keys(self, name: str, port: int) -> list[HostKey]:
        """All keys of a host, by its name or address as it is called.

        At another port than 22 those of the bare name count where the port has none, as for ssh: its own plain keys
        replace those of the name, authorities and revoked keys add up.
        """
        found = self._called(name.lower())
        if port != 22:
            own = self._called(f"[{name.lower()}]:{port}")
            replaced = any(not key.marker for key in own)
            found = own + [key for key in found if key.marker or not replaced]
        return found

    def _called(self, called: str) -> list[HostKey]:
        found = list(self._plain.get(called, ()))
        found.extend(key for patterns, key in self._patterns if any_applies(patterns, called))
        for salt, digest, key in self._hashed:
            # SHA-1 is what the format has.
            if hmac.compare_digest(hmac.new(salt, called.encode(), hashlib.sha1).digest(), digest):
                found.append(key)
        return found


def _key(marker: str, kind: str, text: str, where: str) -> HostKey | None:
    try:
        blob = base64.b64decode(text, validate=True)
        # Keys are compared without their certificates.
        return HostKey(marker, kind, plain_key(blob), where)
    except ValueError:
        return None


def algorithms(keys: Sequence[HostKey], usual: Sequence[str]) -> tuple[str, ...]:
    """The algorithms of host keys to ask for, the best first: of the kinds that known_hosts can vouch for."""
    kinds = {key.kind for key in keys if not key.marker}
    first = [name for name in usual if name in kinds or (name.startswith("rsa-sha2") and "ssh-rsa" in kinds)]
    plain = tuple(dict.fromkeys([*first, *usual]))
    certified = tuple(f"{name}{CERTIFICATE}" for name in usual)
    return certified + plain if any(key.marker == AUTHORITY for key in keys) else plain + certified


def refusal(
    blob: bytes, keys: Sequence[HostKey], name: str, port: int, *, now: float, revoked: Revoked | None = None
) -> str:
    """Why a host that shows this key or certificate is not to be trusted; empty if it is. `keys` are those of its name.

    `now` is in seconds since 1970. That the host has the private half is for the key exchange to prove.
    """
    try:
        certificate = Certificate.read(blob) if kind_of(blob).endswith(CERTIFICATE) else None
    except ValueError as error:
        return f"it shows a host certificate that can't be read: {error}"
    plain = blob if certificate is None else certificate.key
    print_of = f"{kind_of(plain)} {fingerprint(plain)}"
    if revoked is not None and (why := revoked.why(plain, certificate)):
        return why
    authorities = [key for key in keys if key.marker == AUTHORITY]
    for key in keys:
        if key.marker == REVOKED and key.blob == plain:
            return f"host key revoked: {print_of} is @revoked at {key.where}"
        if key.marker == REVOKED and certificate is not None and key.blob == certificate.authority:
            return f"host certificate of a revoked authority: {fingerprint(key.blob)} is @revoked at {key.where}"
    problem = ""
    if certificate is not None and authorities:
        problem = _unvouched(certificate, authorities, name) or certificate.problem(name, now)
        if not problem:
            return ""
    if any(not key.marker and key.blob == plain for key in keys):
        return ""
    others = [key for key in keys if not key.marker]
    also = f" (its certificate does not help: {problem})" if problem else ""
    if others and all(key.kind in IN_HARDWARE for key in others):
        return f"host key not verified: it shows {print_of}, and {in_hardware(others)}{also}"
    if others:
        return (
            f"host key changed: it shows {print_of}, and {others[0].where} has another. Somebody may be in between, or "
            f"the host was set up anew: find out before you replace the line{also}"
        )
    if problem:
        return f"host certificate not valid: {problem}"
    if authorities:
        return (
            f"host key unknown: it shows {print_of} and no certificate, and for {name} port {port} known_hosts has an "
            f"authority alone ({authorities[0].where})"
        )
    return (
        f"host key unknown: it shows {print_of}, and {name} port {port} is not in known_hosts. Compare the "
        "fingerprint, then add the key (`ssh-keyscan`)"
    )


def in_hardware(keys: Sequence[HostKey]) -> str:
    """What to do about a host that is known by a key in hardware; empty if it is not."""
    for key in keys:
        if not key.marker and key.kind in IN_HARDWARE:
            return (
                f"known_hosts has {key.kind} for it ({key.where}): a key in hardware, which is not asked for here. Add "
                "another key of the host (`ssh-keyscan`), or the authority of its certificate"
            )
    return ""


def _unvouched(certificate: Certificate, authorities: Sequence[HostKey], name: str) -> str:
    if any(key.blob == certificate.authority for key in authorities):
        return ""
    return (
        f"it is signed by {kind_of(certificate.authority)} {fingerprint(certificate.authority)}, which is no authority "
        f"for {name}: {authorities[0].where} has another"
    )
