"""Squid: parents and siblings, certificates, helpers, where logs go.

Source: squid.conf.documented of Squid 5 and 6: `cache_peer`, `never_direct`, `https_port`, `auth_param`,
`icap_service`, `dns_nameservers`, `access_log`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    without_templates,
)
from collectors.traffic.common import MAX_BYTES, bare_name, is_templated, qualified, service, side_path, target_of

_HEAD: Final = re.compile(
    rb"^(?:cache_peer|https?_port|http_access|acl|cache_dir|never_direct|refresh_pattern)[ \t]", re.M
)
_KEPT: Final = frozenset(
    {
        "cache_peer", "cache_peer_access", "never_direct", "http_port", "https_port", "auth_param", "icap_service",
        "dns_nameservers", "access_log", "url_rewrite_program", "redirect_program", "store_id_program",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    words: tuple[str, ...]
    where: Where


class SquidCollector(Collector):
    """Squid: the caches and origin servers that it asks.

    Reads
    -----
    `squid.conf` and the files beside it on a host, and configurations or templates of them in a tree whose path names
    squid. All files of one source below one directory are read together.

    Yields
    ------
    A service `squid`; its parents as alternatives, direct access among them unless `never_direct` or an origin server
    forbids it; a parent that `cache_peer_access` keeps for some requests on its own; siblings, which it can do without;
    certificates of its ports; helpers; ICAP services that may not be bypassed; name servers; log receivers.

    Can't see
    ---------
    Which requests an ACL sends to which parent, and what a helper does.
    """

    name: ClassVar[str] = "squid"
    title: ClassVar[str] = "Squid: parents, origin servers, helpers"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.READS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if "squid" not in path or b"\0" in head or not bare_name(path).endswith(".conf"):
            return False
        return _HEAD.search(head) is not None or path in ("/etc/squid/squid.conf", "/etc/squid3/squid.conf")

    def parse(self, document: Document) -> Iterator[Parsed]:
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content)
        shown = text.split("\n")
        lines = []
        for number, line in enumerate(
            (without_templates(text) if is_templated(document.path, text) else text).split("\n"), start=1
        ):
            words = line.split("#", 1)[0].split()
            if not words or words[0] not in _KEPT:
                continue
            where = Where(number, excerpt(shown[number - 1]))
            if words[0] == "cache_peer" and (len(words) < 5 or not words[3].isdecimal()) and TEMPLATE not in line:
                yield Malformed(where, "cache_peer without host, type and ports", "Squid refuses to start with it")
                continue
            lines.append(_Line(tuple(words), where))
        if lines:
            yield Fragment("lines", tuple(lines), Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        together: dict[str, list[tuple[str, _Line]]] = {}
        for one in fragments:
            if isinstance(one.value, tuple):
                key = "" if one.path.startswith("/") else one.path
                together.setdefault(key, []).extend((one.path, line) for line in one.value)
        for key, lines in together.items():
            placed = [_Line(line.words, Where(line.where.line, line.where.excerpt, path)) for path, line in lines]
            yield from _facts(qualified("squid", key or "/"), placed)


def _facts(label: str, lines: Sequence[_Line]) -> Iterator[Parsed]:
    ref = Ref(Kind.SERVICE, label)
    listens = [line.words[1] for line in lines if line.words[0] in ("http_port", "https_port") and len(line.words) > 1]
    attributes: dict[str, Attribute] = {"software": "squid"}
    if listens:
        attributes["listen"] = tuple(dict.fromkeys(listens))
    yield from service(label, lines[0].where, attributes)
    yield from _peers(ref, lines)
    nameservers = []
    for line in lines:
        name, words = line.words[0], line.words[1:]
        if name in ("http_port", "https_port"):
            for word in words:
                option, _, path = word.partition("=")
                if option in ("cert", "key", "tls-cert", "tls-key", "clientca", "tls-dh") and path.startswith("/"):
                    yield Dependency(ref, Ref(Kind.PATH, path), Relation.READS, line.where)
        elif name == "auth_param" and len(words) > 2 and words[1] == "program":
            yield from analyse_command(" ".join(words[2:]), ref, line.where)
        elif name.endswith("_program") and words:
            yield from analyse_command(" ".join(words), ref, line.where)
        elif name == "icap_service" and not {"1", "on", "bypass=on", "bypass=1"} & set(words[2:]):
            target = next((target_of(word) for word in words if word.startswith(("icap://", "icaps://"))), None)
            if target is not None:
                yield Dependency(ref, target, Relation.CONNECTS, line.where)
        elif name == "dns_nameservers":
            nameservers += [(target, line.where) for word in words if (target := host_ref(word))]
        elif name == "access_log" and words and words[0].startswith(("udp:", "tcp:")):
            target = target_of(words[0][4:].strip("/"))
            if target is not None:
                yield from side_path(f"{label} log to {target.text}", "squid", ((target, line.where),), Need.WRITE)
    for target, where in nameservers:
        yield Dependency(ref, target, Relation.CONNECTS, where, group="nameservers")


def _peers(ref: Ref, lines: Sequence[_Line]) -> Iterator[Parsed]:
    """Parents and siblings: `cache_peer HOST TYPE HTTP-PORT ICP-PORT OPTION…`."""
    kept_apart = {line.words[1] for line in lines if line.words[0] == "cache_peer_access" and len(line.words) > 1}
    never_direct = any(line.words[:3] == ("never_direct", "allow", "all") for line in lines)
    direct = Ref(Kind.SERVICE, f"{ref.text}: direct access")
    groups: dict[str, Where] = {}
    accelerator = used = False
    for line in lines:
        if line.words[0] != "cache_peer":
            continue
        host, kind, port, *_ = line.words[1:]
        options = line.words[5:]
        name = next((word[5:] for word in options if word.startswith("name=")), host)
        target = None if TEMPLATE in host + port or "$" in host else endpoint_ref(f"{host}:{port}")
        if target is None:
            continue
        accelerator = accelerator or "originserver" in options
        group = "parents" if kind == "parent" else "siblings"
        if kind == "parent" and name in kept_apart:
            group = f"parent {name}" if not never_direct and "originserver" not in options else ""
        if group and ("originserver" not in options or kind != "parent"):
            groups.setdefault(group, line.where)
        yield Dependency(ref, target, Relation.BACKED_BY, line.where, group=group)
    for group, where in groups.items():
        if group == "siblings" or not (never_direct or accelerator):
            yield Dependency(ref, direct, Relation.BACKED_BY, where, group=group)
            used = True
    if used:
        yield Dependency(direct, THIS_HOST, Relation.RUNS_ON, lines[0].where)
