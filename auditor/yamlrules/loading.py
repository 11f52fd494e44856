"""From files to rules and tests: every problem with its line and a hint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditor.errors import AuditorError, PolicyError
from auditor.inventory.entries import read, told, without_value
from auditor.inventory.yaml_lines import SIZE_LIMIT, Problem
from auditor.model import Lifecycle, Phase
from auditor.yamlrules.rule import VARIABLES, Expressions, Program, YamlRule, made, text_of
from auditor.yamlrules.schema import YamlRuleDocument, YamlRulesDocument, YamlTest

if TYPE_CHECKING:
    from auditor.api import Rule

FILES_LIMIT: Final = 1_000
SUFFIXES: Final = (".yaml", ".yml")
_SCHEMA_HINT: Final = "Correct these lines; `auditor rules schema` prints what may stand where."


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test, and the file it stands in."""

    path: Path
    test: YamlTest


@dataclass(frozen=True, slots=True)
class YamlRules:
    """The rules and tests of a directory or a file."""

    rules: tuple[YamlRule, ...]
    tests: tuple[RuleTest, ...]


def load_rules(place: Path, others: Iterable[Rule]) -> YamlRules:
    """The rules in a file, or in all YAML files below a directory. `others` hold ids that are taken.

    Raises PolicyError with all problems at once, and AuditorError where CEL is not installed.
    """
    files = _files(place)
    return rules_of({str(path): _content(path) for path in files}, others)


def rules_of(files: Mapping[str, bytes], others: Iterable[Rule]) -> YamlRules:
    """The rules in files, by what problems call them. Raises as `load_rules`."""
    compiled = _compiler()
    taken = {rule.id: "a rule of the auditor or of a plugin" for rule in others}
    rules: list[YamlRule] = []
    tests: list[RuleTest] = []
    problems: list[str] = []
    for path, content in files.items():
        root, document, wrong = read(YamlRulesDocument, content, "version: 1")
        if root is not None:
            lines = {problem.line for problem in wrong}
            wrong += [problem for problem in without_value(root) if problem.line not in lines]
        for one in document.rules if document is not None else ():
            if one.id in taken:
                wrong.append(Problem(one.line_of("id"), f"`{one.id}` is {taken[one.id]} already", "give it another id"))
                continue
            taken[one.id] = f"the rule at {path}:{one.line}"
            expressions = _expressions(one, compiled, wrong)
            if expressions is not None:
                rules.append(_made(one, expressions, f"{path}:{one.line}"))
        for test in document.tests if document is not None else ():
            if test.phase is Phase.AFTER and test.lifecycle is Lifecycle.READ_ONLY:
                wrong.append(Problem(test.line_of("as"), "a host that is read-only is not gone", "leave out `as`"))
        if document is not None:
            tests.extend(RuleTest(Path(path), one) for one in document.tests)
        problems += told(path, wrong)
    if problems:
        raise PolicyError(problems, hint=_SCHEMA_HINT)
    return YamlRules(tuple(rules), tuple(tests))


class _Compiled:
    def __init__(self) -> None:
        from cel import compile as compile_cel

        self._compile = compile_cel

    def __call__(self, expression: str) -> Program:
        program: Program = self._compile(expression)
        return program


def _compiler() -> _Compiled:
    try:
        return _Compiled()
    except ImportError as error:
        raise AuditorError(
            "rules in YAML need the library common-expression-language",
            hint="It is in the extra `cel`: pip install '.[cel]' where the auditor's source is.",
        ) from error


def _expressions(one: YamlRuleDocument, compiled: _Compiled, wrong: list[Problem]) -> Expressions | None:
    before = len(wrong)
    texts = {}
    when: Program | None = None
    try:
        when = compiled(one.when)
    except ValueError as error:
        wrong.append(Problem(one.line_of("when"), f"`when`: {_reason(error)}", _VARIABLES_HINT))
    for key in ("message", "why", "action"):
        try:
            texts[key] = text_of(getattr(one, key), compiled)
        except ValueError as error:
            wrong.append(Problem(one.line_of(key), f"`{key}`: {_reason(error)}", _VARIABLES_HINT))
    if when is None or len(wrong) > before:
        return None
    return Expressions(when, texts["message"], texts["why"], texts["action"])


_VARIABLES_HINT: Final = f"an expression of CEL over {', '.join(VARIABLES)}"


def _reason(error: ValueError) -> str:
    """The parser's own words, in one line."""
    return " ".join(str(error).split())[:200]


def _made(one: YamlRuleDocument, expressions: Expressions, where: str) -> YamlRule:
    sections = (
        ("What it does", one.description),
        ("Why it matters", one.reason),
        ("Example", one.example),
        ("What to do", one.action),
        ("What it can't see", one.blind),
    )
    body = "\n\n".join(f"{heading}\n{'-' * len(heading)}\n{text}" for heading, text in sections)
    return made(
        identity=one.id,
        title=one.title,
        area=one.area,
        severity=one.severity,
        confidence=one.confidence,
        nodes=one.nodes,
        phases=frozenset(Phase) if one.phase == "both" else frozenset({Phase(one.phase)}),
        needs=frozenset(one.needs),
        documentation=f"{one.title}.\n\n{body}\n",
        expressions=expressions,
        where=where,
    )


def _files(place: Path) -> Sequence[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise AuditorError(f"{place}: no such file or directory", hint="Give a file or a directory with rules in YAML.")
    found = sorted(_below(place))
    if not found:
        raise AuditorError(f"{place}: no YAML files in it", hint="A file of rules ends in .yaml or .yml.")
    if len(found) > FILES_LIMIT:
        raise AuditorError(
            f"{place}: more than {FILES_LIMIT:,} YAML files", hint="Give the directory of the rules alone."
        )
    return found


def _below(place: Path) -> Iterator[Path]:
    """YAML files; not those of estates that tests have in directories of their own."""
    for path in place.rglob("*"):
        inside = path.relative_to(place).parts[:-1]
        if path.suffix in SUFFIXES and path.is_file() and not any(part.endswith(".estate") for part in inside):
            yield path


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise AuditorError(f"{path}: can't be read: {error.strerror}", hint="Give a file that can be read.") from error
