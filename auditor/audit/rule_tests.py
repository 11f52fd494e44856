"""Tests of rules: a small estate each, in which exactly what is expected must be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from auditor.api import Collector, Finding, Rule
from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.errors import AuditorError
from auditor.model import Lifecycle, Phase

if TYPE_CHECKING:
    from auditor.yamlrules.loading import RuleTest
    from auditor.yamlrules.schema import YamlExpected, YamlTest


@dataclass(frozen=True, slots=True)
class Tested:
    """What became of one test: nothing is wrong if `wrong` is empty."""

    path: str
    line: int
    name: str
    wrong: tuple[str, ...]


def run_tests(tests: Sequence[RuleTest], rules: Sequence[Rule], collectors: Sequence[Collector]) -> Iterator[Tested]:
    """Each test, with these rules alone."""
    for one in tests:
        try:
            wrong = tuple(_wrong(one, rules, collectors))
        except AuditorError as error:
            wrong = tuple(str(error).splitlines())
        yield Tested(str(one.path), one.test.line, one.test.name, wrong)


def _wrong(one: RuleTest, rules: Sequence[Rule], collectors: Sequence[Collector]) -> Iterator[str]:
    test = one.test
    with TemporaryDirectory(prefix="auditor-rules-") as directory:
        laid = Path(directory)
        merged = []
        if test.files or test.estate is None:
            _lay(test, laid)
            merged.append(laid)
        if test.estate is not None:
            merged.insert(0, one.path.parent / test.estate)
        request = Request(
            merged[0],
            tuple(parse_host(word) for word in test.ask),
            Lifecycle.RETIRED if test.phase is Phase.AFTER else test.lifecycle,
            test.now,
            test.on,
            tuple(merged[1:]),
            policy_beside=False,
            phase=test.phase,
        )
        report = audit(request, collectors, rules).report
    for failure in report.failures:
        yield f"{failure.what}: {failure.error}"
    left = list(report.findings)
    for expected in test.expect:
        found = next((finding for finding in left if not list(_differs(finding, expected))), None)
        if found is not None:
            left.remove(found)
            continue
        near = [(finding, list(_differs(finding, expected))) for finding in left if finding.rule == expected.rule]
        yield f"not found: {expected.rule}" + (f" about {expected.subject}" if expected.subject else "")
        for finding, differences in near[:5]:
            yield f"  found instead: {finding.message}; but {'; '.join(differences)}"
    for finding in left:
        place = f"{finding.evidence[0].path}:{finding.evidence[0].line}"
        yield f"found, and not expected: {finding.rule} about {finding.subject}: {finding.message} ({place})"


def _lay(test: YamlTest, directory: Path) -> None:
    """Writes the files of a test. Raises AuditorError for a path that leads out of the estate."""
    for name, content in test.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise AuditorError(
                f"`files`: {name!r} is no path within an estate", hint="Write it as hosts/web01/etc/crontab."
            )
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")


def _differs(finding: Finding, expected: YamlExpected) -> Iterator[str]:
    """What of a finding is not as expected."""
    if finding.rule != expected.rule:
        yield f"it is of {finding.rule}"
    if expected.subject is not None and expected.subject not in finding.subject:
        yield f"it is about {finding.subject}"
    if expected.severity is not None and expected.severity is not finding.severity:
        yield f"its severity is {finding.severity.value}"
    told = "\n".join((finding.message, finding.why, finding.action))
    for words in expected.says:
        if words not in told:
            yield f"it does not say {words!r}"
    places = {f"{one.path}:{one.line}" for one in finding.evidence}
    for place in expected.evidence:
        if place not in places:
            yield f"it does not show {place}"
