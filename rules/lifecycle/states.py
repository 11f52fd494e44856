"""What the rules about observed lifecycles share: who is asked about, and how a declaration is said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from auditor.api import EstateView, Lifecycle, Provenance

MADE_TO_BE_WRITTEN: Final = frozenset(
    "ext2 ext3 ext4 xfs btrfs f2fs zfs jfs reiserfs nilfs2 bcachefs ufs ffs apfs hfs vfat".split()
)
"""File systems of disks. That one of the others (squashfs, overlay, iso9660) is read-only, says nothing."""


def concerned(estate: EstateView) -> frozenset[str]:
    """The hosts that the scenario is about: those that go, and those that take over."""
    found = {one.host for one in estate.going}
    for going in estate.going:
        host = estate.host(going.host)
        successor = estate.successor(host) if host is not None else None
        if successor is not None:
            found.add(successor.text)
    return frozenset(found)


def role(estate: EstateView, host: str) -> str:
    """`, which takes over from old.example.net,` for a successor; empty for others."""
    for going in estate.going:
        gone = estate.host(going.host)
        successor = estate.successor(gone) if gone is not None else None
        if successor is not None and successor.text == host and going.host != host:
            return f", which takes over from {going.host},"
    return ""


def asked(estate: EstateView, host: str) -> Lifecycle | None:
    """What was asked of a host on the command line, beside what is declared of it."""
    return next((one.lifecycle for one in estate.going if one.host == host and one.origin == "asked"), None)


def lines(*found: Provenance | None, more: Iterable[Provenance] = ()) -> tuple[Provenance, ...]:
    """Evidence without repetitions."""
    return tuple(dict.fromkeys(one for one in (*found, *more) if one is not None and one.path != "."))
