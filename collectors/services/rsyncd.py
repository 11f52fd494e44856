"""`rsyncd.conf` of the rsync daemon (rsyncd.conf(5), rsync 3.2)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
)
from collectors.services.common import (
    ALLOWED_LIMIT,
    Setting,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    normal_entry,
    read_source,
    sections,
)

_YES: Final = frozenset({"yes", "true", "1"})
_HOOKS: Final = ("early exec", "pre-xfer exec", "post-xfer exec")


class RsyncdCollector(Collector):
    """Modules of an rsync daemon: which directory each gives out, whether it takes data, and from whom.

    Reads
    -----
    `rsyncd.conf` and files whose name begins with it, `rsyncd.d/*.conf`. Parameters before the first module are
    defaults of all; names of parameters may be written with or without spaces.

    Yields
    ------
    A service for each module, which reads its path, or writes it where `read only = no`; its hooks as calls;
    `hosts allow` as the attribute `allows`.

    Can't see
    ---------
    Who fetches from a module: that stands in the clients' jobs. Paths with `%` expansions and environment variables.
    """

    name: ClassVar[str] = "rsyncd"
    title: ClassVar[str] = "Modules of the rsync daemon"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.READS, Relation.WRITES, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name."""
        if "rsyncd" not in path or is_foreign(path):
            return False
        base = base_name(path)
        named = base.startswith("rsyncd.conf") or ("/rsyncd.d/" in path and base.endswith((".conf", ".inc")))
        return named and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One service for each module with a path."""
        source = read_source(document, "rsync")
        if isinstance(source, Malformed):
            yield source
            return
        yield from limited(source, _modules(source))


def _modules(source: Source) -> Iterator[Parsed]:
    common: dict[str, Setting] = {}
    module: dict[str, Setting] | None = None
    for setting in sections(source, comments="#;"):
        if isinstance(setting, Malformed):
            yield setting
            continue
        if not setting.key:
            if module is not None:
                yield from _module(source, common | module)
            module = {"": setting} if setting.section.lower() != "global" else None
        elif not setting.value and "=" not in source.lines[setting.line - 1] and not setting.key.startswith("&"):
            if not is_templated(setting.key):
                yield Malformed(source.where(setting.line), "not a parameter", "rsync does not start with this line")
        else:
            # rsyncd.conf(5): white space within names of parameters is ignored.
            key = " ".join(setting.key.split())
            (common if module is None else module)[_ALIASES.get(key.replace(" ", ""), key)] = setting
    if module is not None:
        yield from _module(source, common | module)


_ALIASES: Final = {
    "hostsallow": "hosts allow",
    "hostsdeny": "hosts deny",
    "readonly": "read only",
    "pre-xferexec": "pre-xfer exec",
    "post-xferexec": "post-xfer exec",
    "earlyexec": "early exec",
}


def _module(source: Source, module: dict[str, Setting]) -> Iterator[Parsed]:
    header, path = module[""], module.get("path")
    if path is None or is_templated(header.section):
        return
    name = f"rsync module {header.section}"
    where: Where = source.where(header.line)
    read_only = module["read only"].value.lower() in _YES if "read only" in module else True
    attributes: dict[str, Attribute] = {"path": path.value, "writable": not read_only}
    allowed = module["hosts allow"].value.replace(",", " ").split() if "hosts allow" in module else []
    if allowed and not is_templated(" ".join(allowed)):
        attributes["allows"] = tuple(dict.fromkeys(normal_entry(one) for one in allowed))[:ALLOWED_LIMIT]
    yield from source.service(name, where, attributes)
    place = path.value.strip('"')
    if place.startswith("/") and "%" not in place and not is_templated(place):
        relation = Relation.READS if read_only else Relation.WRITES
        provider = Ref(Kind.PATH, posixpath.normpath(place))
        yield Dependency(source.ref(name), provider, relation, source.where(path.line))
    for hook in _HOOKS:
        if hook in module and not is_templated(module[hook].value):
            yield from analyse_command(module[hook].value, source.ref(name), source.where(module[hook].line))
