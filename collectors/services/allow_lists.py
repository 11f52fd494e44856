"""Lists of who may come in: pg_hba.conf, sudoers, hosts.allow, and firewall rules as they are saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Document,
    Malformed,
    Parsed,
    Relation,
    Where,
    excerpt,
    lazy_pattern,
    split_words,
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
    target,
)

_HBA_TYPES: Final = frozenset({"local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"})
_HBA_WORDS: Final = frozenset({"all", "samehost", "samenet"})
_ALIAS: Final = lazy_pattern(r"Host_Alias\s+(.*)", re.DOTALL)
_SUDO_OTHER: Final = lazy_pattern(r"(?:Defaults|User_Alias|Runas_Alias|Cmnd_Alias|Cmd_Alias|[@#]include)")
_SUDO_SPEC: Final = lazy_pattern(r"^(\S(?:[^=\\]|\\.)*?)\s+((?:[^\s=,]+\s*,\s*)*[^\s=,]+)\s*=")
# A colon between fields, not one inside brackets (an address of IPv6) or after a backslash.
_COLON: Final = lazy_pattern(r"\[[0-9A-Fa-f:.]{0,45}\]|\\.|:")
_NFT_NAT: Final = lazy_pattern(
    r"\bdnat\s+(?:ip6?\s+)?to\s+(\[[0-9A-Fa-f:]+\]|\d+(?:\.\d+){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]+)(?::(\d+))?(?![\w.:-])"
)
_NFT_FROM: Final = lazy_pattern(r"\bip6?\s+saddr\s+(\{[^}]*\}|[^\s{]+)(.*)")
_NFT_PORT: Final = lazy_pattern(r"\b(tcp|udp)\s+dport\s+(\{[^}]*\}|\S+)")
_IPTABLES_LINE: Final = lazy_pattern(rb"^\*(?:filter|nat|mangle|raw|security)\s*$", re.MULTILINE)


class AllowListsCollector(Collector):
    """Who is let in by address or name, and where a firewall sends traffic on to.

    Reads
    -----
    `pg_hba.conf`; `sudoers`, `sudoers.d/*` (host lists); `hosts.allow`; `iptables-save` files (`rules.v4`,
    `/etc/sysconfig/iptables`), ufw's `*.rules`, nftables files (`nftables.conf`, `*.nft`).

    Yields
    ------
    A service for each list, with the hosts and networks it lets in as the attribute `allows`. What lets a host in
    does not need that host, so these make no edges: a line that names a host which goes is a mention, and a permission
    to take back. Destination NAT is an edge: the forwarded port is backed by the server it is sent to.

    Can't see
    ---------
    Rules in the kernel that no file holds, sets filled at run time, firewalld zones, cloud firewalls, which rule comes
    first, and denials (what they name needs nothing).
    """

    name: ClassVar[str] = "allow_lists"
    title: ClassVar[str] = "Allow-lists and firewall rules"
    area: ClassVar[Area] = Area.IDENTITY
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory; saved iptables rules also by their table lines."""
        if not (
            "pg_hba" in path
            or "sudoers" in path
            or "tables" in path
            or path.endswith((".allow", ".nft", ".v4", ".v6", ".rules"))
        ):
            return False
        return bool(_form(path, head)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the program")
        if isinstance(source, Malformed):
            yield source
            return
        read = {"pg_hba": _pg_hba, "sudoers": _sudoers, "hosts.allow": _hosts_allow, "nftables": _nftables}
        form = _form(document.path, document.content[:4096])
        yield from limited(source, read.get(form, _iptables)(source))


def _form(path: str, head: bytes) -> str:
    base = base_name(path)
    if is_foreign(path):
        return ""
    if base.startswith("pg_hba") and base.endswith(".conf"):
        return "pg_hba"
    if base.startswith("sudoers") or "/sudoers.d/" in path:
        return "sudoers" if not base.endswith((".dpkg-new", "~")) and base != "README" else ""
    if base == "hosts.allow":
        return "hosts.allow"
    if base.startswith("nftables") or base.endswith(".nft"):
        return "nftables" if b"{" in head or b"add rule" in head else ""
    if base in ("rules.v4", "rules.v6") or base.startswith(("iptables", "ip6tables")) or base.endswith(".rules"):
        return "iptables" if _IPTABLES_LINE.search(head) else ""
    return ""


def _pg_hba(source: Source) -> Iterator[Parsed]:
    """Type, database, user, address, (mask), method: PostgreSQL 15, section 21.1. `reject` lets nobody in."""
    allowed: list[tuple[str, Where]] = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] in "#%" or is_templated(text):
            continue
        words = text.split("#", 1)[0].split()
        where = source.where(number)
        if words[0].startswith(("include", "@include")):
            continue
        if words[0].lower() not in _HBA_TYPES or len(words) < (4 if words[0].lower() == "local" else 5):
            yield Malformed(where, "not a line of pg_hba.conf", "PostgreSQL refuses the whole file")
            continue
        if words[0].lower() == "local" or words[3].lower() in _HBA_WORDS or "reject" in words[4:6]:
            continue
        address = words[3].strip('"')
        if len(words) > 5 and re.fullmatch(r"[\d.]+|[0-9A-Fa-f:]+", words[4]):
            address = f"{address}/{words[4]}"
        allowed.append((address, where))
    yield from source.allows("postgresql pg_hba", allowed)


def _sudoers(source: Source) -> Iterator[Parsed]:
    """Host aliases and the hosts of user specifications: `alice WEB, db1 = (root) ALL` (sudoers(5))."""
    hosts: list[tuple[str, Where]] = []
    for number, text in _joined(source):
        if is_templated(text) or _SUDO_OTHER.match(text):
            continue
        where = source.where(number)
        if found := _ALIAS.match(text):
            for alias in re.split(r"\s:\s", found[1]):
                hosts += [(one, where) for one in re.split(r"[,\s]+", alias.partition("=")[2]) if one]
        elif found := _SUDO_SPEC.match(text):
            hosts += [(one.strip(), where) for one in found[2].split(",")]
        else:
            yield Malformed(where, "no user specification", "sudo skips the line or refuses the file")
    named = [(one, where) for one, where in hosts if names_host(one) and not (one.isupper() and "." not in one)]
    yield from source.allows(f"sudoers {base_name(source.path)}", named)


def _joined(source: Source) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash continues, without comments."""
    number, kept = 0, ""
    for at, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not kept:
            number = at
            if text.startswith("#") and not text.startswith(("#include", "#includedir")):
                continue
        if text.endswith("\\"):
            kept += text[:-1] + " "
            continue
        text = re.sub(r"\s#(?!\d).*", "", kept + text).strip()
        kept = ""
        if text:
            yield number, text


def _hosts_allow(source: Source) -> Iterator[Parsed]:
    """`daemons : clients [: options]` (hosts_access(5))."""
    allowed: list[tuple[str, Where]] = []
    for number, text in _joined(source):
        parts = _COLON.sub(_split_mark, text).split("\0")
        where = source.where(number)
        if len(parts) < 2:
            if not is_templated(text):
                yield Malformed(where, "no daemons : clients", "the line is skipped")
            continue
        if len(parts) > 2 and parts[-1].strip().lower() == "deny":
            continue
        for word in re.split(r"[,\s]+", re.split(r"\bEXCEPT\b", parts[1])[0]):
            bare = word.rpartition("@")[2].strip("[]")
            if names_host(bare.strip(".")) and not bare.isupper():
                allowed.append((bare, where))
    yield from source.allows("hosts.allow", allowed)


def _split_mark(found: re.Match[str]) -> str:
    return "\0" if found[0] == ":" else found[0]


def _iptables(source: Source) -> Iterator[Parsed]:
    """Rules of `iptables-save`: `-A CHAIN …`; ufw keeps the same form."""
    allowed: list[tuple[str, Where]] = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text.startswith(("-A ", "-I ")) or is_templated(text):
            continue
        # The list has one place, its first line: thousands of rules need no excerpt each.
        where = allowed[0][1] if allowed and "DNAT" not in text else source.where(number)
        try:
            words = split_words(text)
        except ValueError:
            yield Malformed(source.where(number), "a quote that is not closed", "iptables-restore refuses the file")
            continue
        options = {word: words[at + 1] for at, word in enumerate(words[:-1]) if word.startswith("-")}
        jump = options.get("-j", "")
        if jump == "DNAT":
            yield from _nat(source, options, where)
        elif "ACCEPT" in jump.upper():
            for word in ("-s", "--source", "--src"):
                negated = word in words and words[words.index(word) - 1] == "!"
                entries = [] if negated else options.get(word, "").split(",")
                allowed += [(entry, where) for entry in entries if entry and not _is_anyone(entry)]
    yield from source.allows(f"firewall {base_name(source.path)}", allowed)


def _nat(source: Source, options: dict[str, str], where: Where) -> Iterator[Parsed]:
    found = re.fullmatch(r"(\[[^\]]+\]|[\d.]+|[0-9A-Fa-f:]+?)(?::(\d+)(?:-\d+)?)?", options.get("--to-destination", ""))
    if found is None:
        return
    port = options.get("--dport") or options.get("--dports") or ""
    came_to = options.get("-d", "") or options.get("-i", "")
    what = " ".join(part for part in (came_to, options.get("-p", ""), port) if part) or "everything"
    server = [(target(found[1], found[2] or ""), where)]
    yield from source.uses(f"firewall forward of {excerpt(what)}", server, relation=Relation.BACKED_BY)


def _is_anyone(text: str) -> bool:
    return text in ("0.0.0.0/0", "::/0") or text.startswith("127.")


def _nftables(source: Source) -> Iterator[Parsed]:
    """Rules line by line: `ip saddr … accept` and `dnat to …`. Sets and maps of several lines are left alone."""
    allowed: list[tuple[str, Where]] = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.split("#", 1)[0].strip()
        if not text or is_templated(text):
            continue
        where = source.where(number)
        if found := _NFT_NAT.search(text):
            port = _NFT_PORT.search(text)
            what = " ".join(port.groups()) if port else excerpt(text[: found.start()].strip()) or "everything"
            server = [(target(found[1], found[2] or ""), where)]
            yield from source.uses(f"firewall forward of {what}"[:200], server, relation=Relation.BACKED_BY)
        elif (found := _NFT_FROM.search(text)) and re.search(r"\baccept\b", found[2]):
            entries = found[1].strip("{}").replace(",", " ").split()
            allowed += [(entry, where) for entry in entries if names_host(entry) and not _is_anyone(entry)]
    yield from source.allows(f"firewall {base_name(source.path)}", allowed)
