"""OpenSSH 9.2: `ssh_config` (ssh_config(5)), `sshd_config` (sshd_config(5)) and `authorized_keys` (sshd(8))."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
    is_hostname,
)
from collectors.services.common import (
    ALLOWED_LIMIT,
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    normal_entry,
    read_source,
    target,
)

_WORD: Final = re.compile(r'"([^"]*)"|(\S+)')
_KEY_TYPE: Final = re.compile(
    r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r"(?:-cert-v01@openssh\.com)?"
)
_OPTION: Final = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)')
_COMMENT_HOST: Final = re.compile(r"[\w.+-]+@([A-Za-z0-9][A-Za-z0-9.-]*)")
_JUMP: Final = re.compile(r"(?:ssh://)?(?:[^@\s]*@)?(\[[^\]]+\]|[^:\s/]+)(?::(\d+))?/?")
_SYSTEM: Final = ("/etc/ssh/ssh_config", "/etc/ssh/sshd_config")


class SshCollector(Collector):
    """Jump hosts and aliases of the ssh client, who the ssh server lets in, and commands forced on keys.

    Reads
    -----
    `/etc/ssh/ssh_config`, `ssh_config.d/*.conf`, `.ssh/config`; `sshd_config` and `sshd_config.d/*.conf`;
    `authorized_keys`. In trees, files of these names and templates of them.

    Yields
    ------
    One service for each `Host` or `Match` block that leads somewhere, which connects to its HostName, to each hop of
    ProxyJump (all are needed) and to the hosts in ProxyCommand. A jump over another block of the file goes over
    that block. What this host's `ssh` calls a machine, for the commands that run over ssh. Commands of sshd and of
    keys, as calls. `from=`, AllowUsers and `Match Address` as the attribute `allows`, hosts in the comments of keys as
    `key_comments`.

    Can't see
    ---------
    Whether a `Match` applies (`exec` is never run; such edges are of low confidence), which user's key is used where,
    options of the command line, keys that a command or a directory server provides.
    """

    name: ClassVar[str] = "ssh"
    title: ClassVar[str] = "SSH: jump hosts, forced commands, who may come in"
    area: ClassVar[Area] = Area.IDENTITY
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        if "ssh" not in path and "authorized_keys" not in path:
            return False
        return bool(_form(path)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file. `Include` is not followed: what it names is a document of its own."""
        source = read_source(document, "ssh")
        if isinstance(source, Malformed):
            yield source
            return
        form = _form(document.path)
        if form == "keys":
            yield from limited(source, _keys(source))
        elif form == "server":
            yield from limited(source, _server(source))
        else:
            yield from limited(source, _client(source))


def _form(path: str) -> str:
    base = base_name(path)
    if is_foreign(path) or base.endswith((".pub", ".service", ".socket")):
        return ""
    if base.startswith("authorized_keys"):
        return "keys"
    if base.startswith("sshd_config") or ("/sshd_config.d/" in path and base.endswith(".conf")):
        return "server"
    if base.startswith("ssh_config") or ("/ssh_config.d/" in path and base.endswith(".conf")):
        return "client"
    return "client" if path.endswith("/.ssh/config") else ""


@dataclass(slots=True)
class _Block:
    """The lines of one Host or Match, or those before the first."""

    title: str
    line: int
    patterns: tuple[str, ...] = ()
    conditional: bool = False
    options: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    many: list[tuple[str, list[str], int]] = field(default_factory=list)

    @property
    def literal(self) -> list[str]:
        """Patterns that are names."""
        return [one for one in self.patterns if not set(one) & set("*?!")]


def _statements(source: Source) -> Iterator[tuple[int, str, list[str], str]]:
    """Line, keyword in lower case, words, and the text after the keyword."""
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text):
            continue
        found = re.match(r'"?([A-Za-z0-9]+)"?(?:\s*=\s*|\s+)', text)
        if found is None:
            yield number, text.lower(), [], ""
            continue
        rest = text[found.end() :]
        words = [one[1] if one[1] is not None else one[2] for one in _WORD.finditer(rest)]
        for at, word in enumerate(words):
            if word.startswith("#"):
                del words[at:]
                break
        yield number, found[1].lower(), words, rest


def _client(source: Source) -> Iterator[Parsed]:
    blocks = [_Block("all hosts", 1, ("*",))]
    for number, keyword, words, rest in _statements(source):
        if not words:
            yield Malformed(source.where(number), "a keyword without a value", "ssh refuses the file")
        elif keyword == "host":
            blocks.append(_Block(f"Host {' '.join(words)}", number, tuple(words)))
        elif keyword == "match":
            shown = re.sub(r"""!?exec\s+("[^"]*"|'[^']*'|\S+)""", "exec …", " ".join(rest.split()))
            blocks.append(_Block(f"Match {shown}", number, (), conditional=shown.lower() != "all"))
        elif keyword in ("localforward", "dynamicforward", "remoteforward"):
            blocks[-1].many.append((keyword, words, number))
        else:
            blocks[-1].options.setdefault(keyword, (words if keyword != "proxycommand" else [rest], number))
    aliases = {name: block for block in reversed(blocks) for name in block.literal if "hostname" in block.options}
    for name, block in aliases.items():
        words, number = block.options["hostname"]
        if not block.conditional and is_hostname(name) and "." not in name and "%" not in words[0]:
            yield Entity(THIS_HOST, source.where(number), {"ssh_alias": f"{name} {words[0]}"})
    for block in blocks:
        yield from _block(source, block, aliases)


def _title(source: Source, block: _Block) -> str:
    title = f"ssh_config {block.title}"[:200]
    return (
        title
        if source.path.startswith((*_SYSTEM, "/etc/ssh/")) or not source.path.startswith("/")
        else (f"{title} of {source.path}")
    )


def _block(source: Source, block: _Block, aliases: dict[str, _Block]) -> Iterator[Parsed]:
    targets: list[tuple[Ref | None, Where]] = []
    if "hostname" in block.options:
        words, number = block.options["hostname"]
        names = [words[0].replace("%h", one) for one in block.literal] if "%h" in words[0] else words[:1]
        aliased = [(target(name), source.where(number)) for name in names[:100] if "%" not in name]
        # An alias goes dead with its host; whether anyone still uses it is not known.
        sure = Confidence.LOW if block.conditional else Confidence.MEDIUM
        yield from source.uses(_title(source, block), aliased, confidence=sure)
    if "proxyjump" in block.options and block.options["proxyjump"][0][0].lower() != "none":
        words, number = block.options["proxyjump"]
        for hop in words[0].split(","):
            found = _JUMP.fullmatch(hop.strip())
            if found is None:
                yield Malformed(source.where(number), "a hop of ProxyJump that can't be read", "ssh refuses the file")
                continue
            other = aliases.get(found[1])
            jump = source.ref(_title(source, other)) if other is not None and other is not block else target(found[1])
            targets.append((jump, source.where(number)))
    for keyword, words, number in block.many:
        if keyword == "localforward" and len(words) > 1 and not words[1].startswith("/"):
            host, _, port = words[1].replace("/", ":").rpartition(":")
            targets.append((target(host, port), source.where(number)))
    confidence = Confidence.LOW if block.conditional else Confidence.HIGH
    title = _title(source, block)
    yield from source.uses(title, targets, confidence=confidence)
    if "proxycommand" in block.options:
        words, number = block.options["proxycommand"]
        if words[0].strip().lower() != "none":
            command = words[0].replace("%h", "$h").replace("%p", "$p").replace("%r", "$r")
            ref, where = source.ref(title), source.where(number)
            facts = [fact for fact in analyse_command(command, ref, where) if isinstance(fact, Dependency)]
            if facts and not any(one for one, _ in targets):
                yield from source.service(title, where)
            yield from facts


def _server(source: Source) -> Iterator[Parsed]:
    allowed: list[tuple[str, Where]] = []
    calls: list[tuple[str, Where]] = []
    for number, keyword, words, _ in _statements(source):
        if not words:
            yield Malformed(source.where(number), "a keyword without a value", "sshd does not start with it")
            continue
        where = source.where(number)
        if keyword == "allowusers":
            allowed += [(word.rpartition("@")[2], where) for word in words if "@" in word]
        elif keyword == "match":
            for criterion, value in itertools.pairwise(words):
                if criterion.lower() in ("address", "host"):
                    allowed += [(one, where) for one in value.split(",") if one and one not in ("*", "!*")]
        elif keyword in ("authorizedkeyscommand", "authorizedprincipalscommand") and words[0].startswith("/"):
            calls.append((words[0], where))
    if allowed:
        names = tuple(dict.fromkeys(normal_entry(one) for one, _ in allowed))[:ALLOWED_LIMIT]
        yield from source.service("sshd", allowed[0][1], {"allows": names})
    elif calls:
        yield from source.service("sshd", calls[0][1])
    for path, where in calls:
        yield Dependency(source.ref("sshd"), Ref(Kind.PATH, path), Relation.CALLS, where)


def _keys(source: Source) -> Iterator[Parsed]:
    name = f"authorized_keys {source.path}" if source.path.startswith("/") else "authorized_keys"
    ref = source.ref(name)
    allowed: dict[str, None] = {}
    comments: dict[str, None] = {}
    facts: list[Parsed] = []
    first: Where | None = None
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text):
            continue
        options, key = _split(text)
        words = key.split(None, 2)
        if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]):
            facts.append(Malformed(source.where(number, key[:60]), "no key in this line", "sshd skips the line"))
            continue
        # Keys are long and say nothing: the excerpt is what stands around them.
        where = source.where(number, " ".join((options, words[0], *words[2:])))
        first = first or where
        if len(words) > 2 and (found := _COMMENT_HOST.search(words[2])) and is_hostname(found[1]):
            comments[found[0]] = None
        for option, value in _options(options):
            if option == "from":
                allowed.update((normal_entry(one), None) for one in value.split(",") if one.strip("!*?"))
            elif option == "command":
                facts += [
                    fact
                    for fact in analyse_command(value.replace('\\"', '"'), ref, where)
                    if isinstance(fact, Dependency)
                ]
    if first is not None:
        lists = {"allows": tuple(allowed)[:ALLOWED_LIMIT], "key_comments": tuple(comments)[:ALLOWED_LIMIT]}
        yield from source.service(name, first, {key: value for key, value in lists.items() if value})
    yield from facts


def _split(text: str) -> tuple[str, str]:
    """Options and the rest: options end at the first white space outside quotes."""
    if _KEY_TYPE.match(text):
        return "", text
    quoted = False
    for at, character in enumerate(text):
        if character == '"' and text[at - 1 : at] != "\\":
            quoted = not quoted
        elif character in " \t" and not quoted:
            return text[:at], text[at:].strip()
    return text, ""


def _options(text: str) -> Iterator[tuple[str, str]]:
    for found in _OPTION.finditer(text):
        yield found[1].lower(), found[2] or ""
