"""Whom an alert reaches: relabelled on its way, through the routes of Alertmanager, unless it is silent for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from auditor.api import (
    TEMPLATE,
    Confidence,
    Dependency,
    Entity,
    Kind,
    Parsed,
    Ref,
    Relation,
    is_loopback,
    split_endpoint,
)
from collectors.prometheus.alertmanager import Routing, holds, receivers_of
from collectors.prometheus.pool import Pool
from collectors.prometheus.promql import Matcher
from collectors.prometheus.relabel import Relabel, anchored, relabel
from collectors.prometheus.rules import RuleItem
from collectors.prometheus.servers import Piece, common_directories, same_host


def managers_of(piece: Piece, pool: Pool, managers: Sequence[Piece]) -> list[Piece]:
    """The Alertmanagers that get an alert: those that Prometheus names, else those beside the rules, else all."""
    named: list[Piece] = []
    for server in pool.servers:
        for address in server.managers:
            parts = split_endpoint(address)
            if parts is None:
                continue
            own = is_loopback(parts.host)
            named += (
                manager
                for manager in managers
                if (own and manager.source == server.piece.source) or same_host(parts.host, manager.source)
            )
    candidates = named or [manager for manager in managers if manager.source == piece.source] or list(managers)
    if len({manager.source for manager in candidates}) == 1 and not candidates[0].source:
        # A repository may hold several environments: the nearest one counts.
        nearest = max(common_directories(piece.path, manager.path) for manager in candidates)
        candidates = [manager for manager in candidates if common_directories(piece.path, manager.path) == nearest]
    return list(dict.fromkeys(candidates))


def notified(
    alert: Ref,
    piece: Piece,
    rule: RuleItem,
    pool: Pool,
    matched: int,
    hidden: bool,
    managers: Sequence[Piece],
    constants: Sequence[RuleItem],
) -> Iterator[Parsed]:
    """What becomes of an alert after it fires. `matched` are the targets it watches; `hidden`: perhaps others too."""
    where = piece.where(rule.where)
    external = _external(pool)
    labels = _Labels({**external, **dict(rule.labels), "alertname": rule.name}, rule.open_labels)
    labels.relabel(_alert_steps(pool))
    if labels.dropped:
        yield Entity(alert, where, {"muted": True, "muted_by": "alert_relabel_configs"})
        return
    unsure = False

    def decide(matcher: Matcher) -> bool | None:
        nonlocal unsure
        answer = labels.meets(matcher)
        if answer is None and matcher[0] in pool.labels and matched and matcher[0] not in labels.open:
            met = pool.mask(matcher, True) & matched
            answer = None if hidden or 0 < met.bit_count() < matched.bit_count() else met == matched
        unsure = unsure or answer is None
        return answer

    silences: list[str] = []
    for manager in managers:
        routing = manager.fragment.value
        assert isinstance(routing, Routing)
        unsure = False
        reached, _ = receivers_of(routing.root, decide)
        confidence = Confidence.MEDIUM if unsure and len({one.receiver for one in reached}) > 1 else Confidence.HIGH
        muting = [one.muted for one in reached]
        if muting and all(muting):
            silences.append(muting[0])
        elif silent := _inhibited(routing, decide, labels, constants, external):
            silences.append(silent)
        done = set()
        for one in reached:
            if one.receiver in done or one.receiver not in routing.receivers:
                continue
            done.add(one.receiver)
            yield Dependency(
                alert,
                Ref(Kind.RECEIVER, one.receiver, manager.source),
                Relation.NOTIFIES,
                manager.where(one.where),
                group="receivers",
                confidence=confidence,
            )
    if managers and len(silences) == len(managers):
        yield Entity(alert, where, {"muted": True, "muted_by": silences[0]})


class _Labels:
    """The labels of an alert as far as they are fixed: those with a value, and those that only a template or a series
    fills in (`open`)."""

    def __init__(self, fixed: Mapping[str, str], templated: Iterable[str]) -> None:
        self.open = set(templated)
        self.fixed = {name: value for name, value in fixed.items() if name not in self.open}
        self.gone: list[Relabel] = []
        self.dropped = False

    def value(self, label: str) -> str | None:
        """The value of a label, empty if an alert never has it; None if that is not known."""
        if label in self.open:
            return None
        if label in self.fixed:
            return self.fixed[label]
        if any((anchored(step.regex)(label) is not None) == (step.action == "labeldrop") for step in self.gone):
            return ""
        # A convention of rules alone: series do not have it.
        return "" if label == "severity" else None

    def meets(self, matcher: Matcher) -> bool | None:
        label, operator, value = matcher
        actual = self.value(label)
        return None if actual is None else holds(operator, value, actual)

    def relabel(self, steps: Iterable[Relabel]) -> None:
        """Follows `alert_relabel_configs`; a step that reads what is not known makes its target unknown."""
        for step in steps:
            if step.action in ("labeldrop", "labelkeep"):
                self.gone.append(step)
                dropped = step.action == "labeldrop"
                match = anchored(step.regex)
                self.fixed = {n: v for n, v in self.fixed.items() if (match(n) is None) == dropped}
                self.open = {name for name in self.open if (match(name) is None) == dropped}
                continue
            if step.action == "labelmap":
                continue
            read = [*step.source_labels, *([step.target_label] if step.action.endswith("equal") else [])]
            known = {name: value for name in read if (value := self.value(name)) is not None}
            if len(known) < len(set(read)):
                if step.action not in ("keep", "drop", "keepequal", "dropequal"):
                    self.open.add(step.target_label)
                continue
            left = relabel({**self.fixed, **known}, (step,))
            if left is None:
                self.dropped = True
                return
            if step.target_label and not step.action.endswith("equal"):
                self.open.discard(step.target_label)
            self.fixed = left


def _alert_steps(pool: Pool) -> tuple[Relabel, ...]:
    """What is done to alerts on their way, where all servers of the pool agree."""
    steps = {server.config.alert_steps for server in pool.servers}
    return next(iter(steps)) if len(steps) == 1 else ()


def _inhibited(
    routing: Routing,
    decide: Callable[[Matcher], bool | None],
    labels: _Labels,
    constants: Sequence[RuleItem],
    external: Mapping[str, str],
) -> str:
    """The alert that fires at all times and inhibits this one; empty if there is none.

    An alert that is itself a source of the rule is not inhibited by it (inhibit/inhibit.go).
    """
    for inhibition in routing.inhibitions:
        if not inhibition.source or not inhibition.target or not all(decide(one) for one in inhibition.target):
            continue
        if all(decide(one) is not False for one in inhibition.source):
            continue
        for source in constants:
            other = {**external, **dict(source.labels), "alertname": source.name}
            if all(
                holds(operator, value, other.get(label, "")) for label, operator, value in inhibition.source
            ) and all(labels.value(label) == other.get(label, "") for label in inhibition.equal):
                return source.name
    return ""


def _external(pool: Pool) -> dict[str, str]:
    """Labels that Prometheus adds to every alert, where all servers of the pool agree."""
    common: dict[str, str] | None = None
    for server in pool.servers:
        labels = {
            name: value for name, value in server.config.external_labels if "$" not in value and TEMPLATE not in value
        }
        common = labels if common is None else {name: v for name, v in common.items() if labels.get(name) == v}
    return common or {}
