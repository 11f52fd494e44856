"""Shell scripts: what they call, connect to, read and write, by their syntax tree."""

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
    analyse_script,
    decode,
    excerpt,
)

_SHEBANG: Final = re.compile(
    rb"#!\s*(?:/\S*/)?(?:env\s+(?:-S\s+)?(?:\w+=\S*\s+)*)?(?:\S*/)?(sh|bash|dash|ash|ksh|ksh93|mksh|zsh|busybox)(?:\s|$)"
)
_SUFFIXES: Final = (".sh", ".bash", ".ksh", ".zsh", ".dash")
_TEMPLATES: Final = (".j2", ".erb", ".epp", ".tpl", ".tmpl", ".template", ".in")
# `{{ … }}` of Jinja and Go, `<%= … %>` of ERB: known only once the template is filled in.
_INSERTED: Final = re.compile(r"\{\{.{0,500}?\}\}|<%=.{0,500}?%>")
_STATEMENT: Final = re.compile(r"\{%.{0,500}?%\}|\{#.{0,500}?#\}|<%.{0,500}?%>")


def _script_name(path: str) -> str:
    """The path without a template's suffix."""
    for suffix in _TEMPLATES:
        if path.endswith(suffix):
            return path[: -len(suffix)]
    return path


class ShellCollector(Collector):
    """Scripts of sh, bash, dash, ksh, zsh and busybox, anywhere, by their `#!` line or their suffix.

    Each script is a PATH with the attributes `interpreter` and `size` (bytes). Its dependencies are those of
    `analyse_command`. Values that a template inserts (`{{ … }}`) are unknown. A place with broken syntax is Malformed;
    the rest of the script is used.

    Reads
    -----
    Scripts of sh, bash, dash, ksh, zsh and busybox, anywhere, by their `#!` line or their suffix.

    Yields
    ------
    What a script calls, which hosts and URLs it connects to and whether they must be able to write, and which files
    it reads and writes. Variables that are set to literal values in the same script are followed.

    Can't see
    ---------
    Values that are known only at run time, files that it sources from elsewhere, and scripts with neither a `#!` line
    nor a suffix.
    """

    name: ClassVar[str] = "shell"
    title: ClassVar[str] = "shell scripts"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.CALLS, Relation.CONNECTS, Relation.READS, Relation.WRITES}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the `#!` line (a BOM before it is tolerated), or by suffix if the content is text."""
        # The jobs of at are scripts that nothing else calls, and have a collector of their own.
        if path.startswith(("/var/spool/cron/atjobs/", "/var/spool/at/", "/var/spool/atjobs/")):
            return False
        start = head[3:] if head.startswith(b"\xef\xbb\xbf") else head
        if start.startswith(b"#!"):
            return _SHEBANG.match(start) is not None
        return _script_name(path).endswith(_SUFFIXES) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The script, and what it depends on."""
        text = decode(document.content)
        consumer = Ref(Kind.PATH, document.path)
        first = text.split("\n", 1)[0]
        shebang = _SHEBANG.match(document.content[:512].removeprefix(b"\xef\xbb\xbf"))
        suffix = _script_name(document.path).rpartition(".")[2]
        yield Entity(
            consumer,
            Where(1, excerpt(first)),
            {"interpreter": shebang[1].decode() if shebang else suffix, "size": len(document.content)},
        )
        if b"\x00" in document.content[:4096] and "\x00" in text[:4096]:
            yield Malformed(Where(0), "not text", "the shell would stop at it", whole=True)
            return
        template = document.path.endswith(_TEMPLATES) or "{{ " in text
        if template:
            text = _INSERTED.sub("${inserted_by_template}", text)
            text = _STATEMENT.sub("", text)
        for fact in analyse_script(text, consumer, Where(1)):
            if template and isinstance(fact, Malformed):
                continue
            yield fact
