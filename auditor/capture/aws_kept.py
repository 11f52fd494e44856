"""What of an answer of AWS is kept, and how it is written: JSON, one value a line, without secrets.

Answers hold some ten thousand strings. Which of them may be a secret is told of all at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from datetime import UTC, date, datetime
from json import dumps
from json.encoder import encode_basestring as _encoded
from typing import Any, Final

from auditor.redaction import MARK, lines_with, redact
from auditor.text import endpoint_ref, normal_address

PAGING: Final = frozenset(
    {
        "ResponseMetadata", "NextToken", "nextToken", "Marker", "NextMarker", "nextMarker", "IsTruncated", "MaxItems",
        "NextRecordName", "NextRecordType", "NextRecordIdentifier", "position", "HasMoreDeliveryStreams",
    }
)  # fmt: skip
"""Keys of an answer that only lead to the next page."""
FREE_KEYS: Final = frozenset(
    {
        "variables", "environmentvariables", "headerparameters", "querystringparameters", "bodyparameters",
        "requestparameters", "customheaders", "configuration",
    }
)  # fmt: skip
"""Maps (and lists of name and value), in lower case, whose values may be anything that a person put there."""
# Keys whose value is a secret whatever it looks like, in lower case.
_SECRET_KEYS: Final = frozenset(
    {
        "accesstoken", "apikeyvalue", "authtoken", "clientsecret", "masteruserpassword", "oauthtoken", "password",
        "privatekey", "s2snauthentication", "secret", "secretstring", "secrettoken", "userdata",
    }
)  # fmt: skip
_PEOPLE: Final = frozenset({"email", "email-json", "sms", "application"})
# A full host name as people write it: a password with a dot in it rarely looks so.
_HOST: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,24}")
_PLAIN: Final[Mapping[type, Callable[[Any], str]]] = {
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
}
_MARKED: Final = _encoded(MARK)


def written(answer: Mapping[str, Any], keys: Set[str] = FREE_KEYS) -> str:
    """An answer as JSON, without secrets and paging: times in ISO 8601 (UTC), values that people set (below `keys`, in
    lower case) only if they are a URL, a host or a number. Ends with a line break."""
    writer = _Writer(keys)
    writer.value(answer, "", False, "\n")
    return writer.text() + "\n"


class _Writer:
    """Pieces of text. Strings are remembered, each once, until it is known which of them change."""

    def __init__(self, keys: Set[str]) -> None:
        self._keys = keys
        self._pieces: list[str] = []
        self._strings: dict[str, str] = {}
        self._names: dict[str, tuple[str, str, bool, bool]] = {}

    def text(self) -> str:
        strings, encoded = list(self._strings), list(self._strings.values())
        # Each is one line: what JSON escapes is in no word that tells of a secret but at its beginning.
        changed = {encoded[at]: _encoded(redact(strings[at])) for at in lines_with("\n".join(encoded))}
        return "".join([changed.get(piece, piece) for piece in self._pieces] if changed else self._pieces)

    def value(self, value: Any, key: str, free: bool, line: str) -> None:
        """Appends a value that stands under a key, in lower case. `line` is a line break with the indent up to here."""
        if isinstance(value, str):
            if value and key in _SECRET_KEYS:
                self._pieces.append(_MARKED)
            elif free:
                self._pieces.append(_encoded(_free_text(value)))
            else:
                encoded = self._strings.get(value)
                if encoded is None:
                    encoded = self._strings[value] = _encoded(value)
                self._pieces.append(encoded)
        elif isinstance(value, dict):
            self._map(value, free, line)
        elif isinstance(value, list):
            self._list(value, key, free, line)
        elif value is None or isinstance(value, (int, float)):
            self._pieces.append(_PLAIN.get(value.__class__, dumps)(value))
        elif isinstance(value, datetime):
            at = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            self._pieces.append(f'"{at.isoformat()}"')
        elif isinstance(value, date):
            self._pieces.append(f'"{value.isoformat()}"')
        else:
            # Bytes, and streams that nobody reads.
            self._pieces.append(_MARKED)

    def _list(self, value: list[Any], key: str, free: bool, line: str) -> None:
        if not value:
            self._pieces.append("[]")
            return
        inner = line + " "
        before = "[" + inner
        for one in value:
            self._pieces.append(before)
            self.value(one, key, free, inner)
            before = "," + inner
        self._pieces.append(line + "]")

    def _map(self, value: dict[str, Any], free: bool, line: str) -> None:
        inner = line + " "
        before = "{" + inner
        mail = "Endpoint" in value and str(value.get("Protocol", "")) in _PEOPLE
        # Of `{"name": …, "value": …}` the name is no secret.
        named = free and isinstance(value.get("name", value.get("Name", value.get("Key"))), str)
        for name, one in value.items():
            if name in PAGING:
                continue
            known = self._names.get(name)
            if known is None:
                lower = str(name).lower()
                about = lower in ("name", "key", "type", "isvaluesecret")
                known = self._names[name] = (lower, _encoded(str(name)) + ": ", lower in self._keys, about)
            key, shown, frees, about = known
            self._pieces.append(before + shown)
            if mail and name == "Endpoint":
                one = MARK
            self.value(one, key, (free and not (named and about)) or frees, inner)
            before = "," + inner
        self._pieces.append(line + "}" if before[0] == "," else "{}")


def _free_text(value: str) -> str:
    """A value that a person set, if it only says where something is."""
    bare = value.strip()
    if not bare or bare.isdigit() or len(bare) < 4:
        return value
    if all(_says_where(one) for one in bare.split(",")):
        return redact(value.split("?", 1)[0])
    return value if bare.startswith("arn:") else MARK


def _says_where(text: str) -> bool:
    host = text.strip().partition(":")[0]
    if "://" in text or normal_address(host) is not None:
        return endpoint_ref(text) is not None
    return _HOST.fullmatch(host) is not None and endpoint_ref(text) is not None
