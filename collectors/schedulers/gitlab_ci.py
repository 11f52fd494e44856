"""GitLab CI: jobs with their runners' tags and scripts. Schedules are kept by GitLab, not in the file.

Source: GitLab's CI/CD YAML syntax reference: `extends`, `default`, `!reference`, `rules`, `only`.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    excerpt,
    read_yaml,
)
from collectors.schedulers.common import deployed, first_line, outside, registry, runners, script, settings

JOBS_LIMIT: Final = 2_000
LINES_LIMIT: Final = 5_000
"""Lines of one job's scripts that are read."""

_NO_JOBS: Final = frozenset(
    {"default", "include", "stages", "variables", "workflow", "image", "services", "cache", "before_script",
     "after_script", "spec", "types", "pages:deploy"}
)  # fmt: skip
_CHAIN: Final = 100
_DEPTH: Final = 11
"""How deep GitLab follows `extends`."""


class GitlabCiCollector(Collector):
    """Jobs of a pipeline: on which runners they run, and which hosts their scripts need.

    Reads
    -----
    `.gitlab-ci.yml`, files called `*.gitlab-ci.yml`, and YAML in `.gitlab/ci/`.

    Yields
    ------
    A job for each job that is not hidden, with what its `extends` and `default` give it; whether it runs in scheduled
    pipelines; its tags as groups of runners, and as the machine itself where a tag is one's name (confidence medium);
    hosts that its scripts reach, that its variables name, its environment's URL, its images' registries.

    Can't see
    ---------
    When a scheduled pipeline runs and the variables of the project (GitLab keeps them), files that are included from
    other projects, and what a runner's own configuration adds.
    """

    name: ClassVar[str] = "gitlab_ci"
    title: ClassVar[str] = "GitLab CI pipelines"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the path."""
        if not path.endswith((".yml", ".yaml")):
            return False
        return path.endswith(("gitlab-ci.yml", "gitlab-ci.yaml")) or ".gitlab/ci/" in path

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB a job."""
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(min(stream.problem.line, len(stream.lines)))
            yield Malformed(where, excerpt(stream.problem.reason), "the pipeline does not run", not stream.documents)
        # A file may begin with a document that only says its inputs (`spec`).
        for root in stream.documents[-1:]:
            if root.is_map:
                for count, (key, job) in enumerate(root.items()):
                    if count >= JOBS_LIMIT:
                        yield Malformed(stream.where(key), f"more than {JOBS_LIMIT:,} jobs: the rest is not read")
                        return
                    if job.is_map and key.scalar not in _NO_JOBS and not key.scalar.startswith("."):
                        yield from _Job(stream, document.path, root, key, job).read()


class _Job:
    """One job, with what it inherits."""

    def __init__(self, stream: YamlStream, path: str, root: YamlNode, key: YamlNode, job: YamlNode) -> None:
        self.stream = stream
        self.root = root
        self.key = key
        self.ref = Ref(Kind.JOB, f"{path}: {excerpt(key.scalar)}")
        self.chain: list[YamlNode] = []
        self._extend(job, 0)
        self._budget = LINES_LIMIT

    def _extend(self, job: YamlNode, depth: int) -> None:
        """A job, and what it extends: the nearest first, each once."""
        if depth > _DEPTH or len(self.chain) >= _CHAIN or any(job is one for one in self.chain):
            return
        self.chain.append(job)
        for name in reversed(job.children("extends")[:_CHAIN]):
            base = self.root.get(name.scalar) if name.is_scalar else None
            if base is not None and base.is_map:
                self._extend(base, depth + 1)

    def get(self, key: str) -> YamlNode | None:
        """The job's own value of a key, else that of what it extends, `default`, or the file."""
        for one in self.chain:
            if (node := one.get(key)) is not None:
                return node
        default = self.root.get("default")
        if default is not None and default.is_map and (node := default.get(key)) is not None:
            return node
        return self.root.get(key) if key in ("image", "services", "before_script", "after_script") else None

    def variables(self) -> list[tuple[str, YamlNode]]:
        """Variables with their values; the job's own come last, and win."""
        found: dict[str, YamlNode] = {}
        for one in (self.root, *reversed(self.chain)):
            node = one.get("variables")
            for key, value in node.items() if node is not None and node.is_map else ():
                inner = value.get("value") if value.is_map else value
                if inner is not None and inner.is_scalar:
                    found[key.scalar] = inner
        return list(found.items())

    def _own_variables(self) -> Iterator[YamlNode]:
        """The values that the job and what it extends set."""
        for one in self.chain:
            node = one.get("variables")
            for _, value in node.items() if node is not None and node.is_map else ():
                inner = value.get("value") if value.is_map else value
                if inner is not None:
                    yield inner

    def scheduled(self) -> bool:
        """Whether the job is only for, or asks about, scheduled pipelines."""
        only = self.get("only")
        refs = only.get("refs") if only is not None and only.is_map else only
        if refs is not None and "schedules" in (one.scalar for one in refs.elements or (refs,)):
            return True
        rules = self.get("rules")
        return any(
            "CI_PIPELINE_SOURCE" in text and "==" in text and "schedule" in text
            for rule in (rules.elements if rules is not None else ())
            if rule.is_map and (text := rule.text("if"))
        )

    def read(self) -> Iterator[Parsed]:
        """The job, its runners, and what it reaches."""
        attributes: dict[str, Attribute] = {"dialect": "gitlab"}
        if self.scheduled():
            attributes["scheduled"] = True
        if (stage := self.get("stage")) is not None and stage.scalar:
            attributes["stage"] = excerpt(stage.scalar)
        tags = self.get("tags")
        labels = [one.scalar for one in (tags.elements if tags is not None else ()) if one.is_scalar]
        if labels:
            attributes["runner"] = tuple(excerpt(label) for label in labels)
        yield Entity(self.ref, self.stream.where(self.key), attributes)
        if tags is not None:
            yield from runners(self.ref, "runners", labels, self.stream.where(tags))
        inside: set[str] = set()
        image = self.get("image")
        yield from registry(self.ref, image.get("name") if image is not None and image.is_map else image, self.stream)
        services = self.get("services")
        for service in services.elements if services is not None else ():
            name = service.get("name") if service.is_map else service
            yield from registry(self.ref, name, self.stream)
            if service.is_map and service.text("alias"):
                inside.update(service.text("alias").split(","))
            if name is not None:
                bare = name.scalar.rpartition(":")[0] or name.scalar
                inside |= {bare.replace("/", "-"), bare.replace("/", "__"), bare.rpartition("/")[2]}
        environment = self.get("environment")
        if environment is not None and environment.is_map and environment.text("action") != "stop":
            yield from deployed(self.ref, environment.get("url"), self.stream)
        variables = self.variables()
        # What the whole file sets is the need of those jobs alone that use it; scripts are read with it.
        own = {id(node) for node in self._own_variables()}
        yield from settings(self.ref, [pair for pair in variables if id(pair[1]) in own], self.stream)
        known = {name: node.scalar for name, node in variables if "$" not in node.scalar}
        yield from self._scripts(known, frozenset(inside))
        trigger = self.get("trigger")
        server = outside(known.get("CI_SERVER_URL", "")) if trigger is not None else None
        if server is not None and trigger is not None:
            yield Dependency(self.ref, server, Relation.CONNECTS, self.stream.where(trigger), Need.RUN)

    def _scripts(self, known: dict[str, str], inside: frozenset[str]) -> Iterator[Parsed]:
        """All lines as one script, as GitLab runs `before_script` and `script`: what one sets the next one has."""
        blocks: list[tuple[int, str]] = []
        for key in ("before_script", "script", "after_script"):
            blocks += self._lines(self.get(key), 0)
        text, start = "", 0
        for line, block in blocks:
            gap = line - (start + text.count("\n")) if text else 0
            if text and not 0 < gap < 10_000:
                yield from self._script(text, start, known, inside)
                text = ""
            if not text:
                text, start = block, line
            else:
                text += "\n" * gap + block
        if text:
            yield from self._script(text, start, known, inside)

    def _script(self, text: str, start: int, known: dict[str, str], inside: frozenset[str]) -> Iterator[Parsed]:
        yield from script(text, self.ref, Where(start, self.stream.where(start).excerpt), known, inside)

    def _lines(self, node: YamlNode | None, depth: int) -> list[tuple[int, str]]:
        """Lines of a script: texts, lists in lists, and `!reference [job, key]`."""
        self._budget -= 1
        if node is None or depth > _DEPTH or self._budget < 0:
            return []
        if node.tag == "!reference":
            target: YamlNode | None = self.root
            for step in node.elements:
                target = target.get(step.scalar) if target is not None and target.is_map else None
            return self._lines(target, depth + 1)
        if node.is_scalar:
            return [(first_line(self.stream, node), node.scalar.rstrip("\n"))] if node.scalar else []
        found: list[tuple[int, str]] = []
        for one in node.elements[:LINES_LIMIT]:
            found += self._lines(one, depth + 1)
        return found
