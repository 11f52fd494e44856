"""The only face of the auditor that collectors, rules and plugins import.

A collector says which documents are its own and turns each into facts, without any I/O. A rule asks an `EstateView`
and yields findings. Both are found by name through `auditor.registry`; third-party ones by the entry-point groups
`auditor.collectors` and `auditor.rules`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol, Self, TypeAlias

from auditor.jsonlines import read_json_lines
from auditor.model import (
    DEFAULT_NEED,
    EXCERPT_LIMIT,
    NO_ATTRIBUTES,
    THIS_HOST,
    Area,
    Attribute,
    Confidence,
    Coverage,
    Dependency,
    Document,
    Entity,
    Fact,
    Finding,
    Fragment,
    Going,
    Impact,
    Kind,
    Lifecycle,
    Malformed,
    Need,
    Outcome,
    Parsed,
    Phase,
    Provenance,
    Ref,
    Relation,
    Severity,
    Step,
    Where,
)
from auditor.patterns import Filler, lazy_pattern
from auditor.phrases import day, duration, listed, parse_time, plural, ranged, time_left
from auditor.recovery import Contact, KeyStore, OpenHours, Procedure, ProcedureStep, Recovery, Schedule, earliest
from auditor.redaction import public_part
from auditor.schedule import (
    CronDialect,
    CronSchedule,
    in_zone,
    interval,
    is_timer,
    last_elapse,
    next_run,
    previous_run,
    read_cron_schedule,
)
from auditor.settings import CHOSEN, Count, Period, Setting
from auditor.shell.commands import analyse_command, analyse_script
from auditor.systems import family_of, is_lsb_name
from auditor.text import (
    decode,
    endpoint_ref,
    excerpt,
    expand_range,
    host_ref,
    is_address,
    is_comment,
    is_hostname,
    is_loopback,
    normal_address,
    normal_name,
    read_spf,
    split_endpoint,
    split_words,
)
from auditor.yamlnodes import TEMPLATE, YamlNode, YamlProblem, YamlStream, read_yaml, without_templates

__all__ = [
    "DEFAULT_NEED",
    "EXCERPT_LIMIT",
    "NO_ATTRIBUTES",
    "TEMPLATE",
    "THIS_HOST",
    "Area",
    "Attribute",
    "Blast",
    "Collector",
    "Confidence",
    "Contact",
    "Count",
    "Coverage",
    "CronDialect",
    "CronSchedule",
    "Declared",
    "Dependency",
    "Document",
    "Edge",
    "Entity",
    "EstateView",
    "Fact",
    "Filler",
    "Finding",
    "Fragment",
    "Going",
    "Impact",
    "KeyStore",
    "Kind",
    "Lifecycle",
    "Malformed",
    "Need",
    "Node",
    "OpenHours",
    "Outcome",
    "Parsed",
    "Period",
    "Phase",
    "Procedure",
    "ProcedureStep",
    "Provenance",
    "Read",
    "Recovery",
    "Ref",
    "Relation",
    "Rule",
    "Schedule",
    "Setting",
    "Severity",
    "Sighting",
    "Step",
    "Where",
    "YamlNode",
    "YamlProblem",
    "YamlStream",
    "analyse_command",
    "analyse_script",
    "day",
    "decode",
    "duration",
    "earliest",
    "endpoint_ref",
    "excerpt",
    "expand_range",
    "family_of",
    "host_ref",
    "in_zone",
    "interval",
    "is_address",
    "is_comment",
    "is_hostname",
    "is_loopback",
    "is_lsb_name",
    "is_timer",
    "last_elapse",
    "lazy_pattern",
    "listed",
    "next_run",
    "normal_address",
    "normal_name",
    "parse_time",
    "plural",
    "previous_run",
    "public_part",
    "ranged",
    "read_cron_schedule",
    "read_json_lines",
    "read_spf",
    "read_yaml",
    "split_endpoint",
    "split_words",
    "time_left",
    "without_templates",
]

Read: TypeAlias = Callable[[str], bytes | None]
"""Reads another document of the same source by its path; None if it was not captured. Never leaves the source."""


class Collector(ABC):
    """One source format: which documents are its own, and what they say.

    Everything here is pure. `parse` must depend on nothing but path and content: the result is kept and used for
    every host that has the same file.
    """

    name: ClassVar[str]
    """Short and unique, as in the registry's table."""
    title: ClassVar[str]
    """What it reads, for people."""
    area: ClassVar[Area]
    """The area of the checklist that a gap in it leaves unseen."""
    provides: ClassVar[frozenset[Relation]]
    across_sources: ClassVar[bool] = False
    """Whether `combine` sees the fragments of the whole estate at once, instead of one source at a time.

    Then each fragment's `path` is relative to the estate's root, a `Where.path` that is made from it likewise, and a
    reference of a local kind must say its scope: the fragment's `source`.
    """

    @abstractmethod
    def recognizes(self, path: str, head: bytes) -> bool:
        """Whether a document is of this format. `head` is its first 4096 bytes. Must be cheap: it sees every file."""

    @abstractmethod
    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts, malformed places and fragments of one document. Never raises on bad content."""

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Facts that need several documents together. Called once a source (or once an estate, see above)."""
        return iter(())


class Node(Protocol):
    """A node as a rule sees it."""

    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def text(self) -> str: ...
    @property
    def scope(self) -> str:
        """The host (or tree) that a local node belongs to; empty for global ones."""
        ...

    @property
    def label(self) -> str:
        """How people call it, such as `/etc/cron.d/certbot: root certbot renew on legacy-cert-01`."""
        ...

    @property
    def attributes(self) -> Mapping[str, Attribute]: ...
    @property
    def provenance(self) -> tuple[Provenance, ...]: ...


class Edge(Protocol):
    """A dependency as a rule sees it."""

    @property
    def id(self) -> int: ...
    @property
    def consumer(self) -> Node: ...
    @property
    def provider(self) -> Node: ...
    @property
    def relation(self) -> Relation: ...
    @property
    def need(self) -> Need: ...
    @property
    def group(self) -> str: ...
    @property
    def confidence(self) -> Confidence: ...
    @property
    def provenance(self) -> Provenance:
        """Where it was written; for what the linker concluded, where its consumer was."""
        ...

    @property
    def lost(self) -> bool:
        """Whether this dependency fails in the scenario."""
        ...


@dataclass(frozen=True, slots=True)
class Blast:
    """What stops working when a certificate ends: the hosts that have it, the names it is served for."""

    certificate: Node
    not_after: datetime | None
    hosts: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """What an inventory says of a host. `where` is the line that says so."""

    lifecycle: Lifecycle
    since: datetime | None
    on: datetime | None
    read_only_paths: tuple[str, ...]
    where: Provenance


@dataclass(frozen=True, slots=True)
class Sighting:
    """What became of a host when it was collected: whether it answered, and when. `where` is the record of that."""

    outcome: Outcome
    at: datetime | None
    where: Provenance

    @property
    def answered(self) -> bool:
        """Whether the host was there, be it that it let nobody in."""
        return self.outcome in (Outcome.OK, Outcome.PARTIAL, Outcome.DENIED, Outcome.UNSUPPORTED)


class EstateView(Protocol):
    """What a rule may ask. All answers are about one scenario: these hosts, going in this way, at this time."""

    now: datetime
    on: datetime | None
    going: tuple[Going, ...]
    recovery: Recovery
    phase: Phase
    """Whether the hosts are to go, or are said to be gone."""

    def nodes(self, kind: Kind) -> Iterable[Node]:
        """All nodes of a kind."""
        ...

    def find(self, kind: Kind, text: str, scope: str = "") -> Node | None:
        """One node by its identity."""
        ...

    def host(self, name: str) -> Node | None:
        """The host that a name stands for."""
        ...

    def going_for(self, host: Node) -> Going | None:
        """What is to happen to a host; None if it stays."""
        ...

    def outgoing(self, node: Node, *relations: Relation) -> Sequence[Edge]:
        """What a node depends on, directly; of these relations only, if any are given."""
        ...

    def incoming(self, node: Node, *relations: Relation) -> Sequence[Edge]:
        """What depends on a node, directly."""
        ...

    def dependents(self, node: Node) -> Sequence[Node]:
        """Everything that depends on a node, over any number of edges."""
        ...

    def impact_of(self, node: Node) -> Impact:
        """What the scenario does to a node."""
        ...

    def path(self, consumer: Node) -> tuple[Step, ...]:
        """The shortest path from a node to the host that takes it down; empty if none does."""
        ...

    def path_over(self, edge: Edge) -> tuple[Step, ...]:
        """The path that begins with this dependency."""
        ...

    def hosts_of(self, consumer: Node) -> tuple[str, ...]:
        """The going hosts that a node depends on, over edges that are lost in this scenario."""
        ...

    def reaches(self, node: Node) -> tuple[Node, ...]:
        """The hosts a node stands for, through names, addresses and paths; going or not."""
        ...

    def home(self, node: Node) -> Node | None:
        """The host that a local node was captured on; None for a tree."""
        ...

    def nodes_at(self, host: str, kind: Kind) -> Iterable[Node]:
        """The local nodes of a kind on a host."""
        ...

    def blast_radius(self, lineage: Node) -> Blast | None:
        """The newest certificate of a lineage (or a certificate itself): the hosts that hold or serve it, by its
        files, the inventory and load balancers, and the names of the estate that it covers. None if no certificate
        of the lineage was captured or declared."""
        ...

    def path_to(self, consumer: Node, host: Node) -> tuple[Step, ...]:
        """The shortest path from a node to a host over any dependencies; empty if there is none."""
        ...

    def coverage(self, relation: Relation) -> Sequence[Coverage]:
        """What was looked at to learn of a relation. Empty: nobody looked."""
        ...

    def gaps(self) -> Sequence[Coverage]:
        """All that was not seen, or not all of it, whatever area it is of."""
        ...

    def looked_at(self, host: str, area: Area) -> bool:
        """Whether this host's own files of an area were captured (or are known to be absent)."""
        ...

    def successor(self, host: Node) -> Node | None:
        """The host that takes over, by the inventory."""
        ...

    def declared(self, host: str) -> Declared | None:
        """What the inventory says of a host; None if it does not name it."""
        ...

    def sighting(self, host: str) -> Sighting | None:
        """What became of a host's last collection; None if nobody tried, or no record says so."""
        ...

    def site(self, host: str) -> str:
        """Where a host stands, by the inventory; empty if it does not say."""
        ...

    def shown(self, place: Provenance) -> bool:
        """Whether a rule that was asked before shows this line; of line 0, whether it shows anything of the file."""
        ...

    def own_domains(self) -> frozenset[str]:
        """Domains that are ours: by the inventory, and by the zones that were captured."""
        ...


class Rule(ABC):
    """One statement about an estate. Its docstring is its documentation, in sections:

    What it does, Why it matters, Example, What to do, What it can't see.

    Its thresholds are class attributes, `soon = Period(timedelta(days=30), "how soon …")`: `self.soon` is then the
    value that holds, and a policy may set another.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    area: ClassVar[Area]
    severity: ClassVar[Severity]
    """The highest that its findings have."""
    confidence: ClassVar[Confidence] = Confidence.HIGH
    """The highest that its findings have; a single one may be less sure."""
    since: ClassVar[str] = "0.1.0"
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.BEFORE})
    """When it is asked: before the switch-off, after it (`--after`), or both."""
    needs: ClassVar[frozenset[Relation]] = frozenset()

    @abstractmethod
    def check(self, estate: EstateView) -> Iterator[Finding]:
        """Findings, each with at least one piece of evidence."""

    def passed(self, estate: EstateView) -> Iterator[str]:
        """What was looked at and is as it should be, with its count: `340 of 340 servers hold the newest certificate`.

        For what people want to see stated, and not only to see no finding of. Not asked if something is missing.
        """
        return iter(())

    def missing(self, estate: EstateView) -> tuple[str, ...]:
        """What this rule needed in this scenario and nobody looked at, beyond `needs`; such as `runs-on on web-02`."""
        return ()

    @classmethod
    def settings(cls) -> tuple[Count | Period, ...]:
        """Its thresholds, in the order in which they are written."""
        found = {name: one for base in reversed(cls.__mro__) for name, one in vars(base).items()}
        return tuple(one for one in found.values() if isinstance(one, Count | Period))

    def with_settings(self, values: Mapping[str, int | timedelta]) -> Self:
        """The same rule with other thresholds, by their names."""
        other = copy(self)
        other.__dict__[CHOSEN] = {**self.__dict__.get(CHOSEN, {}), **values}
        return other
