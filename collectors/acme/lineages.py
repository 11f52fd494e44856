"""What the collectors of this package share: lineages and what hangs on them, and settings written as shell variables.

Nothing of a shell file is run: `read_settings` knows assignments, quotes and references to variables that were set
before in the same file, and calls everything else unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from auditor.api import (
    THIS_HOST,
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
    endpoint_ref,
    excerpt,
    host_ref,
    is_hostname,
    is_loopback,
    normal_name,
)

SIZE_LIMIT: Final = 4 << 20
"""Bytes of one file; what these programs write is far smaller."""

SETTINGS_LIMIT: Final = 10_000
"""Assignments of one file that are read."""

VALUES_LIMIT: Final = 8 << 20
"""Characters that the values of one file may have together, variables filled in."""

TOO_LARGE: Final = Malformed(Where(0), f"larger than {SIZE_LIMIT >> 20} MiB, so not written by this program", "", True)

_ASSIGNMENT: Final = re.compile(
    r"^[ \t]*(?:(?:export|readonly|declare|typeset)[ \t]+(?:-\w+[ \t]+)*)?([A-Za-z_]\w*)(\+?)=", re.MULTILINE
)
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^{}$`]*))?\}|([A-Za-z_]\w*))")


class Setting(NamedTuple):
    """One assignment: its words (one, unless it is an array), its line, and whether all of them are known."""

    name: str
    words: tuple[str, ...]
    line: int
    known: bool = True

    @property
    def value(self) -> str:
        """The value as one text; empty if a part of it is known only at run time."""
        return " ".join(self.words) if self.known else ""


def client(name: str) -> Ref:
    """The program that renews: one on each host."""
    return Ref(Kind.CLIENT, name)


def lineage_ref(client_name: str, name: str) -> Ref:
    """A lineage: the certificates that a program calls by one name, one after the other."""
    return Ref(Kind.LINEAGE, f"{client_name}:{name}")


def built_in(name: str, where: Where) -> Iterator[Parsed]:
    """A program that watches the time by itself: a job of its own calls it, for as long as its host runs."""
    job = Ref(Kind.JOB, f"{name} (built in)")
    yield Entity(job, where, {"schedule": "built in", "command": name})
    yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
    yield Dependency(job, client(name), Relation.CALLS, where)
    yield Dependency(client(name), THIS_HOST, Relation.RUNS_ON, where)


def names(written: Iterable[str]) -> tuple[str, ...]:
    """Host names (and wildcards) of a certificate, in one spelling, each once; what is none is left out."""
    return tuple(dict.fromkeys(normal_name(one) for one in written if is_hostname(one.strip())))


def attributes(**known: Attribute | None) -> dict[str, Attribute]:
    """Attributes without those that are empty; texts as evidence is shown."""
    found: dict[str, Attribute] = {}
    for key, value in known.items():
        if value is None or value == "" or value == ():
            continue
        found[key] = excerpt(value) if isinstance(value, str) else value
    return found


def target(text: str) -> Ref | None:
    """A URL, `host:port`, host or address as a reference; None for loopback and for what is none of these."""
    text = text.strip()
    found = endpoint_ref(text) if "://" in text or re.search(r"[\w\]]:\d+$", text) else host_ref(text)
    return None if found is None or is_loopback(found.text) else found


def issued_by(lineage: Ref, server: str, where: Where, group: str = "") -> Iterator[Parsed]:
    """The CA's directory. It has to store what it issues."""
    if "://" in server and (found := endpoint_ref(server)) is not None:
        yield Dependency(lineage, found, Relation.ISSUED_BY, where, Need.WRITE, group)


def written(lineage: Ref, path: str, where: Where) -> Iterator[Parsed]:
    """A file or directory that a renewal writes."""
    if path.startswith("/") and len(path) < 4096:
        yield Dependency(lineage, Ref(Kind.PATH, path.rstrip("/") or "/"), Relation.WRITES, where)


def webroot(lineage: Ref, path: str, where: Where) -> Iterator[Parsed]:
    """The directory that the challenge's answers are put into."""
    if path.startswith("/") and len(path) < 4096:
        yield Dependency(
            lineage, Ref(Kind.PATH, path.rstrip("/") or "/"), Relation.VALIDATED_THROUGH, where, Need.WRITE
        )


def challenge_names(lineage: Ref, domains: Iterable[str], where: Where) -> Iterator[Parsed]:
    """The names that a DNS challenge is answered at (RFC 8555, section 8.4)."""
    seen: set[str] = set()
    for domain in domains:
        name = f"_acme-challenge.{domain.removeprefix('*.')}"
        if name not in seen:
            seen.add(name)
            yield Dependency(lineage, Ref(Kind.NAME, name), Relation.VALIDATED_THROUGH, where, Need.READ)


def validated_here(lineage: Ref, where: Where) -> Iterator[Parsed]:
    """The program answers the challenge itself, on its own host."""
    yield Dependency(lineage, THIS_HOST, Relation.VALIDATED_THROUGH, where, Need.RUN)


def hook(
    lineage: Ref, stage: str, command: str, where: Where, environment: Mapping[str, str] | None = None
) -> Iterator[Parsed]:
    """What a hook's command line does for a lineage; `stage` is deploy, auth, or anything else.

    What a deploy hook calls and connects to is DEPLOYED_BY, what an authentication hook uses is VALIDATED_THROUGH. A
    script of this host must run; a receiver elsewhere must store something.
    """
    relation = {"deploy": Relation.DEPLOYED_BY, "auth": Relation.VALIDATED_THROUGH}.get(stage)
    for fact in analyse_command(command, lineage, where, environment=environment):
        if relation and isinstance(fact, Dependency) and fact.relation in (Relation.CALLS, Relation.CONNECTS):
            need = Need.RUN if fact.relation is Relation.CALLS else Need.WRITE
            sure = fact.confidence if fact.confidence is Confidence.HIGH else Confidence.MEDIUM
            yield replace(fact, relation=relation, need=need, confidence=sure)
        else:
            yield fact


def moment(seconds: str) -> str:
    """Seconds since 1970 as ISO 8601 in UTC; empty if they are none."""
    if not seconds.isdecimal() or len(seconds) > 11:
        return ""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return ""


def read_settings(text: str, known: Mapping[str, str] | None = None) -> list[Setting]:
    """The assignments of a shell file, in order; the last one of a name wins.

    `known` are variables that the program itself sets before. A word with a command substitution, or with a variable
    that nobody set, is not known.
    """
    text = text.replace("\r\n", "\n")
    values = dict(known or {})
    found: list[Setting] = []
    latest: dict[str, Setting] = {}
    budget = VALUES_LIMIT
    position, line, counted = 0, 1, 0
    while len(found) < SETTINGS_LIMIT and (match := _ASSIGNMENT.search(text, position)) is not None:
        start = match.start(1)
        line += text.count("\n", counted, start)
        counted = start
        words, sure, end = _value(text, match.end(), values, budget)
        if match[2] and (before := latest.get(match[1])) is not None:
            joined = before.words + words if text[match.end() : match.end() + 1] == "(" else _appended(before, words)
            words, sure = joined, sure and before.known
        budget -= sum(map(len, words))
        if budget <= 0:
            break
        setting = latest[match[1]] = Setting(match[1], words, line, sure)
        found.append(setting)
        if sure:
            values[setting.name] = setting.value
        else:
            values.pop(setting.name, None)
        after = text.find("\n", end)
        position = len(text) if after < 0 else after
    return found


def _appended(before: Setting, words: tuple[str, ...]) -> tuple[str, ...]:
    return (*before.words[:-1], (before.words[-1] if before.words else "") + "".join(words))


def _value(text: str, at: int, values: Mapping[str, str], budget: int) -> tuple[tuple[str, ...], bool, int]:
    """Words of a value that begins here, whether all of it is known, and where it ends."""
    array = text[at : at + 1] == "("
    at += array
    words: list[str] = []
    word: list[str] | None = None
    sure = True
    size = len(text)
    while at < size:
        here = text[at]
        if here == "'":
            end = text.find("'", at + 1)
            end = size if end < 0 else end
            word = [*(word or ()), text[at + 1 : end]]
            at = end + 1
        elif here == '"':
            end = at + 1
            while end < size and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            part, clear = _expand(re.sub(r"\\([\"\\\n])", r"\1", text[at + 1 : end]), values)
            word, sure = [*(word or ()), part], sure and clear
            at = end + 1
        elif here in " \t\n;&|)":
            if word is not None:
                words.append("".join(word))
                word = None
            if not array or here == ")":
                return tuple(words) or (() if array else ("",)), sure, at
            at += 1
        elif here == "#" and word is None:
            if not array:
                break
            end = text.find("\n", at)
            at = size if end < 0 else end
        elif here == "\\":
            if text[at + 1 : at + 2] != "\n":
                word = [*(word or ()), text[at + 1 : at + 2]]
            at += 2
        else:
            end = at + 1
            while end < size and text[end] not in " \t\n;&|)('\"\\":
                end += 1
            part, clear = _expand(text[at:end], values)
            word, sure = [*(word or ()), part], sure and clear
            at = end
        if word is not None and len(word) > 1:
            word = ["".join(word)]
        budget -= len(word[-1]) if word else 0
        if budget <= 0:
            return tuple(words), False, size
    if word is not None:
        words.append("".join(word))
    return tuple(words) or (() if array else ("",)), sure, at


def _expand(text: str, values: Mapping[str, str]) -> tuple[str, bool]:
    """Text with its variables, and whether each of them is known. Substituted once: values are not read again."""
    if "$" not in text and "`" not in text and "{{" not in text and "<%" not in text:
        return text, True
    sure = "`" not in text and "$(" not in text and "{{" not in text and "<%" not in text

    def of(match: re.Match[str]) -> str:
        nonlocal sure
        value = values.get(match[1] or match[3])
        if value is None:
            value = match[2]
        if value is None:
            sure = False
            return ""
        return value

    expanded = _VARIABLE.sub(of, text.replace("\\$", "\x00"))
    if "$" in expanded or len(expanded) > 65536:
        sure = False
    return expanded.replace("\x00", "$")[:65536], sure
