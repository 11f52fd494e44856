"""Where rsyslog and syslog-ng send logs (rsyslog 8.2302's manual, syslog-ng 3.38's administration guide)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Filler,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_loopback,
    lazy_pattern,
    without_templates,
)

SIZE_LIMIT: Final = 4 * 1024 * 1024
BLOCK_LIMIT: Final = 200_000
"""Characters of one action or destination."""

_NOT_CONFIGURATION: Final = (".yml", ".yaml", ".te", ".sh", ".py", ".md", ".json", ".service", ".txt", ".rst", ".pp")
_PLACE: Final = lazy_pattern(
    r"(?:^|/)(?:r?syslog(?:-ng)?(?:\.d|/conf\.d)?/[^/]+|[^/]*r?syslog(?:-ng)?[^/]*\.conf[^/]*)$"
)
_HEAD_NG: Final = lazy_pattern(rb"^\s*@version\s*:|^\s*destination\s+[\w.-]+\s*\{", re.MULTILINE)
_HEAD_R: Final = lazy_pattern(
    rb"^\s*(?:\$(?:ModLoad|Action|Work|Include|FileOwner|Template)|module\s*\(|action\s*\(|input\s*\(|ruleset\s*\()"
    rb"|^[ \t]*[\w*,;.=!-]+\.[\w*=!]+[ \t]+[-@/:|?]|^[ \t]*if[ \t].*\bthen\b|^[ \t]*:\w+,",
    re.MULTILINE,
)
_NOISE: Final = lazy_pattern(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*|/\*.*?\*/", re.DOTALL)
_DEFINE: Final = lazy_pattern(r"^@define[ \t]+([\w-]+)[ \t]+(?:\"([^\"\n]{0,500})\"|([^\s\"]{1,500}))", re.MULTILINE)
_FILLED_IN: Final = 1 << 20
"""Characters of global variables that are filled in, in one file."""
_BACKQUOTED: Final = lazy_pattern(r"`([\w-]{1,100})`")
# Legacy forwarding: `@host`, `@@host:port`, `@(z9,o)[2001:db8::1]:514;template`.
_LEGACY: Final = lazy_pattern(
    r"(?:^|[ \t&])(@{1,2})(?:\(([^()\n]{0,40})\))?(\[[0-9A-Fa-f:.%\w]+\]|[A-Za-z0-9_][\w.-]*)(?::(\d{1,5}))?"
    r"(?=[ \t]*(?:;[^\s]*)?[ \t]*(?:$|[})]))"
)
_RELP: Final = lazy_pattern(r":omrelp:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][\w.-]*)(?::(\d{1,5}))?")
_ACTION: Final = lazy_pattern(r"\baction\s*\(")
_PARAMETER: Final = lazy_pattern(r"([\w.]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|'[^']*'|\[[^\]]*\])")
_STRING: Final = lazy_pattern(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'")
_BACKUP: Final = lazy_pattern(r"^\s*\$ActionExecOnlyWhenPreviousIsSuspended\s+(on|off)", re.IGNORECASE)
# Of each output module: the parameters with its hosts, and the one with the port.
_MODULES: Final = {
    "omfwd": (("target",), "port"),
    "omrelp": (("target",), "port"),
    "omelasticsearch": (("server",), "serverport"),
    "omkafka": (("broker",), ""),
    "omhttp": (("server",), "serverport"),
    "omclickhouse": (("server",), "port"),
    "omhiredis": (("server",), "serverport"),
    "ommysql": (("server",), "serverport"),
    "ompgsql": (("server",), "port"),
    "ommail": (("server",), "port"),
    "ommongodb": (("server",), "serverport"),
    "omamqp1": (("host",), ""),
    "omrabbitmq": (("host",), "port"),
    "omudpspoof": (("target",), "port"),
}
_DESTINATION: Final = lazy_pattern(r"\bdestination\s+([\w.-]+)\s*\{")
_DRIVER: Final = lazy_pattern(r"([a-z][\w-]*)\s*\(")
_LOG: Final = lazy_pattern(r"\blog\s*\{")
_USED: Final = lazy_pattern(r"\bdestination\s*\(\s*\"?([\w.-]+)\"?\s*\)")
_OPTION: Final = lazy_pattern(
    r"\b(url|urls|port|server|servers|host|uri|bootstrap-servers|failover-servers)\s*\(([^()]*)\)"
)
_LOCAL_DRIVERS: Final = frozenset({"file", "pipe", "unix-stream", "unix-dgram", "program", "usertty", "pseudofile"})
_POSITIONAL: Final = frozenset({"network", "syslog", "tcp", "tcp6", "udp", "udp6", "relp"})


class SyslogCollector(Collector):
    """Hosts that logs are sent to.

    Reads
    -----
    rsyslog: `/etc/rsyslog.conf` and `rsyslog.d`, and such files of a repository: `@`, `@@`, `:omrelp:` and the
    outputs of `action(...)` (omfwd, omrelp, omelasticsearch, omkafka, databases). syslog-ng: `destination` blocks of
    its configuration and its `conf.d`.

    Yields
    ------
    A service "rsyslog" or "syslog-ng", which connects to each host it sends to, and needs it to store. A server that
    is only used while the one before it is suspended, and the servers of one destination, are alternatives.

    Can't see
    ---------
    Targets that a template fills in, and which messages a filter lets through: a rule that never matches counts.
    A syslog-ng destination that no `log` of its own file uses has medium confidence.
    """

    name: ClassVar[str] = "syslog"
    title: ClassVar[str] = "rsyslog and syslog-ng: where logs are sent"
    area: ClassVar[Area] = Area.LOGS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By a path with "syslog" in it, then by statements in the head."""
        if "syslog" not in path or path.endswith(_NOT_CONFIGURATION) or _PLACE.search(path) is None:
            return False
        if path.startswith("/etc/"):
            return True
        return _HEAD_NG.search(head) is not None or _HEAD_R.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Forwards of one file."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 4 MiB", "scanned for mentions only", whole=True)
            return
        text = without_templates(decode(document.content).replace("\r\n", "\n"))
        lines = text.split("\n")
        clean = _NOISE.sub(_blank, text)
        program = "syslog-ng" if _HEAD_NG.search(document.content) or "syslog-ng" in document.path else "rsyslog"
        read = _syslog_ng if program == "syslog-ng" else _rsyslog
        service = Ref(Kind.SERVICE, program)
        first = True
        for target, number, group, sure in read(clean):
            if TEMPLATE in target:
                continue
            ref = _reference(target)
            if ref is None:
                continue
            where = Where(number, excerpt(lines[number - 1]))
            if first:
                yield Entity(service, where, {"program": program, "sends": "logs"})
                yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where)
                first = False
            yield Dependency(service, ref, Relation.CONNECTS, where, Need.WRITE, group, sure)


def _blank(found: re.Match[str]) -> str:
    """Comments become spaces, so that nothing moves; strings stay."""
    return found[0] if found[0][0] in "\"'" else re.sub(r"[^\n]", " ", found[0])


def _reference(target: str) -> Ref | None:
    ref = endpoint_ref(target) if "://" in target or re.search(r":\d+$", target) else host_ref(target.strip("[]"))
    if ref is None or is_loopback(ref.text):
        return None
    return ref


def _with_port(host: str, port: str) -> str:
    if not port.isdecimal() or "://" in host or re.search(r"[^:]:\d+$", host):
        return host
    shown = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    return f"{shown}:{port}"


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]


def _rsyslog(text: str) -> Iterator[tuple[str, int, str, Confidence]]:
    """(target, line, group, confidence) of each forward, backups in the group of what they stand in for."""
    starts = _line_starts(text)
    found: list[tuple[int, list[tuple[str, int]], bool]] = []
    actions: list[tuple[int, int]] = []
    end = 0
    while (action := _ACTION.search(text, end)) is not None:
        end = _closing(text, action.end(), "(", ")")
        actions.append((action.start(), end))
        parameters: dict[str, tuple[str, int]] = {}
        for parameter in _PARAMETER.finditer(text, action.end(), end):
            parameters[parameter[1].lower()] = (parameter[2], parameter.start(2))
        kind = _plain(parameters.get("type", ("", 0))[0]).lower()
        hosts, port = _MODULES.get(kind, ((), ""))
        own_port = _plain(parameters.get(port, ("", 0))[0]) if port else ""
        targets = []
        for key in hosts:
            value, at = parameters.get(key, ("", 0))
            for one in _STRING.finditer(value):
                target = one[1] or one[2] or ""
                targets.append((_with_port(target, own_port), bisect_right(starts, at + one.start())))
        backup = _plain(parameters.get("action.execonlywhenpreviousissuspended", ("", 0))[0]).lower() == "on"
        found.append((action.start(), targets, backup))
    suspended = False
    inside = iter([*actions, (len(text) + 1, len(text) + 1)])
    start, end = next(inside)
    for number, line in enumerate(text.split("\n"), 1):
        at = starts[number - 1]
        while at >= end:
            start, end = next(inside)
        if setting := _BACKUP.match(line):
            suspended = setting[1].lower() == "on"
            continue
        if start <= at < end or ("@" not in line and ":omrelp:" not in line) or len(line) > 4000:
            continue
        legacy = _LEGACY.search(line)
        if legacy is not None and not legacy[3].isdecimal():
            found.append((at, [(_with_port(legacy[3], legacy[4] or ""), number)], suspended))
        elif relp := _RELP.search(line):
            found.append((at, [(_with_port(relp[1], relp[2] or ""), number)], suspended))
    chains: list[list[tuple[str, int]]] = []
    for _, targets, backup in sorted(found, key=lambda one: one[0]):
        if backup and chains:
            chains[-1] += targets
        elif targets:
            chains.append(list(targets))
    for chain in chains:
        group = f"instead of {chain[0][0]}" if len(chain) > 1 else ""
        for target, number in chain:
            yield target, number, group, Confidence.HIGH


def _plain(value: str) -> str:
    return value[1:-1] if value[:1] in ("'", '"') else value


def _closing(text: str, at: int, opening: str, closing: str) -> int:
    """Where what was opened before `at` is closed; the end of what is looked at if it never is."""
    depth, end = 1, min(len(text), at + BLOCK_LIMIT)
    quote = ""
    while at < end:
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character in (quote, "\n"):
                quote = ""
        elif character in "\"'":
            quote = character
        elif character == opening:
            depth += 1
        elif character == closing:
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return end


def _syslog_ng(text: str) -> Iterator[tuple[str, int, str, Confidence]]:
    """(target, line, group, confidence) of each destination, its backquoted global variables filled in."""
    defined = {one[1]: one[2] or one[3] or "" for one in _DEFINE.finditer(text)}
    if defined:
        text = Filler(_BACKQUOTED, _FILLED_IN).fill(text, lambda found: defined.get(found[1]))
    starts = _line_starts(text)
    used = set(_USED.findall(text))
    logs = _LOG.search(text) is not None
    end = 0
    for destination in _DESTINATION.finditer(text):
        if destination.start() < end:
            continue
        end = _closing(text, destination.end(), "{", "}")
        sure = Confidence.HIGH if destination[1] in used or not logs else Confidence.MEDIUM
        at = destination.end()
        while (driver := _DRIVER.search(text, at, end)) is not None:
            at = _closing(text, driver.end(), "(", ")") + 1
            if driver[1] in _LOCAL_DRIVERS:
                continue
            targets = list(_driver_targets(driver[1], text, driver.end(), at - 1))
            group = f"destination {destination[1]}" if len(targets) > 1 else ""
            for target, place in targets:
                yield target, bisect_right(starts, place), group, sure


def _driver_targets(driver: str, text: str, start: int, end: int) -> Iterator[tuple[str, int]]:
    options = {option[1]: option for option in _OPTION.finditer(text, start, end)}
    port = _plain(options["port"][2].strip()) if "port" in options else ""
    if driver in _POSITIONAL:
        first = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([\w.:-]+)(?=[\s)]))").match(text, start, end + 1)
        if first is not None and (host := first[1] or first[2] or first[3] or ""):
            yield _with_port(host, port), first.end() - 1
    for key in ("url", "urls", "uri", "host", "server", "servers", "bootstrap-servers", "failover-servers"):
        option = options.get(key)
        if option is None:
            continue
        strings = list(_STRING.finditer(text, option.start(2), option.end(2)))
        values = [(one[1] or one[2] or "", one.start()) for one in strings] or [(option[2], option.start(2))]
        for value, place in values:
            for part in re.split(r"[,\s]+", value):
                if part:
                    yield _with_port(part, port), place
