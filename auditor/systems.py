"""Of which family a host's system is, by what it says of itself: programs of one name do other things on each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from auditor.text import decode

_LIMIT: Final = 16_384
_RELEASES: Final = ("/etc/os-release", "/usr/lib/os-release")
_ID: Final = re.compile(r"^(ID|ID_LIKE)=[\"']?([\w.\- ]+)", re.MULTILINE)
_FAMILIES: Final = {
    "debian": "debian",
    "ubuntu": "debian",
    "rhel": "rhel",
    "fedora": "rhel",
    "centos": "rhel",
    "amzn": "rhel",
    "suse": "suse",
    "opensuse": "suse",
    "sles": "suse",
    "alpine": "alpine",
    "arch": "arch",
}
_MARKS: Final = (("/etc/debian_version", "debian"), ("/etc/redhat-release", "rhel"), ("/etc/alpine-release", "alpine"))
_LSB: Final = re.compile(r"_?(?:[a-z0-9_.]+-)+[a-z0-9]+|[a-z0-9][a-z0-9-]*")


def family_of(read: Callable[[str], bytes | None]) -> str:
    """`debian`, `rhel`, `suse`, `alpine` or `arch`; empty if a host does not say, or is another. See os-release(5).

    `read` gives a file of the host, or None.
    """
    for path in _RELEASES:
        if (content := read(path)) is None:
            continue
        said = dict(_ID.findall(decode(content[:_LIMIT])))
        for word in (said.get("ID", ""), *said.get("ID_LIKE", "").split()):
            if family := _FAMILIES.get(word.strip().partition("-")[0]):
                return family
        return ""
    return next((family for path, family in _MARKS if read(path) is not None), "")


def is_lsb_name(name: str) -> bool:
    """Whether LSB lets a package call its file in a directory of cron so, as in run-parts(8) up to Debian 12."""
    return _LSB.fullmatch(name) is not None
