"""`known_hosts` of SSH: which names and addresses are one machine (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    is_hostname,
    normal_address,
    normal_name,
)

LINE_LIMIT: Final = 200_000
"""Lines of one file that are read."""

_KEY: Final = re.compile(
    r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-[\w@.-]+|ssh-[\w-]+-cert-v01@openssh\.com|ecdsa-[\w@.-]+)"
)
_PORT: Final = re.compile(r"\[([^\]]+)\](?::\d{1,5})?")


class KnownHostsCollector(Collector):
    """Names and addresses that one host key was seen under.

    Each line with more than one becomes an entity of the host, by its first full name, with `known_as`: evidence of
    aliases. Hashed lines, `@cert-authority` lines and patterns tell of no single machine.

    Reads
    -----
    `known_hosts` and `ssh_known_hosts`, the system's and users', and files of such names in repositories.

    Yields
    ------
    Which names and addresses are one machine, because they were seen under one host key.

    Can't see
    ---------
    Hashed names, and whether an old line is still true.
    """

    name: ClassVar[str] = "known_hosts"
    title: ClassVar[str] = "SSH known hosts"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.STANDS_FOR})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name: `known_hosts`, `ssh_known_hosts`, `known_hosts2`, `ssh-known_hosts.txt`."""
        base = path.rsplit("/", 1)[-1]
        return "known_hosts" in base and not base.endswith((".py", ".yml", ".yaml", ".sh", ".j2", ".erb", ".md"))

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One entity a line that names a machine more than once."""
        lines = decode(document.content).removeprefix("\ufeff").split("\n")
        if len(lines) > LINE_LIMIT:
            yield Malformed(Where(LINE_LIMIT), f"more than {LINE_LIMIT} lines: the rest is not read")
        for number, line in enumerate(lines[:LINE_LIMIT], start=1):
            words = line.split(None, 3)
            if not words or words[0][0] in "#@|":
                continue
            # Keys are long and say nothing: the excerpt is the names.
            where = Where(number, " ".join(words[:2])[:200])
            if len(words) < 3 or not (_KEY.fullmatch(words[1]) or (words[1].isdecimal() and words[2].isdecimal())):
                yield Malformed(where, "not a line of known_hosts", "ssh skips the line")
                continue
            names = _names(words[0])
            if len(names) > 1:
                first = next((name for name in names if "." in name and not normal_address(name)), names[0])
                yield Entity(Ref(Kind.HOST, first), where, {"known_as": names})


def _names(text: str) -> tuple[str, ...]:
    """The names and addresses of a line, without ports; empty if a pattern or a negation is among them."""
    if "*" in text or "?" in text or "!" in text:
        return ()
    found: dict[str, None] = {}
    for part in text.split(","):
        bracketed = _PORT.fullmatch(part)
        bare = bracketed[1] if bracketed else part
        address = normal_address(bare)
        if address or is_hostname(bare):
            found[address or normal_name(bare)] = None
    return tuple(found)
