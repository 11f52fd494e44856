"""Command lines of Windows: which machines they name, and which scripts they start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from auditor.api import (
    Confidence,
    Kind,
    Need,
    Ref,
    endpoint_ref,
    host_ref,
    is_loopback,
    lazy_pattern,
    split_endpoint,
)

_SHARE: Final = lazy_pattern(r"(?<![\w:\\.])\\\\(?![?.]\\)([\w.-]{1,253})(?:@SSL)?(?:@\d+)?\\([^\\\s\"']*)")
# Without its path, which may hold the key of a webhook.
_URL: Final = lazy_pattern(r"\b(?:https?|ftps?|sftp|ssh|ldaps?)://[^\s\"'<>|;,)/?#]+", re.IGNORECASE)
_COMPUTER: Final = lazy_pattern(
    r"(?:^|\s)(?:-ComputerName|-CN|-Server|-ServerInstance|-VMHost|/server|/node|/host|-SmtpServer)[:=\s]\s*(?:@?\()?"
    r"([\"']?[\w.-]+[\"']?(?:\s*,\s*[\"']?[\w.-]+[\"']?)*)",
    re.IGNORECASE,
)
_SSH: Final = lazy_pattern(r"\b(?:ssh|plink|pscp|psftp|scp|sftp)(?:\.exe)?\"?\s", re.IGNORECASE)
_LOGIN: Final = lazy_pattern(r"(?<![\w.@-])[\w.-]{1,64}@([\w.-]{1,253})")
_COPY: Final = lazy_pattern(
    r"(?:^|[\\/\s\"';&|(])(?:x?copy|robocopy|move|copy-item|move-item)(?:\.exe)?\"?(?=\s)", re.IGNORECASE
)
_REDIRECTED: Final = lazy_pattern(r">\s*[\"']?$")
_WORD: Final = lazy_pattern(r"\"[^\"]+\"|'[^']+'|[^\s\"']+")
_SCRIPT: Final = lazy_pattern(r"(?<![\\\w:])([a-z]):\\([^\"'<>|*?\n]{1,400}?\.(?:ps1|bat|cmd))(?![\w.])", re.IGNORECASE)
_DRIVE: Final = lazy_pattern(r"/([A-Za-z]):?/(.+)")


def machines_in(text: str, whole: str, *, program: bool = False) -> Iterator[tuple[Ref, Need, Confidence]]:
    """The machines in a part of a command: of shares, URLs, `-ComputerName` and SSH. `program`: what is started."""
    targets: list[tuple[Ref | None, Need, Confidence]] = []
    for found in _SHARE.finditer(text):
        need = Need.RUN if program else Need.WRITE if _is_written(whole, found[0]) else Need.READ
        targets.append((host_ref(found[1]), need, Confidence.HIGH))
    targets += [(endpoint_ref(found[0]), Need.READ, Confidence.HIGH) for found in _URL.finditer(text)]
    for found in _COMPUTER.finditer(text):
        machines = (one.strip().strip("\"'") for one in found[1].split(","))
        targets += [(host_ref(one), Need.RUN, Confidence.MEDIUM) for one in machines if one and one[0] != "-"]
    if _SSH.search(whole):
        targets += [(host_ref(found[1]), Need.RUN, Confidence.MEDIUM) for found in _LOGIN.finditer(text)]
    for target, need, sure in targets:
        parts = split_endpoint(target.text) if target is not None else None
        if target is not None and parts is not None and not is_loopback(parts.host):
            yield target, need, sure


def scripts_in(text: str) -> Iterator[Ref]:
    """The scripts of a command that are on a drive of this machine."""
    for found in _SCRIPT.finditer(text):
        yield script_ref(f"/{found[1]}/{found[2]}".replace("\\", "/"))


def script_ref(path: str) -> Ref:
    """A script by its path on Windows, which has no case: with its drive, or from the root of the system's."""
    found = _DRIVE.fullmatch(path)
    whole = f"/{found[1]}/{found[2]}" if found else f"/c{path}" if path.startswith("/") else path
    return Ref(Kind.PATH, whole.lower())


def _is_written(command: str, share: str) -> bool:
    """Whether a share is what a copy goes to, its second path, or what output is redirected to."""
    before = command.partition(share)[0]
    if _REDIRECTED.search(before):
        return True
    copies = list(_COPY.finditer(before))
    if not copies:
        return False
    between = before[copies[-1].end() :]
    return any(word[0] not in "/-" for word in _WORD.findall(between))
