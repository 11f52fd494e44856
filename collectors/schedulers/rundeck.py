"""Rundeck's jobs as it exports them, in YAML and XML.

Sources: Rundeck's "Job YAML Definition" and "Job XML Format" (`job-yaml`, `job-v20`), its node filter syntax, and
Quartz' cron expressions: seconds first, days of the week from 1 for Sunday, `?` for any day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    decode,
    excerpt,
    host_ref,
    read_yaml,
)
from collectors.schedulers.common import first_line, outside, plain, script
from collectors.schedulers.xmlnodes import XmlNode, XmlProblem, read_xml

JOBS_LIMIT: Final = 10_000
STEPS_LIMIT: Final = 2_000
"""Steps of one job that are read."""

_TERM: Final = re.compile(r"(!?[\w-]+):\s*|(\"[^\"]*\"|'[^']*'|[^\s\"']+)")
_NAMES: Final = frozenset({"name", "hostname", "nodename"})
# `${option.host}` in commands, `@node.name@` in scripts: no variables of the shell.
_FILLED_IN: Final = re.compile(r"\$\{[\w-]+[.:][^}\n]{0,200}\}|@\w+\.[\w.-]+@")
_LITERAL: Final = re.compile(r"[\w.:-]+")
_URL_KEYS: Final = frozenset({"url", "urls", "remoteUrl", "webhook_url", "webhookUrl"})
_FLAGS: Final = ("scheduleEnabled", "executionEnabled")
_EVENTS: Final = ("onsuccess", "onfailure", "onstart", "onavgduration", "onretryablefailure")


@dataclass(slots=True)
class _Job:
    """One job in either form."""

    name: str
    where: Where
    schedule: tuple[str, Where] | None = None
    timezone: str = ""
    enabled: bool = True
    filters: list[tuple[str, Where]] = field(default_factory=list)
    steps: list[tuple[str, Where]] = field(default_factory=list)
    """Commands and scripts."""
    urls: list[tuple[str, Where]] = field(default_factory=list)
    """Scripts and lists of values that are fetched."""
    called: list[tuple[str, Where]] = field(default_factory=list)
    """Other jobs, as `group/name`."""
    hooks: list[tuple[str, Where]] = field(default_factory=list)


class RundeckCollector(Collector):
    """Jobs of Rundeck: when they run, on which nodes, and which hosts their steps need.

    Reads
    -----
    Exports of jobs: YAML lists whose jobs have a `sequence` of `commands`, and XML with `joblist`.

    Yields
    ------
    A job for each, with its schedule as cron has it (as Quartz has it where that says more) and time zone; the nodes
    that its filter names in full, as alternatives; groups for tags. What its commands and scripts reach, the jobs that
    it runs, URLs that it fetches, and webhooks that it notifies.

    Can't see
    ---------
    Nodes that a filter selects by a pattern or attributes, steps of plugins, options that are filled in at run time,
    and which machine a node's name stands for where that is not its host name.
    """

    name: ClassVar[str] = "rundeck"
    title: ClassVar[str] = "Rundeck jobs"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.CALLS, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """XML that begins with `joblist`; YAML lists with `sequence` and words that only Rundeck has beside it."""
        if path.endswith(".xml"):
            return b"<joblist" in head[:600]
        if not path.endswith((".yaml", ".yml")) or b"sequence:" not in head:
            return False
        return b"commands:" in head and any(
            word in head
            for word in (b"nodefilters:", b"executionEnabled:", b"scheduleEnabled:", b"loglevel:", b"keepgoing:")
        )

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB a job."""
        jobs: list[_Job] = []
        if document.path.endswith(".xml"):
            text = decode(document.content).removeprefix("\ufeff").replace("\r\n", "\n")
            try:
                root = read_xml(text)
            except XmlProblem as problem:
                lines = text.split("\n")
                shown = excerpt(lines[problem.line - 1]) if 0 < problem.line <= len(lines) else ""
                yield Malformed(Where(problem.line, shown), excerpt(problem.reason), "Rundeck refuses it", True)
                return
            jobs = [_of_xml(one, text.split("\n")) for one in root.all("job")[:JOBS_LIMIT]]
        else:
            stream = read_yaml(document.content)
            if stream.problem is not None:
                where = stream.where(min(stream.problem.line, len(stream.lines)))
                yield Malformed(where, excerpt(stream.problem.reason), "Rundeck refuses it", not stream.documents)
            found = [one for root in stream.documents for one in (root.elements or (root,)) if one.is_map]
            jobs = [_of_yaml(stream, one) for one in found[:JOBS_LIMIT] if one.get("sequence") is not None]
        for job in jobs:
            if job.name:
                yield from _facts(job)


def _of_yaml(stream: YamlStream, node: YamlNode) -> _Job:
    def pairs(nodes: Sequence[YamlNode]) -> list[tuple[str, Where]]:
        return [(one.scalar, stream.where(one)) for one in nodes if one.is_scalar and one.scalar]

    name = node.get("name")
    group = node.text("group")
    title = node.text("name")
    job = _Job(f"{group}/{title}" if group else title, stream.where(name or node))
    job.timezone = node.text("timeZone")
    job.enabled = all((flag := node.get(k)) is None or flag.boolean is not False for k in _FLAGS)
    schedule = node.get("schedule")
    if schedule is not None and schedule.is_map:
        job.schedule = _schedule_of(schedule, stream)
    filters = node.get("nodefilters")
    if filters is not None and filters.is_map:
        job.filters = pairs(filters.children("filter"))
        include = filters.get("include")
        for key, one in include.items() if include is not None and include.is_map else ():
            if key.scalar in _NAMES | {"tags"} and one.is_scalar:
                job.filters.append((f"{key.scalar}: {one.scalar}", stream.where(one)))
    sequence = node.get("sequence")
    commands = sequence.children("commands") if sequence is not None and sequence.is_map else ()
    for step in [one for one in commands if one.is_map][:STEPS_LIMIT]:
        handler = step.get("errorhandler")
        for one in (step, handler) if handler is not None and handler.is_map else (step,):
            job.steps += pairs(one.children("exec"))
            for text in one.children("script"):
                line = first_line(stream, text)
                job.steps.append((text.scalar, Where(line, stream.where(line).excerpt)))
            job.urls += pairs(one.children("scripturl"))
            reference = one.get("jobref")
            if reference is not None and reference.is_map and reference.text("name"):
                target = "/".join(part for part in (reference.text("group"), reference.text("name")) if part)
                job.called.append((target, stream.where(reference.get("name") or reference)))
    for option in node.children("options"):
        if option.is_map:
            job.urls += pairs(option.children("valuesUrl"))
    notification = node.get("notification")
    for event in _EVENTS:
        told = notification.get(event) if notification is not None and notification.is_map else None
        if told is None or not told.is_map:
            continue
        job.hooks += pairs(told.children("urls"))
        for plugin in told.children("plugin"):
            configuration = plugin.get("configuration") if plugin.is_map else None
            if configuration is not None and configuration.is_map:
                for key, value in configuration.items():
                    job.hooks += pairs([value]) if key.scalar in _URL_KEYS else []
    return job


def _schedule_of(schedule: YamlNode, stream: YamlStream) -> tuple[str, Where]:
    crontab = schedule.get("crontab")
    if crontab is not None and crontab.scalar:
        return _from_quartz(crontab.scalar), stream.where(crontab)

    def part(key: str, inner: str) -> str:
        found = schedule.get(key)
        if found is None:
            return ""
        return found.text(inner) if found.is_map else found.scalar

    fields = (
        part("time", "seconds") or "0",
        part("time", "minute") or "0",
        part("time", "hour") or "0",
        part("dayofmonth", "day") or "*",
        part("month", "day") or "*",
        part("weekday", "day") or "*",
        part("year", "day") or "*",
    )
    return _from_quartz(" ".join(fields)), stream.where(schedule)


def _from_quartz(text: str) -> str:
    """Cron's five fields, where they can say the same; else the text as it is."""
    fields = text.split()
    if len(fields) not in (6, 7) or fields[0] not in ("0", "00") or (len(fields) == 7 and fields[6] != "*"):
        return text.strip()
    days, week = fields[3].replace("?", "*"), fields[5].replace("?", "*")
    if re.search(r"[LW#]", f"{days} {week}".upper().replace("WED", "")) or (days != "*" and week != "*"):
        return text.strip()
    if not re.search(r"[A-Za-z/]", week):
        week = re.sub(r"\d+", lambda found: str((int(found[0]) - 1) % 7), week)
    return " ".join((fields[1].lstrip("0") or "0", fields[2].lstrip("0") or "0", days, fields[4], week))


def _of_xml(node: XmlNode, lines: Sequence[str]) -> _Job:
    def where(one: XmlNode, within: str = "") -> Where:
        line = one.line
        while within and line < len(lines) and within not in lines[line - 1]:
            line += 1
        return Where(line, excerpt(lines[line - 1]) if 0 < line <= len(lines) else "")

    def pairs(nodes: Sequence[XmlNode]) -> list[tuple[str, Where]]:
        return [(one.text.strip(), where(one)) for one in nodes if one.text.strip()]

    title, group = node.value("name"), node.value("group")
    job = _Job(f"{group}/{title}" if group else title, where(node.find("name") or node))
    job.timezone = node.value("timeZone")
    job.enabled = all(node.value(flag) != "false" for flag in _FLAGS)
    schedule = node.find("schedule")
    if schedule is not None:
        crontab = schedule.attributes.get("crontab", "")
        if not crontab:
            read = {child.name: child.attributes for child in schedule.children}
            time = read.get("time", {})
            crontab = " ".join(
                (
                    time.get("seconds", "0"),
                    time.get("minute", "0"),
                    time.get("hour", "0"),
                    read.get("dayofmonth", {}).get("day", "*") or "*",
                    read.get("month", {}).get("month", read.get("month", {}).get("day", "*")),
                    read.get("weekday", {}).get("day", "*") or "*",
                    read.get("year", {}).get("year", "*"),
                )
            )
        job.schedule = _from_quartz(crontab), where(schedule)
    filters = node.find("nodefilters")
    if filters is not None:
        job.filters = pairs(filters.all("filter"))
        include = filters.find("include")
        for one in include.children if include is not None else ():
            if one.name in _NAMES | {"tags"} and one.text.strip():
                job.filters.append((f"{one.name}: {one.text.strip()}", where(one)))
    sequence = node.find("sequence")
    for step in (list(sequence.walk()) if sequence is not None else [])[: STEPS_LIMIT * 5]:
        if step.name in ("exec", "script"):
            job.steps += pairs([step])
        elif step.name == "scripturl":
            job.urls += pairs([step])
        elif step.name == "jobref" and step.attributes.get("name"):
            target = "/".join(part for part in (step.attributes.get("group", ""), step.attributes["name"]) if part)
            job.called.append((target, where(step)))
    for option in (one for one in node.walk() if one.name == "option"):
        if url := option.attributes.get("valuesUrl", ""):
            job.urls.append((url, where(option, url)))
    notification = node.find("notification")
    for event in notification.children if notification is not None else ():
        for told in event.walk():
            url = told.attributes.get("urls", "") if told.name == "webhook" else ""
            if told.name == "entry" and told.attributes.get("key") in _URL_KEYS:
                url = told.attributes.get("value", "")
            if url:
                job.hooks.append((url, where(told)))
    return job


def _facts(job: _Job) -> Iterator[Parsed]:
    ref = Ref(Kind.JOB, excerpt(f"rundeck {job.name}"))
    attributes: dict[str, Attribute] = {"dialect": "rundeck"}
    if job.schedule is not None:
        attributes["schedule"] = excerpt(job.schedule[0])
        if job.timezone:
            attributes["timezone"] = excerpt(job.timezone)
    if not job.enabled:
        attributes["enabled"] = False
    if job.steps:
        attributes["command"] = excerpt(job.steps[0][0].strip().split("\n")[0])
    yield Entity(ref, job.schedule[1] if job.schedule is not None else job.where, attributes)
    for text, where in job.filters:
        yield from _nodes(ref, text, where)
    for text, where in job.steps:
        yield from script(_FILLED_IN.sub("$filled", text), ref, where, {})
    for text, where in job.urls:
        found = outside(text)
        if found is not None:
            yield Dependency(ref, found, Relation.CONNECTS, where)
    for text, where in job.called:
        if plain(text.replace(" ", "")):
            yield Dependency(ref, Ref(Kind.JOB, excerpt(f"rundeck {text}")), Relation.CALLS, where)
    for text, where in job.hooks:
        for url in text.split(",")[:100]:
            found = outside(url) if "://" in url else None
            if found is not None:
                hook = Ref(Kind.WEBHOOK, f"{ref.text}: {found.text.partition('://')[2]}")
                place = Where(where.line, excerpt(found.text))
                yield Entity(hook, place, {"style": "rundeck"})
                yield Dependency(hook, found, Relation.DELIVERS, place, Need.WRITE)


def _nodes(ref: Ref, text: str, where: Where) -> Iterator[Dependency]:
    """The nodes that a filter names: `name: a,b tags: web`, or a bare name. What is excluded (`!name:`) is not."""
    key, names, literal = "name", list[str](), True
    for found in _TERM.finditer(text[:2000]):
        if found[1]:
            key = found[1]
        else:
            values = [one.strip() for one in found[2].strip("\"'").split(",") if one.strip()]
            if key in _NAMES:
                names += values
                literal = literal and all(_LITERAL.fullmatch(one) for one in values)
            elif key == "tags":
                for value in re.split(r"[+,]", found[2].strip("\"'")):
                    if _LITERAL.fullmatch(value):
                        yield Dependency(ref, Ref(Kind.GROUP, f"rundeck tag {value}"), Relation.SELECTS, where)
            key = "name"
    for name in dict.fromkeys(names) if literal else ():
        node = host_ref(name)
        if node is not None:
            yield Dependency(ref, node, Relation.RUNS_ON, where, group="nodes")
