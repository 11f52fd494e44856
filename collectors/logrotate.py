"""Scripts that logrotate runs.

Source: logrotate(8) and config.c of logrotate 3.21 (the list of endings that are not read).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
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
    decode,
    excerpt,
)

MAX_SCRIPTS: Final = 1000
MAX_LINES: Final = 100_000
MAX_LINE: Final = 16_384
_OURS: Final = re.compile(r"(?:^|/)(?:logrotate\.d/[^/]+|logrotate\.conf|[^/]+\.logrotate)(?:\.(?:j2|erb|epp|tmpl))?$")
_SCRIPTS: Final = frozenset("prerotate postrotate firstaction lastaction preremove".split())
_PERIODS: Final = frozenset("hourly daily weekly monthly yearly".split())
_TABOO: Final = re.compile(
    r"(?:,v|~|\.(?:bak|cfsaved|disabled|swp|dpkg-(?:bak|del|dist|new|old|tmp)|rpm(?:new|orig|save)|ucf-(?:dist|new|old)))$"
)
_TEMPLATED: Final = re.compile(r"\{\{[^{}]{0,500}\}\}|<%=[^%]{0,500}%>")
_STATEMENT: Final = re.compile(r"\{%[^%]{0,500}%\}|<%[^=%][^%]{0,500}%>")


@dataclass(slots=True)
class _Stanza:
    """What holds for a list of logs: its first line, its period, and its scripts with the lines that they begin on."""

    logs: str = ""
    period: str = ""
    scripts: list[tuple[str, int, list[str]]] = field(default_factory=list)


class LogrotateCollector(Collector):
    """Scripts of logrotate that reach other hosts, such as a `lastaction` that uploads a log.

    Reads
    -----
    `/etc/logrotate.conf`, `/etc/logrotate.d/*`, and files in directories of that name or that end in `.logrotate`.

    Yields
    ------
    A job for each script (`prerotate`, `postrotate`, `firstaction`, `lastaction`, `preremove`) that connects to
    another host, with the period of its stanza. Scripts that stay on their host are left out: nearly every package
    has one that reloads its daemon.

    Can't see
    ---------
    Programs that `compresscmd` and `mail` name, and whether logrotate itself is started.
    """

    name: ClassVar[str] = "logrotate"
    title: ClassVar[str] = "logrotate's scripts"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        return _OURS.search(path) is not None and b"\0" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        lines = decode(document.content).split("\n")
        if len(lines) > MAX_LINES:
            yield Malformed(Where(), "too many lines", f"the first {MAX_LINES} were read")
        count = 0
        names: dict[str, int] = {}
        ignored = f"logrotate passes over {document.path.rsplit('/', 1)[-1]}" if _TABOO.search(document.path) else ""
        for stanza in _stanzas(lines[:MAX_LINES]):
            for kind, first, script in stanza.scripts:
                count += 1
                if count > MAX_SCRIPTS:
                    yield Malformed(Where(first), "too many scripts", "the rest was not read")
                    return
                job = f"{document.path}: {kind} of {excerpt(stanza.logs)}"
                names[job] = again = names.get(job, 0) + 1
                ref = Ref(Kind.JOB, job if again == 1 else f"{job} #{again}")
                facts = list(analyse_command("\n".join(script), ref, Where(first), script=True))
                # No RUNS_ON: a script that rotates is no look at the host's own schedules.
                if any(isinstance(one, Dependency) and one.relation is Relation.CONNECTS for one in facts):
                    attributes: dict[str, Attribute] = {
                        "schedule": f"@{stanza.period or 'daily'}",
                        "command": excerpt(" ".join(" ".join(script).split())),
                    }
                    if ignored:
                        attributes["ignored"] = ignored
                    yield Entity(ref, Where(first, excerpt(script[0]) if script else ""), attributes)
                    yield from facts


def _stanzas(lines: list[str]) -> Iterator[_Stanza]:
    """The stanzas of a file, those without an end or a script among them; the period before all holds for each."""
    period, logs = "", ""
    stanza: _Stanza | None = None
    script: list[str] | None = None
    for number, line in enumerate(lines, 1):
        text = line[:MAX_LINE]
        if "{" in text or "<" in text:
            text = _STATEMENT.sub("", _TEMPLATED.sub("$inserted", text))
        text = text.strip()
        if script is not None:
            if text == "endscript":
                script = None
            else:
                script.append(text)
            continue
        if not text or text.startswith("#"):
            continue
        word = text.split(maxsplit=1)[0]
        if stanza is None and text.endswith("{"):
            stanza, logs = _Stanza(f"{logs} {text[:-1]}".strip(), period), ""
        elif stanza is None and text[0] in "/\"'$~":
            logs = f"{logs} {text}".strip()
        elif word in _SCRIPTS and stanza is not None:
            script = []
            stanza.scripts.append((word, number + 1, script))
        elif word in _PERIODS:
            if stanza is None:
                period = word
            else:
                stanza.period = word
        elif word == "}" and stanza is not None:
            yield stanza
            stanza = None
    if stanza is not None:
        yield stanza
