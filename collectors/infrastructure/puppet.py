"""Puppet: node definitions in manifests, hiera data of single nodes, and the servers that agents talk to.

Sources: Puppet 8's language reference (node definitions: strings, lists, regular expressions, `default`), Hiera 5's
hierarchies (`nodes/%{trusted.certname}.yaml`), the configuration reference of puppet.conf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    is_hostname,
    normal_name,
)
from collectors.infrastructure.common import known, outside

if TYPE_CHECKING:
    import re2

NODES_LIMIT: Final = 20_000
"""Node definitions of one manifest that are read."""
MEMBERS_LIMIT: Final = 1_000
"""Hosts that one regular expression may select."""

_NODE_DATA: Final = re.compile(
    r"(?:^|/)(?:nodes?|hosts?|fqdn|fqdns|certnames?|clientcert|per-node|per-host)/([^/]+)\.(?:e?ya?ml|json)$"
)
_TREE: Final = re.compile(r"(?:^|/)(?:[\w.-]*hiera[\w.-]*|puppet[\w.-]*|data|environments)(?:/|$)", re.IGNORECASE)
_NODE: Final = re.compile(r"^[ \t]*node\s+(?=['\"/\w])", re.MULTILINE)
_NAME: Final = re.compile(
    r"""\s*(?:'([^'\n]{1,253})'|"([^"\n]{1,253})"|/((?:[^/\\\n]|\\.){1,1000})/|([\w.-]+))\s*(,?)"""
)
_CONF: Final = ("/puppet/puppet.conf", "/puppetlabs/puppet/puppet.conf")
_SERVERS: Final = frozenset({"server", "ca_server", "report_server", "server_list", "reporturl"})


class PuppetCollector(Collector):
    """Which nodes Puppet's code and data are for, and which server an agent needs.

    Reads
    -----
    `node` definitions of `*.pp` files; the names of hiera files below `nodes/`, `hosts/`, `fqdn/` or `certname/` in a
    tree of hiera or Puppet; `puppet.conf`.

    Yields
    ------
    The document that selects a host; a regular expression as a group, with the nodes that this source names and that it
    matches as members (confidence medium); an agent's server, CA and report server.

    Can't see
    ---------
    What classes do (code is scanned for mentions), what a node classifier says, and keys of hiera's values.
    """

    name: ClassVar[str] = "puppet"
    title: ClassVar[str] = "Puppet nodes and hiera data"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.SELECTS, Relation.MEMBER, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """Manifests, a node's data by its path, and puppet.conf."""
        if path.endswith(".pp"):
            return not path.endswith(".te.pp")
        if path.endswith(("ml", ".json")):
            return bool(_node_of(path))
        return path.endswith(".conf") and path.endswith(_CONF)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Nodes of one file."""
        if document.path.endswith(".pp"):
            yield from _manifest(document)
        elif document.path.endswith(".conf"):
            yield from _agent(document)
        elif name := _node_of(document.path):
            yield Dependency(Ref(Kind.DOCUMENT, document.path), Ref(Kind.HOST, name), Relation.SELECTS, Where())
            yield Fragment("name", name, Where())

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The members of regular expressions, among the nodes that this source names."""
        names = sorted({str(one.value) for one in fragments if one.kind == "name"})
        for one in fragments:
            compiled = _compile(str(one.value)) if one.kind == "regex" else None
            if compiled is None:
                continue
            where = Where(one.where.line, one.where.excerpt, one.path)
            for name in [name for name in names if compiled.search(name)][:MEMBERS_LIMIT]:
                host = Ref(Kind.HOST, name)
                yield Dependency(
                    _group(str(one.value)), host, Relation.MEMBER, where, None, "members", Confidence.MEDIUM
                )


def _group(regex: str) -> Ref:
    return Ref(Kind.GROUP, excerpt(f"puppet node /{regex}/"))


@lru_cache(maxsize=1024)
def _compile(regex: str) -> re2._Regexp | None:
    """A node's regular expression; None for what RE2 does not know. It never takes longer than the text is long."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options)
    except re2.error:
        return None


def _node_of(path: str) -> str:
    """The node that a hiera file is about, by its path; empty if it is no such file."""
    if "node" not in path and "host" not in path and "fqdn" not in path and "cert" not in path:
        return ""
    found = _NODE_DATA.search(path)
    if found is None or "_vars/" in path:
        return ""
    name = found[1].removesuffix(".eyaml")
    if not is_hostname(name) or "{" in name or name in ("default", "common", "defaults"):
        return ""
    # A short name may be anything, unless it stands in a tree of hiera.
    place = path[: found.start()]
    if "." in name:
        return normal_name(name) if _TREE.search(place) else ""
    return normal_name(name) if "hiera" in place else ""


def _manifest(document: Document) -> Iterator[Parsed]:
    text = decode(document.content)
    if "node" not in text:
        return
    consumer = Ref(Kind.PLAYBOOK, document.path)
    patterns: list[str] = []
    facts: list[Parsed] = []
    line, at = 1, 0
    for count, found in enumerate(_NODE.finditer(text)):
        line += text.count("\n", at, found.start())
        at = found.start()
        if count >= NODES_LIMIT:
            facts.append(Malformed(Where(line), f"more than {NODES_LIMIT:,} node definitions: the rest is not read"))
            break
        stop = text.find("{", found.end(), found.end() + 20_000)
        if stop < 0:
            continue
        end = text.find("\n", at)
        where = Where(line + text.count("\n", at, found.start()), excerpt(text[at : end if end >= 0 else None]))
        place, names, regexes, whole = found.end(), [], [], False
        while (name := _NAME.match(text, place)) is not None:
            place = name.end()
            written = name[1] or name[2] or name[4] or ""
            if name[3]:
                regexes.append(name[3])
            elif written == "default":
                patterns.append("default")
            elif is_hostname(written):
                names.append(normal_name(written))
            if not name[5]:
                whole = text.startswith("{", place) or text[place:stop].strip().startswith("inherits")
                break
        # `node` is also a word of resources' parameters: only a definition ends with a brace.
        if not whole:
            continue
        pattern = ", ".join([*names, *(f"/{regex}/" for regex in regexes)])
        group = f"hosts {excerpt(pattern)}"
        if pattern:
            patterns.append(excerpt(pattern))
        for one in names:
            facts.append(Fragment("name", one, where))
            facts.append(Dependency(consumer, Ref(Kind.HOST, one), Relation.SELECTS, where, group=group))
        for regex in regexes:
            facts.append(Entity(_group(regex), where, {"origin": "puppet"}))
            facts.append(Fragment("regex", regex, where))
            facts.append(Dependency(consumer, _group(regex), Relation.SELECTS, where, group=group))
    if patterns:
        yield Entity(consumer, Where(1), {"hosts_patterns": tuple(dict.fromkeys(patterns))[:1000]})
    yield from facts


def _agent(document: Document) -> Iterator[Parsed]:
    """Servers of puppet.conf's `[main]` and `[agent]`. What stands for the server itself is left out."""
    service = Ref(Kind.SERVICE, "puppet agent")
    section = "main"
    facts: list[Parsed] = []
    first: Where | None = None
    for number, line in enumerate(decode(document.content).split("\n"), 1):
        text = line.strip()
        if text.startswith("["):
            section = text.strip("[]").strip()
            continue
        key, sign, value = (part.strip() for part in text.partition("="))
        if not sign or key not in _SERVERS or section not in ("main", "agent", "user"):
            continue
        where = Where(number, excerpt(line))
        group = "server_list" if key == "server_list" else ""
        for one in value.split(","):
            target = outside(one.strip()) if known(one) else None
            if target is not None:
                first = first or where
                need = Need.WRITE if key in ("report_server", "reporturl") else Need.READ
                facts.append(Dependency(service, target, Relation.CONNECTS, where, need, group))
    if first is not None:
        yield Entity(service, first, {"software": "puppet"})
        yield Dependency(service, THIS_HOST, Relation.RUNS_ON, first)
        yield from facts
