"""The semantics of impact in plain Python: sentence by sentence, slow, and without a thought for levels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from auditor.model import TRANSPARENT, Impact, Kind, Need, Relation

BIT = {Need.RUN: 1, Need.WRITE: 2, Need.READ: 4, Need.OBSERVE: 8}
ALL = 15


@dataclass(frozen=True)
class Arrow:
    consumer: int
    provider: int
    relation: Relation
    need: Need
    group: str = ""


def is_mention(arrow: Arrow) -> bool:
    return arrow.relation is Relation.MENTIONS


def is_transparent(arrow: Arrow) -> bool:
    return arrow.relation in TRANSPARENT


def only_observes(arrow: Arrow) -> bool:
    return arrow.need is Need.OBSERVE and not is_transparent(arrow) and not is_mention(arrow)


def cost(arrow: Arrow, lost: list[int], kinds: list[Kind], watchers: set[Kind]) -> int:
    there = lost[arrow.provider]
    if is_mention(arrow):
        return 0
    if is_transparent(arrow):
        return there
    if only_observes(arrow):
        return there & 8
    if not there & BIT[arrow.need]:
        return 0
    return ALL if kinds[arrow.consumer] in watchers else 7


def sets_of(arrows: list[Arrow], node: int) -> tuple[list[Arrow], list[list[Arrow]], list[Arrow]]:
    """The single edges of a node, its groups, and all that it observes."""
    single: list[Arrow] = []
    groups: dict[str, list[Arrow]] = defaultdict(list)
    observed: list[Arrow] = []
    for arrow in arrows:
        if arrow.consumer != node or is_mention(arrow):
            continue
        if arrow.group:
            groups[arrow.group].append(arrow)
        elif only_observes(arrow):
            observed.append(arrow)
        else:
            single.append(arrow)
    others = []
    for members in groups.values():
        if all(only_observes(member) for member in members):
            observed.extend(members)
        else:
            others.append(members)
    return single, others, observed


def common(members: list[Arrow], lost: list[int], kinds: list[Kind], watchers: set[Kind]) -> int:
    mask = ALL
    for member in members:
        mask &= cost(member, lost, kinds, watchers)
    return mask


def reference(
    kinds: list[Kind], arrows: list[Arrow], given: dict[int, int], watchers: set[Kind]
) -> tuple[list[int], list[Impact], list[int]]:
    """What every node lost, its impact, and what was thinned."""
    size = len(kinds)
    lost = [given.get(node, 0) for node in range(size)]
    sets = [sets_of(arrows, node) for node in range(size)]
    changed = True
    while changed:
        changed = False
        for node, (single, groups, observed) in enumerate(sets):
            mask = lost[node]
            for arrow in single:
                mask |= cost(arrow, lost, kinds, watchers)
            for members in groups:
                mask |= common(members, lost, kinds, watchers)
            if observed:
                mask |= common(observed, lost, kinds, watchers)
            if mask != lost[node]:
                lost[node] = mask
                changed = True

    thinned = [0] * size
    for node, (_, groups, observed) in enumerate(sets):
        for members in [*groups, observed]:
            some = 0
            for member in members:
                some |= cost(member, lost, kinds, watchers)
            if members:
                thinned[node] |= some & ~common(members, lost, kinds, watchers) & ~lost[node]
    changed = True
    while changed:
        changed = False
        for arrow in arrows:
            if is_transparent(arrow) and not arrow.group:
                more = thinned[arrow.consumer] | thinned[arrow.provider] & ~lost[arrow.consumer]
                if more != thinned[arrow.consumer]:
                    thinned[arrow.consumer] = more
                    changed = True

    impacts = [Impact.NONE] * size
    for arrow in arrows:
        if is_mention(arrow) and lost[arrow.provider]:
            impacts[arrow.consumer] = Impact.MENTIONED
    for arrow in arrows:
        alone = not arrow.group and not is_transparent(arrow) and not is_mention(arrow)
        if alone and thinned[arrow.provider] & BIT[arrow.need]:
            impacts[arrow.consumer] = Impact.DEGRADED
    for node, (_, groups, observed) in enumerate(sets):
        if thinned[node] or lost[node]:
            impacts[node] = Impact.DEGRADED
        blinded = bool(observed) and bool(common(observed, lost, kinds, watchers))
        for members in groups:
            if any(only_observes(member) for member in members) and common(members, lost, kinds, watchers) & 8:
                blinded = True
        if lost[node] & 8 and (blinded or kinds[node] in watchers):
            impacts[node] = Impact.BLIND
        if lost[node] & 7 == 7:
            impacts[node] = Impact.BROKEN
    return lost, impacts, thinned
