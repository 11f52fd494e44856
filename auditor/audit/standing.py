"""How the findings of a state stand against those of the state before it: new, worse, known or mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from auditor.audit import coverage as covering
from auditor.audit.engine import Survey
from auditor.audit.lines import Lines
from auditor.capture.tree import INVENTORY
from auditor.change import Judged, Standing
from auditor.model import Coverage, Finding, Going, Provenance, Severity
from auditor.text import is_comment

GAP: Final = "coverage-gap"
_RANK: Final[Mapping[Severity, int]] = {one: at for at, one in enumerate(Severity)}
_Sense: TypeAlias = tuple[object, ...]


def compare(
    old: Iterable[Finding], new: Iterable[Finding], lines: Lines, apart: Mapping[str, str] = MappingProxyType({})
) -> list[Judged]:
    """Findings of both sides, matched: by their fingerprint, then by what they say of the same lines elsewhere.

    The second is for renamed files and lines that moved: one of each side, no more. What stands in more places than
    before, other than in a comment, or is more severe, is worse. `apart` are names that the new side takes for hosts of
    their own, with the hosts that they were names of.
    """
    before = {one.fingerprint: one for one in old}
    after = {one.fingerprint: one for one in new}
    pairs = {**{key: before[key] for key in after if key in before}, **dict(_moved(before, after, apart))}
    judged = [_judged(one, pairs.get(key), lines) for key, one in after.items()]
    matched = {one.fingerprint for one in pairs.values()}
    return judged + [Judged(one, Standing.FIXED) for key, one in before.items() if key not in matched]


def _moved(
    before: Mapping[str, Finding], after: Mapping[str, Finding], apart: Mapping[str, str]
) -> Iterator[tuple[str, Finding]]:
    """Pairs of findings with other fingerprints that say the same: the key of the new one, and the old one."""
    left: dict[_Sense, list[Finding]] = {}
    for key, one in before.items():
        if key not in after:
            left.setdefault(_sense(one, apart), []).append(one)
    for key, one in after.items():
        if key not in before and (same := left.get(_sense(one, apart))):
            yield key, same.pop()


def _sense(one: Finding, apart: Mapping[str, str]) -> _Sense:
    hosts = tuple(sorted({apart.get(host, host) for host in one.hosts}))
    return one.rule, hosts, one.severity, tuple(sorted(place.excerpt.strip() for place in one.evidence))


def _judged(one: Finding, was: Finding | None, lines: Lines) -> Judged:
    """A finding of the new side against what it was before."""
    added = tuple(place for place in one.evidence if lines.wrote(place))
    if was is None:
        return Judged(one, Standing.NEW, added)
    more = tuple(place for place in _beyond(added, one.evidence, was.evidence) if not is_comment(place.excerpt))
    if _RANK[one.severity] < _RANK[was.severity] or (more and len(one.evidence) > len(was.evidence)):
        return Judged(one, Standing.WORSENED, more)
    return Judged(one, Standing.KNOWN)


def _beyond(added: Iterable[Provenance], now: Iterable[Provenance], was: Iterable[Provenance]) -> Iterator[Provenance]:
    """Those of the places that were added whose text now stands more often than before: what only moved does not."""
    surplus = Counter(place.excerpt.strip() for place in now)
    surplus.subtract(place.excerpt.strip() for place in was)
    for place in added:
        text = place.excerpt.strip()
        if surplus[text] > 0:
            surplus[text] -= 1
            yield place


def old_gaps(
    compared: Iterable[Judged],
    unseen: Iterable[Coverage],
    before: Survey,
    going: Sequence[Going],
    lines: Lines,
    now: datetime,
) -> tuple[list[Judged], list[Finding]]:
    """Findings about what nobody saw, as old ones where the old side saw no more of it: the change is not the cause.

    Also returns those that are old for this reason.
    """
    result, unchanged = list(compared), []
    if not any(one.finding.rule == GAP and one.standing is Standing.NEW for one in result):
        return result, []
    # That nothing but its declaration names a host is no finding of this kind.
    rows, _ = covering.of_estate(before.reading, before.inventory, before.hosts, going, (), INVENTORY, now)
    was = {_gap_key(one, lines.path(one.path)) for one in rows if not one.seen}
    worse = {(one.source, one.outcome.value) for one in unseen if _gap_key(one, one.path) not in was}
    for at, one in enumerate(result):
        if one.finding.rule == GAP and one.standing is Standing.NEW and one.finding.identity[:2] not in worse:
            result[at] = Judged(one.finding, Standing.KNOWN)
            unchanged.append(one.finding)
    return result, unchanged


def _gap_key(one: Coverage, path: str) -> tuple[object, ...]:
    return one.source, one.area, one.outcome, path or one.what
