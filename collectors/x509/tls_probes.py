"""TLS probes: the certificates that each endpoint served when it was asked, one certificate of an endpoint a line.

The form is JSON Lines. The first line says which source asked, and how many lines follow:
`{"tls_probes": "edge", "asked": 2, "at": "2026-06-01T10:00:00Z"}`. The others are endpoints, with their certificate in
PEM form and the address that showed it, `{"endpoint": "api.example.net:443", "protocol": "tls", "status": "ok",
"address": "10.20.4.17", "version": "TLSv1.3", "certificate": "-----BEGIN CERTIFICATE-----…"}`, or with what became of
the question instead: `{"endpoint": "pay.example.net:443", "protocol": "tls", "status": "unreachable", "detail":
"Connection refused"}`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    endpoint_ref,
    excerpt,
    normal_address,
    read_json_lines,
)
from collectors.x509 import Certificate, read_certificate

LINE_LIMIT: Final = 20_000
"""Lines of one file that are read."""

_HEAD: Final = re.compile(rb"\s*\{\s*\"tls_probes\"\s*:")
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_UNKNOWN: Final = "what it serves is not known"


class TlsProbesCollector(Collector):
    """What endpoints served over TLS when they were asked, whoever had issued it and whether or not it had ended.

    The certificate is the same CERTIFICATE as one in a file: by its fingerprint.

    Reads
    -----
    Any file whose first line begins with `{"tls_probes":`.

    Yields
    ------
    An endpoint with the certificates that it served, its version of TLS and the addresses that answered. An endpoint or
    address that showed none, and those that a file which breaks off leaves out, are gaps: nothing is concluded from
    them.

    Can't see
    ---------
    What is served at addresses that the name did not resolve to, to other clients or without the name (SNI), a second
    certificate with another kind of key, and the chain.
    """

    name: ClassVar[str] = "tls_probes"
    title: ClassVar[str] = "TLS probes"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.SERVES})

    def recognizes(self, path: str, head: bytes) -> bool:
        return _HEAD.match(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """ENDPOINT SERVES CERTIFICATE; an endpoint without a certificate is Malformed, with what became of it."""
        asked, head, endpoints, at = 0, Where(), 0, ""
        for found in read_json_lines(document.content, LINE_LIMIT):
            if isinstance(found, Malformed):
                yield found
                if found.where.line > LINE_LIMIT:
                    return
                continue
            where, entry = found
            if "tls_probes" in entry:
                if isinstance(entry.get("asked"), int):
                    asked, head = asked + entry["asked"], where
                at = excerpt(str(entry.get("at", "")))
            else:
                endpoints += 1
                yield from _endpoint(entry, where, at)
        if endpoints < asked:
            yield Malformed(head, f"{asked} answers were written, and {endpoints} are here", "the file breaks off")


def _endpoint(entry: dict[str, Any], where: Where, at: str) -> Iterator[Parsed]:
    endpoint = endpoint_ref(str(entry.get("endpoint", "")))
    if endpoint is None:
        yield Malformed(where, "no endpoint that can be read", "the line is left out")
        return
    status = entry.get("status")
    if status != "ok":
        why = ": ".join(excerpt(str(entry[key])) for key in ("status", "detail") if entry.get(key))
        yield Malformed(where, f"{endpoint.text} showed no certificate ({why or 'nothing says why'})", _UNKNOWN)
        return
    found = _certificate(entry.get("certificate"), where.line)
    if isinstance(found, str):
        yield Malformed(where, f"{endpoint.text}: {found}", _UNKNOWN)
        return
    yield from _facts(entry, endpoint, found, where, at)


def _facts(entry: dict[str, Any], endpoint: Ref, found: Certificate, where: Where, at: str) -> Iterator[Parsed]:
    known: dict[str, Attribute] = {"probed": at or True}
    for key in ("protocol", "version"):
        if isinstance(entry.get(key), str):
            known[f"tls_{key}"] = excerpt(entry[key])
    address = normal_address(str(entry.get("address", "")))
    if address is not None:
        known["answered_from"] = address
    yield Entity(endpoint, where, known)
    position: dict[str, Attribute] = {"position": "leaf"} if found.is_leaf else {}
    yield Entity(found.ref, where, {**found.attributes, **position})
    yield Dependency(endpoint, found.ref, Relation.SERVES, where)


def _certificate(pem: object, line: int) -> Certificate | str:
    block = _PEM.fullmatch(pem.strip() + "\n") if isinstance(pem, str) else None
    if block is None:
        return "a certificate that is not PEM"
    try:
        der = binascii.a2b_base64("".join(block[1].split()), strict_mode=True)
    except (binascii.Error, ValueError):
        return "a certificate that is not base64"
    return read_certificate(der, line)
