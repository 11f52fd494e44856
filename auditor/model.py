"""The words of the project as frozen types: what was captured, what a parser says of it, and what a rule concludes.

Nothing here does I/O, and nothing here imports another room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeAlias

Attribute: TypeAlias = str | int | float | bool | tuple[str, ...]
"""A value that an entity may carry. Times are ISO 8601 strings in UTC, durations are seconds."""

NO_ATTRIBUTES: Final[Mapping[str, Attribute]] = MappingProxyType({})

EXCERPT_LIMIT: Final = 200
"""Characters of a line that are kept as evidence."""


class Outcome(StrEnum):
    """What became of one request. Only OK and ABSENT can mean "nothing there"."""

    OK = "ok"
    ABSENT = "absent"
    DENIED = "denied"
    UNREACHABLE = "unreachable"
    UNSUPPORTED = "unsupported"
    PARTIAL = "partial"
    UNSEEN = "unseen"
    """Nobody asked: no capture, and no word in the inventory that there is nothing."""


class Lifecycle(StrEnum):
    """What a host still is, or is asked about as if it were."""

    ACTIVE = "active"
    READ_ONLY = "read-only"
    RETIRING = "retiring"
    RETIRED = "retired"


class Need(StrEnum):
    """What a consumer requires of the other end of a dependency."""

    RUN = "run"
    WRITE = "write"
    READ = "read"
    OBSERVE = "observe"


class Impact(StrEnum):
    """What a scenario does to a node."""

    NONE = "none"
    MENTIONED = "mentioned"
    DEGRADED = "degraded"
    BLIND = "blind"
    BROKEN = "broken"


class Severity(StrEnum):
    """What a finding does to the verdict: only BLOCK blocks."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"


class Confidence(StrEnum):
    """How sure the finding is that the reference is what it looks like, apart from how bad it would be."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Verdict(StrEnum):
    """The answer. A gap in coverage that a rule needs makes it INCOMPLETE, never CLEAR."""

    CLEAR = "CLEAR"
    BLOCKED = "BLOCKED"
    INCOMPLETE = "INCOMPLETE"


class Area(StrEnum):
    """The parts of a checklist, in the order of urgency."""

    RENEWAL = "renewal"
    MONITORING = "monitoring"
    SCHEDULES = "schedules"
    WEBHOOKS = "webhooks"
    NAMES = "names"
    TRAFFIC = "traffic"
    IDENTITY = "identity"
    STORAGE = "storage"
    CONFIGURATION = "configuration"
    LOGS = "logs"
    MENTIONS = "mentions"
    COVERAGE = "coverage"


class Kind(StrEnum):
    """What a node is.

    LOCAL kinds (see `is_local`) belong to the host or tree whose capture named them: `/etc/cron.d/certbot` on two
    hosts is two nodes. The others are one node wherever they are named.
    """

    HOST = "host"
    NAME = "name"
    ADDRESS = "address"
    ENDPOINT = "endpoint"
    ZONE = "zone"
    RECORD = "record"
    GROUP = "group"
    PLAYBOOK = "playbook"
    CERTIFICATE = "certificate"
    WEBHOOK = "webhook"
    DOCUMENT = "document"
    PROCEDURE = "procedure"
    PATH = "path"
    MOUNT = "mount"
    JOB = "job"
    UNIT = "unit"
    CLIENT = "client"
    LINEAGE = "lineage"
    SCRAPE = "scrape"
    ALERT = "alert"
    PROBE = "probe"
    ROUTE = "route"
    RECEIVER = "receiver"
    SILENCE = "silence"
    SERVICE = "service"

    @property
    def is_local(self) -> bool:
        """Whether equal texts on two hosts are two nodes."""
        return self in _LOCAL


_LOCAL: Final = frozenset(
    {
        Kind.PATH,
        Kind.MOUNT,
        Kind.JOB,
        Kind.UNIT,
        Kind.CLIENT,
        Kind.LINEAGE,
        Kind.SCRAPE,
        Kind.ALERT,
        Kind.PROBE,
        Kind.ROUTE,
        Kind.RECEIVER,
        Kind.SILENCE,
        Kind.SERVICE,
    }
)


class Relation(StrEnum):
    """How a consumer depends on a provider. Always read "CONSUMER <relation> PROVIDER".

    Also the unit of coverage: a collector provides relations, a rule needs them.
    """

    STANDS_FOR = "stands-for"  # name or address -> host; endpoint -> name or address; path -> mount or host
    RESOLVES = "resolves"  # name -> name (CNAME, ALIAS) or address (A, AAAA)
    RECORDS = "records"  # DNS record (MX, SRV, NS, TXT/SPF, PTR, CAA, ...) -> name or address
    RUNS_ON = "runs-on"  # job, unit, client, lineage, receiver, alert -> host
    CALLS = "calls"  # job -> unit or script; script -> script or client (PATH, UNIT, CLIENT)
    TRIGGERED_BY = "triggered-by"  # made by the linker as the inverse of CALLS: alternatives, one is enough
    CONNECTS = "connects"  # job, script, service -> endpoint, name or address
    READS = "reads"  # -> path
    WRITES = "writes"  # -> path
    MOUNTS = "mounts"  # mount -> the host or name that exports it
    RENEWED_BY = "renewed-by"  # lineage -> client (certbot), or a job
    VALIDATED_THROUGH = "validated-through"  # lineage -> path (webroot), name (_acme-challenge), endpoint
    DEPLOYED_BY = "deployed-by"  # lineage -> hook (PATH), endpoint
    ISSUED_BY = "issued-by"  # lineage -> CA endpoint
    CERTIFIED_BY = "certified-by"  # certificate -> lineage; made by the linker where a lineage holds the file
    SERVES = "serves"  # name, endpoint or service -> certificate
    STORED_AT = "stored-at"  # certificate -> path
    WATCHES = "watches"  # alert or probe or scrape -> what it observes
    SILENCES = "silences"  # silence -> what its alerts watch
    NOTIFIES = "notifies"  # alert -> receiver; receiver -> endpoint
    DELIVERS = "delivers"  # webhook -> endpoint
    MEMBER = "member"  # group -> host (alternatives)
    SELECTS = "selects"  # playbook, job -> group
    BACKED_BY = "backed-by"  # load balancer or proxy -> its back ends
    MENTIONS = "mentions"  # document -> host


TRANSPARENT: Final = frozenset({Relation.STANDS_FOR, Relation.RESOLVES})
"""Relations that only pass on what their provider can still do: a name is as good as what it stands for."""

DEFAULT_NEED: Final[Mapping[Relation, Need]] = MappingProxyType(
    {
        Relation.STANDS_FOR: Need.READ,
        Relation.RESOLVES: Need.READ,
        Relation.RECORDS: Need.READ,
        Relation.RUNS_ON: Need.RUN,
        Relation.CALLS: Need.RUN,
        Relation.TRIGGERED_BY: Need.RUN,
        Relation.CONNECTS: Need.READ,
        Relation.READS: Need.READ,
        Relation.WRITES: Need.WRITE,
        Relation.MOUNTS: Need.READ,
        Relation.RENEWED_BY: Need.RUN,
        Relation.VALIDATED_THROUGH: Need.WRITE,
        Relation.DEPLOYED_BY: Need.RUN,
        Relation.ISSUED_BY: Need.READ,
        Relation.CERTIFIED_BY: Need.RUN,
        Relation.SERVES: Need.READ,
        Relation.STORED_AT: Need.READ,
        Relation.WATCHES: Need.OBSERVE,
        Relation.SILENCES: Need.OBSERVE,
        Relation.NOTIFIES: Need.READ,
        Relation.DELIVERS: Need.READ,
        Relation.MEMBER: Need.READ,
        Relation.SELECTS: Need.READ,
        Relation.BACKED_BY: Need.READ,
        Relation.MENTIONS: Need.READ,
    }
)


@dataclass(frozen=True, slots=True)
class Ref:
    """An identity as it was written.

    `scope` is empty for "where it was written": the linker then fills in the host (or tree) of the capture for
    local kinds. `Ref(Kind.HOST, "")` is the host the capture was taken from.
    """

    kind: Kind
    text: str
    scope: str = ""


THIS_HOST: Final = Ref(Kind.HOST, "")


@dataclass(frozen=True, slots=True)
class Where:
    """A place inside one document. `line` counts from 1; 0 is the whole document.

    `path` is set only if the place is in another document than the one being parsed (facts made by `combine`);
    `api` is a path inside a structured answer, such as `$.config.url`.
    """

    line: int = 0
    excerpt: str = ""
    path: str = ""
    api: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """A node and what is known of it."""

    ref: Ref
    where: Where
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: NO_ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Dependency:
    """An edge from a consumer to what it needs.

    Edges of one consumer with the same non-empty `group` are alternatives: one of them is enough.
    `need` defaults to the relation's own (`DEFAULT_NEED`).
    """

    consumer: Ref
    provider: Ref
    relation: Relation
    where: Where
    need: Need | None = None
    group: str = ""
    confidence: Confidence = Confidence.HIGH

    @property
    def required(self) -> Need:
        """The need, explicit or by the relation."""
        return self.need or DEFAULT_NEED[self.relation]


Fact: TypeAlias = Entity | Dependency


@dataclass(frozen=True, slots=True)
class Malformed:
    """A place that a parser could not read: where, why, and what the program itself would do with it."""

    where: Where
    reason: str
    effect: str = ""
    whole: bool = False
    """Whether nothing of the document could be used (cron ignores the file, the XML is cut off)."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece that means something only together with other files (a drop-in, an $INCLUDE, a file_sd list).

    `value` is private to the collector that made it, and must be hashable.
    """

    kind: str
    value: object
    where: Where
    source: str = ""
    path: str = ""


Parsed: TypeAlias = Fact | Malformed | Fragment


@dataclass(frozen=True, slots=True)
class Document:
    """What a parser gets: bytes and the path they had.

    `path` is absolute for a file of a host (`/etc/cron.d/certbot`), relative in a tree or repository
    (`roles/web/files/renew.cron`).
    """

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """One file or answer of a source. `estate_path` is relative to the estate's root."""

    estate_path: str
    source: str
    path: str
    outcome: Outcome
    collected_at: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a statement comes from: a file of the estate, a line in it, and the text that stood there."""

    path: str
    line: int = 0
    excerpt: str = ""
    collected_at: str | None = None
    api: str = ""
    estate: str = ""
    """Which estate it is in, where several are read as one."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One line of "what was looked at, and with which outcome"."""

    source: str
    area: Area
    what: str
    outcome: Outcome
    count: int = 0
    detail: str = ""
    path: str = ""
    line: int = 0
    provides: tuple[str, ...] = ()
    """The relations that can be learnt from it."""
    needed: bool = True
    """Whether a gap here rules out CLEAR."""
    recorded: bool = False
    """Whether the collection itself wrote it down (`captures.jsonl`)."""
    estate: str = ""
    """Which estate it speaks of, where several are read as one."""
    hosts: tuple[str, ...] = ()
    """The hosts that it speaks of, where these are several and no single source: all of them."""

    @property
    def seen(self) -> bool:
        """Whether "nothing there" may be concluded from it."""
        return self.outcome in (Outcome.OK, Outcome.ABSENT)


@dataclass(frozen=True, slots=True)
class FleetPart:
    """One kind of what a host may need another for (its schedules, its mounts), over all hosts that stay."""

    what: str
    area: Area
    seen: int
    """Hosts of which something of it was read."""
    none: int
    """Hosts that have none of it, as their whole collection, a record of it or the inventory says."""
    unknown: int
    """Hosts of which nobody knows."""


@dataclass(frozen=True, slots=True)
class FleetGap:
    """Hosts that stay and of which nobody knows the same parts."""

    parts: tuple[str, ...]
    hosts: tuple[str, ...]
    """Numbered ones as a range: `api[001:340].example.net`."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How far the hosts that stay were looked into: what goes may be needed there."""

    hosts: int
    whole: int
    """Those that a collection looked into from end to end."""
    parts: tuple[FleetPart, ...]
    gaps: tuple[FleetGap, ...] = ()
    """Each host once of which something is not known, the largest group first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something of ours that went wrong: a crashed rule, a plugin that does not load. Rules out CLEAR."""

    what: str
    error: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One edge of a path, from consumer to provider, for people to read."""

    consumer: str
    relation: str
    provider: str
    note: str = ""
    evidence: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's statement about a node, with evidence.

    `identity` holds what makes this finding the same one tomorrow (never a line number or a time): the fingerprint
    is taken over rule and identity.
    """

    rule: str
    area: Area
    severity: Severity
    confidence: Confidence
    subject: str
    identity: tuple[str, ...]
    message: str
    why: str
    action: str
    impact: Impact
    evidence: tuple[Provenance, ...]
    path: tuple[Step, ...] = ()
    hosts: tuple[str, ...] = ()
    deadline: datetime | None = None

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError(f"rule {self.rule}: a finding without evidence ({self.message})")

    @property
    def fingerprint(self) -> str:
        """Stable for as long as the same rule says the same of the same thing: 16 hex digits of SHA-256."""
        return sha256("\x1f".join((self.rule, *self.identity)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Going:
    """One host of the scenario: what is to happen to it, and from where we know."""

    host: str
    lifecycle: Lifecycle
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    successor: str = ""
    since: str = ""
    origin: str = "asked"
    on: str = ""
    """The day on which it is to happen, ISO 8601, if the inventory declares one."""


class Aside(StrEnum):
    """Why a finding does not count."""

    WAIVED = "waived"
    KNOWN = "known"
    """It stands in the baseline."""
    OFF = "off"
    """The policy has switched off what found it."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A finding that does not count, and who has decided that. It is shown all the same."""

    finding: Finding
    why: Aside
    where: Provenance
    """The place in the policy or the baseline."""
    reason: str = ""
    owner: str = ""
    expires: str = ""
    """The last day on which a waiver holds, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A finding of an earlier time, as it was written down."""

    fingerprint: str
    rule: str
    area: Area
    severity: Severity
    subject: str
    message: str
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyUse:
    """What a policy and a baseline did in this run."""

    path: str = ""
    """The policy; empty if there is none."""
    digest: str = ""
    """SHA-256 of the policy's bytes, in hex."""
    changes: tuple[str, ...] = ()
    """What it changes, in words, each with its place."""
    unused: tuple[Provenance, ...] = ()
    """Waivers that no finding met, though they could have."""
    baseline: str = ""
    """The file of known findings; empty if there is none."""
    gone: tuple[Earlier, ...] = ()
    """What the baseline knows and is no more."""
    unseen: tuple[Earlier, ...] = ()
    """What the baseline knows and this run could not see again."""


class Phase(StrEnum):
    """Which of its two questions a checklist asks."""

    BEFORE = "before"
    """What still depends on a host that is to go?"""
    AFTER = "after"
    """Is it gone, and does nothing refer to it any more?"""


class Answer(StrEnum):
    """What somebody says to a manual item."""

    YES = "yes"
    NO = "no"
    NOT_APPLICABLE = "na"


@dataclass(frozen=True, slots=True)
class ManualItem:
    """A question of the checklist that no machine can answer."""

    id: str
    text: str
    who: str
    """The role that answers it."""
    evidence: str = ""
    """What is wanted to show for it; empty if a word is enough."""
    phase: Phase = Phase.BEFORE


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a manual item, and by whom."""

    item: str
    answer: Answer
    by: str
    time: str
    """ISO 8601, UTC."""
    note: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """Who has signed off an area of the checklist, and when."""

    by: str
    time: str
    """ISO 8601, UTC."""
    note: str = ""
    against: tuple[str, ...] = ()
    """What spoke against it, in words."""
    despite: str = ""
    """Why it was signed all the same."""
    current: bool = True
    """Whether the area still is as it was signed."""


ALWAYS_SEEN: Final = frozenset(
    {Area.RENEWAL, Area.MONITORING, Area.SCHEDULES, Area.WEBHOOKS, Area.NAMES, Area.STORAGE, Area.COVERAGE}
)
"""Areas of which something must have been seen, whatever a profile says; of coverage, each host that stays."""


@dataclass(frozen=True, slots=True)
class ChecklistArea:
    """A part of the checklist, as a profile has it: what rules find in it, and what people are asked."""

    id: str
    title: str
    covers: tuple[Area, ...] = ()
    rules: tuple[str, ...] = ()
    """Rules, by id, that belong here whatever their own area is."""
    owner: str = ""
    """The role that signs it off, unless the inventory names somebody."""
    items: tuple[ManualItem, ...] = ()
    must_see: bool = False
    """Whether the verdict can't be CLEAR where nothing of it was seen."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The areas of a checklist, in their order. Each `Area` is covered by one of them."""

    name: str
    areas: tuple[ChecklistArea, ...]
    digest: str = ""
    """SHA-256 of its file's bytes, in hex; empty for the plain one."""

    def area_of(self, rule: str, area: Area) -> ChecklistArea:
        """Where a rule's findings and runs belong."""
        return next(
            (one for one in self.areas if rule in one.rules),
            next(one for one in self.areas if area in one.covers),
        )

    @property
    def must_see(self) -> frozenset[Area]:
        """The areas of which something must have been seen."""
        return frozenset(covered for area in self.areas if area.must_see for covered in area.covers)

    def items(self, phase: Phase) -> tuple[ManualItem, ...]:
        """All manual items of a phase."""
        return tuple(item for area in self.areas for item in area.items if item.phase is phase)


PLAIN: Final = Profile("plain", tuple(ChecklistArea(area.value, area.value, (area,)) for area in Area))
"""One area for each `Area`, and nothing to answer."""


@dataclass(frozen=True, slots=True)
class SinceLast:
    """What differs from the last run that was kept: by fingerprint."""

    time: str
    """When that was, ISO 8601, UTC."""
    new: frozenset[str]
    fixed: tuple[Earlier, ...] = ()
    aside: tuple[Earlier, ...] = ()
    """What counted then, and is set aside now."""
    unseen: tuple[Earlier, ...] = ()
    """What was found then, and this run could not see again."""


@dataclass(frozen=True, slots=True)
class RuleRun:
    """What a rule did in this run, so that a renderer can show areas that were clean and areas not looked at."""

    rule: str
    title: str
    area: Area
    findings: int
    looked_at: bool
    missing: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    """What it looked at and found as it should be, each with its count: `340 of 340 servers hold …`."""
    off: str = ""
    """Where and why a policy has switched it off; empty if it counts."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that a renderer needs: no renderer filters, reads files or asks the clock."""

    verdict: Verdict
    going: tuple[Going, ...]
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...]
    failures: tuple[Failure, ...]
    rules: tuple[RuleRun, ...]
    now: datetime
    on: datetime | None
    estate: str
    counts: Mapping[str, int] = field(default_factory=dict)
    aside: tuple[SetAside, ...] = ()
    """What was found and does not count."""
    policy: PolicyUse = PolicyUse()
    profile: Profile = PLAIN
    phase: Phase = Phase.BEFORE
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who signs off each area of the profile, by its id. Areas of which nobody says so are missing."""
    signers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Who may sign an area off, where the inventory names them."""
    answers: Mapping[str, Answered] = field(default_factory=dict)
    """What was answered so far, by the item's id."""
    signed: Mapping[str, Signed] = field(default_factory=dict)
    """The newest signature of each area that has one, by the area's id."""
    since: SinceLast | None = None
    """What differs from the last run that was kept; None if there is none."""
    digest: str = ""
    """SHA-256 over the names and contents of all files that were read, in hex; empty if nobody asked for it."""
    fleet: Fleet | None = None
    """The hosts that stay; None if none is known."""
