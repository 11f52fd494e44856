"""keepalived: addresses that move between hosts (VRRP), virtual servers (IPVS) and their real servers, scripts.

Sources: keepalived.conf(5) of 2.2 and keepalived's parser.c: `#` and `!` begin comments, words may be quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    normal_address,
    without_templates,
)
from collectors.traffic.common import (
    MAX_BYTES,
    MAX_PROBLEMS,
    UNKNOWN,
    Member,
    bare_name,
    is_templated,
    pool,
    qualified,
    service,
    side_path,
)

MAX_DEPTH: Final = 32
MAX_LINE: Final = 4096

_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([{}])|[#!].*|([^\s"\'{}#!][^\s{}]*)')
_HEAD: Final = re.compile(
    rb"^[ \t]*(?:vrrp_(?:instance|script|sync_group)|(?:virtual|real)_server|virtual_server_group|global_defs)\b",
    re.MULTILINE,
)
_SCRIPTS: Final = re.compile(
    r"notify(?:_(?:master|backup|fault|stop|deleted|up|down|master_rx_lower_pri))?|quorum_(?:up|down)|script|misc_path"
)


@dataclass(slots=True)
class _Block:
    words: list[str]
    where: Where
    lines: list[_Block] = field(default_factory=list)
    is_block: bool = False

    @property
    def name(self) -> str:
        return self.words[0] if self.words else ""


class KeepalivedCollector(Collector):
    """keepalived: virtual addresses, virtual servers, scripts.

    Reads
    -----
    `/etc/keepalived` on a host, and `.conf` files or templates of them in a tree whose path names keepalived.

    Yields
    ------
    A service for each VRRP instance, with the scripts that it calls; each virtual address, which stands for this host
    and for the peers of `unicast_peer` as alternatives; a service for each virtual server with its real servers as
    alternatives; the mail server of notifications.

    Can't see
    ---------
    Who else takes part where peers are found by multicast and their files were not captured: then an address has this
    host alone, with medium confidence. What `@host` conditions and `$` variables choose.
    """

    name: ClassVar[str] = "keepalived"
    title: ClassVar[str] = "keepalived: virtual addresses and servers"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.CALLS, Relation.STANDS_FOR})

    def recognizes(self, path: str, head: bytes) -> bool:
        if "keepalived" not in path or b"\0" in head or not bare_name(path).endswith((".conf", ".cfg")):
            return False
        return path.startswith("/etc/keepalived/") or _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content)
        templated = is_templated(document.path, text)
        root, problems = _read((without_templates(text) if templated else text).split("\n"), text.split("\n"))
        if not templated:
            yield from problems
        for block in root.lines:
            if block.name == "vrrp_instance" and len(block.words) > 1:
                yield from _instance(block, document.path)
            elif block.name == "virtual_server" and len(block.words) > 1:
                yield from _virtual_server(block, document.path)
            elif block.name in ("vrrp_script", "vrrp_sync_group") and len(block.words) > 1:
                yield from _scripted(
                    block, f"keepalived {block.name[5:].replace('_', ' ')} {block.words[1]}", document.path
                )
            elif block.name == "global_defs":
                found = [
                    (target, line.where)
                    for line in block.lines
                    if line.name == "smtp_server" and len(line.words) > 1 and (target := _host(line.words[1]))
                ]
                yield from side_path(qualified("keepalived mail", document.path), "keepalived", found, Need.WRITE)


def _host(text: str) -> Ref | None:
    return None if TEMPLATE in text or "$" in text else host_ref(text)


def _read(lines: Sequence[str], shown: Sequence[str]) -> tuple[_Block, list[Malformed]]:
    root = _Block([], Where(), is_block=True)
    stack, problems = [root], []
    for number, line in enumerate(lines, start=1):
        where = Where(number, excerpt(shown[number - 1]) if number <= len(shown) else "")
        words: list[str] = []
        for found in _WORD.finditer(line[:MAX_LINE]):
            if found[3] == "{":
                if len(stack) > MAX_DEPTH:
                    problems.append(Malformed(where, f"nested deeper than {MAX_DEPTH}", "not read from here on"))
                    return root, problems[:MAX_PROBLEMS]
                # The brace may stand on a line of its own.
                opener = _Block(words, where) if words or not stack[-1].lines else stack[-1].lines.pop()
                opener.is_block = True
                stack[-1].lines.append(opener)
                stack.append(opener)
                words = []
            elif found[3] == "}":
                if words:
                    stack[-1].lines.append(_Block(words, where))
                    words = []
                if len(stack) > 1:
                    stack.pop()
                else:
                    problems.append(Malformed(where, 'unexpected "}"', "keepalived says so and goes on"))
            else:
                word = next((part for part in (found[1], found[2], found[4]) if part is not None), None)
                if word is not None:
                    words.append(word)
        if words:
            stack[-1].lines.append(_Block(words, where))
    if len(stack) > 1:
        problems.append(
            Malformed(stack[-1].where, 'a "{" that is not closed', "keepalived reads the rest as part of it")
        )
    return root, problems[:MAX_PROBLEMS]


def _instance(block: _Block, path: str) -> Iterator[Parsed]:
    name = block.words[1]
    if TEMPLATE in name:
        return
    addresses: list[tuple[str, Where]] = []
    peers: list[tuple[Ref, Where]] = []
    settings: dict[str, str] = {}
    for line in block.lines:
        if line.name in ("virtual_ipaddress", "virtual_ipaddress_excluded"):
            for one in line.lines:
                found = normal_address(one.name.split("/", 1)[0])
                if found is not None:
                    addresses.append((found, one.where))
        elif line.name == "unicast_peer":
            peers += [(target, one.where) for one in line.lines if (target := _host(one.name))]
        elif len(line.words) > 1:
            settings[line.name] = line.words[1]
    attributes: dict[str, Attribute] = {"software": "keepalived"}
    for key in ("state", "priority", "virtual_router_id", "interface"):
        if key in settings and TEMPLATE not in settings[key]:
            attributes[key] = settings[key]
    if addresses:
        attributes["addresses"] = tuple(dict.fromkeys(address for address, _ in addresses))
    label = qualified(f"keepalived instance {name}", path)
    yield from service(label, block.where, attributes)
    yield from _scripts(block, Ref(Kind.SERVICE, label))
    for address, where in addresses:
        virtual = Ref(Kind.ADDRESS, address)
        sure = Confidence.HIGH if peers else Confidence.MEDIUM
        yield Dependency(virtual, THIS_HOST, Relation.STANDS_FOR, where, group="vrrp", confidence=sure)
        for peer, at in peers:
            yield Dependency(virtual, peer, Relation.STANDS_FOR, at, group="vrrp")


def _scripted(block: _Block, name: str, path: str) -> Iterator[Parsed]:
    label = qualified(name, path)
    facts = list(_scripts(block, Ref(Kind.SERVICE, label)))
    if facts and TEMPLATE not in name:
        yield from service(label, block.where, {"software": "keepalived"})
        yield from facts


def _scripts(block: _Block, consumer: Ref) -> Iterator[Parsed]:
    """Commands of notify lines and of checks, at any depth."""
    stack = list(reversed(block.lines))
    while stack:
        one = stack.pop()
        stack.extend(reversed(one.lines))
        if len(one.words) > 1 and not one.is_block and _SCRIPTS.fullmatch(one.name):
            command = one.words[1] if " " in one.words[1] else " ".join(one.words[1:])
            if TEMPLATE not in command:
                for fact in analyse_command(command, consumer, one.where):
                    # The argument of a check is a real server, of which the pool has others.
                    if not (isinstance(fact, Dependency) and fact.confidence is Confidence.LOW):
                        yield fact


def _virtual_server(block: _Block, path: str) -> Iterator[Parsed]:
    what = " ".join(block.words[1:3])
    if TEMPLATE in what:
        return
    address = normal_address(block.words[1])
    if address is not None and len(block.words) > 2:
        what = f"[{address}]:{block.words[2]}" if ":" in address else f"{address}:{block.words[2]}"
    label = qualified(f"keepalived virtual server {what}", path)
    members = []
    for line in block.lines:
        if line.name in ("real_server", "sorry_server") and len(line.words) > 1:
            host, port = line.words[1], line.words[2] if len(line.words) > 2 else ""
            shown = f"[{host}]" if ":" in host else host
            name = f"{shown}:{port}" if port else shown
            target = None if TEMPLATE in name or "$" in name else endpoint_ref(name)
            off = any(one.words[:2] == ["weight", "0"] for one in line.lines)
            members.append(Member(name, target or UNKNOWN, line.where, line.name == "sorry_server", off))
    yield from pool(label, "keepalived", block.where, members)
    yield from _scripts(block, Ref(Kind.SERVICE, label))
