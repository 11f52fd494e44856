"""Icinga 2 by its REST API (2.11 and later; read from a running 2.13): objects as the daemon has resolved them.

Asked for are only the attributes that say what is watched, from where and for whom. An API user whose permissions have
a filter gets less without being told; Icinga says of itself that there is one, which is recorded as a gap. To one that
lacks a permission it says that nothing was found.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from auditor.capture.http.client import Client, Credentials, FailedError
from auditor.capture.http.services import Kept, Step, in_parts, kept_json, listed
from auditor.model import Outcome
from auditor.redaction import MARK, redact

_CHECKED: Final = (
    "groups", "vars", "check_command", "command_endpoint", "zone", "event_command", "enable_event_handler",
    "source_location",
)  # fmt: skip
_MACRO: Final = re.compile(r"\$[^$]*\$")
_OPTION: Final = re.compile(r"-[A-Za-z\d]|--[\w-]+")
_WORD: Final = re.compile(r"[A-Za-z\d]{2}")
_COMMAND: Final = ("name", "command", "arguments", "env")
_ATTRIBUTES: Final = {
    "Host": ("name", "address", "address6", *_CHECKED),
    "Service": ("name", "host_name", *_CHECKED),
    "HostGroup": ("name",),
    "Endpoint": ("name", "host", "port"),
    "Zone": ("name", "endpoints", "parent"),
    "User": ("name", "groups"),
    "Notification": ("name", "host_name", "service_name", "users", "user_groups", "command", "source_location"),
    "NotificationCommand": _COMMAND,
    "EventCommand": _COMMAND,
    "CheckCommand": _COMMAND,
    "Downtime": ("host_name", "service_name", "author", "comment", "start_time", "end_time", "fixed"),
}
"""Type of object -> what of it is asked. Who is in a group, by whatever rule, is in `groups` of hosts and services."""


class Source(Credentials, Protocol):
    """An Icinga 2 as the inventory declares it."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def user(self) -> str: ...


def icinga2_client(source: Source, token: str) -> Client:
    """A client that logs in as an API user, with the token as its password. Raises FailedError."""
    return Client(source.url, token=token, user=source.user, ca=source.ca)


def _server(client: Client) -> Iterator[Kept | Step]:
    """The version, and what the API user may do: where that is filtered, not all of it is seen."""
    about = client.get("/v1").json()["results"][0]
    filtered = [one for one in about.get("permissions") or () if isinstance(one, str) and one.endswith("(filtered)")]
    partial = f"the API user sees a part of the objects only: {', '.join(filtered)}" if filtered else ""
    build = {"version": about.get("version"), "permissions": about.get("permissions")}
    yield Kept(kept_json({"program": "icinga2", "url": client.address, "build": build}), partial)


def _objects(kind: str) -> Callable[[Client], Iterator[Kept | Step]]:
    def ask(client: Client) -> Iterator[Kept | Step]:
        try:
            found = list(listed([client.get(f"/v1/objects/{_plural(kind)}", {"attrs": _ATTRIBUTES[kind]})], "results"))
        except FailedError as error:
            if error.status == 404:
                why = f"so Icinga answers an API user without the permission objects/query/{kind}"
                raise FailedError(Outcome.DENIED, f"{error.detail}: {why}", status=404) from None
            raise
        kept = [_kept(one) for one in found]
        if kind == "CheckCommand":
            kept = [one for one in kept if _says_where(one["attrs"])]
        if kept:
            yield from in_parts(kept, '{"results": [', "]}", indent=1)

    return ask


def _plural(kind: str) -> str:
    return f"{kind.lower()}s"


def _kept(one: dict[str, Any]) -> dict[str, Any]:
    attributes = one["attrs"]
    if one["type"].endswith("Command"):
        attributes = attributes | _plain_command(attributes.get("command"), attributes.get("arguments") or {})
    return {"name": one["name"], "type": one["type"], "attrs": attributes}


def _says_where(attributes: Mapping[str, Any]) -> bool:
    """Whether a command may name a host itself: those of Icinga's library, hundreds, take them from variables."""
    command, arguments = attributes.get("command"), attributes.get("arguments") or {}
    words = list(command[1:]) if isinstance(command, list) else [command]
    words += [one.get("value") if isinstance(one, dict) else one for one in arguments.values()]
    fixed = (_MACRO.sub("", word) for word in words if isinstance(word, str))
    return any(_WORD.search(word) is not None and _OPTION.fullmatch(word) is None for word in fixed)


def _plain_command(command: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a command and the values of its arguments, without secrets: what one is, its neighbours in the
    command line say. Arguments that have no value, or one that a function makes, are left out."""
    full = {key: one if isinstance(one, dict) else {"value": one} for key, one in arguments.items()}
    kept = {key: one for key, one in full.items() if isinstance(one.get("value"), str)}
    words = [str(word) for word in command] if isinstance(command, list) else []
    whole = [*words, *(word for key, one in kept.items() for word in (key, one["value"]))]
    try:
        clean = shlex.split(redact(shlex.join(whole)))
    except ValueError:
        clean = []
    if len(clean) != len(whole):
        return {"command": [*words[:1], MARK], "arguments": None}
    values = clean[len(words) + 1 :: 2]
    return {
        "command": clean[: len(words)] if isinstance(command, list) else command,
        "arguments": {
            key: {"value": value, "skip_key": True} if one.get("skip_key") is True else value
            for (key, one), value in zip(kept.items(), values, strict=True)
        },
    }


ICINGA2: Final[tuple[Step, ...]] = (
    Step("server.json", _server),
    *(Step(f"objects/{_plural(kind)}.json", _objects(kind)) for kind in _ATTRIBUTES),
)
"""What is asked of an Icinga 2."""
