"""Which hosts to collect over SSH, by the inventory; and what the user's own ssh configuration says of each.

`ssh_config` (ssh_config(5), OpenSSH 9.2) is parsed here, because a configuration may ask to run programs: `Match`
blocks are left out whole, `ProxyCommand` and `KnownHostsCommand` are never run.
"""

from __future__ import annotations

import fnmatch
import getpass
import glob
import heapq
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.inventory.schema import Inventory, SshSource

MAX_INCLUDES: Final = 16
"""Depth of Include, as ssh has it."""
MAX_JUMPS: Final = 8
_MAX_FILE: Final = 1024 * 1024
_MANY: Final = frozenset({"identityfile", "certificatefile"})
_SEVERAL: Final = frozenset({"userknownhostsfile", "globalknownhostsfile", "revokedhostkeys"})
_HOP: Final = re.compile(r"(?:ssh://)?(?:([^@\s/]+)@)?(\[[^\]]+\]|[^:\s/@]+)(?::(\d{1,5}))?/?")
_TOKEN: Final = re.compile(r"%(.)")


@dataclass(frozen=True, slots=True)
class Target:
    """One host to collect from. `address` is tried if its name does not resolve."""

    host: str
    user: str | None = None
    port: int | None = None
    jump: str | None = None
    sudo: bool = False
    address: str = ""
    windows: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and as whom to connect, all settled."""

    name: str
    """What it was called."""
    host: str
    port: int
    user: str
    key_name: str
    """The name under which its host key is looked up."""
    identities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    only_identities: bool = False
    agent: str = ""
    """The agent's socket; empty for none."""
    jumps: tuple[str, ...] = ()
    known_hosts: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    """A file of keys of hosts that are not to be trusted."""


@dataclass(slots=True)
class _Block:
    patterns: tuple[str, ...]
    settings: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    above: tuple[tuple[str, ...], ...] = ()


def targets_by_source(
    inventory: Inventory, wanted: Sequence[str] = (), left_out: Collection[str] = ()
) -> list[tuple[SshSource, list[Target]]]:
    """The hosts of each `kind: ssh` source, each once: its first source wins. Those that are `left_out` are in none.

    `wanted` narrows them, by names, ranges or patterns. Raises UsageError for a wanted host that no source has.
    """
    from auditor.inventory.schema import SshSource

    hosts = {one.name: one for one in inventory.expanded()}
    found: dict[str, Target] = {}
    by_source: list[tuple[SshSource, list[Target]]] = []
    for source in inventory.sources:
        if not isinstance(source, SshSource):
            continue
        own: list[Target] = []
        for name in (name for pattern in source.hosts for name in _matching(pattern, hosts)):
            if name in found or name in left_out:
                continue
            known = hosts.get(name)
            address = known.addresses[0] if known is not None and known.addresses else ""
            windows = source.system == "windows"
            found[name] = Target(name, source.user, source.port, source.jump, source.sudo, address, windows)
            own.append(found[name])
        by_source.append((source, own))
    if not wanted:
        return by_source
    chosen: set[str] = set()
    for word in wanted:
        names = [name for name in _matching(word, found) if name in found]
        names = names or [name for name in found if name.split(".", 1)[0] == word]
        if not names:
            raise UsageError(
                f"{word}: no source of kind ssh has this host",
                hint="Add it to `sources` in inventory.yaml, or see `auditor inventory check`.",
            )
        chosen.update(names)
    return [(source, [one for one in own if one.host in chosen]) for source, own in by_source]


def _matching(pattern: str, names: Mapping[str, object]) -> list[str]:
    from auditor.text import expand_range

    if pattern in names:
        return [pattern]
    if "*" in pattern:
        return [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    try:
        return list(expand_range(pattern))
    except ValueError:
        return [pattern]


class SshConfig:
    """The settings of ssh_config files that say where a host is and how to log in."""

    def __init__(self, blocks: Sequence[_Block], *, home: str, skipped: int = 0) -> None:
        self._blocks = blocks
        self._home = home
        self._named: dict[str, list[int]] = {}
        """The blocks of hosts without patterns, by name: of many hosts not all are looked at for each."""
        self._others: list[int] = []
        for number, block in enumerate(blocks):
            if any(mark in pattern for pattern in block.patterns for mark in "*?!"):
                self._others.append(number)
            else:
                for name in {pattern.lower() for pattern in block.patterns}:
                    self._named.setdefault(name, []).append(number)
        self.skipped = skipped
        """How many Match blocks were left out."""

    @classmethod
    def read(cls, user: Path | None = None, system: Path | None = None, *, home: str | None = None) -> SshConfig:
        """The user's and the system's files; a missing one is empty. Raises UsageError for one that can't be read."""
        base = home if home is not None else os.path.expanduser("~")
        reader = _ConfigReader(base)
        reader.read(user or Path(base, ".ssh", "config"), os.path.join(base, ".ssh"))
        reader.read(system or Path("/etc/ssh/ssh_config"), "/etc/ssh")
        return cls(reader.blocks, home=base, skipped=reader.skipped)

    def settings(self, host: str) -> dict[str, tuple[str, ...]]:
        """Keyword in lower case -> words, the first one found winning; IdentityFile collects all."""
        found: dict[str, tuple[str, ...]] = {}
        for number in heapq.merge(self._others, self._named.get(host.lower(), ())):
            block = self._blocks[number]
            if not all(any_applies(patterns, host) for patterns in (*block.above, block.patterns)):
                continue
            for keyword, words in block.settings:
                if keyword in _MANY:
                    found[keyword] = (*found.get(keyword, ()), *words[:1])
                else:
                    found.setdefault(keyword, words)
        return found

    def endpoint(
        self, name: str, *, user: str | None = None, port: int | None = None, jump: str | None = None
    ) -> Endpoint:
        """Where a name leads. What is given here goes before the configuration. Raises UsageError."""
        set_to = self.settings(name)

        def one(keyword: str) -> str:
            return set_to.get(keyword, ("",))[0]

        if (command := one("proxycommand")) and command.lower() != "none" and jump is None and not one("proxyjump"):
            raise UsageError(
                f"{name}: ssh_config gives a ProxyCommand, which is never run",
                hint="Use ProxyJump in ssh_config, or `jump` in the inventory's source.",
            )
        host = self._expand(one("hostname") or name, name, name) if one("hostname") else name
        try:
            number = port or int(one("port") or 22)
        except ValueError:
            number = 0
        if not 0 < number < 65536:
            raise UsageError(f"{name}: ssh_config gives a port that is none: {one('port')!r}")
        login = user or one("user") or _user()
        jumps = jump if jump is not None else one("proxyjump")
        files = set_to.get("identityfile", ())
        agent = one("identityagent") or "SSH_AUTH_SOCK"
        if agent == "SSH_AUTH_SOCK":
            agent = os.environ.get("SSH_AUTH_SOCK", "")
        elif agent.lower() == "none":
            agent = ""
        elif agent.startswith("$"):
            agent = os.environ.get(agent.strip("${}"), "")
        known = (
            *set_to.get("userknownhostsfile", ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")),
            *set_to.get("globalknownhostsfile", ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")),
        )
        defaults = () if files else tuple(f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa"))

        def path(text: str) -> str:
            return self._expand(text, host, name, login, number)

        return Endpoint(
            name=name,
            host=host,
            port=number,
            user=login,
            key_name=one("hostkeyalias") or host.lower(),
            identities=tuple(path(text) for text in (*files, *defaults) if text.lower() != "none"),
            certificates=tuple(path(text) for text in set_to.get("certificatefile", ()) if text.lower() != "none"),
            only_identities=one("identitiesonly").lower() in ("yes", "true"),
            agent=path(agent) if agent else "",
            jumps=() if not jumps or jumps.lower() == "none" else tuple(jumps.split(",")),
            known_hosts=tuple(path(text) for text in known if text.lower() != "none"),
            revoked=tuple(path(text) for text in set_to.get("revokedhostkeys", ()) if text.lower() != "none"),
        )

    def hop(self, text: str) -> Endpoint:
        """One hop of ProxyJump: [user@]host[:port] or an ssh:// URI. Raises UsageError."""
        found = _HOP.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"a jump host that can't be read: {text!r}", hint="Write [user@]host[:port].")
        port = int(found[3]) if found[3] else None
        return self.endpoint(found[2].strip("[]"), user=found[1], port=port)

    def _expand(self, text: str, host: str, name: str, user: str = "", port: int = 22) -> str:
        values = {
            "%": "%",
            "h": host,
            "n": name,
            "r": user,
            "p": str(port),
            "d": self._home,
            "u": _user(),
            "i": str(os.getuid()),
        }
        text = _TOKEN.sub(lambda found: values.get(found[1], found[0]), text)
        return self._home + text[1:] if text == "~" or text.startswith("~/") else text


@cache
def _user() -> str:
    return getpass.getuser()


def any_applies(patterns: Sequence[str], host: str) -> bool:
    """Whether a list of patterns means a host: one fits, and none with `!` does. Letters count alike in both cases."""
    matched = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if glob_fits(pattern[negated:].lower(), host.lower()):
            if negated:
                return False
            matched = True
    return matched


def glob_fits(pattern: str, text: str) -> bool:
    """`*` and `?` only: brackets are letters (ssh_config(5), PATTERNS)."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in re.sub(r"\*+", "*", pattern))
    return re.fullmatch(expression, text) is not None


class _ConfigReader:
    def __init__(self, home: str) -> None:
        self.blocks: list[_Block] = []
        self.skipped = 0
        self._home = home

    def read(self, path: Path, base: str, above: tuple[tuple[str, ...], ...] = (), depth: int = 0) -> None:
        try:
            with path.open("rb") as stream:
                text = stream.read(_MAX_FILE).decode("utf-8", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise UsageError(
                f"{path}: can't be read: {error.strerror}", hint="It says how to reach the hosts."
            ) from error
        first = _Block(("*",), above=above)
        self.blocks.append(first)
        block: _Block | None = first
        for keyword, words in _lines(text):
            if keyword == "match":
                block = None
                self.skipped += 1
            elif keyword == "host":
                self.blocks.append(block := _Block(words, above=above))
            elif block is None or not words:
                continue
            elif keyword == "include":
                if depth >= MAX_INCLUDES:
                    raise UsageError(f"{path}: Include goes more than {MAX_INCLUDES} files deep")
                inner = (*above, block.patterns)
                for word in words:
                    self._include(word, base, inner, depth)
                self.blocks.append(block := _Block(block.patterns, above=above))
            else:
                block.settings.append((keyword, words))

    def _include(self, word: str, base: str, above: tuple[tuple[str, ...], ...], depth: int) -> None:
        pattern = self._home + word[1:] if word.startswith("~/") else word
        if not pattern.startswith("/"):
            pattern = os.path.join(base, pattern)
        for name in sorted(glob.glob(pattern)):
            self.read(Path(name), base, above, depth + 1)


def _lines(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        found = re.match(r"(\w+)(?:\s*=\s*|\s+|$)(.*)", bare)
        if found is None:
            continue
        keyword = found[1].lower()
        words = tuple(found[2].split())
        if any(mark in found[2] for mark in "\"'\\#"):
            with suppress(ValueError):
                words = tuple(shlex.split(found[2], comments=True))
        if keyword in ("proxycommand", "localcommand", "remotecommand", "knownhostscommand"):
            words = (found[2],)
        yield keyword, words if keyword in ("host", "include") or keyword in _SEVERAL else words[:1]
