"""What a collection saw of hosts, beside what the inventory declares of them.

A host that can't be written any more, or is gone, is one to ask about whether or not somebody has declared it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from auditor.api import Sighting
from auditor.capture.reading import Reading
from auditor.capture.tree import moment_of
from auditor.graph.hosts import HostTable
from auditor.inventory.values import tag_word
from auditor.model import Entity, Kind, Lifecycle, Provenance
from auditor.text import expand_range

_MOUNTED: Final = ("/proc/self/mountinfo", "/proc/mounts", "/proc/self/mounts", "/etc/mtab")
_FSTAB: Final = "/etc/fstab"
WRITABLE_KINDS: Final = frozenset(
    "ext2 ext3 ext4 xfs btrfs f2fs zfs jfs reiserfs nilfs2 bcachefs ufs ffs apfs hfs vfat".split()
)
"""File systems that are made to be written; a root of squashfs or overlay may be meant to be read-only."""

TAG_KEYS: Final = ("lifecycle", "auditor:lifecycle")
"""Tags that say what is to become of an instance, unless the inventory names others."""
TAG_WORDS: Final[Mapping[Lifecycle, tuple[str, ...]]] = {
    Lifecycle.ACTIVE: ("active",),
    Lifecycle.READ_ONLY: ("read-only", "readonly"),
    Lifecycle.RETIRING: ("retiring", "decommissioning"),
    Lifecycle.RETIRED: ("retired", "decommissioned"),
}


class LifecycleTag(Protocol):
    """A tag and what its values mean, as an inventory declares it."""

    @property
    def key(self) -> str: ...
    @property
    def accounts(self) -> Sequence[str]: ...
    @property
    def words(self) -> Mapping[Lifecycle, Sequence[str]]: ...


def observe_hosts(reading: Reading, hosts: HostTable, instances: Iterable[tuple[Entity, Provenance]]) -> None:
    """Writes into the table which machines were seen to be read-only as a whole, or gone."""
    for source, names in reading.tree.sources.items():
        if not _has_read_only_root(reading, source):
            continue
        for name in names:
            record = hosts.records.get(hosts.find(name) or "")
            if record is not None:
                record.observed = Lifecycle.READ_ONLY
    for entity, _ in instances:
        record = hosts.records.get(hosts.find(entity.ref.text) or "")
        # A machine that is known by its id alone is nobody's: nothing else depends on it.
        if record is not None and entity.attributes.get("observed") == "retired" and record.name != entity.ref.text:
            record.observed = Lifecycle.RETIRED


def observe_tags(
    hosts: HostTable, instances: Iterable[tuple[Entity, Provenance]], declared: Sequence[LifecycleTag] | None
) -> None:
    """Writes into the table what tags say of machines. `declared` is what the inventory says of tags, if anything."""
    for entity, _ in instances:
        tags = entity.attributes.get("tags")
        # A terminated instance is listed for an hour, with the tags of its life.
        if not isinstance(tags, tuple) or entity.attributes.get("observed") == "retired":
            continue
        found = _tagged(tags, str(entity.attributes.get("account", "")), declared)
        record = hosts.records.get(hosts.find(entity.ref.text) or "")
        if found is not None and record is not None:
            record.tagged, record.tag = found


def _tagged(tags: Sequence[str], account: str, declared: Sequence[LifecycleTag] | None) -> tuple[Lifecycle, str] | None:
    """What the first tag that says anything says, and that tag."""
    meanings: list[tuple[str, Mapping[Lifecycle, Sequence[str]]]]
    if declared is None:
        meanings = [(key, TAG_WORDS) for key in TAG_KEYS]
    else:
        asked = [one for one in declared if not one.accounts or account in one.accounts]
        meanings = [(one.key.casefold(), one.words or TAG_WORDS) for one in asked]
    for key, words in meanings:
        for tag in tags:
            if tag[: len(key) + 1].casefold() != f"{key}=":
                continue
            word = tag_word(tag[len(key) + 1 :])
            for lifecycle, known in words.items():
                if word in map(tag_word, known):
                    return lifecycle, tag
    return None


def _has_read_only_root(reading: Reading, source: str) -> bool:
    """Whether the root of a host is mounted read-only, though its fstab does not say so."""
    found: Entity | None = None
    for path in (*_MOUNTED, _FSTAB):
        bound = reading.by_path.get((source, path))
        if bound is None or (path != _FSTAB and found is not None):
            continue
        for item in bound.template.facts:
            if not isinstance(item, Entity) or item.ref.kind is not Kind.MOUNT or item.ref.text != "/":
                continue
            if path == _FSTAB and item.attributes.get("fstab_read_only"):
                return False
            if path != _FSTAB:
                # A later mount of one place covers the earlier.
                found = item
    if found is None:
        return False
    by = str(found.attributes.get("read_only_by", "")).split(",")
    meant = found.attributes.get("fstype") not in WRITABLE_KINDS or not {"filesystem", "emergency"} & set(by)
    return not meant


def sightings(reading: Reading, hosts: HostTable) -> dict[str, Sighting]:
    """Host -> what became of its collection, as the record of the host as a whole says."""
    found: dict[str, Sighting] = {}
    for path, record in reading.tree.captures.items():
        if path.count("/") != 1 or not path.startswith("hosts/"):
            continue
        said = f"{record.outcome.value}: {record.detail}" if record.detail else record.outcome.value
        where = Provenance(path, 0, said, record.collected_at)
        sighting = Sighting(record.outcome, moment_of(record.collected_at), where)
        try:
            names = expand_range(path.removeprefix("hosts/"))
        except ValueError:
            continue
        for name in names:
            found[hosts.find(name) or name] = sighting
    return found
