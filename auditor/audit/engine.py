"""Reads an estate, links it, asks every rule, and draws the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from auditor.api import Collector, Rule
from auditor.audit import coverage as covering
from auditor.audit import scenario
from auditor.audit.mentioned import links_of, look_for_mentions
from auditor.audit.observed import observe_hosts, observe_tags, sightings
from auditor.audit.sight import blind_to
from auditor.audit.staying import undeclared
from auditor.capture.estates import open_estates, read_inventory
from auditor.capture.reading import Reading, Templates, documents, items, machines, read_estate
from auditor.capture.tree import INVENTORY, Tree
from auditor.errors import AuditorError, EstateError, UsageError
from auditor.graph.hosts import HostTable, Identity, identities, stems_of
from auditor.graph.instances import declare_instances
from auditor.model import (
    PLAIN,
    Area,
    Coverage,
    Dependency,
    Entity,
    Failure,
    Finding,
    Going,
    Kind,
    Lifecycle,
    Outcome,
    Parsed,
    Phase,
    Profile,
    Provenance,
    Ref,
    Relation,
    Report,
    RuleRun,
    Severity,
    Verdict,
)
from auditor.phrases import listed, without_arns
from auditor.policy import POLICY
from auditor.policy.decisions import named_beside, settle, too_many
from auditor.recovery import Recovery
from auditor.text import is_address, is_comment, normal_address

if TYPE_CHECKING:
    from auditor.audit.kept import KeptEstates
    from auditor.audit.ready import Ready
    from auditor.graph.resolved import Resolved
    from auditor.graph.view import View
    from auditor.inventory.schema import Inventory
    from auditor.policy.decisions import Baseline, Policy

INVENTORY_LIMIT = 16 * 1024 * 1024
EMPTY_HINT = "Is the path right? `auditor collect` fills an estate, and `auditor init` begins one."
MENTION = "mention"
DULLER = ("depends-on-going-host", MENTION)
"""Rules that say only what none before them has shown: asked after all others, in this order."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an estate. Without hosts: all that the inventory declares as going."""

    estate: Path
    hosts: tuple[scenario.Asked, ...]
    lifecycle: Lifecycle | None
    now: datetime
    on: datetime | None = None
    merged: tuple[Path, ...] = ()
    """More estates, which are read as one with the first."""
    max_age: timedelta | None = None
    """How old a capture may be, to be taken for what is there now."""
    going_required: bool = True
    """Whether an estate of which no host is going is an error, rather than one where nothing happens."""
    policy: Policy | None = None
    baseline: Baseline | None = None
    policy_beside: bool = False
    """Whether the policy beside the inventory counts, if no other is given."""
    confirmed: int | None = None
    """How many hosts may be going. None: as many as there are; 0: as many as the policy lets go unasked."""
    profile: Profile | None = PLAIN
    """None: the one that the policy names, or the built-in one."""
    phase: Phase = Phase.BEFORE
    digest: bool = False
    """Whether the report is to hold a digest of all that was read."""
    own: tuple[str, ...] = ()
    """Files inside the estate that are about it and not of it, by their estate paths."""
    cache: Path | None = None
    """A directory with what was parsed before, for whoever calls for the audit."""


_Said = TypeVar("_Said")

Remembered: TypeAlias = tuple[str, str, str | None, Parsed]
"""A fact with the host it is about (or nothing), its estate path and when it was captured."""


@dataclass(slots=True)
class Survey:
    """An estate that was read, with the machines that are in it: no scenario yet."""

    tree: Tree
    inventory: Inventory | None
    reading: Reading
    hosts: HostTable


@dataclass(slots=True)
class Audited:
    """A run's result, with the graph for whoever wants to look closer."""

    report: Report
    view: View
    reading: Reading


def audit(
    request: Request,
    collectors: Sequence[Collector],
    rules: Sequence[Rule],
    failures: Iterable[Failure] = (),
    *,
    known: Templates | None = None,
    kept: KeptEstates | None = None,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Audited:
    """Runs an audit. `known` is as for `survey`; `kept` has packed estates as they were linked before.

    Raises EstateError or UsageError for what makes no sense; all else ends in the report.
    """
    if kept is not None and not kept.may_have((request.estate, *request.merged), request.hosts):
        kept = None
    ready = kept.find(request.estate, request.own) if kept is not None else None
    tree = ready.tree if ready is not None else open_tree((request.estate, *request.merged))
    tree.leave_out(request.own)
    if request.policy_beside and request.policy is None:
        request = replace(request, policy=policy_beside(tree, rules, request.now))
    if request.profile is None:
        request = replace(request, profile=_profile(request.policy))
    if request.max_age is None and request.policy is not None and request.policy.document.max_age is not None:
        request = replace(request, max_age=timedelta(seconds=request.policy.document.max_age))
    if ready is not None:
        found = _survey_of(ready, request.now)
    else:
        found = survey(tree, collectors, request.now, known=known, progress=progress)
        if kept is not None:
            ready = _linked(found, progress)
            kept.keep(ready)
    if ready is None:
        return judge(found, request, rules, failures, progress=progress)
    if not ready.fits(request.hosts):
        # The linking has to know of them before.
        return audit(request, collectors, rules, failures, known=known, progress=progress)
    ready.learn(request.hosts)
    return answer(
        found,
        ready.linked,
        _names(found.hosts, request, declares=found.inventory is not None),
        request,
        rules,
        failures,
        progress=progress,
    )


def _survey_of(ready: Ready, now: datetime) -> Survey:
    inventory = load_from(ready.tree, now=now)
    if inventory is not None:
        ready.tree.leave_out((POLICY,))
    return Survey(ready.tree, inventory, ready.reading, ready.hosts)


def _linked(found: Survey, progress: Callable[[str, int], None]) -> Ready:
    """What was read, linked as it is for any question."""
    from auditor.audit.ready import Ready

    before = frozenset(found.hosts.indexes()[0])
    return Ready(found.tree, found.reading, found.hosts, link(found, (), progress), before)


def open_tree(paths: Sequence[Path]) -> Tree:
    """One estate, or several as one, each with the time that it states. Raises EstateError."""
    return open_estates(paths, _stated_time)


def policy_beside(tree: Tree, rules: Sequence[Rule], now: datetime) -> Policy | None:
    """The policy beside the inventory of an estate; None if there is none. Raises PolicyError, EstateError."""
    try:
        if not tree.has_inventory() or tree.own_file(POLICY, 1) is None:
            return None
    except OSError as error:
        raise EstateError(f"{tree.called(POLICY)}: can't be read: {error.strerror}") from error
    from auditor.policy.loading import policy_in

    return policy_in(tree, rules, now)


def survey(
    tree: Tree,
    collectors: Sequence[Collector],
    now: datetime,
    *,
    known: Templates | None = None,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Survey:
    """Reads an estate. `known` holds what was parsed before, and gets what is parsed now. Raises EstateError."""
    inventory = load_from(tree, now=now)
    if inventory is not None:
        tree.leave_out((POLICY,))
    reading = read_estate(tree, collectors, progress=lambda count: progress("reading", count), known=known)

    hosts = HostTable(tuple(inventory.domains) if inventory else ())
    if inventory is not None:
        from auditor.inventory.facts import declare_hosts

        declare_hosts(inventory, hosts, INVENTORY)
    # Full names first: `web01` beside `web01.example.org` is the same machine, captured twice.
    captured = [name for stands_for in tree.sources.values() for name in stands_for]
    shorts = Counter(name.split(".", 1)[0] for name in captured if "." in name)
    for name in sorted(captured, key=lambda one: "." not in one):
        alone = shorts[name.split(".", 1)[0]] == 1
        (hosts.add_full if alone else hosts.add)(name, "captured")
    instances: list[tuple[Entity, Provenance]] = []
    for _, estate_path, _, item in machines(reading):
        if item.ref.text and "known_as" not in item.attributes:
            where = Provenance(estate_path, item.where.line, item.where.excerpt)
            if "instance_id" in item.attributes:
                instances.append((item, where))
            else:
                hosts.add(item.ref.text, str(item.attributes.get("origin", "configuration")), where)
    if instances:
        declare_instances(hosts, instances)
    observe_hosts(reading, hosts, instances)
    observe_tags(hosts, instances, inventory.lifecycle_tags if inventory is not None else None)
    return Survey(tree, inventory, reading, hosts)


def judge(
    found: Survey,
    request: Request,
    rules: Sequence[Rule],
    failures: Iterable[Failure] = (),
    *,
    remembered: Sequence[Remembered] = (),
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Audited:
    """Asks the rules what a scenario does to an estate, which is thereby used up: its machines learn what was asked.

    `remembered` are facts that its files no longer hold. Raises EstateError, UsageError.
    """
    _learn_asked(found.reading, found.hosts, [one.name for one in request.hosts])
    names = _names(found.hosts, request, declares=found.inventory is not None)
    linked = link(found, remembered, progress)
    return answer(found, linked, names, request, rules, failures, progress=progress)


def _names(hosts: HostTable, request: Request, *, declares: bool) -> list[str]:
    """The machines that are going, which the table thereby learns. Raises EstateError, UsageError."""
    names = scenario.register(hosts, request.hosts) if request.hosts else scenario.declared(hosts)
    if not names and request.going_required:
        raise EstateError(
            f"{request.estate}: no host is declared as retired, retiring or read-only, or was seen or is tagged so",
            hint="Name a host, `auditor checklist HOST --estate DIR`, or declare it in the inventory"
            + ("." if declares else ", which is not there yet: `auditor init DIR` begins one."),
        )
    return names


def link(found: Survey, remembered: Sequence[Remembered], progress: Callable[[str, int], None]) -> Resolved:
    """Links what was read, and draws the conclusions."""
    from auditor.graph.link import Linker

    inventory, reading, hosts = found.inventory, found.reading, found.hosts
    linker = Linker(hosts, inventory.domains if inventory else ())
    linker.context(chain(_by_host(reading, hosts, machines(reading)), remembered))
    for host, estate_path, collected_at, facts in _by_host(reading, hosts, documents(reading)):
        linker.add_all(host, estate_path, collected_at, facts)
    for host, estate_path, collected_at, item in remembered:
        linker.add(host, estate_path, collected_at, item)
    if inventory is not None:
        from auditor.inventory.facts import declare_facts

        declare_facts(inventory, linker, INVENTORY)
    for name, record in hosts.records.items():
        node = linker.require(Ref(Kind.HOST, name))
        if record.provenance is not None and record.provenance.path == INVENTORY:
            linker.describe(node, {}, record.provenance)
        if record.tagged is not None:
            linker.describe(node, {"tagged": record.tagged.value, "lifecycle_tag": record.tag}, None)
    progress("linking", 0)
    linker.resolve()
    return linker.resolved()


def answer(
    found: Survey,
    resolved: Resolved,
    names: Sequence[str],
    request: Request,
    rules: Sequence[Rule],
    failures: Iterable[Failure] = (),
    *,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Audited:
    """Asks the rules what becomes of an estate that was linked, if these machines go. It is thereby used up."""
    from auditor.graph.view import View

    tree, inventory, reading, hosts = found.tree, found.inventory, found.reading, found.hosts
    wanted = _wanted(resolved, hosts, set(names))
    links = links_of(reading)
    called = look_for_mentions(reading, hosts, resolved, wanted, progress, inventory, links)
    without_machine = list(resolved.without_machine()) if inventory is not None else []
    linked = resolved.build()

    going = scenario.going(hosts, names, request.lifecycle, request.now, request.on)
    _ask(going, len(hosts.records), request)
    policy, profile = request.policy, request.profile or PLAIN
    covered, fleet = covering.of_estate(
        reading, inventory, hosts, going, resolved.identity_seen, INVENTORY, request.now, profile.must_see
    )
    if request.max_age is not None:
        covered = covering.aged(reading, hosts, going, covered, request.now, request.max_age)
    recovery = Recovery()
    if inventory is not None:
        canonical = covering.canonical_of(reading, hosts)
        covered = (*covered, *undeclared(reading, inventory, hosts, canonical, going, without_machine))
        from auditor.inventory.ways_back import declared_recovery

        recovery = declared_recovery(inventory, INVENTORY)
    if request.phase is Phase.AFTER:
        known = {name for name, record in hosts.records.items() if "inventory" in record.origins}
        covered = covering.afterwards(covered, going, known)
    seen = sightings(reading, hosts)
    view = View(linked, going, request.now, request.on, covered, recovery, seen, request.phase, links)
    if other := [
        *_names_of_others(view, going),
        *_words(hosts, names, {*called, *(identity.text for identity in wanted)}),
    ]:
        covered = (*covered, *other)
        view = View(linked, going, request.now, request.on, covered, recovery, seen, request.phase, links)
    rules = [rule for rule in rules if request.phase in rule.phases]
    findings, runs, crashes = _check(view, policy.configured(rules) if policy is not None else rules, progress)
    if request.merged:
        findings = tuple(_placed(one, tree) for one in findings)
        covered = tuple(
            replace(one, estate=tree.origin(one.path)) if one.path and not one.estate else one for one in covered
        )
    settled = settle(
        findings, runs, blind_to(reading), names, request.now, policy, request.baseline, phase=request.phase
    )
    findings, runs = settled.findings, settled.runs
    off = {f"rule {run.rule}" for run in runs if run.off}
    crashes = [one for one in crashes if one.what not in off]
    everything = (*failures, *reading.failures, *crashes, *settled.failures)
    report = Report(
        verdict=_verdict(findings, covered, runs, everything),
        going=going,
        findings=findings,
        coverage=covered,
        failures=tuple(everything),
        rules=runs,
        now=request.now,
        on=request.on,
        estate=tree.label,
        counts={
            "files": len(reading.bound),
            "hosts": len(hosts.records),
            "nodes": linked.graph.node_count,
            "dependencies": linked.graph.edge_count,
            "files_parsed": sum(bound.template.claimed for bound in reading.bound),
        },
        aside=settled.aside,
        policy=settled.use,
        profile=profile,
        phase=request.phase,
        owners=_owners(profile, inventory, going),
        digest=_digest(reading) if request.digest else "",
        signers={one.area: one.people for one in inventory.area_owners if one.people} if inventory is not None else {},
        fleet=fleet,
    )
    return Audited(report, view, reading)


def _profile(policy: Policy | None) -> Profile:
    if policy is None or policy.profile is None:
        from auditor.policy.built_in import built_in

        return built_in()
    from auditor.policy.profile import profile_of

    return profile_of(policy.profile, named_beside(policy.path, policy.document.profile or ""))


def _digest(reading: Reading) -> str:
    """SHA-256 over the path and content of each file, and over what was recorded of each that could not be had.

    Of the contents the digests count that were taken when they were read (BLAKE2b, 128 bits).
    """
    lines = [f"{bound.file.estate_path}\0{bound.template.digest.hex()}" for bound in reading.bound]
    lines += [f"{path}\0{one.outcome.value}" for path, one in reading.tree.captures.items()]
    return sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _ask(going: Iterable[Going], hosts: int, request: Request) -> None:
    """Refuses a scenario that looks like a mistake. Machines that are gone already, or seen to be so, do not count."""
    if request.confirmed is None:
        return
    count = sum(
        one.origin == "asked" or (one.origin in ("declared", "tagged") and one.lifecycle is not Lifecycle.RETIRED)
        for one in going
    )
    why = too_many(count, hosts, request.policy)
    if why and count > request.confirmed:
        raise UsageError(why, hint=f"If that is meant, add --confirm-hosts {count}.")


def _owners(profile: Profile, inventory: Inventory | None, going: Sequence[Going]) -> dict[str, str]:
    """Who signs off each area: as the inventory says of it, else the profile's role, else the owner of the hosts."""
    named = {one.area: one.owner for one in inventory.area_owners} if inventory is not None else {}
    areas = {area.id for area in profile.areas}
    for one in inventory.area_owners if inventory is not None and profile is not PLAIN else ():
        # Who may sign must not hang on how an id is spelt.
        if one.area not in areas:
            raise EstateError(
                f"{inventory.path if inventory else INVENTORY}:{one.line}: the checklist has no area `{one.area}`",
                hint=f"`area_owners` names areas of the profile {profile.name}: {', '.join(sorted(areas))}.",
            )
    of_hosts: set[str] = set()
    if inventory is not None:
        hosts = {one.host for one in going}
        of_hosts = {one.owner for one in inventory.expanded() if one.name in hosts and one.owner}
    nearest = listed(sorted(of_hosts), 9) or (inventory.owner if inventory is not None and inventory.owner else "")
    found = {area.id: named.get(area.id) or area.owner or nearest for area in profile.areas}
    return {area: owner for area, owner in found.items() if owner}


def load_from(tree: Tree, *, now: datetime | None = None) -> Inventory | None:
    """The inventory of an estate, if it has one. Raises EstateError, InventoryError."""
    content = read_inventory(tree, INVENTORY_LIMIT + 1)
    if content is None:
        return None
    from auditor.inventory.loading import loads

    return loads(content, tree.called(INVENTORY), now=now)


def _stated_time(tree: Tree) -> datetime | None:
    """When the files of a hand-made estate were collected, as its inventory says."""
    try:
        inventory = load_from(tree)
    except AuditorError:
        # It is read again, and told of, where it counts.
        return None
    return inventory.collected_at if inventory is not None else None


def _placed(finding: Finding, tree: Tree) -> Finding:
    """A finding whose evidence says in which of several estates it is."""

    def place(one: Provenance) -> Provenance:
        return replace(one, estate=tree.origin(one.path))

    steps = tuple(replace(step, evidence=place(step.evidence)) if step.evidence else step for step in finding.path)
    return replace(finding, evidence=tuple(place(one) for one in finding.evidence), path=steps)


def _learn_asked(reading: Reading, hosts: HostTable, asked: Iterable[str]) -> None:
    """An address that was asked and that no host claims is that of the one host to whose name DNS gives it."""
    unknown = {address for one in asked if (address := normal_address(one)) and not hosts.at(address)}
    if not unknown:
        return
    holders: dict[str, set[str]] = {}
    for _, _, _, _, item in items(reading):
        if type(item) is Dependency and item.relation is Relation.RESOLVES and item.provider.text in unknown:
            found = hosts.find(item.consumer.text)
            if found is not None and not is_address(found):
                holders.setdefault(item.provider.text, set()).add(found)
    for address, names in holders.items():
        if len(names) == 1:
            hosts.address(hosts.records[names.pop()], address)


def _by_host(
    reading: Reading, hosts: HostTable, placed: Iterable[tuple[str, str, str | None, _Said]]
) -> Iterator[tuple[str, str, str | None, _Said]]:
    """What sources say, once for each host that the source stands for."""
    canonical = covering.canonical_of(reading, hosts)
    for source, estate_path, collected_at, said in placed:
        for host in canonical.get(source, ("",)):
            yield host, estate_path, collected_at, said


def _wanted(linked: Resolved, hosts: HostTable, going: set[str]) -> list[Identity]:
    """What to look for in text: the hosts' own names, names that lead to them alone, groups that they leave empty."""
    for name, host in linked.aliases(going).items():
        hosts.records[host].names.setdefault(name, None)
    wanted = identities(hosts, going)
    stems = stems_of(hosts.records[name] for name in going)
    for group in linked.emptied_groups(going):
        if group in stems:
            wanted.append(Identity(group, "group", stems[group]))
    return wanted


def _names_of_others(view: View, going: Iterable[Going]) -> list[Coverage]:
    """What was asked, and by DNS is only another name of a machine that was not asked about."""
    asked = {one.host for one in going}
    rows = []
    for one in going:
        called = [one.host] if "." in one.host else [f"{one.host}.{domain}" for domain in sorted(view.own_domains())]
        nodes = [node for name in called if (node := view.find(Kind.NAME, name)) is not None]
        reached = {host.text for node in nodes for host in view.reaches(node)}
        if reached and one.host not in reached and not reached & asked:
            others = listed(sorted(reached))
            what = f"{one.host} is only a name of {others}, by DNS"
            how = f"If that machine is going, ask for {others}: what needs it under other names is not in here."
            rows.append(Coverage(one.host, Area.COVERAGE, what, Outcome.UNSEEN, detail=how))
    return rows


def _words(hosts: HostTable, names: Iterable[str], looked: Collection[str]) -> list[Coverage]:
    """Short names that were not looked for in text, since they may be words, or other machines."""
    vague = sorted({hosts.records[name].short for name in names if not is_address(name)}.difference(looked))
    if not vague:
        return []
    what = f"the short {'name' if len(vague) == 1 else 'names'} {listed(vague, 5)} in text of unknown format"
    search = " ".join(f"-e {one}" for one in vague[:5])
    why = (
        "Each may be an ordinary word or another host, and was taken for this one only where its place says that a "
        f"machine is meant. Look through the rest yourself: `grep -rniw {search}`."
    )
    return [Coverage("", Area.MENTIONS, what, Outcome.UNSEEN, len(vague), why, needed=False)]


def _readable(finding: Finding) -> Finding:
    """A finding with names as people say them; what it is about and its evidence stay as written."""
    said = f"{finding.message} {finding.why} {finding.action}"
    if "arn:" not in said and all("arn:" not in f"{one.consumer} {one.provider}" for one in finding.path):
        return finding
    return replace(
        finding,
        message=without_arns(finding.message),
        why=without_arns(finding.why),
        action=without_arns(finding.action),
        path=tuple(
            replace(one, consumer=without_arns(one.consumer), provider=without_arns(one.provider))
            for one in finding.path
        ),
    )


def _check(
    view: View, rules: Sequence[Rule], progress: Callable[[str, int], None]
) -> tuple[tuple[Finding, ...], tuple[RuleRun, ...], list[Failure]]:
    """Asks every rule. A rule that crashes is a failure, and what it found before is kept."""
    findings: list[Finding] = []
    runs = []
    crashes = []
    for count, rule in enumerate(sorted(rules, key=lambda one: DULLER.index(one.id) + 1 if one.id in DULLER else 0)):
        progress("rules", count)
        found: list[Finding] = []
        passed: list[str] = []
        missing: tuple[str, ...] = ()
        ended = True
        try:
            found.extend(map(_readable, rule.check(view)))
            missing = covering.missing(view, rule)
            passed.extend(rule.passed(view) if not missing else ())
        # A rule may be somebody's plugin: whatever it raises must end in the report.
        except Exception as error:  # noqa: BLE001
            ended = False
            crashes.append(
                Failure(
                    f"rule {rule.id}",
                    f"{type(error).__name__}: {error}",
                    "Its findings may be incomplete. Please report this.",
                )
            )
        if rule.id in DULLER:
            found = _unclaimed(found, view)
        if rule.id == MENTION:
            found = _without_comments(found, findings)
        findings.extend(found)
        view.show(place for one in found for place in one.evidence)
        looked_at = ended and not missing
        runs.append(RuleRun(rule.id, rule.title, rule.area, len(found), looked_at, missing, tuple(passed)))
    severity = list(Severity)
    unique = {(one.fingerprint, one.evidence): one for one in findings}
    ordered = sorted(
        unique.values(),
        key=lambda one: (
            severity.index(one.severity),
            one.deadline.timestamp() if one.deadline else float("inf"),
            one.rule,
            one.subject,
        ),
    )
    return tuple(ordered), tuple(sorted(runs, key=lambda run: run.rule)), crashes


def _unclaimed(duller: Iterable[Finding], view: View) -> list[Finding]:
    """Findings of lines that no other finding has shown already."""
    left = []
    for finding in duller:
        evidence = tuple(one for one in finding.evidence if not view.shown(one))
        if len(evidence) == len(finding.evidence):
            left.append(finding)
        elif evidence:
            left.append(replace(finding, evidence=evidence))
    return left


def _without_comments(mentions: Sequence[Finding], others: list[Finding]) -> list[Finding]:
    """Mentions without comments in a file of which another finding shows a line: that one gets them as evidence.

    Whoever mends what it shows has the file open. Of several findings the most severe one has them.
    """
    in_comments = {place.path for one in mentions for place in one.evidence if is_comment(place.excerpt)} - {INVENTORY}
    showing: dict[str, list[int]] = {}
    ranks = {one: at for at, one in enumerate(Severity)}
    for at in sorted(range(len(others)), key=lambda at: ranks[others[at].severity]):
        if others[at].area is not Area.COVERAGE:
            for path in {place.path for place in others[at].evidence} & in_comments:
                showing.setdefault(path, []).append(at)
    left = []
    for one in mentions:
        evidence = []
        for place in one.evidence:
            candidates = showing.get(place.path, ()) if is_comment(place.excerpt) else ()
            holder = next((at for at in candidates if not set(one.hosts).isdisjoint(others[at].hosts)), None)
            if holder is None:
                evidence.append(place)
            else:
                others[holder] = replace(others[holder], evidence=(*others[holder].evidence, place))
        if len(evidence) == len(one.evidence):
            left.append(one)
        elif evidence:
            left.append(replace(one, evidence=tuple(evidence)))
    return left


def _verdict(
    findings: Iterable[Finding],
    covered: Iterable[Coverage],
    runs: Iterable[RuleRun],
    failures: Iterable[Failure],
) -> Verdict:
    """BLOCKED by any blocker; INCOMPLETE by any gap or failure; CLEAR only if neither."""
    if any(one.severity is Severity.BLOCK for one in findings):
        return Verdict.BLOCKED
    if any(failures) or any(not run.looked_at and not run.off for run in runs):
        return Verdict.INCOMPLETE
    if any(one.needed and not one.seen for one in covered):
        return Verdict.INCOMPLETE
    return Verdict.CLEAR
