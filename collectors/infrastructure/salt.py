"""Salt: which minions the top files select, node groups, rosters of salt-ssh, and the masters of a minion.

Sources: Salt 3007's documentation of top files, targeting (globs, PCRE, lists, node groups, compound matchers), the
roster and the minion's configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
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
    Entity,
    Fragment,
    Kind,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    excerpt,
    host_ref,
    is_hostname,
    normal_address,
    normal_name,
)
from collectors.infrastructure.common import known, outside, read_documents, step

TARGETS_LIMIT: Final = 20_000
"""Targets of one file that are read."""
MEMBERS_LIMIT: Final = 1_000
"""Minions that one glob may select."""

_GLOB: Final = re.compile(r"[*?\[]")
_WORDS: Final = frozenset({"and", "or", "not", "(", ")"})
_MASTER: Final = re.compile(r"(?:^|/)(?:etc/salt|salt)/(?:master|master\.d/[^/]+\.conf)$")
_MINION: Final = re.compile(r"(?:^|/)(?:etc/salt|salt)/(?:minion|proxy|minion\.d/[^/]+\.conf)$")
_OTHER: Final = frozenset({"grain", "grain_pcre", "pillar", "pillar_pcre", "pillar_exact", "ipcidr", "data", "range"})


class SaltCollector(Collector):
    """Targets of states and pillar data: a top file selects minions as a playbook does.

    Reads
    -----
    `top.sls` files (Jinja as far as it can be read line by line), `nodegroups` of a master's configuration, `roster`
    files, `master` of a minion's configuration.

    Yields
    ------
    A playbook for each top file that selects hosts, node groups and globs, those of one target as alternatives; node
    groups with their minions; hosts of a roster with addresses; a minion's masters.

    Can't see
    ---------
    Grains, pillar, subnets and regular expressions as targets, what a minion is called that no file names, states and
    pillar data (the mention scan reads them).
    """

    name: ClassVar[str] = "salt"
    title: ClassVar[str] = "Salt top files, node groups and rosters"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.SELECTS, Relation.MEMBER, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the usual paths."""
        return bool(_form(path))

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Targets and minions of one file."""
        form = _form(document.path)
        stream, problems = read_documents(document, "Salt refuses the file")
        yield from problems
        for root in stream.documents[:1]:
            if not root.is_map:
                continue
            if form == "top":
                yield from _top(stream, document.path, root)
            elif form == "roster":
                yield from _roster(stream, root)
            elif form == "master":
                yield from _nodegroups(stream, root)
            elif form == "minion":
                yield from _minion(stream, root)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The members of globs, among the minions that this source names."""
        names = sorted({str(one.value) for one in fragments if one.kind == "name"})
        for one in fragments:
            if one.kind != "glob":
                continue
            glob = str(one.value)
            where = Where(one.where.line, one.where.excerpt, one.path)
            for name in [name for name in names if fnmatchcase(name, glob)][:MEMBERS_LIMIT]:
                yield Dependency(
                    _glob(glob), Ref(Kind.HOST, name), Relation.MEMBER, where, None, "members", Confidence.MEDIUM
                )


def _form(path: str) -> str:
    base = path[path.rfind("/") + 1 :]
    if base == "top.sls":
        return "top"
    if "salt" not in path:
        return ""
    if base == "roster":
        return "roster"
    if _MASTER.search(path):
        return "master"
    return "minion" if _MINION.search(path) else ""


def _glob(text: str) -> Ref:
    return Ref(Kind.GROUP, excerpt(f"salt minions {text}"))


def _nodegroup(name: str) -> Ref:
    return Ref(Kind.GROUP, excerpt(f"salt nodegroup {name}"))


def _selected(kind: str, target: str, where: Where) -> Iterator[Ref | Fragment]:
    """What a target selects by name, and the fragments that `combine` needs for it."""
    if not target or TEMPLATE in target:
        return
    if kind == "nodegroup":
        yield _nodegroup(target)
    elif kind == "list":
        for name in target.split(","):
            if is_hostname(name.strip()):
                yield Fragment("name", normal_name(name), where)
                yield Ref(Kind.HOST, normal_name(name))
    elif kind == "compound":
        yield from _compound(target, where)
    elif kind in ("", "glob"):
        if _GLOB.search(target):
            # What selects every minion depends on none.
            if target.strip("*?"):
                yield Fragment("glob", target, where)
                yield _glob(target)
        elif is_hostname(target):
            yield Fragment("name", normal_name(target), where)
            yield Ref(Kind.HOST, normal_name(target))


def _compound(target: str, where: Where) -> Iterator[Ref | Fragment]:
    """`L@a,b`, `N@group` and globs of a compound matcher; what follows `not` or `and` narrows, and is left out."""
    before = ""
    for word in target.split():
        if word in _WORDS:
            before = word if word not in ("(", ")") else before
            continue
        if before not in ("not", "and"):
            letter, at, rest = word.partition("@")
            if not at:
                yield from _selected("glob", word, where)
            elif letter in ("L", "N"):
                yield from _selected("list" if letter == "L" else "nodegroup", rest, where)
        before = ""


def _top(stream: YamlStream, path: str, root: YamlNode) -> Iterator[Parsed]:
    consumer = Ref(Kind.PLAYBOOK, path)
    patterns: list[str] = []
    unresolved: list[str] = []
    facts: list[Parsed] = []
    count = 0
    for environment, targets in root.items():
        if not environment.scalar or not targets.is_map:
            continue
        for key, states in targets.items():
            count += 1
            if count > TARGETS_LIMIT:
                break
            kind = next((one.text("match") for one in states.elements if one.is_map and one.text("match")), "")
            # A compound matcher needs no `match` since 2019.2 where it holds an `@`.
            if not kind and "@" in key.scalar:
                kind = "compound"
            if kind in _OTHER or kind == "pcre":
                unresolved.append(excerpt(key.scalar))
                continue
            where = stream.where(key)
            group = f"hosts {excerpt(key.scalar)}"
            selected = list(_selected(kind, key.scalar, where))
            if not selected:
                unresolved.append(excerpt(key.scalar))
            for one in selected:
                if isinstance(one, Fragment):
                    facts.append(one)
                    continue
                if one.kind is Kind.GROUP:
                    facts.append(Entity(one, where, {"origin": "salt"}))
                facts.append(Dependency(consumer, one, Relation.SELECTS, where, group=group))
                patterns.append(excerpt(key.scalar))
    if patterns:
        # Targets that can't be resolved count as patterns too: with them a top file still selects somebody.
        yield Entity(consumer, Where(1), {"hosts_patterns": tuple(dict.fromkeys(patterns + unresolved))[:1000]})
    yield from facts


def _nodegroups(stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    groups = root.get("nodegroups")
    if groups is None or not groups.is_map:
        return
    for key, value in groups.items():
        group = _nodegroup(key.scalar)
        yield Entity(group, stream.where(key), {"origin": "salt"})
        entries = [(value, "compound")] if value.is_scalar else [(one, "glob") for one in value.elements]
        for node, kind in entries[:TARGETS_LIMIT]:
            text = node.scalar
            if kind == "glob" and "@" in text:
                kind = "compound"
            for one in _selected(kind, text, stream.where(node)):
                if isinstance(one, Fragment):
                    yield one
                else:
                    yield Dependency(group, one, Relation.MEMBER, stream.where(node), group="members")


def _roster(stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    """salt-ssh's hosts: `name: address`, or a map with `host`."""
    for count, (key, value) in enumerate(root.items()):
        if count >= TARGETS_LIMIT:
            return
        written = value if value.is_scalar else step(value, "host")
        if not is_hostname(key.scalar) or written is None or not known(written.scalar):
            continue
        attributes: dict[str, Attribute] = {"origin": "salt"}
        if address := normal_address(written.scalar):
            attributes["address"] = address
        elif is_hostname(written.scalar):
            attributes["address"] = normal_name(written.scalar)
        yield Entity(Ref(Kind.HOST, normal_name(key.scalar)), stream.where(key), attributes)
        yield Fragment("name", normal_name(key.scalar), stream.where(key))


def _minion(stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    """The masters: of several, `failover` needs one at a time, and without it a minion serves all of them."""
    nodes = [node for node in root.children("master") if node.is_scalar and node.scalar]
    found = [(target, node) for node in nodes if (target := _master(node.scalar)) is not None]
    if not found:
        return
    service = Ref(Kind.SERVICE, "salt-minion")
    where = stream.where(found[0][1])
    yield Entity(service, where, {"software": "salt"})
    yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where)
    for target, node in found:
        group = "masters" if len(found) > 1 else ""
        yield Dependency(service, target, Relation.CONNECTS, stream.where(node), group=group)


def _master(text: str) -> Ref | None:
    """A master as it is written. `salt`, the default, and other short names are what the host's search domains say."""
    return outside(text) or (host_ref(text) if is_hostname(text) and known(text) and text != "localhost" else None)
