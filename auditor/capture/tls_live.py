"""TLS probes: which certificate each endpoint serves now, by its name (SNI), also behind STARTTLS.

The certificate is looked at, and never trusted: an expired or foreign one is what is looked for. Nothing is sent but
the handshake, and for STARTTLS what asks for it (RFC 3207, RFC 9051, RFC 4511 4.14, PostgreSQL's SSLRequest).
"""

from __future__ import annotations

import errno
import json
import re
import select
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditor.capture.http.client import FailedError
from auditor.capture.http.services import ServiceResult, Writer, safe_name, stamp
from auditor.capture.snapshot import Record
from auditor.capture.texts import Texts
from auditor.model import Outcome
from auditor.text import expand_range, is_address, printable, reason_of, split_endpoint

if TYPE_CHECKING:
    from auditor.inventory.schema import Inventory

MAX_ENDPOINTS: Final = 5000
MAX_ADDRESSES: Final = 8
"""Addresses of one name that are asked."""
_WORKERS: Final = 16
_ANSWER: Final = 16 * 1024
_FILE: Final = 8 * 1024 * 1024

STARTTLS: Final = {"smtp": 25, "submission": 587, "imap": 143, "ldap": 389, "postgres": 5432, "postgresql": 5432}
"""Schemes of endpoints that begin in plain text, with their ports."""
_TLS: Final = {"https": 443, "smtps": 465, "imaps": 993, "ldaps": 636, "wss": 443, "tls": 443}
_BY_PORT: Final = {25: "smtp", 587: "smtp", 143: "imap", 389: "ldap", 5432: "postgres"}
_URL: Final = re.compile(rb"(?:https|wss|ldaps|imaps|smtps)://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?", re.I)
_LDAP_REQUEST: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
_POSTGRES_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where to ask: `protocol` is what must be spoken before the handshake, empty for nothing."""

    host: str
    port: int
    protocol: str = ""

    @property
    def text(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint_of(text: str) -> Endpoint | None:
    """An endpoint of the inventory: a URL, host:port or a host (port 443); None if it is none that speaks TLS."""
    parts = split_endpoint(text)
    if parts is None or parts.scheme in ("http", "ftp", "ssh"):
        return None
    port = parts.port or STARTTLS.get(parts.scheme) or _TLS.get(parts.scheme) or (0 if parts.scheme else 443)
    if not port:
        return None
    protocol = {"submission": "smtp", "postgresql": "postgres"}.get(parts.scheme, parts.scheme)
    if protocol not in STARTTLS:
        protocol = "" if parts.scheme else _BY_PORT.get(port, "")
    return Endpoint(parts.host, port, protocol)


def endpoints_for(
    inventory: Inventory, declared: Iterable[str], roots: Iterable[Path], *, discover: bool = False
) -> tuple[list[Endpoint], str]:
    """What to probe: what is declared; and, to discover, names of services and balancers, and the hosts of https and
    other TLS URLs below the inventory's domains in any file of the estate. And what of it was not looked into."""
    found: dict[Endpoint, None] = {}
    cut = ""
    for text in declared:
        for one in expand_range(text):
            if endpoint := endpoint_of(one):
                found.setdefault(endpoint)
    if discover:
        names = [name for service in inventory.services for name in service.names]
        names += [balancer.name for balancer in inventory.balancers]
        names += [name for certificate in inventory.certificates for name in certificate.sans]
        found.update(dict.fromkeys(Endpoint(name, 443) for name in names if not name.startswith("*")))
        for root in roots:
            below, missed = _in_files(root, inventory.domains)
            found.update(dict.fromkeys(sorted(below)))
            cut = cut or missed
    return list(found), cut


def _in_files(root: Path, domains: Sequence[str]) -> tuple[set[Endpoint], str]:
    found: set[Endpoint] = set()
    texts = Texts(root)
    for content in texts:
        for url in set(_URL.findall(content)):
            endpoint = endpoint_of(url.decode("ascii").rstrip(".-"))
            if endpoint is not None and any(
                endpoint.host == domain or endpoint.host.endswith("." + domain) for domain in domains
            ):
                found.add(endpoint)
        if len(found) > MAX_ENDPOINTS:
            break
    return found, texts.cut


def collect_tls(
    name: str,
    endpoints: Sequence[Endpoint],
    writer: Writer,
    *,
    cut: str = "",
    patience: float = 5.0,
    now: Callable[[], str] = stamp,
    stop: Callable[[], bool] = lambda: False,
) -> ServiceResult:
    """Probes endpoints into `tls/<source>.jsonl`, a line for each certificate that an endpoint shows at its addresses.

    `patience` is in seconds, for one address; `cut` says why there may be more endpoints.

    Raises OSError if the snapshot can't be written. An endpoint that does not answer is a line with its outcome, and
    the whole is then partial.
    """
    path = f"tls/{safe_name(name)}.jsonl"
    if writer.outcomes.get(path) is Outcome.OK:
        return ServiceResult(name, 0, 0)
    asked = list(endpoints)[:MAX_ENDPOINTS]
    if not asked:
        # Not "absent": an empty list says nothing of what is served.
        detail = "no endpoint is declared or found"
        writer.record([Record(path, Outcome.UNSEEN, now(), detail)])
        return ServiceResult(name, 0, 1, detail)

    def one(endpoint: Endpoint) -> list[dict[str, object]]:
        entry: dict[str, object] = {"endpoint": endpoint.text, "protocol": endpoint.protocol or "tls"}
        if stop():
            return [{**entry, "status": Outcome.UNSEEN.value, "detail": "the run was interrupted"}]
        return [{**entry, **found} for found in _entries(endpoint, patience)]

    with ThreadPoolExecutor(_WORKERS) as threads:
        entries = [entry for found in threads.map(one, asked) for entry in found]
    missed = [entry for entry in entries if entry["status"] != "ok"]
    for number, part in enumerate(_parts([json.dumps(entry) + "\n" for entry in entries])):
        header = json.dumps({"tls_probes": name, "asked": len(part), "at": now()}) + "\n"
        place = path if not number else f"tls/{safe_name(name)}.{number + 1}.jsonl"
        writer.store(place, "".join((header, *part)).encode("ascii"))
        if number:
            writer.record([Record(place, Outcome.OK, now())])
    unseen = len({entry["endpoint"] for entry in missed})
    outcome, detail = Outcome.OK, ""
    if missed:
        outcome = Outcome.PARTIAL if len(missed) < len(entries) else Outcome(str(missed[0]["status"]))
        shown = f"{missed[0]['endpoint']}: {missed[0]['detail']}"
        detail = f"{unseen} of {len(asked)} endpoints show no certificate, or not at each address: {shown}"
    elif len(endpoints) > len(asked):
        outcome, detail = Outcome.PARTIAL, f"only the first {MAX_ENDPOINTS} of {len(endpoints)} endpoints were probed"
    elif cut:
        outcome, detail = Outcome.PARTIAL, cut
    writer.record([Record(path, outcome, now(), detail)])
    return ServiceResult(name, len(asked), max(unseen, int(outcome is not Outcome.OK)), detail)


def _parts(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines of several files, none of which is too long to be read whole."""
    part: list[str] = []
    size = 0
    for line in lines:
        if part and size + len(line) > _FILE:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    yield part


def _entries(endpoint: Endpoint, patience: float) -> list[dict[str, object]]:
    """What each address of an endpoint shows, the same certificate once.

    An address family that this machine has no route for is no gap, if an address of another answers.
    """
    try:
        every = _addresses(endpoint)
    except FailedError as error:
        return [{"status": error.outcome.value, "detail": error.detail}]
    addresses = every[:MAX_ADDRESSES]
    found: list[dict[str, object]] = []
    certificates: set[str] = set()
    no_route: list[dict[str, object]] = []
    for address in addresses:
        try:
            version, certificate = probe(endpoint, address, patience)
        except FailedError as error:
            failed: dict[str, object] = {
                "status": error.outcome.value,
                "address": address,
                "detail": f"{address}: {error.detail}" if len(addresses) > 1 else error.detail,
            }
            (no_route if isinstance(error, _NoRouteError) else found).append(failed)
            continue
        if certificate not in certificates:
            certificates.add(certificate)
            found.append({"status": "ok", "address": address, "version": version, "certificate": certificate})
    if len(every) > len(addresses):
        why = f"only the first {MAX_ADDRESSES} of {len(every)} addresses were probed"
        found.append({"status": Outcome.UNSEEN.value, "address": every[MAX_ADDRESSES], "detail": why})
    return found or no_route


class _NoRouteError(FailedError):
    """There is no way to an address from here."""


def _addresses(endpoint: Endpoint) -> list[str]:
    """The addresses of an endpoint's name. Raises FailedError."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        raise FailedError(Outcome.UNREACHABLE, "its name does not resolve") from None
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def probe(endpoint: Endpoint, address: str, patience: float) -> tuple[str, str]:
    """The version of TLS, and the certificate in PEM form, that an endpoint shows at an address. Raises FailedError."""
    deadline = time.monotonic() + patience
    try:
        with socket.create_connection((address, endpoint.port), timeout=patience) as plain:
            _ask_for_tls(plain, endpoint.protocol, deadline)
            server_name = None if is_address(endpoint.host) else endpoint.host
            with _context().wrap_socket(plain, server_hostname=server_name, do_handshake_on_connect=False) as secure:
                _handshake(secure, deadline)
                der = secure.getpeercert(binary_form=True)
                if not der:
                    raise FailedError(Outcome.UNSUPPORTED, "the handshake shows no certificate")
                return secure.version() or "", ssl.DER_cert_to_PEM_cert(der)
    except TimeoutError:
        raise FailedError(Outcome.UNREACHABLE, f"no answer within {patience:g} seconds") from None
    except ssl.SSLError as error:
        raise FailedError(Outcome.UNSUPPORTED, f"TLS: {printable(str(error.reason or 'no handshake'))}") from None
    except OSError as error:
        why = reason_of(error)
        if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _NoRouteError(Outcome.UNREACHABLE, why) from None
        raise FailedError(Outcome.UNREACHABLE, why) from None
    except (UnicodeError, ValueError) as error:
        raise FailedError(Outcome.UNREACHABLE, type(error).__name__) from None


def _handshake(secure: ssl.SSLSocket, deadline: float) -> None:
    """A handshake that ends at the deadline, however slowly the other side dribbles. Raises TimeoutError."""
    secure.setblocking(False)
    while True:
        try:
            return secure.do_handshake()
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except ssl.SSLWantWriteError:
            wanted = select.POLLOUT
        ready = select.poll()
        ready.register(secure, wanted)
        left = deadline - time.monotonic()
        if left <= 0 or not ready.poll(left * 1000):
            raise TimeoutError


def _context() -> ssl.SSLContext:
    """Takes any certificate, and speaks what old servers speak: what they serve is to be seen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    # OpenSSL's SSL_OP_LEGACY_SERVER_CONNECT, which Python names from 3.12 on: servers without RFC 5746.
    context.options |= 0x4
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _ask_for_tls(plain: socket.socket, protocol: str, deadline: float) -> None:
    if protocol == "smtp":
        _expect(plain, deadline, rb"220[ \r\n]")
        plain.sendall(b"EHLO auditor.invalid\r\n")
        if not re.search(rb"(?m)^250[- ]STARTTLS\b", _expect(plain, deadline, rb"250[ \r\n]"), re.I):
            raise FailedError(Outcome.UNSUPPORTED, "the server offers no STARTTLS")
        plain.sendall(b"STARTTLS\r\n")
        _expect(plain, deadline, rb"220[ \r\n]")
    elif protocol == "imap":
        _expect(plain, deadline, rb"\* (?:OK|PREAUTH)")
        plain.sendall(b"a1 STARTTLS\r\n")
        _expect(plain, deadline, rb"a1 OK")
    elif protocol == "ldap":
        plain.sendall(_LDAP_REQUEST)
        answer = _read(plain, deadline, 2)
        length = answer[1]
        if length & 0x80:
            length = int.from_bytes(_read(plain, deadline, min(length & 0x7F, 4)), "big")
        rest = _read(plain, deadline, min(length, _ANSWER))
        # resultCode, an ENUMERATED: 0 is success.
        if b"\x0a\x01\x00" not in rest[:16]:
            raise FailedError(Outcome.UNSUPPORTED, "the server refuses StartTLS")
    elif protocol == "postgres":
        plain.sendall(_POSTGRES_REQUEST)
        if _read(plain, deadline, 1) != b"S":
            raise FailedError(Outcome.UNSUPPORTED, "the server speaks no TLS")


def _read(plain: socket.socket, deadline: float, size: int) -> bytes:
    found = b""
    while len(found) < size:
        plain.settimeout(max(deadline - time.monotonic(), 0.01))
        more = plain.recv(size - len(found))
        if time.monotonic() > deadline:
            raise TimeoutError
        if not more:
            raise FailedError(Outcome.PARTIAL, "the server ends the connection before TLS")
        found += more
    return found


def _expect(plain: socket.socket, deadline: float, last: bytes) -> bytes:
    """Lines up to one that begins with `last`. Read byte by byte: what follows belongs to TLS."""
    whole = b""
    line = b""
    while len(whole) < _ANSWER:
        line += _read(plain, deadline, 1)
        whole += line[-1:]
        if line.endswith(b"\n"):
            if re.match(last, line, re.I):
                return whole
            if re.match(rb"[45]\d\d[ \r\n]|\* BYE|a1 (?:NO|BAD)", line, re.I):
                raise FailedError(Outcome.UNSUPPORTED, "the server refuses STARTTLS")
            line = b""
    raise FailedError(Outcome.PARTIAL, "the server's answer has no end")
