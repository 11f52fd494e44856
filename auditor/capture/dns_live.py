"""A DNS server over its own protocol: zones by transfer (AXFR, RFC 5936, with TSIG, RFC 8945), and live lookups.

A zone becomes a master file, `dns/<source>/<zone>.zone`, with absolute names. What lookups gave becomes
`lookups/<source>.jsonl`: one line for each name and type, so that two resolvers that answer differently (split views)
stay apart.
"""

from __future__ import annotations

import binascii
import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from auditor.capture.http.client import Credentials, FailedError, read_token
from auditor.capture.http.services import ServiceResult, Writer, safe_name, stamp
from auditor.capture.snapshot import Record
from auditor.capture.texts import Texts
from auditor.model import Outcome
from auditor.text import normal_address, normal_name, reason_of, split_endpoint

if TYPE_CHECKING:
    from dns.message import Message

    from auditor.inventory.schema import Inventory

MAX_RECORDS: Final = 2_000_000
MAX_NAMES: Final = 20_000
"""Names that are looked up at one server; what is beyond is said to be left out."""
PART_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a zone after which another file begins: a file of an estate is read up to 16 MiB."""

_NAME_TAIL: Final = re.compile(rb"[A-Za-z0-9_.-]*\Z")
_LEFT_OUT: Final = frozenset({"dns", "lookups", ".git"})
_WORKERS: Final = 16
_GIVE_UP: Final = 8
"""Questions in a row without any answer after which a server is taken to be silent."""


class Source(Credentials, Protocol):
    """A DNS server as the inventory declares it."""

    @property
    def server(self) -> str: ...
    @property
    def zones(self) -> tuple[str, ...]: ...
    @property
    def tsig_name(self) -> str | None: ...
    @property
    def ca(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One question: a name and a record type."""

    name: str
    kind: str


@dataclass(slots=True)
class _Answers:
    """What was learnt, by name and type, and how questions ended that gave nothing."""

    sets: dict[tuple[str, str], tuple[int, set[str]]] = field(default_factory=dict)
    failed: dict[Question, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Server:
    address: str
    port: int
    name: str
    keyring: Any
    key_name: Any
    context: Any


def collect_dns(
    name: str,
    source: Source,
    writer: Writer,
    questions: Sequence[Question] = (),
    *,
    cut: str = "",
    timeout: float = 60.0,
    patience: float = 3.0,
    now: Callable[[], str] = stamp,
) -> ServiceResult:
    """Transfers the zones of a source and asks it the questions. `timeout` is in seconds, for one transfer, `patience`
    for one answer; `cut` says why there may be more questions. Raises OSError if the snapshot can't be written.

    What was recorded as seen by an interrupted run is left out.
    """
    label = safe_name(name)
    paths = {zone: f"dns/{label}/{safe_name(zone)}.zone" for zone in source.zones}
    lookups = f"lookups/{label}.jsonl"
    zones = [zone for zone in source.zones if writer.outcomes.get(paths[zone]) is not Outcome.OK]
    wanted = [paths[zone] for zone in zones]
    asks = bool(questions) and writer.outcomes.get(lookups) is not Outcome.OK
    if asks:
        wanted.append(lookups)
    try:
        server = _server(source)
    except FailedError as error:
        writer.record(Record(path, error.outcome, now(), error.detail) for path in wanted)
        return ServiceResult(name, len(wanted), len(wanted), error.detail)
    unseen, first = 0, ""

    def done(path: str, outcome: Outcome, detail: str) -> None:
        nonlocal unseen, first
        if outcome is not Outcome.OK:
            unseen += 1
            first = first or f"{path}: {detail}"
        writer.record([Record(path, outcome, now(), detail)])

    for zone in zones:
        path = paths[zone]
        outcome, detail = Outcome.OK, ""
        try:
            for number, content in enumerate(_transfer(server, zone, timeout), 1):
                writer.store(path if number == 1 else f"{path[: -len('.zone')]}.{number}.zone", content)
        except FailedError as error:
            outcome, detail = error.outcome, error.detail
        done(path, outcome, detail)
    if asks:
        content, outcome, detail = _look_up(server, name, questions, patience)
        if content:
            writer.store(lookups, content)
        if cut and outcome is Outcome.OK:
            outcome, detail = Outcome.PARTIAL, cut
        done(lookups, outcome, detail)
    return ServiceResult(name, len(wanted), unseen, first)


def _server(source: Source) -> _Server:
    from dns import exception, name, tsig

    parts = split_endpoint(source.server)
    if parts is None:
        raise FailedError(Outcome.UNSUPPORTED, "its server is no name or address")
    secret = read_token(source)
    keyring: Any = None
    key_name: Any = None
    if source.tsig_name:
        if not secret:
            raise FailedError(Outcome.DENIED, "a TSIG key is named, and neither token_env nor token_command gives it")
        # As `dig -y` has it: hmac-sha512:secret.
        word, colon, rest = secret.rpartition(":")
        try:
            key_name = name.from_text(source.tsig_name)
            keyring = {key_name: tsig.Key(key_name, rest, word if colon else tsig.default_algorithm)}
        except (binascii.Error, ValueError, exception.DNSException):
            raise FailedError(Outcome.DENIED, "the TSIG key is not in base64, or its name is none") from None
    port = parts.port or (853 if source.ca else 53)
    address = normal_address(parts.host)
    if address is None:
        try:
            address = str(socket.getaddrinfo(parts.host, port, type=socket.SOCK_STREAM)[0][4][0])
        except (OSError, UnicodeError):
            raise FailedError(Outcome.UNREACHABLE, "its name does not resolve") from None
    context = None
    if source.ca:
        import ssl

        try:
            context = ssl.create_default_context(cafile=source.ca)
        except (OSError, ssl.SSLError):
            raise FailedError(Outcome.UNSUPPORTED, "its CA file can't be read") from None
    return _Server(address, port, parts.host, keyring, key_name, context)


def _transfer(server: _Server, zone: str, timeout: float) -> Iterator[bytes]:
    """A zone as master files. Raises FailedError before anything is given: half a zone is none."""
    from dns import exception, message, name, query, rcode, rdatatype, tsig, xfr

    if server.context is not None:
        raise FailedError(Outcome.UNSUPPORTED, "zone transfers over TLS are not made")
    lines: list[str] = []
    parts: list[bytes] = []
    header = f"$ORIGIN {normal_name(zone)}.\n"
    size = count = 0
    soa = ""
    try:
        origin = name.from_text(zone)
        for answer in query.xfr(
            server.address,
            origin,
            port=server.port,
            timeout=min(10.0, timeout),
            lifetime=timeout,
            relativize=False,
            keyring=server.keyring,
            keyname=server.key_name,
        ):
            for rrset in answer.answer:
                kind = rdatatype.to_text(rrset.rdtype)
                for rdata in rrset:
                    line = f"{rrset.name.to_text()} {rrset.ttl} IN {kind} {rdata.to_text()}\n"
                    if kind == "SOA":
                        # It stands at both ends of a transfer.
                        if soa:
                            continue
                        soa = line
                    count += 1
                    size += len(line)
                    lines.append(line)
                    if count > MAX_RECORDS:
                        raise FailedError(Outcome.PARTIAL, f"more than {MAX_RECORDS} records")
                    if size > PART_BYTES:
                        parts.append((header + "".join(lines)).encode("ascii", "backslashreplace"))
                        lines, size = [], 0
    except xfr.TransferError as error:
        code = rcode.to_text(getattr(error, "rcode", rcode.NOERROR))
        denied = code in ("REFUSED", "NOTAUTH", "BADKEY", "BADSIG", "BADTIME", "BADTRUNC")
        raise FailedError(
            Outcome.DENIED if denied else Outcome.UNREACHABLE if code == "SERVFAIL" else Outcome.UNSUPPORTED,
            f"the transfer is refused: {code}",
        ) from None
    except (tsig.PeerError, tsig.BadSignature, tsig.BadTime, tsig.BadKey, message.UnknownTSIGKey) as error:
        raise FailedError(Outcome.DENIED, f"TSIG: {type(error).__name__}") from None
    except exception.Timeout:
        raise FailedError(Outcome.UNREACHABLE, f"no whole transfer within {timeout:g} seconds") from None
    except (exception.DNSException, EOFError, ValueError, NotImplementedError) as error:
        raise FailedError(Outcome.PARTIAL, f"the transfer breaks off ({type(error).__name__})") from None
    except OSError as error:
        raise FailedError(Outcome.UNREACHABLE, reason_of(error)) from None
    if not soa:
        raise FailedError(Outcome.PARTIAL, "the transfer holds no SOA record")
    yield from parts
    if lines:
        yield (header + "".join(lines)).encode("ascii", "backslashreplace")


def _look_up(
    server: _Server, source: str, questions: Sequence[Question], patience: float
) -> tuple[bytes, Outcome, str]:
    """Asks all questions, several at once, and writes the answers as lines."""
    answers = _Answers()
    asked = list(dict.fromkeys(questions))[:MAX_NAMES]
    silent = 0
    at = 0
    with ThreadPoolExecutor(_WORKERS) as threads:
        while at < len(asked):
            batch = asked[at : at + _WORKERS * 4]
            at += len(batch)
            for question, (status, sets) in zip(
                batch, threads.map(lambda one: _ask(server, one, patience), batch), strict=True
            ):
                silent = silent + 1 if status in ("TIMEOUT", "UNREACHABLE") else 0
                for key, (ttl, values) in sets.items():
                    known = answers.sets.setdefault(key, (ttl, set()))
                    known[1].update(values)
                if status != "NOERROR" or not sets:
                    answers.failed[question] = status if status != "NOERROR" else "NODATA"
            if silent >= _GIVE_UP:
                for question in asked[at:]:
                    answers.failed[question] = "NOT ASKED"
                break
    lost = [status for status in answers.failed.values() if status not in ("NXDOMAIN", "NODATA")]
    if len(lost) == len(asked):
        refused = all(status in ("REFUSED", "NOTAUTH") for status in lost)
        return b"", Outcome.DENIED if refused else Outcome.UNREACHABLE, f"no question was answered: {lost[0]}"
    entries: list[dict[str, object]] = [
        {"name": owner, "type": kind, "status": "NOERROR", "ttl": ttl, "answers": sorted(values)}
        for (owner, kind), (ttl, values) in sorted(answers.sets.items())
    ]
    entries.extend(
        {"name": question.name, "type": question.kind, "status": status}
        for question, status in sorted(answers.failed.items(), key=lambda pair: (pair[0].name, pair[0].kind))
    )
    header = {"lookups": source, "server": f"{server.name} port {server.port}", "asked": len(asked)}
    content = "".join(json.dumps(entry) + "\n" for entry in (header, *entries)).encode("ascii")
    if lost:
        detail = f"{len(lost)} of {len(asked)} questions were not answered: {lost[0]}"
        return content, Outcome.PARTIAL, detail
    if len(asked) < len(set(questions)):
        return content, Outcome.PARTIAL, f"only the first {MAX_NAMES} names were looked up"
    return content, Outcome.OK, ""


def _ask(
    server: _Server, question: Question, patience: float
) -> tuple[str, dict[tuple[str, str], tuple[int, list[str]]]]:
    """How one question ended, and the records of its answer by name and type."""
    from dns import exception, message, query, rcode, rdatatype

    try:
        asked = message.make_query(question.name, question.kind)
        if server.keyring is not None:
            asked.use_tsig(server.keyring, server.key_name)
        if server.context is not None:
            answer = query.tls(
                asked, server.address, patience, server.port, ssl_context=server.context, server_hostname=server.name
            )
        else:
            answer, _ = query.udp_with_fallback(asked, server.address, patience, server.port)
    except exception.Timeout:
        return "TIMEOUT", {}
    except (OSError, EOFError):
        return "UNREACHABLE", {}
    except (exception.DNSException, ValueError, NotImplementedError) as error:
        return f"UNREADABLE ({type(error).__name__})", {}
    found: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for rrset in answer.answer:
        kind = rdatatype.to_text(rrset.rdtype)
        if kind in ("RRSIG", "NSEC", "NSEC3"):
            continue
        found[normal_name(rrset.name.to_text()), kind] = (rrset.ttl, [rdata.to_text() for rdata in rrset])
    status = rcode.to_text(answer.rcode())
    if status == "NOERROR" and not found and _refers(answer):
        return "REFERRAL", {}
    return status, found


def _refers(answer: Message) -> bool:
    """Whether a server only says who would know. That a name has nothing, it says with a SOA record (RFC 2308, 2.2)."""
    from dns import rdatatype

    kinds = {rrset.rdtype for rrset in answer.authority}
    return rdatatype.NS in kinds and rdatatype.SOA not in kinds


def questions_for(inventory: Inventory, roots: Iterable[Path]) -> tuple[list[Question], str]:
    """What to look up: names of the inventory and those below its domains that any file of the estate holds (A, AAAA,
    with the aliases on the way), mail servers of its domains, and the names of its addresses. And what of the estate
    was not looked into for names, empty if all was."""
    names: dict[str, None] = {}
    addresses: dict[str, None] = {}
    for host in inventory.expanded():
        names.update(dict.fromkeys(name for name in (host.name, *host.names) if "." in name))
        addresses.update(dict.fromkeys(host.addresses))
    for service in inventory.services:
        names.update(dict.fromkeys(service.names))
    names.update(dict.fromkeys(balancer.name for balancer in inventory.balancers))
    for domain in inventory.domains:
        names.setdefault(domain)
    cut = ""
    for root in roots:
        below, missed = names_in(root, inventory.domains)
        names.update(dict.fromkeys(sorted(below)))
        cut = cut or missed
    found = [Question(name, kind) for name in names if not name.startswith("*") for kind in ("A", "AAAA")]
    found += [Question(domain, "MX") for domain in inventory.domains]
    for address in addresses:
        found.append(Question(_reverse(address), "PTR"))
    return found, cut


def _reverse(address: str) -> str:
    from ipaddress import ip_address

    return ip_address(address).reverse_pointer


def names_in(root: Path, domains: Sequence[str]) -> tuple[set[str], str]:
    """Names below our domains in the text of any file, zones and lookups left out; and what was not looked into."""
    if not domains:
        return set(), ""
    ends = re.compile(
        rb"\.(?:" + b"|".join(re.escape(domain.encode()) for domain in domains) + rb")(?![A-Za-z0-9_-]|\.[A-Za-z0-9])",
        re.I,
    )
    found: set[str] = set()
    texts = Texts(root, _LEFT_OUT)
    for content in texts:
        for match in ends.finditer(content):
            before = _NAME_TAIL.search(content[max(match.start() - 200, 0) : match.start()])
            left = before[0].rpartition(b"..")[2].lstrip(b".-") if before else b""
            if left:
                found.add(normal_name((left + match[0]).decode("ascii")))
        if len(found) > MAX_NAMES:
            return found, f"more than {MAX_NAMES:,} names: the rest was not looked up"
    return found, texts.cut
