"""Ansible: inventories (INI, YAML, `ansible-inventory --list`), `group_vars` and `host_vars`, and playbooks' hosts.

Ansible's own reader runs executable inventories and evaluates templates; nothing here is run or evaluated
(ansible-core 2.18's inventory plugins `ini` and `yaml`, and its `inventory/manager`, are the source of the syntax).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    decode,
    excerpt,
    expand_range,
    is_hostname,
    normal_address,
    normal_name,
    read_yaml,
    split_words,
)

if TYPE_CHECKING:
    import re2

RANGE_LIMIT: Final = 100_000
"""Hosts that one line may make."""
HOST_LIMIT: Final = 300_000
"""Hosts that all lines of one inventory may make together."""
GLOB_LIMIT: Final = 1_000
"""Groups and hosts that one pattern of a playbook may select by `*`."""

_SECTION: Final = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_NAME: Final = re.compile(r"[\w.-]*+(?:\[[\w:.]+\][\w.-]*+)*(?::\d+)?")
_PORT: Final = re.compile(r"(.+?):(\d{1,5})")
_PATTERNS: Final = re.compile(rb"(?m)^plugin:\s*['\"]?(?:[\w.]+\.)?yamlgroup['\"]?\s*$")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1", "all", "ungrouped", "implicit_localhost"})
_INI_SUFFIXES: Final = frozenset({"", "ini", "inv", "inventory", "hosts"})
_YAML_SUFFIXES: Final = frozenset({"yml", "yaml"})
_NAMES: Final = frozenset({"hosts", "inventory"})
_DIRECTORIES: Final = frozenset({"inventory", "inventories"})
_VARS: Final = re.compile(r"(?:^|/)(group|host)_vars/([^/]+)(?:/.+)?$")
_VARS_SUFFIX: Final = re.compile(r"\.(?:ya?ml|json)$")
_OWN_ADDRESS: Final = re.compile(
    r"(?:ansible_(?:ssh_)?host|(?:(?:eth|em|en|br|bond|vlan|wg|wireguard|vpn|public|private|internal|external|primary"
    r"|main|mgmt|ipmi|idrac|ilo)[a-z0-9]*_)?(?:ipv?[46]?|ipaddr|address)(?:_(?:ip|addr|address))?)[ \t]*:[ \t]*"
    r"[\"']?([0-9A-Fa-f.:]{3,45})(?:/\d{1,3})?[\"']?[ \t]*(?:#.*)?",
)
"""A variable of a host, at the margin, that is an address of its own, not of its gateway or its name servers."""
_YAML_GROUP: Final = re.compile(rb"^[ \t]+(?:hosts|children):[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_YAML_ALL: Final = re.compile(rb"(?:all|ungrouped):[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_PLAY: Final = re.compile(rb"(?:- +|[ ]{1,6})hosts:", re.MULTILINE)
_TOP_LIST: Final = re.compile(rb"^- *[\w\"'#]", re.MULTILINE)
_IMPORT: Final = re.compile(rb"^- +[\"']?(?:ansible\.builtin\.)?(?:import_playbook|include)[\"']?:", re.MULTILINE)
_IMPORT_KEYS: Final = ("import_playbook", "ansible.builtin.import_playbook", "include")
# `web[0]`, `web[0:2]`, `web[-1]`: some hosts of a group.
_SUBSCRIPT: Final = re.compile(r"(.+)\[-?\d*(?:[:-]-?\d*)?\]")
_TERMS: Final = re.compile(r"(?:[^:,\s\[\]]|\[[^\]]*\])+")
_GLOB: Final = re.compile(r"[*?\[\]]")


class AnsibleInventoryCollector(Collector):
    """Hosts and groups of inventories, and the playbooks and variables that select them.

    A group's hosts and child groups are alternatives. Groups of one name in different inventories of a tree are one
    group, as Ansible merges all files of one inventory directory.

    Reads
    -----
    Inventories in INI and YAML form and as `ansible-inventory --list` prints them; groups of the plugin `yamlgroup`, by
    patterns of host names; `group_vars` and `host_vars` by
    their names; playbooks for their `hosts:` patterns and the playbooks that they import. `ansible-vault` files are
    left closed.

    Yields
    ------
    Hosts with the address Ansible uses, groups with their members as alternatives, and which playbook selects which
    group or host. A variable file selects the group or host that it is called after; that of a host also gives the
    addresses of its interfaces (`eth0_ip`, `eth0_ipv4`, `ipv6_address`, `public_ip`).

    Can't see
    ---------
    Dynamic inventories and other inventory plugins, patterns that are templates or regular expressions, hosts that
    `add_host` makes, and what roles and tasks do: their text is searched for names.
    """

    name: ClassVar[str] = "ansible_inventory"
    title: ClassVar[str] = "Ansible inventories and playbooks"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.MEMBER, Relation.SELECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the path of variables; else by what stands in the head, with a lower bar for the usual names."""
        return bool(_form(path, head))

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Hosts, members and selections of one file."""
        path, content = document.path, document.content
        form = _form(path, content[:4096])
        if form == "vars":
            yield from _variables(path, content)
        elif form == "ini":
            yield from _Ini().read(decode(content).removeprefix("\ufeff").split("\n"))
        elif form in ("yaml", "json", "patterns", "playbook"):
            stream = read_yaml(content)
            if stream.problem is not None:
                where = stream.where(min(stream.problem.line, len(stream.lines)))
                yield Malformed(where, excerpt(stream.problem.reason), "Ansible refuses the file", not stream.documents)
            if form == "playbook":
                yield from _playbook(path, stream)
            elif form == "patterns":
                yield from _patterns(stream)
            else:
                read = _listed if form == "json" else _grouped
                groups: set[str] = set()
                hosts: set[str] = set()
                for root in stream.documents[:1]:
                    yield from read(_Group(stream, groups, hosts), root)
                yield Fragment("names", (frozenset(groups), frozenset(hosts)), Where())

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Tells groups from hosts in playbooks' patterns, and expands their `*`, by this source's inventories."""
        groups: set[str] = set()
        hosts: set[str] = set()
        for fragment in fragments:
            if fragment.kind == "names" and isinstance(fragment.value, tuple):
                groups |= fragment.value[0]
                hosts |= fragment.value[1]
        for fragment in fragments:
            if fragment.kind == "pattern" and isinstance(fragment.value, tuple):
                yield from _members(fragment, hosts)
            if fragment.kind != "term" or not isinstance(fragment.value, tuple):
                continue
            playbook, term, pattern = fragment.value
            where = Where(fragment.where.line, fragment.where.excerpt, fragment.path)
            consumer, group = Ref(Kind.PLAYBOOK, playbook), f"hosts {pattern}"
            fits: Callable[[str], object]
            if term.startswith("~"):
                regex = _regex(term[1:])
                fits = regex.match if regex is not None else _none
            elif not _GLOB.search(term):
                lone = term in hosts and term not in groups
                provider = Ref(Kind.HOST, term) if lone else Ref(Kind.GROUP, term)
                yield Dependency(consumer, provider, Relation.SELECTS, where, group=group)
                continue
            else:
                fits = partial(_fits, term)
            matching = [Ref(Kind.GROUP, name) for name in sorted(groups) if fits(name)]
            matching += [Ref(Kind.HOST, name) for name in sorted(hosts) if fits(name)]
            for provider in matching[:GLOB_LIMIT]:
                yield Dependency(consumer, provider, Relation.SELECTS, where, None, group, Confidence.MEDIUM)


@lru_cache(maxsize=1024)
def _regex(text: str) -> re2._Regexp | None:
    """The regular expression of a `~` pattern; None for what RE2, which never takes long, does not know."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error:
        return None


def _fits(glob: str, name: str) -> bool:
    return fnmatchcase(name, glob)


def _none(_: str) -> bool:
    return False


def _form(path: str, head: bytes) -> str:
    """ "vars", "ini", "yaml", "json", "patterns", "playbook", or "" for a file of another kind."""
    directory, _, base = path.rpartition("/")
    if "_vars/" in path and _VARS.search(path):
        return "vars"
    stem, dot, suffix = base.rpartition(".")
    if not dot or not stem:
        stem, suffix = base, ""
    hinted = stem in _NAMES or not _DIRECTORIES.isdisjoint(directory.split("/"))
    if suffix in _YAML_SUFFIXES:
        return _yaml_form(directory, head, hinted)
    if suffix == "json":
        return "json" if b'"_meta"' in head and b'"hostvars"' in head else ""
    if (suffix in _INI_SUFFIXES or hinted) and b"\x00" not in head[:512]:
        return "ini" if _is_ini(head, hinted) else ""
    return ""


def _yaml_form(directory: str, head: bytes, hinted: bool) -> str:
    if b"yamlgroup" in head and _PATTERNS.search(head):
        return "patterns"
    if b"hosts:" in head:
        if _PLAY.search(head) and _TOP_LIST.search(head) and b"apiVersion:" not in head:
            return "playbook"
        if _YAML_GROUP.search(head) and (hinted or _YAML_ALL.search(head)):
            return "yaml"
    elif b"children:" in head and _YAML_GROUP.search(head) and (hinted or _YAML_ALL.search(head)):
        return "yaml"
    if b"import_playbook" in head or b"\n- include" in head or head.startswith(b"- include"):
        parts = directory.split("/")
        if _IMPORT.search(head) and "tasks" not in parts and "handlers" not in parts:
            return "playbook"
    return ""


def _is_ini(head: bytes, hinted: bool) -> bool:
    """Whether sections hold bare host lines, `:children` names and `:vars` assignments, and nothing else.

    Without the usual name or directory, a section, and a host with a domain, a range or a variable must be there.
    """
    if not hinted and b"[" not in head:
        return False
    lines = head.decode("latin-1").split("\n")
    if len(head) >= 4096:
        lines.pop()
    kind, sections, good, bad, sure = "", 0, 0, 0, False
    for line in lines:
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text[0] == "[" and (found := _SECTION.fullmatch(text)):
            kind = found[2] or ""
            if kind not in ("", "children", "vars"):
                if not hinted:
                    return False
                kind = "vars"
            sections += 1
            sure = sure or bool(kind)
        elif kind == "vars":
            good, bad = good + ("=" in text), bad + ("=" not in text)
        else:
            words = text.split()
            fits = bool(_NAME.fullmatch(words[0])) and (len(words) == 1 or words[1][0] == "#" or _is_variable(words[1]))
            good, bad = good + fits, bad + (not fits)
            sure = sure or (fits and ("." in words[0] or "[" in words[0] or "ansible_" in text))
        if bad and not hinted:
            return False
    if not good:
        return False
    return bad * 3 <= good and (sections > 0 or bad == 0) if hinted else sections > 0 and sure


def _is_variable(word: str) -> bool:
    key, sign, _ = word.partition("=")
    return bool(sign) and key.isidentifier()


def _variables(path: str, content: bytes) -> Iterator[Parsed]:
    """Variables belong to what their file or directory is called after; those of a host may give its addresses."""
    found = _VARS.search(path)
    if found is None:
        return
    name = _VARS_SUFFIX.sub("", found[2])
    if name in _LOCAL or not name or name.startswith("."):
        return
    provider = Ref(Kind.HOST, normal_name(name)) if found[1] == "host" else Ref(Kind.GROUP, name)
    yield Dependency(Ref(Kind.DOCUMENT, path), provider, Relation.SELECTS, Where())
    if provider.kind is not Kind.HOST:
        return
    for number, line in enumerate(decode(content).split("\n"), 1):
        said = _OWN_ADDRESS.fullmatch(line.rstrip("\r"))
        if said is not None and (address := normal_address(said[1])):
            yield Entity(provider, Where(number, excerpt(line)), {"address": address})


def _without_port(text: str) -> str:
    """A host without `:22`; IPv6 only loses its port if it stands in brackets."""
    if text.startswith("["):
        address, bracket, _ = text[1:].partition("]")
        if bracket and normal_address(address):
            return address
    if normal_address(text):
        return text
    found = _PORT.fullmatch(text)
    return found[1] if found and ":" not in re.sub(r"\[[^\]]*\]", "", found[1]) else text


def _hosts(pattern: str) -> list[str] | str:
    """The hosts of one line, ranges expanded; why not, if that can't be."""
    bare = _without_port(pattern)
    try:
        names = list(islice(expand_range(bare), RANGE_LIMIT + 1))
    except ValueError:
        return f"a range of more than {RANGE_LIMIT} hosts"
    if len(names) > RANGE_LIMIT:
        return f"a range of more than {RANGE_LIMIT} hosts"
    made = [normal_address(name) or normal_name(name) for name in names]
    if bad := next((name for name in made if not is_hostname(name) and not normal_address(name)), ""):
        return f"{excerpt(bad)} is no host name"
    return made


def _host_facts(
    group: str, pattern: str, names: list[str], where: Where, variables: dict[str, Attribute]
) -> Iterator[Parsed]:
    for name in names:
        if name in _LOCAL:
            continue
        attributes: dict[str, Attribute] = {"origin": "ansible", **variables}
        if len(names) > 1:
            attributes["range"] = pattern
        host = Ref(Kind.HOST, name)
        yield Entity(host, where, attributes)
        if group not in ("", "all", "ungrouped"):
            yield Dependency(Ref(Kind.GROUP, group), host, Relation.MEMBER, where, group="members")


def _connection(variables: dict[str, str]) -> dict[str, Attribute]:
    """How Ansible reaches a host: `ansible_host` and `ansible_port`, also in their older names; templates left out."""
    known: dict[str, Attribute] = {}
    for key, value in variables.items():
        if key in ("ansible_host", "ansible_ssh_host") and "{{" not in value:
            known["address"] = normal_address(value) or normal_name(value)
        elif key in ("ansible_port", "ansible_ssh_port") and value.isdecimal() and len(value) < 6:
            known["port"] = int(value)
    return known


class _Ini:
    """The INI form: a host a line, under `[group]`, `[group:children]` or `[group:vars]`."""

    def __init__(self) -> None:
        self._group, self._kind = "", ""
        self._groups: set[str] = set()
        self._names: set[str] = set()
        self._made = 0

    def read(self, lines: list[str]) -> Iterator[Parsed]:
        """All lines; then which names are groups and which are hosts."""
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text[0] in "#;":
                continue
            where = Where(number, excerpt(line))
            if text[0] == "[" and (found := _SECTION.fullmatch(text)):
                self._group, self._kind = found[1], found[2] or "hosts"
                if self._kind not in ("hosts", "children", "vars"):
                    yield Malformed(where, f"a section of kind {excerpt(self._kind)}", "Ansible refuses the file")
                elif self._kind != "vars":
                    self._groups.add(self._group)
                    yield Entity(Ref(Kind.GROUP, self._group), where, {"origin": "ansible"})
            elif self._kind == "children":
                yield from self._child(text, where)
            elif self._kind in ("", "hosts"):
                yield from self._host(text, where)
        yield Fragment("names", (frozenset(self._groups), frozenset(self._names)), Where())

    def _child(self, text: str, where: Where) -> Iterator[Parsed]:
        words = text.split("#", 1)[0].split()
        if len(words) != 1:
            yield Malformed(where, "a child group is one name", "Ansible refuses the file")
            return
        self._groups.add(words[0])
        provider = Ref(Kind.GROUP, words[0])
        yield Dependency(Ref(Kind.GROUP, self._group), provider, Relation.MEMBER, where, group="members")

    def _host(self, text: str, where: Where) -> Iterator[Parsed]:
        words = text.split()
        if len(words) > 1:
            try:
                words = split_words(text, comments=True)
            except ValueError as error:
                yield Malformed(where, excerpt(str(error)), "Ansible refuses the file")
                return
        if not words:
            return
        names = _hosts(words[0])
        if isinstance(names, str):
            yield Malformed(where, names, "Ansible refuses the file, or takes the text for a host")
            return
        self._made += len(names)
        if self._made > HOST_LIMIT:
            yield Malformed(where, f"more than {HOST_LIMIT} hosts in one inventory", "this line is not expanded")
            return
        if stray := next((word for word in words[1:] if "=" not in word), ""):
            yield Malformed(where, f"{excerpt(stray)} is no key=value", "Ansible refuses the file")
        variables = {key: value for key, _, value in (word.partition("=") for word in words[1:])}
        self._names.update(names)
        yield from _host_facts(self._group, words[0], names, where, _connection(variables))


class _Group:
    """What reading a YAML or JSON inventory needs and fills: the stream, and the names seen."""

    def __init__(self, stream: YamlStream, groups: set[str], hosts: set[str]) -> None:
        self.stream = stream
        self.groups = groups
        self.hosts = hosts
        self._done: set[tuple[str, int]] = set()

    def first(self, group: str, node: YamlNode) -> bool:
        """Whether this place has not been read yet: an alias may repeat it."""
        known = (group, id(node)) in self._done
        self._done.add((group, id(node)))
        return not known

    def host(self, group: str, pattern: YamlNode, variables: YamlNode | None) -> Iterator[Parsed]:
        """One host (or a range of hosts) of a group."""
        where = self.stream.where(pattern)
        names = _hosts(pattern.scalar)
        if isinstance(names, str):
            yield Malformed(where, names, "Ansible refuses the file, or takes the text for a host")
            return
        if len(self.hosts) + len(names) > HOST_LIMIT:
            yield Malformed(where, f"more than {HOST_LIMIT} hosts in one inventory", "this line is not expanded")
            return
        self.hosts.update(names)
        written = {key.scalar: value.scalar for key, value in variables.items()} if variables is not None else {}
        yield from _host_facts(group, pattern.scalar, names, where, _connection(written))

    def group(self, name: str, node: YamlNode) -> Entity:
        self.groups.add(name)
        return Entity(Ref(Kind.GROUP, name), self.stream.where(node), {"origin": "ansible"})

    def child(self, group: str, node: YamlNode) -> Iterator[Parsed]:
        self.groups.add(node.scalar)
        if group not in ("all", "ungrouped") and node.scalar:
            consumer, provider = Ref(Kind.GROUP, group), Ref(Kind.GROUP, node.scalar)
            yield Dependency(consumer, provider, Relation.MEMBER, self.stream.where(node), group="members")


def _grouped(reading: _Group, root: YamlNode) -> Iterator[Parsed]:
    """The YAML form: groups as maps with `hosts`, `children` and `vars`, one inside the other."""
    pending = deque(root.items())
    while pending:
        key, node = pending.popleft()
        group = key.scalar
        if not group or not node.is_map or not reading.first(group, node):
            if not node.is_map and not node.is_null:
                yield Malformed(
                    reading.stream.where(key), f"group {excerpt(group)} is no map", "Ansible refuses the file"
                )
            continue
        if group not in ("all", "ungrouped"):
            yield reading.group(group, key)
        hosts, children = node.get("hosts"), node.get("children")
        if hosts is not None:
            pairs = [(hosts, None)] if hosts.is_scalar and hosts.scalar else [(k, v) for k, v in hosts.items()]
            for pattern, variables in pairs:
                yield from reading.host(group, pattern, variables)
        if children is not None:
            for child, value in children.items():
                yield from reading.child(group, child)
                pending.append((child, value))


def _listed(reading: _Group, root: YamlNode) -> Iterator[Parsed]:
    """The answer of `ansible-inventory --list`: groups with lists, and `_meta.hostvars`."""
    hostvars = root.at("_meta", "hostvars")
    for key, node in root.items():
        group = key.scalar
        if group == "_meta" or not node.is_map:
            continue
        if group not in ("all", "ungrouped"):
            yield reading.group(group, key)
        for host in node.children("hosts"):
            yield from reading.host(group, host, hostvars.get(host.scalar) if hostvars is not None else None)
        for child in node.children("children"):
            yield from reading.child(group, child)


def _patterns(stream: YamlStream) -> Iterator[Parsed]:
    """Groups of the inventory plugin `yamlgroup`: a list of globs, and of regular expressions that begin with `^`."""
    root = stream.documents[0] if stream.documents else None
    groups = root.get("groups") if root is not None else None
    names = set()
    for key in [key for key, _ in groups.items()] if groups is not None else ():
        if not key.scalar:
            continue
        names.add(key.scalar)
        yield Entity(Ref(Kind.GROUP, key.scalar), stream.where(key), {"origin": "ansible"})
        for one in groups.children(key.scalar) if groups is not None else ():
            if one.scalar:
                yield Fragment("pattern", (key.scalar, one.scalar), stream.where(one))
    yield Fragment("names", (frozenset(names), frozenset[str]()), Where())


def _members(fragment: Fragment, hosts: Collection[str]) -> Iterator[Parsed]:
    """The hosts that a pattern puts into its group."""
    assert isinstance(fragment.value, tuple)
    group, pattern = fragment.value
    where = Where(fragment.where.line, fragment.where.excerpt, fragment.path)
    regex = _regex(pattern) if pattern.startswith("^") else None
    if pattern.startswith("^") and regex is None:
        yield Malformed(where, f"{excerpt(pattern)} can't be read as a regular expression", "its hosts are not known")
        return
    fits: Callable[[str], object] = regex.match if regex is not None else partial(_fits, pattern)
    for name in [name for name in sorted(hosts) if fits(name)][:GLOB_LIMIT]:
        yield Dependency(
            Ref(Kind.GROUP, group), Ref(Kind.HOST, name), Relation.MEMBER, where, None, "members", Confidence.MEDIUM
        )


def _playbook(path: str, stream: YamlStream) -> Iterator[Parsed]:
    """`hosts:` of each play, and the playbooks it imports. A templated pattern selects what only a run knows."""
    patterns: list[str] = []
    facts: list[Parsed] = []
    consumer = Ref(Kind.PLAYBOOK, path)
    plays = [play for root in stream.documents for play in root.elements if play.is_map]
    for play in plays:
        for key in _IMPORT_KEYS:
            written = play.get(key)
            if written is not None and written.scalar and "{{" not in written.scalar:
                provider = Ref(Kind.PLAYBOOK, _beside(path, written.scalar.split()[0]))
                facts.append(Dependency(consumer, provider, Relation.CALLS, stream.where(written)))
        hosts = play.get("hosts")
        if hosts is None:
            continue
        written_hosts = [node for node in play.children("hosts") if node.scalar]
        pattern = excerpt(",".join(node.scalar for node in written_hosts))
        if pattern:
            patterns.append(pattern)
        for node in written_hosts:
            for term in _terms(node.scalar):
                where = stream.where(node)
                if normal_address(term) or ("." in term and term[0] != "~" and not _GLOB.search(term)):
                    provider = Ref(Kind.HOST, normal_address(term) or normal_name(term))
                    facts.append(Dependency(consumer, provider, Relation.SELECTS, where, group=f"hosts {pattern}"))
                else:
                    facts.append(Fragment("term", (path, term, pattern), where))
    if plays:
        attributes: dict[str, Attribute] = {"hosts_patterns": tuple(dict.fromkeys(patterns))}
        yield Entity(consumer, stream.where(plays[0]), attributes)
    yield from facts


def _terms(pattern: str) -> list[str]:
    """What a pattern selects by name: without `!excluded`, `&also`, templates and subscripts."""
    if "{{" in pattern or len(pattern) > 4096:
        return []
    if normal_address(pattern):
        return [pattern]
    split = pattern.split(",") if "," in pattern else _TERMS.findall(pattern)
    terms = []
    for written in split:
        term = written.strip()
        if not term or term[0] in "!&" or len(term) > 253:
            continue
        if term[0] == "~":
            terms.append(term)
            continue
        found = _SUBSCRIPT.fullmatch(term)
        if found:
            term = found[1]
        if term not in _LOCAL and term != "*":
            terms.append(term)
    return terms


def _beside(path: str, written: str) -> str:
    """An imported playbook's path: relative to the importing one's directory, as Ansible takes it."""
    if written.startswith("/"):
        return written
    parts: list[str] = path.split("/")[:-1]
    for part in written.split("/"):
        if part == ".." and parts and parts[-1] not in ("", ".."):
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
