"""Who signs mail with DKIM: OpenDKIM, Rspamd and Amavis.

Read from opendkim(8) and opendkim.conf(5) of 2.11, the documentation of Rspamd's module dkim_signing, and
README.dkim of amavisd-new 2.13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    is_hostname,
    normal_name,
)
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    names_host,
    read_source,
    unquoted,
)

_KEY_TABLES: Final = frozenset({"keytable", "key.table", "key_table", "key-table"})
_TRUSTED: Final = frozenset(
    {"trustedhosts", "trusted.hosts", "trusted_hosts", "internalhosts", "internal.hosts", "internal_hosts"}
)
_MAPS: Final = frozenset({"dkim_selectors.map", "selectors.map", "dkim_selector.map"})
_AMAVIS: Final = re.compile(
    r"^\s*dkim_key\(\s*(['\"])(?P<domain>[^'\"]+)\1\s*,\s*(['\"])(?P<selector>[^'\"]+)\3\s*(?:,\s*(['\"])(?P<path>[^'\"]+)\5)?"
)
_UCL: Final = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[{}\[\];,=:]|[^\s{}\[\];,=:"'#]+|\n""")
_DEPTH: Final = 20
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?")


class MailSigningCollector(Collector):
    """The keys that a host signs mail with, and whose mail it signs.

    Reads
    -----
    OpenDKIM: `opendkim.conf` (Domain, Selector and KeyFile, InternalHosts), `KeyTable` and `TrustedHosts` in a
    directory named after it, under the usual spellings. Rspamd: the domains of `dkim_signing.conf`,
    `dkim_selectors.map`. Amavis: `dkim_key(…)`.

    Yields
    ------
    A service for each key, called by the name of its record (`mail._domainkey.example.net`), which reads the key's
    file. Hosts whose mail is signed as the attribute `allows` of a service of its own.

    Can't see
    ---------
    The keys themselves. Keys that no SigningTable uses any more count; tables in databases and LDAP, Rspamd's selector
    for domains that it does not name, and the signing of Exim and of mail services outside are not known.
    """

    name: ClassVar[str] = "mail_signing"
    title: ClassVar[str] = "Signing of mail (DKIM) by OpenDKIM, Rspamd and Amavis"
    area: ClassVar[Area] = Area.LOGS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.READS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        if not ("dkim" in path or "amavis" in path):
            return False
        return bool(_form(path)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One service for each key, and one for each list of hosts."""
        source = read_source(document, "the mail filter")
        if isinstance(source, Malformed):
            yield source
            return
        form = _form(document.path)
        read = {"conf": _conf, "keys": _keys, "trusted": _trusted, "ucl": _rspamd, "map": _selectors}.get(form, _amavis)
        yield from limited(source, read(source))


def _form(path: str) -> str:
    if is_foreign(path):
        return ""
    base = base_name(path).lower()
    if base == "opendkim.conf":
        return "conf"
    if base == "dkim_signing.conf":
        return "ucl"
    if base in _MAPS and "dkim" in base:
        return "map"
    if "dkim" in path.lower().rpartition("/")[0]:
        if base in _KEY_TABLES:
            return "keys"
        if base in _TRUSTED:
            return "trusted"
    return "amavis" if "amavis" in path.rpartition("/")[0] or base == "amavisd.conf" else ""


def _key(source: Source, program: str, domain: str, selector: str, path: str, line: int) -> Iterator[Parsed]:
    domain, selector = normal_name(domain.strip()), selector.strip()
    if is_templated(domain + selector) or not is_hostname(domain) or _LABEL.fullmatch(selector) is None:
        return
    record = f"{selector.lower()}._domainkey.{domain}"
    name, where = f"{program} key {record}", source.where(line)
    yield from source.service(name, where, {"dkim_record": record, "dkim_domain": domain, "program": program})
    if path.startswith("/") and not is_templated(path) and "$" not in path:
        yield Dependency(source.ref(name), Ref(Kind.PATH, path), Relation.READS, where)


def _rows(source: Source) -> Iterator[tuple[int, str]]:
    """Lines without comments and blanks around them."""
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.partition("#")[0].strip()
        if text and not text.startswith(("{%", "<%")):
            yield number, text


def _conf(source: Source) -> Iterator[Parsed]:
    """opendkim.conf(5): a word, blanks, and the value. Domain, Selector and KeyFile count without a KeyTable."""
    found: dict[str, tuple[str, int]] = {}
    for number, text in _rows(source):
        key, *value = text.split(None, 1)
        found[key.lower()] = (value[0] if value else "", number)
    if "keytable" not in found and {"domain", "selector"} <= found.keys():
        path, line = found.get("keyfile", ("", found["domain"][1]))
        for domain in found["domain"][0].split(","):
            yield from _key(source, "opendkim", domain, found["selector"][0], path, line)
    hosts, line = found.get("internalhosts", ("", 0))
    if hosts and not hosts.partition(":")[2].startswith("/") and not hosts.startswith("/"):
        entries = [one for one in re.split(r"[\s,]+", hosts.removeprefix("csl:")) if names_host(one)]
        yield from source.allows("opendkim signs mail of", ((one, source.where(line)) for one in entries))


def _keys(source: Source) -> Iterator[Parsed]:
    """opendkim(8): `name domain:selector:path`. A domain of `%` is that of the mail, which is not known here."""
    for number, text in _rows(source):
        words = text.split(None, 1)
        parts = words[1].strip().split(":", 2) if len(words) == 2 else []
        if len(parts) == 3:
            yield from _key(source, "opendkim", parts[0], parts[1], parts[2], number)
        elif not is_templated(text):
            yield Malformed(source.where(number), "not `name domain:selector:file`", "opendkim refuses the table")


def _trusted(source: Source) -> Iterator[Parsed]:
    entries = [(text, source.where(number)) for number, text in _rows(source) if names_host(text)]
    yield from source.allows("opendkim signs mail of", entries)


def _selectors(source: Source) -> Iterator[Parsed]:
    for number, text in _rows(source):
        words = text.split()
        if len(words) == 2:
            yield from _key(source, "rspamd", words[0], words[1], "", number)


def _amavis(source: Source) -> Iterator[Parsed]:
    for number, text in _rows(source):
        if found := _AMAVIS.match(text):
            yield from _key(source, "amavis", found["domain"], found["selector"], found["path"] or "", number)


def _rspamd(source: Source) -> Iterator[Parsed]:
    """UCL: `domain { example.net { selector = "a"; path = "/x"; } }`, or a list of both as `selectors`."""
    blocks: list[tuple[str, dict[str, tuple[str, int]]]] = [("", {})]
    words: list[str] = []
    line = 1
    for piece in _UCL.findall("\n".join(source.lines[:LINE_LIMIT])):
        if piece in ("{", "["):
            name = next((one for one in words if one not in ("=", ":")), "")
            blocks.append((unquoted(name), {}))
            words = []
            if len(blocks) > _DEPTH:
                yield Malformed(source.where(line), f"more than {_DEPTH} blocks within each other")
                return
        elif piece in ("}", "]", ";", ",", "\n"):
            plain = [unquoted(one) for one in words if one not in ("=", ":")]
            if len(plain) == 2:
                blocks[-1][1][plain[0].lower()] = (plain[1], line)
            # A block may begin on the line after its name.
            words = words if piece == "\n" and len(plain) == 1 else []
            if piece in ("}", "]") and len(blocks) > 1:
                yield from _block(source, blocks)
                blocks.pop()
        elif not piece.startswith("#"):
            words.append(piece)
        line += piece.count("\n")


def _block(source: Source, blocks: list[tuple[str, dict[str, tuple[str, int]]]]) -> Iterator[Parsed]:
    names = [name for name, _ in blocks if name]
    values = blocks[-1][1]
    if len(names) >= 2 and names[0] == "domain" and "selector" in values:
        selector, line = values["selector"]
        yield from _key(source, "rspamd", names[1], selector, values.get("path", ("", 0))[0], line)
