"""Which machines there are, and under which names and addresses each is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from auditor.model import Lifecycle, Provenance
from auditor.text import is_address, normal_address, normal_name

COMMON_FIRST_LABELS: Final = frozenset(
    (
        "www mail smtp imap ftp api app web db dns ns mx vpn git proxy test dev stage staging prod admin host server"
        " node backup data main cache auth login static cdn docs wiki blog shop status monitor mirror archive storage"
        " localhost"
    ).split()
)

INTERFACE_LABELS: Final = frozenset(
    "bmc console drac idrac ilo imm int internal ipmi ipv4 ipv6 lan mgmt oob priv private vpn wg".split()
)
"""Second labels that name an interface of a machine, or a network it is also in: `web01.mgmt.example.org`."""

ENVIRONMENT_LABELS: Final = frozenset("dev devel development preprod stage staging stg test testing uat".split())
"""Second labels that tell a machine from its twin in production: `web01.stg.example.org` is not `web01.example.org`."""


_LEAST_FIRST: Final = (Lifecycle.RETIRED, Lifecycle.READ_ONLY, Lifecycle.RETIRING, Lifecycle.ACTIVE)


def is_less(one: Lifecycle, other: Lifecycle) -> bool:
    """Whether less is left of a host now. One that retires is active until its day."""
    return _LEAST_FIRST.index(one) < _LEAST_FIRST.index(other)


@dataclass(slots=True)
class HostRecord:
    """One machine. `names` hold every full or declared name; short names are derived where needed."""

    name: str
    names: dict[str, Provenance | None] = field(default_factory=dict)
    addresses: dict[str, Provenance | None] = field(default_factory=dict)
    words: dict[str, Provenance | None] = field(default_factory=dict)
    """What it is also called, and is no host name: a service, a module, an instance id."""
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    stated: bool = False
    """Whether somebody wrote that lifecycle down, rather than that it is what holds otherwise."""
    since: str = ""
    on: str = ""
    successor: str = ""
    owner: str = ""
    site: str = ""
    network: str = ""
    """The declared network of its addresses: the same address in another one is another machine's."""
    roles: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    origins: set[str] = field(default_factory=set)
    provenance: Provenance | None = None
    observed: Lifecycle | None = None
    """What was seen of it: read-only as a whole, or gone. None if it is what it was, or nobody looked."""
    tagged: Lifecycle | None = None
    """What a tag in its cloud says of it."""
    tag: str = ""
    """That tag, as `Lifecycle=retired`."""

    @property
    def noticed(self) -> tuple[Lifecycle, str] | None:
        """What it is though nobody declares it so, and how that is known: `observed` or `tagged`.

        A tag counts where the inventory does not state a lifecycle: whoever wrote that down knows better.
        """
        found = (self.observed, "observed") if self.observed is not None else None
        known = self.observed or self.lifecycle
        if self.tagged is not None and not self.stated and is_less(self.tagged, known):
            return self.tagged, "tagged"
        return found

    @property
    def short(self) -> str:
        return self.name.split(".", 1)[0]


@dataclass(slots=True)
class HostTable:
    """All machines of the estate, by any of their names and addresses."""

    domains: tuple[str, ...] = ()
    records: dict[str, HostRecord] = field(default_factory=dict)
    _by_name: dict[str, str] = field(default_factory=dict)
    _by_short: dict[str, list[str]] = field(default_factory=dict)
    _by_address: dict[str, list[str]] = field(default_factory=dict)
    _parents: set[str] | None = None

    def indexes(self) -> tuple[dict[str, str], dict[str, list[str]], dict[str, list[str]]]:
        """By name, by short name and by address: what a table like this one is made of, after its records."""
        return self._by_name, self._by_short, self._by_address

    def add(self, name: str, origin: str, provenance: Provenance | None = None) -> HostRecord:
        """The record of a machine, made if it is new. A short name joins the one machine that it can only mean."""
        normal = normal_address(name) or normal_name(name)
        found = self.find(normal)
        record = self.records.get(found) if found else None
        if record is None:
            record = self.records[normal] = HostRecord(normal, provenance=provenance)
            self._parents = None
        record.origins.add(origin)
        self.alias(record, normal, provenance)
        if is_address(normal):
            self.address(record, normal, provenance)
        return record

    def add_full(self, name: str, origin: str, provenance: Provenance | None = None) -> HostRecord:
        """As `add`, for a name that people use in full: also if its machine is known by the short name alone so far.

        Only if that short name means one machine, and that one has no full name of its own.
        """
        short, _, rest = normal_name(name).partition(".")
        if rest and not is_address(name) and self.find(name) is None and self.with_short(short) == [short]:
            record = self.records[short]
            if not any("." in known for known in record.names):
                record.origins.add(origin)
                self.alias(record, name, provenance)
                return record
        return self.add(name, origin, provenance)

    def alias(self, record: HostRecord, name: str, provenance: Provenance | None = None) -> None:
        """Another name of a machine. A name that is taken by another machine stays with that one."""
        normal = normal_name(name)
        if not normal or self._by_name.setdefault(normal, record.name) != record.name:
            return
        record.names.setdefault(normal, provenance)
        shorts = self._by_short.setdefault(normal.split(".", 1)[0], [])
        if record.name not in shorts:
            shorts.append(record.name)

    def forget(self, record: HostRecord, name: str) -> None:
        """Takes a declared name from a machine: it is another's now. Its own name, and one that was asked, stay."""
        if name != record.name and record.names.get(name) is not None:
            del record.names[name]
            self._by_name.pop(name, None)
            short = name.split(".", 1)[0]
            holders = self._by_short.get(short, [])
            if record.name in holders and all(known.split(".", 1)[0] != short for known in record.names):
                holders.remove(record.name)
            self.touched()

    def address(self, record: HostRecord, address: str, provenance: Provenance | None = None) -> None:
        """An address of a machine. Several machines may claim one: they stay candidates."""
        normal = normal_address(address)
        if normal is None or normal.startswith("127.") or normal in ("::1", "0.0.0.0", "::"):
            return
        record.addresses.setdefault(normal, provenance)
        holders = self._by_address.setdefault(normal, [])
        if record.name in holders:
            return
        # A machine that someone listed by its address alone is no second one beside the machine that has it.
        if record.name == normal and holders:
            return
        if normal in holders and "asked" not in self.records[normal].origins:
            holders.remove(normal)
        holders.append(record.name)

    def find(self, name: str) -> str | None:
        """The machine that a name means: exactly, or as the only one with that short name in our domains."""
        normal = normal_name(name)
        exact = self._by_name.get(normal)
        if exact is not None:
            return exact
        short, _, rest = normal.partition(".")
        candidates = self._by_short.get(short, ())
        if not rest:
            return candidates[0] if len(candidates) == 1 else None
        # A machine that is known by its short name only, called in full under one of our domains.
        bare = [one for one in candidates if "." not in one]
        if len(bare) == 1 and len(candidates) == 1 and rest in self.domains:
            return bare[0]
        return None

    def with_short(self, short: str) -> list[str]:
        """All machines whose name begins with this label."""
        return self._by_short.get(short, [])

    def at(self, address: str) -> list[str]:
        """All machines that claim an address."""
        return self._by_address.get(address, [])

    def seen_from(self, address: str, host: str) -> list[str]:
        """The machines that an address means on a machine: those in its own network, if any of them is."""
        holders = self.at(address)
        record = self.records.get(host) if len(holders) > 1 else None
        if record is None or not record.network:
            return holders
        return [one for one in holders if self.records[one].network == record.network] or holders

    def is_domain(self, name: str) -> bool:
        """Whether machines have names below this one (`arm.example.org` with `build01.arm.example.org`)."""
        if self._parents is None:
            self._parents = set()
            for record in self.records.values():
                for known in record.names:
                    labels = known.split(".")
                    self._parents.update(".".join(labels[at:]) for at in range(1, len(labels)))
        return name in self._parents

    def touched(self) -> None:
        """Forget what was derived, after names were added."""
        self._parents = None


def distinctive(label: str) -> bool:
    """Whether a short name can be told from an ordinary word: it has a digit, or a hyphen, and is no service word."""
    if len(label) < 3 or label in COMMON_FIRST_LABELS:
        return False
    stem = label.rstrip("0123456789")
    if stem != label:
        return len(stem) >= 2 and len(label) >= 4
    return len(label) >= 5 and ("-" in label or any(character.isdigit() for character in label))


@dataclass(frozen=True, slots=True)
class Identity:
    """One way to write a machine's identity in text. `kind`: full, prefix, short, address, reverse, word, group."""

    text: str
    kind: str
    host: str
    provenance: Provenance | None = None


def identities(table: HostTable, hosts: Iterable[str]) -> list[Identity]:
    """Every way to write these machines' identities that can't be mistaken for another's.

    Full names; the labels before a known domain (`america.mirror` of `america.mirror.example.com`); the short name
    if it is distinctive, and means these machines rather than one with a shorter name; addresses and their reverse
    names; declared words.
    """
    going = set(hosts)
    made: dict[tuple[str, str], Identity] = {}

    def say(text: str, kind: str, record: HostRecord, provenance: Provenance | None) -> None:
        made.setdefault((text, record.name), Identity(text, kind, record.name, provenance))

    for name in sorted(going):
        record = table.records[name]
        longest: dict[str, str] = {}
        for known in record.names:
            label = known.split(".", 1)[0]
            longest[label] = max(longest.get(label, known), known, key=_labels)
        for known, provenance in record.names.items():
            if is_address(known):
                continue
            labels = known.split(".")
            if len(labels) == 1 and _is_vague(record, known, provenance):
                continue
            say(known, "full" if len(labels) > 1 else "short", record, provenance)
            # By the longest: `web01.stg` is no shorter name than web01.example.org, but one that is cut.
            if len(labels) > 1 and distinctive(labels[0]) and owns_short(table, longest[labels[0]], going):
                say(labels[0], "short", record, provenance)
            if len(labels) > 2 and labels[1] in ENVIRONMENT_LABELS:
                dashed = f"{labels[0]}-{labels[1]}"
                if distinctive(dashed) and not table.with_short(dashed):
                    say(dashed, "short", record, provenance)
            for length in range(2, len(labels) - 1):
                prefix = ".".join(labels[:length])
                if _owns_prefix(table, prefix, known, going):
                    say(prefix, "prefix", record, provenance)
        for address, provenance in record.addresses.items():
            say(address, "address", record, provenance)
            say(ip_address(address).reverse_pointer, "reverse", record, provenance)
        for word, provenance in record.words.items():
            say(word.lower(), "word", record, provenance)
    return list(made.values())


def _labels(name: str) -> int:
    return name.count(".")


def _is_vague(record: HostRecord, name: str, provenance: Provenance | None) -> bool:
    """Whether a bare name that some file has for a machine may be a word elsewhere: `build`, in a known_hosts.

    Where a known format has it, it is the machine all the same. One that the inventory gives was meant.
    """
    declared = provenance is not None and provenance.path == "inventory.yaml"
    return name != record.name and not declared and not distinctive(name) and any("." in one for one in record.names)


def owns_short(table: HostTable, name: str, going: Collection[str]) -> bool:
    """Whether the first label of a name means this machine, or another that is going, where nothing follows it.

    `proxy01` means proxy01.example.org rather than proxy01.stg.example.org, whoever of them is going.
    """
    short = name.split(".", 1)[0]
    others = [one for one in table.with_short(short) if one not in going and not _interface_of(one, name)]
    return all(len(other.split(".")) > len(name.split(".")) for other in others)


def _interface_of(other: str, name: str) -> bool:
    """Whether a name with the same first label is only an interface of the machine with this name."""
    labels = other.split(".", 2)
    if len(labels) < 2 or labels[1] not in INTERFACE_LABELS:
        return False
    domain = name.partition(".")[2]
    return len(labels) == 2 or domain == labels[2] or domain.endswith("." + labels[2])


def _owns_prefix(table: HostTable, prefix: str, name: str, going: set[str]) -> bool:
    for other in table.with_short(prefix.split(".", 1)[0]):
        if other in going:
            continue
        for known in table.records[other].names:
            if known.startswith(prefix + ".") and len(known.split(".")) <= len(name.split(".")):
                return False
    return True


def stems_of(hosts: Iterable[HostRecord]) -> dict[str, str]:
    """The names that numbered machines share (`docs-backend` of `docs-backend01`), if they can't be mistaken."""
    stems = {}
    for record in hosts:
        short = record.short
        stem = short.rstrip("0123456789").rstrip("-")
        if stem != short and "-" in stem and distinctive(stem):
            stems[stem] = record.name
    return stems
