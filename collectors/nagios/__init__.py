"""Nagios Core, and what reads its object files: Icinga 1, Naemon, Shinken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import dirname, join, normpath
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
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
    decode,
    excerpt,
    without_templates,
)
from collectors.nagios.facts import Facts
from collectors.nagios.objects import Definition, Installation, Token, read_definitions

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one file: an `objects.cache` of 10,000 hosts has about 30 MB."""

_SUFFIXES: Final = (".cfg", ".cfg.j2", ".cfg.jinja2", ".cfg.erb", ".cfg.epp", ".cfg.tmpl", ".cfg.in", ".cfg.mako")
_TEMPLATES: Final = (".j2", ".jinja2", ".erb", ".epp", ".tmpl", ".in", ".mako")
_CACHES: Final = ("objects.precache", "objects.cache")
_DEFINE: Final = re.compile(
    rb"^[ \t]*define[ \t]+(?:host|service|command|contact|contactgroup|timeperiod|module"
    rb"|(?:host|service)(?:group|escalation|dependency|extinfo))[ \t]*(?:\{|\r?$)",
    re.MULTILINE,
)
_MAIN: Final = re.compile(rb"^[ \t]*(?:cfg_file|cfg_dir|object_cache_file)[ \t]*=", re.MULTILINE)
_RESOURCE: Final = re.compile(rb"^\$USER\d+\$[ \t]*=", re.MULTILINE)
_SETTING: Final = re.compile(r"([\w$]+)\s*=\s*(.*?)\s*")
_PROGRAM: Final = re.compile(r"nagios|icinga|naemon|shinken", re.IGNORECASE)
_SERVICE: Final = Ref(Kind.SERVICE, "nagios")


class NagiosCollector(Collector):
    """Nagios object files and the main configuration that includes them.

    Reads
    -----
    `define` blocks of `*.cfg` (and of their templates), `nagios.cfg` with its `cfg_file`, `cfg_dir` and
    `use_regexp_matching`, the paths of `resource.cfg`, and `objects.precache` or `objects.cache` as the daemon
    writes them. Of a host whose main configuration was captured only the files count that it includes. In a
    repository the object files below one directory of Nagios's name are one installation, `files` and `templates`
    taken together.

    Yields
    ------
    An alert "<host>/host" for each host, which watches its address. An alert for each service definition, called
    "<host>/<description>" or "<host group>/<description>", which watches all of its hosts, and what else its check
    command asks (`-H`, `-I`, a URL); it selects its host groups. Host groups with their members, each by the line
    that makes it one; `excludes` holds what stands after `!`. Contacts as receivers, through contact groups, hosts
    and escalations, with what their notification commands call and connect to. Templates (`use`, several of them),
    `+`, `null`, `register 0` and nested groups are resolved as Nagios does. `parents` are an attribute: that a host
    can't be reached without its parent only changes how Nagios calls it, but it must be defined.

    Can't see
    ---------
    Loops of templates that make hosts and members: such a file yields what is written literally. Dependencies
    between services and hosts, which only suppress notifications. What a plugin does beyond its command line, and
    what NRPE runs on the other host. `include_file` inside object files.
    """

    name: ClassVar[str] = "nagios"
    title: ClassVar[str] = "Nagios (Icinga 1, Naemon) objects: hosts, services, groups and contacts"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.WATCHES,
            Relation.NOTIFIES,
            Relation.MEMBER,
            Relation.SELECTS,
            Relation.RUNS_ON,
            Relation.CALLS,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By suffix, then by a `define` of one of Nagios's types; the rest by the settings in its head."""
        if path.endswith(_CACHES):
            return b"define " in head
        if not path.endswith(_SUFFIXES):
            return False
        if b"define" in head and _DEFINE.search(head):
            return True
        if b"=" in head and (_MAIN.search(head) or _RESOURCE.search(head)):
            return _PROGRAM.search(path) is not None
        # Sample files begin with pages of comments.
        return len(head) >= 4096 and head.lstrip()[:1] == b"#" and _PROGRAM.search(path) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The definitions of one file, to be joined with those of the others."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 64 MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content).removeprefix("\ufeff").replace("\r\n", "\n")
        templated = document.path.endswith(_TEMPLATES) or "{{" in text or "{%" in text or "<%" in text
        if templated:
            text = without_templates(text)
        if document.path.endswith(_CACHES) or _DEFINE.search(document.content):
            definitions = []
            for item in read_definitions(text, templated=templated):
                if isinstance(item, Malformed):
                    yield item
                else:
                    definitions.append(item)
            kind = "cache" if document.path.endswith(_CACHES) else "objects"
            yield Fragment(kind, tuple(definitions), Where(1))
            return
        yield from _settings(document, text)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Resolves templates, groups and contacts of each installation."""
        objects = {f.path: f.value for f in fragments if f.kind == "objects" and isinstance(f.value, tuple)}
        caches = {f.path: f.value for f in fragments if f.kind == "cache" and isinstance(f.value, tuple)}
        mains = [f for f in fragments if f.kind == "main" and isinstance(f.value, tuple)]
        macros: dict[str, str] = {}
        heard: dict[str, set[str]] = {}
        for fragment in fragments:
            if fragment.kind == "macros" and isinstance(fragment.value, tuple):
                macros.update(fragment.value)
        on_host = any(fragment.path.startswith("/") for fragment in fragments)
        if on_host:
            included = [_included(main, objects) for main in mains] if mains else [list(objects)]
            regexp = any(main.value[2] for main in mains)  # type: ignore[index]
            paths = dict.fromkeys(path for group in included for path in group)
            if paths or caches:
                handlers = _handlers(mains)
                known = (list(paths), objects, caches, macros, heard, handlers)
                yield from _installation(*known, regexp=regexp, complete=bool(mains))
            return
        roots: dict[str, list[str]] = {}
        for path in (*objects, *caches):
            roots.setdefault(_root(path), []).append(path)
        regexps = {_root(main.path): main.value[2] for main in mains}  # type: ignore[index]
        for root, paths_below in roots.items():
            own = {path: caches[path] for path in paths_below if path in caches}
            regexp = bool(regexps.get(root))
            named = [path for path in paths_below if path in objects]
            handlers = _handlers([main for main in mains if _root(main.path) == root])
            yield from _installation(named, objects, own, macros, heard, handlers, regexp=regexp, complete=False)


def _handlers(mains: Sequence[Fragment]) -> tuple[Token, ...] | None:
    """The event handlers of all hosts and services; None where a main configuration switches all handlers off."""
    found: list[Token] = []
    for main in mains:
        assert isinstance(main.value, tuple)
        if main.value[3] is None:
            return None
        found += main.value[3]
    return tuple(found)


def _installation(
    paths: Sequence[str],
    objects: Mapping[str, tuple[Definition, ...]],
    caches: Mapping[str, tuple[Definition, ...]],
    macros: Mapping[str, str],
    heard: dict[str, set[str]],
    handlers: Sequence[Token] | None,
    *,
    regexp: bool,
    complete: bool,
) -> Iterator[Parsed]:
    own = Installation(((path, one) for path in sorted(paths) for one in objects[path]), regexp=regexp)
    # The precache sorts behind the cache, which is what runs.
    written = [Installation((path, one) for one in caches[path]) for path in sorted(caches)]
    on_host = any(path.startswith("/") for path in (*paths, *caches))
    if complete:
        for token in dict.fromkeys(own.unknown_templates):
            reason = f"it uses the template {excerpt(token.text)}, which is nowhere"
            yield Malformed(token.where, reason, "Nagios refuses the configuration")
    yield from Facts(own, written, macros, heard, handlers, on_host=on_host)


def _settings(document: Document, text: str) -> Iterator[Parsed]:
    """`nagios.cfg`: what it includes; `resource.cfg`: macros that are paths, and nothing that could be a password."""
    files: list[str] = []
    directories: list[str] = []
    macros: list[tuple[str, str]] = []
    handlers: list[Token] = []
    regexp, handled = False, True
    first: Where | None = None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        found = _SETTING.fullmatch(line)
        if not line or line[0] in "#;" or found is None:
            continue
        key, value = found[1], found[2]
        if key.startswith("$USER") and value.startswith("/"):
            macros.append((key.strip("$"), value))
        elif key in ("cfg_file", "cfg_dir"):
            (files if key == "cfg_file" else directories).append(value)
            first = first or Where(number, excerpt(raw))
        elif key in ("global_host_event_handler", "global_service_event_handler"):
            handlers.append(Token(value, Where(number, excerpt(raw), document.path)))
        elif key == "enable_event_handlers":
            handled = value != "0"
        elif key in ("use_regexp_matching", "use_true_regexp_matching"):
            regexp = regexp or value == "1"
        elif key in ("object_cache_file", "log_file"):
            first = first or Where(number, excerpt(raw))
    if macros:
        yield Fragment("macros", tuple(macros), Where(1))
    if first is not None and (files or directories):
        yield Entity(_SERVICE, first, {"program": "nagios"})
        if document.path.startswith("/"):
            yield Dependency(_SERVICE, THIS_HOST, Relation.RUNS_ON, first)
        told = tuple(handlers) if handled else None
        yield Fragment("main", (tuple(files), tuple(directories), regexp, told), first)


def _included(main: Fragment, objects: Mapping[str, object]) -> list[str]:
    """The captured object files that a main configuration includes: `cfg_dir` with all below it."""
    assert isinstance(main.value, tuple)
    here = dirname(main.path)
    files = {normpath(join(here, one)) for one in main.value[0]}
    directories = tuple(normpath(join(here, one)) + "/" for one in main.value[1])
    return [path for path in objects if path in files or path.startswith(directories)]


def _root(path: str) -> str:
    """Where an installation begins in a repository: its last directory of Nagios's name."""
    parts = [part for part in path.split("/")[:-1] if part not in ("files", "templates", "defaults")]
    for at in range(len(parts) - 1, -1, -1):
        if _PROGRAM.search(parts[at]):
            return "/".join(parts[: at + 1])
    return "/".join(parts[:-1])
