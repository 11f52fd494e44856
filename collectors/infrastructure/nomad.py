"""Nomad's jobs, in HCL and as its API takes them in JSON.

Sources: Nomad's "Job Specification" (periodic, constraint, task, env, artifact) and its JSON job API.
"""

from __future__ import annotations

import re
import shlex
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
from collectors.infrastructure.common import bare_path, commands, known, maps, outside, registry_of, settings, texts
from collectors.infrastructure.hcl import MAX_BYTES, HclBlock, HclValue, read_hcl

TASKS_LIMIT: Final = 2_000
"""Tasks of one file that are read."""

# What a machine's own name or address is called in a constraint.
_MACHINE: Final = re.compile(
    r"\$\{\s*(?:attr\.unique\.hostname|node\.unique\.name|attr\.unique\.network\.ip-address)\s*\}"
)
_ONE: Final = frozenset({"", "=", "==", "is"})
_ALTERNATIVES: Final = re.compile(r"\^?\(?([\w.|\\-]+)\)?\$?")


@dataclass(slots=True)
class _Task:
    """One task: the words of its command, its image, variables with their places, what it fetches before."""

    command: tuple[tuple[str, ...], Where] | None = None
    image: tuple[str, Where] | None = None
    variables: list[tuple[str, str, Where]] = field(default_factory=list)
    artifacts: list[tuple[str, Where]] = field(default_factory=list)


@dataclass(slots=True)
class _Job:
    """One job in either form."""

    name: str
    where: Where
    type: str = ""
    schedules: list[tuple[str, Where]] = field(default_factory=list)
    timezone: str = ""
    enabled: bool = True
    constraints: list[tuple[str, str, str, Where]] = field(default_factory=list)
    """Attribute, operator, value."""
    tasks: list[_Task] = field(default_factory=list)


class NomadCollector(Collector):
    """Jobs of Nomad: when they run, on which machines they must run, and which hosts their tasks need.

    Reads
    -----
    `*.nomad`, `*.nomad.hcl` and HCL files that begin a `job`; JSON with `TaskGroups`, as Nomad's API has it.

    Yields
    ------
    A job for what is periodic or of type batch, else a service, with schedule and time zone. Where a constraint names
    machines by their own name or address, it runs on these (several are alternatives). What commands, variables,
    artifacts and images reach outside of the cluster.

    Can't see
    ---------
    Variables of HCL, templates that a task renders from Consul and Vault, node pools and classes, and what was
    registered otherwise than from these files.
    """

    name: ClassVar[str] = "nomad"
    title: ClassVar[str] = "Nomad jobs"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By suffix, then by what a job begins with."""
        if path.endswith(".json"):
            return b'"TaskGroups"' in head or (b'"Periodic"' in head and b'"Datacenters"' in head)
        bare = bare_path(path)
        if bare.endswith((".nomad", ".nomad.hcl")):
            return b"\x00" not in head
        return bare.endswith(".hcl") and b'job "' in head and (b"group " in head or b"task " in head)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB or SERVICE a job."""
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", True)
            return
        jobs: list[_Job] = []
        if document.path.endswith(".json"):
            stream = read_yaml(document.content)
            if stream.problem is not None:
                where = stream.where(min(stream.problem.line, len(stream.lines)))
                yield Malformed(where, excerpt(stream.problem.reason), "Nomad refuses the job", not stream.documents)
            jobs = [_of_json(stream, root) for root in stream.documents[:1] if root.is_map]
        else:
            text = decode(document.content)
            lines = text.split("\n")
            root, problem = read_hcl(text)
            if problem is not None and bare_path(document.path) == document.path and "[[" not in text:
                where = Where(problem.line, excerpt(lines[problem.line - 1]) if problem.line <= len(lines) else "")
                effect = "Nomad refuses the job; the rest is scanned for mentions only"
                yield Malformed(where, excerpt(problem.reason), effect, not root.blocks)
            jobs = [_of_hcl(block, lines) for block in root.blocks if block.type == "job" and block.labels]
        for job in jobs:
            if known(job.name):
                yield from _facts(job)


def _of_hcl(block: HclBlock, lines: Sequence[str]) -> _Job:
    def where(line: int) -> Where:
        return Where(line, excerpt(lines[line - 1]) if 0 < line <= len(lines) else "")

    job = _Job(block.labels[0], where(block.line), block.text("type"))
    for periodic in block.all("periodic"):
        enabled = periodic.get("enabled")
        job.enabled = enabled is None or enabled.value is not False
        job.timezone = periodic.text("time_zone")
        for key in ("cron", "crons"):
            value = periodic.get(key)
            job.schedules += [(one.text, where(one.line)) for one in (value.elements if value else ()) if one.text]
    groups = block.all("group")
    holders = [block, *groups]
    tasks = [task for group in (block, *groups) for task in group.all("task")][:TASKS_LIMIT]
    for holder in (*holders, *tasks):
        for constraint in holder.all("constraint"):
            value = constraint.get("value")
            if value is not None and value.text:
                attribute, operator = constraint.text("attribute"), constraint.text("operator")
                job.constraints.append((attribute, operator, value.text, where(value.line)))
    for one in tasks:
        task = _Task()
        for config in one.all("config"):
            if (command := config.get("command")) is not None and command.text:
                arguments = config.get("args")
                words = [command, *(arguments.elements if arguments is not None else ())]
                task.command = tuple(word.text for word in words if word.text), where(_longest(words))
            if (image := config.get("image")) is not None and image.text:
                task.image = image.text, where(image.line)
        variables: list[tuple[str, HclValue]] = [pair for env in one.all("env") for pair in env.attributes]
        if (env_value := one.get("env")) is not None:
            variables += env_value.pairs
        task.variables = [(key, value.text, where(value.line)) for key, value in variables if value.text]
        for artifact in one.all("artifact"):
            if (source := artifact.get("source")) is not None:
                task.artifacts.append((source.text, where(source.line)))
        job.tasks.append(task)
    return job


def _longest(words: Sequence[HclValue]) -> int:
    """The line of a command that says most of it: where the arguments are, if there are any."""
    return max(words, key=lambda word: len(word.text)).line


def _of_json(stream: YamlStream, root: YamlNode) -> _Job:
    whole = root.get("Job")
    whole = whole if whole is not None and whole.is_map else root
    name = whole.get("ID") or whole.get("Name")
    job = _Job(name.scalar if name is not None else "", stream.where(name or whole), whole.text("Type"))
    periodic = whole.get("Periodic")
    if periodic is not None and periodic.is_map:
        enabled = periodic.get("Enabled")
        job.enabled = enabled is None or enabled.boolean is not False
        job.timezone = periodic.text("TimeZone")
        job.schedules = [(n.scalar, stream.where(n)) for key in ("Spec", "Specs") for n in texts(periodic, key)]
    groups = maps(whole, "TaskGroups")
    tasks = [task for group in groups for task in maps(group, "Tasks")][:TASKS_LIMIT]
    for holder in (whole, *groups, *tasks):
        for one in maps(holder, "Constraints"):
            value = one.get("RTarget")
            if value is not None and value.scalar:
                constraint = (one.text("LTarget"), one.text("Operand"), value.scalar, stream.where(value))
                job.constraints.append(constraint)
    for one in tasks:
        task = _Task()
        config = one.get("Config")
        if config is not None and config.is_map:
            words = [*texts(config, "command"), *texts(config, "args")]
            if config.text("command"):
                longest = max(words, key=lambda word: len(word.scalar))
                task.command = tuple(word.scalar for word in words), stream.where(longest)
            for image in texts(config, "image"):
                task.image = image.scalar, stream.where(image)
        env = one.get("Env")
        if env is not None and env.is_map:
            task.variables = [(key.scalar, v.scalar, stream.where(v)) for key, v in env.items() if v.is_scalar]
        for artifact in maps(one, "Artifacts"):
            task.artifacts += [(source.scalar, stream.where(source)) for source in texts(artifact, "GetterSource")]
        job.tasks.append(task)
    return job


def _facts(job: _Job) -> Iterator[Parsed]:
    scheduled = bool(job.schedules) or job.type in ("batch", "sysbatch")
    ref = Ref(
        Kind.JOB if scheduled else Kind.SERVICE, excerpt(f"nomad {job.name}" if scheduled else f"nomad job {job.name}")
    )
    attributes: dict[str, Attribute] = {"program": "nomad"}
    if scheduled:
        attributes = {"dialect": "nomad"}
    if job.schedules:
        attributes["schedule"] = excerpt(job.schedules[0][0])
        if job.timezone:
            attributes["timezone"] = excerpt(job.timezone)
        if len(job.schedules) > 1:
            attributes["schedules"] = tuple(excerpt(text) for text, _ in job.schedules)
        if not job.enabled:
            attributes["enabled"] = False
    command = next((task.command[0] for task in job.tasks if task.command is not None), ())
    if command and scheduled:
        attributes["command"] = excerpt(shlex.join(command))
    yield Entity(ref, job.schedules[0][1] if job.schedules else job.where, attributes)
    yield from _machines(ref, job)
    for task in job.tasks:
        if task.command is not None:
            yield from commands(shlex.join(task.command[0]), ref, task.command[1])
        if task.image is not None and (registry := registry_of(known(task.image[0]))) is not None:
            yield Dependency(ref, registry, Relation.CONNECTS, task.image[1])
        yield from settings(ref, task.variables)
        for source, where in task.artifacts:
            found = outside(source.removeprefix("git::").partition("?")[0])
            if found is not None:
                yield Dependency(ref, found, Relation.CONNECTS, where)


def _machines(ref: Ref, job: _Job) -> Iterator[Dependency]:
    """The machines that constraints name: all constraints must hold, so one that names machines decides."""
    for attribute, operator, value, where in job.constraints:
        if not _MACHINE.fullmatch(attribute.strip()):
            continue
        names: list[str] = []
        if operator in _ONE:
            names = [value]
        elif operator == "set_contains_any":
            names = value.split(",")
        elif operator == "regexp" and (found := _ALTERNATIVES.fullmatch(value)) is not None:
            names = found[1].replace("\\.", ".").split("|")
        machines = [host_ref(known(name)) for name in names[:1000] if known(name)]
        if machines and len(machines) == len(names):
            for machine in dict.fromkeys(one for one in machines if one is not None):
                yield Dependency(ref, machine, Relation.RUNS_ON, where, group="nodes")
