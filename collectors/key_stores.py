"""Key stores that programs read their certificate from: PKCS#12, Java's JKS and BCFKS, and DER.

Sources: Tomcat's `server.xml`, Spring Boot's `server.ssl.key-store`, Kafka's `ssl.keystore.location`, Elasticsearch's
`*.ssl.keystore.path`, Jetty, WildFly, Jenkins, Keycloak, Cassandra, the system property `javax.net.ssl.keyStore`, and
Kestrel's `Certificates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    without_templates,
)

SIZE_LIMIT: Final = 2 << 20
LINE_LIMIT: Final = 2_000
"""Characters of a line that are looked at."""
STORE_LIMIT: Final = 200
"""Key stores of one file."""

_MARKERS: Final = (
    b"keystore", b"Keystore", b"KeyStore", b"keyStore", b"key-store", b"KEY_STORE", b"KEYSTORE", b".pfx", b".p12",
)  # fmt: skip
_SUFFIXES: Final = (
    ".conf", ".cfg", ".ini", ".xml", ".json", ".yml", ".yaml", ".toml", ".properties", ".env", ".sh", ".service",
    ".j2", ".erb", ".in", ".options", ".cli",
)  # fmt: skip
_FORMATS: Final = {
    "p12": "PKCS#12",
    "pfx": "PKCS#12",
    "pkcs12": "PKCS#12",
    "jks": "JKS",
    "keystore": "JKS",
    "ks": "JKS",
    "bcfks": "BCFKS",
    "der": "DER",
}
_PATH: Final = re.compile(
    rf"(?:file:|[\"'=:\s>(])(?P<path>/[^\s\"'<>=,;)]{{1,400}}\.(?P<suffix>{'|'.join(_FORMATS)}))(?![\w.])",
    re.IGNORECASE,
)
_STORE: Final = re.compile(r"key[-_.]?store|\.pfx\b|\.p12\b|\.pkcs12\b|\.der\b", re.IGNORECASE)
_TRUST: Final = re.compile(r"trust[-_.]?store|truststore|cacerts|ca[-_]?bundle", re.IGNORECASE)
_COMMENT: Final = ("#", "//", ";", "<!--", "*")


class KeyStoresCollector(Collector):
    """The key stores that Java programs and others serve their certificates from.

    Reads
    -----
    Configurations and start scripts that speak of a key store within their first 4 KiB, on hosts and in repositories.

    Yields
    ------
    A service for each key store, that reads its file, with the form it has (`form`: PKCS#12, JKS, BCFKS, DER). Stores
    of trusted certificates are left out.

    Can't see
    ---------
    What is in the store, which is not opened; relative paths, and stores whose names have another suffix.
    """

    name: ClassVar[str] = "key_stores"
    title: ClassVar[str] = "Key stores of programs"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.READS})

    def recognizes(self, path: str, head: bytes) -> bool:
        base = path.rpartition("/")[2]
        if "." in base and not base.endswith(_SUFFIXES):
            return False
        return any(marker in head for marker in _MARKERS) and b"\0" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """A service and the file that it reads, for each key store, at its first line."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), f"larger than {SIZE_LIMIT >> 20} MiB", "scanned for mentions only", whole=True)
            return
        lines = decode(document.content).split("\n")
        plain = without_templates("\n".join(lines)).split("\n")
        seen: set[str] = set()
        for number, line in enumerate(plain, 1):
            if not _STORE.search(line) or line.lstrip().startswith(_COMMENT):
                continue
            for found in _PATH.finditer(line[:LINE_LIMIT]):
                path = found["path"]
                if path in seen or TEMPLATE in path or "$" in path or "{" in path or _is_trusted(line, found):
                    continue
                seen.add(path)
                if len(seen) > STORE_LIMIT:
                    yield Malformed(Where(number), f"more than {STORE_LIMIT} key stores", "the rest is not read")
                    return
                shown = excerpt(lines[number - 1] if number <= len(lines) else line)
                where = Where(number, shown)
                tree = "" if document.path.startswith("/") else f" in {excerpt(document.path)}"
                ref = Ref(Kind.SERVICE, f"key store {excerpt(path)}{tree}")
                known: dict[str, Attribute] = {"form": _FORMATS[found["suffix"].lower()]}
                yield Entity(ref, where, known)
                yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, where)
                yield Dependency(ref, Ref(Kind.PATH, path), Relation.READS, where)


def _is_trusted(line: str, found: re.Match[str]) -> bool:
    """Whether a path is that of trusted certificates: by its own name, or by the nearest word before it."""
    before = line[max(found.start("path") - 200, 0) : found.start("path")]
    trusts = max((one.start() for one in _TRUST.finditer(before)), default=-1)
    keeps = max((one.start() for one in _STORE.finditer(before)), default=-1)
    return trusts > keeps or _TRUST.search(found["path"]) is not None
