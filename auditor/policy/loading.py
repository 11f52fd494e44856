"""From files to a `Policy` and a `Baseline`: every problem with its line and a hint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar

from auditor.api import Rule
from auditor.errors import PolicyError
from auditor.inventory.entries import Entry, read, told, without_value
from auditor.inventory.values import WrongValueError, parse_duration
from auditor.inventory.yaml_lines import SIZE_LIMIT, Node, Problem, lines_of
from auditor.policy import POLICY
from auditor.policy.decisions import Baseline, Policy, named_beside
from auditor.policy.schema import LONGEST_WAIVER, BaselineDocument, PolicyDocument, RuleChange, Waiver
from auditor.settings import Count, Period
from auditor.text import decode

if TYPE_CHECKING:
    from auditor.capture.tree import Tree

M = TypeVar("M", bound=Entry)
Read = Callable[[str], bytes | None]
"""Reads a file by its path relative to the policy's directory; None if there is none. May raise OSError."""

_GLOB: Final = frozenset("*?[")


def policy_in(tree: Tree, rules: Sequence[Rule], now: datetime) -> Policy | None:
    """The policy beside the inventory of an estate, with its baseline; None if there is none. Raises PolicyError.

    Everything is read from the tree: of a git revision, what is in that revision.
    """

    def beside(path: str) -> bytes | None:
        return tree.own_file(path, SIZE_LIMIT + 1)

    try:
        where = tree.holder().called(POLICY)
        content = beside(POLICY) if tree.has_inventory() else None
    except OSError as error:
        raise PolicyError([f"{tree.called(POLICY)}: can't be read: {error.strerror}"]) from error
    return policy_of(content, where, rules, now, beside) if content is not None else None


def load_policy(path: Path, rules: Sequence[Rule], now: datetime) -> Policy:
    """The policy in a file, with its baseline. Raises PolicyError with all problems at once."""

    def beside(other: str) -> bytes | None:
        file = path.parent / other
        return _content(file) if file.exists() else None

    return policy_of(_content(path), str(path), rules, now, beside)


def load_baseline(path: Path) -> Baseline:
    """The known findings in a file. Raises PolicyError."""
    return baseline_of(_content(path), str(path))


def policy_of(content: bytes, path: str, rules: Sequence[Rule], now: datetime, beside: Read) -> Policy:
    """A policy from bytes. `path` is what problems call the file. Raises PolicyError."""
    root, document, problems = read(PolicyDocument, content, "version: 1")
    settings: dict[str, dict[str, int | timedelta]] = {}
    baseline = profile = None
    if root is not None:
        if document is not None:
            problems += _check(document, root, rules, now.date(), settings)
            if document.baseline is not None:
                found = _beside(document, "baseline", beside, problems)
                if found is not None:
                    baseline = baseline_of(found, named_beside(path, document.baseline))
            if document.profile is not None:
                profile = _beside(document, "profile", beside, problems)
        lines = {problem.line for problem in problems}
        problems += [problem for problem in without_value(root) if problem.line not in lines]
    if problems or document is None:
        raise PolicyError(
            told(path, problems), hint="Correct these lines; `auditor policy schema` prints what may stand where."
        )
    return Policy(
        path=path,
        digest=sha256(content).hexdigest(),
        document=document,
        settings=settings,
        lines=tuple(decode(content).splitlines()),
        baseline=baseline,
        profile=profile,
    )


def baseline_of(content: bytes, path: str) -> Baseline:
    """A baseline from bytes. Raises PolicyError."""
    root, document, problems = read(BaselineDocument, content, '{"version": 1, …}')
    if root is not None:
        problems += without_value(root)
    if problems or document is None:
        raise PolicyError(told(path, problems), hint="Write it anew with `auditor baseline write`.")
    return Baseline(path=path, digest=sha256(content).hexdigest(), document=document)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise PolicyError(
            [f"{path}: can't be read: {error.strerror or error}"], hint="Give the path of a file that is there."
        ) from error


def _beside(document: PolicyDocument, key: str, read_file: Read, problems: list[Problem]) -> bytes | None:
    """A file that a policy names; a problem if it can't be had."""
    name = str(getattr(document, key))
    line = document.line_of(key)
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        problems.append(Problem(line, f"`{key}`: {name} is not below the policy's directory", "move the file there"))
        return None
    try:
        content = read_file(name)
    except OSError as error:
        problems.append(Problem(line, f"`{key}`: {name} can't be read: {error.strerror}"))
        return None
    if content is None:
        problems.append(Problem(line, f"`{key}`: there is no file {name} beside the policy", "write it, or correct it"))
    return content


def _check(
    document: PolicyDocument,
    root: Node,
    rules: Sequence[Rule],
    today: date,
    settings: dict[str, dict[str, int | timedelta]],
) -> Iterator[Problem]:
    """Problems beyond types. Fills `settings`, by rule and name."""
    known = {rule.id: rule for rule in rules}
    lines = dict(lines_of(root))
    for at, change in enumerate(document.rules):
        yield from _check_change(change, known)
        rule = known.get(change.rule or "")
        if rule is not None and change.settings and change.area is None and not change.hosts:
            where = {name: lines[f"rules[{at}].settings.{name}"] for name in change.settings}
            yield from _check_settings(rule, change.settings, where, settings.setdefault(rule.id, {}))
    seen: dict[str, int] = {}
    for waiver in document.waivers:
        yield from _check_waiver(waiver, known, today)
        if waiver.fingerprint is not None:
            first = seen.setdefault(waiver.fingerprint, waiver.line)
            if first != waiver.line:
                what = f"the finding {waiver.fingerprint} is waived twice, first on line {first}"
                yield Problem(waiver.line, what, "keep one of the two")


def _check_change(change: RuleChange, known: Iterable[str]) -> Iterator[Problem]:
    if change.rule is None and change.area is None:
        yield Problem(change.line, "an entry of `rules` says nothing of what it is for", "add `rule:` or `area:`")
    if change.enabled is None and change.severity is None and not change.settings:
        what = "an entry of `rules` changes nothing"
        yield Problem(change.line, what, "add `enabled: false`, `severity:` or `settings:`")
    if change.enabled is False and change.reason is None:
        yield Problem(change.line_of("enabled"), "rules are switched off without a reason", "add `reason:`")
    if change.rule is not None:
        yield from _unknown(change.rule, change.line_of("rule"), known)
    if change.settings and (change.area is not None or change.hosts or _GLOB & set(change.rule or "*")):
        what = "settings are those of one rule, for all hosts"
        yield Problem(change.line_of("settings"), what, "name the rule in an entry of its own")


def _check_settings(
    rule: Rule, written: Mapping[str, str | int], lines: Mapping[str, int], chosen: dict[str, int | timedelta]
) -> Iterator[Problem]:
    declared = {one.name: one for one in rule.settings()}
    for name, value in written.items():
        setting, line = declared.get(name), lines[name]
        if setting is None:
            what = f"the rule {rule.id} has no setting `{name}`"
            yield Problem(line, what, _near(name, declared) or f"it has {', '.join(declared) or 'none'}")
            continue
        try:
            found = _value(setting, value)
        except WrongValueError as error:
            yield Problem(line, f"`{name}` of {rule.id}: {error}", error.hint)
        else:
            chosen[name] = found


def _value(setting: Count | Period, value: str | int) -> int | timedelta:
    if isinstance(setting, Period):
        if not isinstance(value, str):
            raise WrongValueError(f"expected a duration, and this is the number {value}", f"write it as {value}d")
        length = timedelta(seconds=parse_duration(value))
        if not setting.least <= length <= setting.most:
            least, most = setting.written(setting.least), setting.written(setting.most)
            raise WrongValueError(f"{value} is out of range", f"between {least} and {most}")
        return length
    if not isinstance(value, int):
        raise WrongValueError(f"expected a number of {setting.unit}s, and this is text", "write it without quotes")
    if not setting.least <= value <= setting.most:
        raise WrongValueError(f"{value} is out of range", f"between {setting.least} and {setting.most}")
    return value


def _check_waiver(waiver: Waiver, known: dict[str, Rule], today: date) -> Iterator[Problem]:
    match = waiver.match
    if (waiver.fingerprint is None) == (match is None):
        yield Problem(waiver.line, "a waiver needs either `fingerprint` or `match`", "give one of them")
    if match is not None:
        given = [text for text in (match.rule, match.subject, match.host, match.path) if text is not None]
        if not any(text.strip("*?") for text in given):
            what = "this waiver would match every finding"
            yield Problem(waiver.line_of("match"), what, "say which: `rule`, `subject`, `host` or `path`")
        if match.rule is not None:
            yield from _unknown(match.rule, match.line_of("rule"), known)
    last = today + timedelta(days=LONGEST_WAIVER)
    if waiver.expires > last:
        what = f"a waiver lasts a year at most, and this one {(waiver.expires - today).days} days"
        yield Problem(waiver.line_of("expires"), what, f"write {last} or earlier, and decide again then")


def _unknown(name: str, line: int, known: Iterable[str]) -> Iterator[Problem]:
    """A rule's id that there is not. A pattern may match nothing, and is then told as unused."""
    if not _GLOB & set(name) and name not in known:
        yield Problem(line, f"there is no rule `{name}`", _near(name, known) or "`auditor rules` lists them all")


def _near(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f"did you mean `{found[0]}`?" if found else ""
