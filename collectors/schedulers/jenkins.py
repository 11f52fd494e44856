"""Jenkins: jobs as it stores them (`config.xml`), with their cron triggers, nodes and shell steps.

Sources: Jenkins' config.xml of freestyle, matrix, Maven and pipeline jobs; the help of its TimerTrigger (five fields,
`H` for a time that is spread over a range, `TZ=` on a line of its own, `@daily` and its like).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Confidence,
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
    decode,
    excerpt,
    read_cron_schedule,
)
from collectors.schedulers.common import outside, runners, script
from collectors.schedulers.xmlnodes import XmlNode, XmlProblem, read_xml

STEPS_LIMIT: Final = 2_000
"""Steps of one job that are read."""

_MARKS: Final = (b"<project>", b"<project ", b"<flow-definition", b"<matrix-project", b"<maven2-moduleset")
_ROOTS: Final = frozenset({"project", "flow-definition", "matrix-project", "maven2-moduleset"})
_TRIGGERS: Final = ("TimerTrigger", "SCMTrigger", "ParameterizedTimerTrigger")
_RANGE: Final = re.compile(r"\bH\((\d+)-(\d+)\)")
_FIRST: Final = ("0", "0", "1", "1", "0")
_LABELS: Final = re.compile(r"[\w.-]+|\"[^\"]+\"")
_CRON: Final = re.compile(r"\bcron[ \t]{0,20}\(?\s{0,20}(?:'([^'\n]{1,500})'|\"([^\"\n]{1,500})\")")
_AGENT: Final = re.compile(r"\b(?:label|node)[ \t]{0,20}\(?\s{0,20}['\"]([^'\"\n$]{1,200})['\"]")
_SHELL: Final = re.compile(
    r"\bsh[ \t]{0,20}\(?\s{0,20}(?:script[ \t]{0,20}:\s{0,20})?"
    r"(?:\'\'\'(.{1,20000}?)\'\'\'|\"\"\"(.{1,20000}?)\"\"\"|'((?:[^'\\\n]|\\.){1,5000})'|\"((?:[^\"\\\n]|\\.){1,5000})\")",
    re.DOTALL,
)
_COMMENT: Final = re.compile(r"^[ \t]*//.*$", re.MULTILINE)


class JenkinsCollector(Collector):
    """Jobs of Jenkins: when they run, on which nodes, and which hosts their steps need.

    Reads
    -----
    XML whose root is a job of Jenkins (`config.xml` as in `jobs/`, or as the API gives it), XML 1.1 too; a pipeline's
    script that stands in it; `Jenkinsfile`s.

    Yields
    ------
    A job with its schedule and time zone (`H` as it was written; times are known as a range only), whether it is
    disabled; the node's label as a group of runners, and as the machine where the label is one's name (confidence
    medium); hosts that shell steps reach, the source repository, and remote triggers.

    Can't see
    ---------
    Groovy beyond literal `cron`, `label`, `node` and `sh`; credentials; shared libraries; and nodes' own addresses.
    """

    name: ClassVar[str] = "jenkins"
    title: ClassVar[str] = "Jenkins jobs"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """XML with a job's root and a class of Jenkins in it, or a file called Jenkinsfile."""
        if path.endswith(".xml"):
            if not any(mark in head for mark in _MARKS):
                return False
            return b"hudson." in head or b"jenkins" in head or b"<flow-definition" in head
        return "Jenkinsfile" in path[path.rfind("/") + 1 :] and not path.endswith((".md", ".txt", ".html"))

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB a file."""
        text = decode(document.content).removeprefix("\ufeff").replace("\r\n", "\n")
        job = _Job(Ref(Kind.JOB, f"jenkins {_title(document.path)}"), text.split("\n"))
        if not document.path.endswith(".xml"):
            facts = list(job.pipeline(text, 1))
            if job.schedules or facts:
                yield job.entity()
                yield from facts
            return
        try:
            root = read_xml(text)
        except XmlProblem as problem:
            yield Malformed(job.where(problem.line), excerpt(problem.reason), "Jenkins does not load the job", True)
            return
        if root.name in _ROOTS:
            yield from job.read(root)


def _title(path: str) -> str:
    """The job's path below `jobs/` of a Jenkins home, else the file's."""
    if path.endswith("/config.xml") and "/jobs/" in f"/{path}":
        inner = f"/{path}".partition("/jobs/")[2].removesuffix("/config.xml")
        return inner.replace("/jobs/", "/")
    return path


class _Job:
    """One job and the lines of its file."""

    def __init__(self, ref: Ref, lines: Sequence[str]) -> None:
        self.ref = ref
        self.lines = lines
        self.schedules: list[tuple[str, str, int]] = []
        """Schedule, time zone and line."""
        self.attributes: dict[str, Attribute] = {"dialect": "jenkins"}

    def where(self, line: int) -> Where:
        return Where(line, excerpt(self.lines[line - 1]) if 0 < line <= len(self.lines) else "")

    def entity(self, line: int = 1) -> Entity:
        if self.schedules:
            text, zone, line = self.schedules[0]
            self.attributes["schedule"] = excerpt(text)
            if zone:
                self.attributes["timezone"] = excerpt(zone)
            if len(self.schedules) > 1:
                self.attributes["schedules"] = tuple(excerpt(one[0]) for one in self.schedules)
        return Entity(self.ref, self.where(line), self.attributes)

    def read(self, root: XmlNode) -> Iterator[Parsed]:
        facts: list[Parsed] = []
        if root.value("disabled") == "true":
            self.attributes["ignored"] = "disabled"
        for node in root.walk():
            kind = node.name.rpartition(".")[2]
            if kind in _TRIGGERS and (spec := node.find("spec") or node.find("parameterizedSpecification")):
                # A repository that is polled makes a build only where something has changed.
                polls = kind == "SCMTrigger"
                facts += self._spec(spec.text, spec.line, polls)
        label = root.find("assignedNode")
        if label is not None and label.text.strip() and root.value("canRoam") != "true":
            facts += self._node(label.text, label.line)
        steps = 0
        for node in root.walk():
            steps += node.name.endswith("Shell") and node.find("command") is not None
            if steps > STEPS_LIMIT:
                facts.append(Malformed(self.where(node.line), f"more than {STEPS_LIMIT:,} steps: the rest is not read"))
                break
            command = node.find("command")
            if node.name.endswith("tasks.Shell") and command is not None:
                self.attributes.setdefault("command", excerpt(_first(command.text)))
                facts += script(command.text, self.ref, self.where(command.line), {})
            elif node.name.endswith("UserRemoteConfig") and (url := node.find("url")) is not None:
                facts += self._repository(url)
        pipeline = root.find("definition", "script")
        if pipeline is not None:
            facts += self.pipeline(pipeline.text, pipeline.line)
        if root.find("authToken") is not None:
            self.attributes["remote_trigger"] = True
        yield self.entity(root.line)
        yield from facts

    def _spec(self, text: str, first: int, polls: bool) -> Iterator[Parsed]:
        """Lines of a trigger: comments, `TZ=`, and schedules."""
        zone = ""
        for number, line in enumerate(text.split("\n"), first):
            words = line.strip()
            if not words or words.startswith("#"):
                continue
            if words.startswith("TZ="):
                zone = words.removeprefix("TZ=").strip()
                continue
            if problem := _problem(words):
                yield Malformed(self.where(number), excerpt(problem), "Jenkins refuses the trigger")
            elif polls:
                self.attributes["polls"] = excerpt(" ".join(words.split()))
            else:
                self.schedules.append((" ".join(words.split()), zone, number))

    def _node(self, text: str, line: int) -> Iterator[Parsed]:
        """A label, or an expression of several: only one label alone says on which node a job runs."""
        expression = " ".join(text.split())
        self.attributes["runner"] = (excerpt(expression),)
        if "||" not in expression and "!" not in expression and "(" not in expression and "-> " not in expression:
            labels = [one.strip('"') for one in _LABELS.findall(expression)]
            yield from runners(self.ref, "runners", labels, self.where(line))

    def _repository(self, url: XmlNode) -> Iterator[Parsed]:
        text = url.text.strip()
        if "://" not in text and "@" in text:
            text = f"ssh://{text.partition(':')[0]}"
        found = outside(text)
        if found is not None:
            yield Dependency(self.ref, found, Relation.CONNECTS, self.where(url.line), Need.READ)

    def pipeline(self, text: str, first: int) -> Iterator[Parsed]:
        """Literal triggers, nodes and shell steps of Groovy; its comments are blanked."""
        text = _COMMENT.sub("", text[: 1 << 20])
        for found in _CRON.finditer(text):
            line = first + text.count("\n", 0, found.start())
            yield from self._spec((found[1] or found[2]).replace("\\n", "\n"), line, False)
        for found in _AGENT.finditer(text):
            yield from self._node(found[1], first + text.count("\n", 0, found.start()))
        for count, found in enumerate(_SHELL.finditer(text)):
            if count >= STEPS_LIMIT:
                return
            body = next(filter(None, found.groups()), "")
            at = found.start() + found[0].find(body)
            yield from self._script_step(body, first + text.count("\n", 0, at))

    def _script_step(self, body: str, line: int) -> Iterator[Parsed]:
        for fact in script(body, self.ref, self.where(line), {}):
            if isinstance(fact, Dependency) and fact.confidence is Confidence.HIGH:
                # Groovy's own quoting was not interpreted.
                yield Dependency(
                    fact.consumer, fact.provider, fact.relation, fact.where, fact.need, fact.group, Confidence.MEDIUM
                )
            else:
                yield fact


def _first(text: str) -> str:
    """The first line of a script that does something."""
    return next((line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")), "")


def _problem(schedule: str) -> str:
    """What is wrong with a schedule; empty if nothing is. `H` may stand for any time of its field."""
    if schedule.startswith("@"):
        known = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
        return "" if schedule in known else f"bad time specifier: {schedule!r}"
    fields = schedule.split()
    if len(fields) != 5:
        return f"a cron schedule has 5 fields, not {len(fields)}"
    plain = []
    for number, field in enumerate(fields):
        ranged = _RANGE.sub(r"\1-\2", field)
        plain.append(f"*{ranged[1:]}" if ranged.startswith("H/") else ranged.replace("H", _FIRST[number]))
    try:
        read_cron_schedule(" ".join(plain))
    except ValueError as error:
        return str(error)
    return ""
