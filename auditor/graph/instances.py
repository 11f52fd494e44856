"""Which machine of the estate an instance of a cloud is: bound to its id, not to a name that may have moved on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from auditor.graph.hosts import HostRecord, HostTable
from auditor.model import Entity, Provenance
from auditor.text import normal_address, normal_name


@dataclass(slots=True)
class _Instance:
    identity: str
    origin: str
    provenance: Provenance
    names: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)


def declare_instances(hosts: HostTable, found: Iterable[tuple[Entity, Provenance]]) -> None:
    """Joins instances (HOST entities with an `instance_id`, `names` and `addresses`) to the machines that are known.

    In this order: the machine declared with that id; the one with one of its names; the one with one of its addresses.
    A machine that has another instance's id already is none of them: its name or address was used again. A name that
    two instances have is neither's. What joins nothing is a machine of its own, by its name, or else by its id.
    """
    instances: dict[str, _Instance] = {}
    for entity, provenance in found:
        identity = str(entity.attributes["instance_id"])
        one = instances.setdefault(identity, _Instance(identity, str(entity.attributes.get("origin", "")), provenance))
        one.names.extend(normal_name(name) for name in _texts(entity, "names"))
        one.addresses.extend(address for text in _texts(entity, "addresses") if (address := normal_address(text)))
    named = Counter(name for one in instances.values() for name in set(one.names))
    placed = Counter(address for one in instances.values() for address in set(one.addresses))
    declared = {word: record for record in hosts.records.values() for word in record.words}
    for one in instances.values():
        names = [name for name in dict.fromkeys(one.names) if named[name] == 1]
        record = declared.get(one.identity) or _known(
            hosts, instances, names, [address for address in one.addresses if placed[address] == 1]
        )
        if record is None:
            free = next((name for name in names if hosts.find(name) is None), one.identity)
            record = hosts.add(free, one.origin, one.provenance)
        record.origins.add(one.origin)
        hosts.alias(record, one.identity, one.provenance)
        for name in names:
            hosts.alias(record, name, one.provenance)
        for address in dict.fromkeys(one.addresses):
            hosts.address(record, address, one.provenance)
    hosts.touched()


def _known(
    hosts: HostTable, instances: dict[str, _Instance], names: Iterable[str], addresses: Iterable[str]
) -> HostRecord | None:
    candidates = [host for name in names if (host := hosts.find(name)) is not None]
    candidates += [holders[0] for address in addresses if len(holders := hosts.at(address)) == 1]
    for host in candidates:
        record = hosts.records[host]
        if not any(_is_identity(word) for word in record.words) and not any(name in instances for name in record.names):
            return record
    return None


def _is_identity(word: str) -> bool:
    """Whether a word of a machine is an instance id of its own."""
    return word.startswith("i-")


def _texts(entity: Entity, key: str) -> tuple[str, ...]:
    found = entity.attributes.get(key)
    return found if isinstance(found, tuple) else ()
