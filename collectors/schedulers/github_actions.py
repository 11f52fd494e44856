"""GitHub Actions (and Gitea's, Forgejo's): workflows with their schedules, runners, and what their steps reach.

Source: GitHub's workflow syntax reference; schedules are POSIX cron in UTC, five minutes apart at the least.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
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
    excerpt,
    read_cron_schedule,
    read_yaml,
)
from collectors.schedulers.common import deployed, first_line, plain, registry, runners, script, settings

JOBS_LIMIT: Final = 1_000
STEPS_LIMIT: Final = 2_000
"""Jobs of one workflow, and steps of one job, that are read."""

_PLACES: Final = (".github/workflows/", ".gitea/workflows/", ".forgejo/workflows/")
_EXPRESSION: Final = re.compile(r"\$\{\{(?:[^}]|\}(?!\})){0,1000}\}\}")
_SHELLS: Final = ("", "bash", "sh")


class GithubActionsCollector(Collector):
    """Jobs of workflows: when they run, on which runners, and which hosts their steps need.

    Reads
    -----
    YAML files in `.github/workflows/`, `.gitea/workflows/` and `.forgejo/workflows/`.

    Yields
    ------
    A job for each job of a workflow with its schedule in UTC and the events that start it; the labels of self-hosted
    runners as groups, and as the machine itself where a label is one's name (confidence medium); hosts that shell
    steps reach, that an action is given as a host or URL, an environment's URL, registries of container images.

    Can't see
    ---------
    Values of secrets, variables and matrices, what actions do by themselves, reusable workflows, steps in other
    languages, and whether a schedule was switched off for want of activity.
    """

    name: ClassVar[str] = "github_actions"
    title: ClassVar[str] = "GitHub Actions workflows"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the directory."""
        if "/workflows/" not in path or not path.endswith((".yml", ".yaml")):
            return False
        return any(place in path for place in _PLACES)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB a job."""
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(min(stream.problem.line, len(stream.lines)))
            yield Malformed(where, excerpt(stream.problem.reason), "the workflow does not run", not stream.documents)
        for root in stream.documents[:1]:
            if not root.is_map:
                continue
            schedules: list[YamlNode] = []
            good: list[YamlNode] = []
            events = _events(root.get("on"), schedules)
            for node in schedules:
                try:
                    read_cron_schedule(node.scalar)
                    good.append(node)
                except ValueError as error:
                    yield Malformed(stream.where(node), excerpt(str(error)), "GitHub does not run the workflow")
            jobs = root.get("jobs")
            for count, (key, job) in enumerate(jobs.items() if jobs is not None and jobs.is_map else ()):
                if count >= JOBS_LIMIT:
                    yield Malformed(stream.where(key), f"more than {JOBS_LIMIT:,} jobs: the rest is not read")
                    return
                if job.is_map:
                    yield from _job(stream, document.path, root, key, job, events, good)


def _events(node: YamlNode | None, schedules: list[YamlNode]) -> tuple[str, ...]:
    """The events that start a workflow; the nodes of its schedules are added to a list."""
    if node is None:
        return ()
    if not node.is_map:
        return tuple(excerpt(one.scalar) for one in (node.elements or (node,)) if one.scalar)
    for entry in node.children("schedule"):
        cron = entry.get("cron") if entry.is_map else None
        if cron is not None and cron.scalar:
            schedules.append(cron)
    return tuple(excerpt(key.scalar) for key, _ in node.items())


def _job(
    stream: YamlStream,
    path: str,
    root: YamlNode,
    key: YamlNode,
    job: YamlNode,
    events: tuple[str, ...],
    schedules: list[YamlNode],
) -> Iterator[Parsed]:
    ref = Ref(Kind.JOB, f"{path}: {excerpt(key.scalar)}")
    attributes: dict[str, Attribute] = {"dialect": "github", "events": events}
    if schedules:
        attributes["schedule"] = excerpt(schedules[0].scalar)
        attributes["timezone"] = "UTC"
        if len(schedules) > 1:
            attributes["schedules"] = tuple(excerpt(node.scalar) for node in schedules)
    if command := excerpt(job.text("name") or root.text("name")):
        attributes["command"] = command
    runs_on = job.get("runs-on")
    labels, place = _labels(runs_on)
    if labels:
        attributes["runner"] = tuple(excerpt(label) for label in labels)
    yield Entity(ref, stream.where(schedules[0] if schedules else key), attributes)
    if "self-hosted" in labels or (runs_on is not None and runs_on.is_map):
        yield from runners(ref, "runners", [label for label in labels if label != "self-hosted"], stream.where(place))
    container = job.get("container")
    image = container.get("image") if container is not None and container.is_map else container
    yield from registry(ref, image, stream)
    services = job.get("services")
    inside: list[str] = []
    for name, service in services.items() if services is not None and services.is_map else ():
        inside.append(name.scalar)
        if service.is_map:
            yield from registry(ref, service.get("image"), stream)
    environment = job.get("environment")
    if environment is not None and environment.is_map:
        yield from deployed(ref, environment.get("url"), stream)
    yield from _steps(stream, ref, root, job, labels, frozenset(inside))


def _labels(node: YamlNode | None) -> tuple[list[str], YamlNode | int]:
    """Labels of `runs-on`: one, a list, or a map with a group; expressions are left out."""
    if node is None:
        return [], 0
    nodes = [node] if node.is_scalar else list(node.elements)
    if node.is_map:
        nodes = [*node.children("group"), *node.children("labels")]
    return [one.scalar for one in nodes if one.is_scalar and plain(one.scalar)], node


def _variables(*nodes: YamlNode | None) -> list[tuple[str, YamlNode]]:
    """Variables of `env` maps, from the outermost in."""
    return [(key.scalar, value) for node in nodes if node is not None and node.is_map for key, value in node.items()]


def _steps(
    stream: YamlStream, ref: Ref, root: YamlNode, job: YamlNode, labels: list[str], inside: frozenset[str]
) -> Iterator[Parsed]:
    outer = _variables(root.get("env"), job.get("env"))
    # What the whole workflow sets is the need of those jobs alone that use it; scripts are read with it.
    yield from settings(ref, _variables(job.get("env")), stream)
    defaults = [_default_shell(job), _default_shell(root)]
    shell = next((one for one in defaults if one), "")
    if not shell and any(label.lower().startswith("windows") for label in labels):
        shell = "pwsh"
    steps = job.get("steps")
    for step in (steps.elements if steps is not None else ())[:STEPS_LIMIT]:
        if not step.is_map:
            continue
        own = _variables(step.get("env"))
        yield from settings(ref, own, stream)
        run = step.get("run")
        chosen = step.text("shell") or shell
        if run is not None and run.is_scalar and (chosen in _SHELLS or chosen.startswith("bash ")):
            known = {name: node.scalar for name, node in outer + own if node.is_scalar and "${{" not in node.scalar}
            text = _EXPRESSION.sub(lambda found: "$expression" + "\n" * found[0].count("\n"), run.scalar)
            line = first_line(stream, run)
            yield from script(text, ref, Where(line, stream.where(line).excerpt), known, inside)
        if step.get("uses") is not None:
            yield from settings(ref, _variables(step.get("with")), stream)


def _default_shell(node: YamlNode) -> str:
    defaults = node.get("defaults")
    run = defaults.get("run") if defaults is not None and defaults.is_map else None
    return run.text("shell") if run is not None and run.is_map else ""
