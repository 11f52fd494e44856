"""Webhooks of code hosts: what GitHub's `GET /repos/{owner}/{repo}/hooks` and GitLab's `GET /projects/:id/hooks` say.

Also the organization and group forms of both, and the same of Gitea and Forgejo, whose hooks have GitHub's form; and
their last deliveries, GitHub's `…/hooks/{id}/deliveries` and GitLab's `…/hooks/:id/events`. The secret of a hook is
never kept: GitHub masks it, old exports do not. Nor is a part of a URL's path that is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Final

from auditor.api import (
    EXCERPT_LIMIT,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    endpoint_ref,
    excerpt,
    parse_time,
    public_part,
    read_yaml,
    split_endpoint,
)

HOOK_LIMIT: Final = 100_000
"""Hooks of one file that are read."""

_REPOSITORY: Final = re.compile(r"/(?:repos/([^/]+/[^/]+)|orgs/([^/]+))/hooks(?:/|$)")
# Where `auditor collect` keeps them: whose they are is in the path.
_HOOKS: Final = re.compile(r"services/([^/]+)/hooks/(.+?)(?:\.\d+)?\.json")
_DELIVERIES: Final = re.compile(r"services/([^/]+)/deliveries/(.+)/(\d+)\.json")
_DELIVERY_HEAD: Final = re.compile(rb"\"delivered_at\"\s*:|\"response_status\"\s*:")
_GIVEN_UP: Final = frozenset({"disabled", "temporarily_disabled"})
_NO_ANSWER: Final = frozenset({"connection_error", "timeout", "misconfigured", "failed to connect", "internal error"})


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery: when (ISO 8601), and how it was answered."""

    when: str
    status: int
    said: str
    where: Where

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300


class GithubWebhooksCollector(Collector):
    """Webhooks, and the endpoints that they deliver to.

    Attributes: `events`, `active` (a hook that is switched off delivers nothing, and stays in the list), and
    `last_status`, the HTTP status of the last delivery, where GitHub says it. Where the last deliveries are known:
    `last_delivery`, `failed` (how many of the last ones failed without one that did not), `failing_since` and
    `last_success`. `given_up`: GitLab sends a webhook no more, for a while or for good, as its deliveries failed.

    Reads
    -----
    The JSON lists that GitHub and GitLab give for a repository, project, group or organization, whatever the files
    are called; lists of deliveries where `auditor collect` keeps them, `services/*/deliveries/…/<id>.json`.

    Yields
    ------
    A webhook for each entry, and the endpoint that it delivers to and that has to act on it; its events, whether it
    is active, the status of its last delivery, and since when deliveries fail.

    Can't see
    ---------
    Apps and integrations that are not webhooks, and deliveries that the server has forgotten: GitHub keeps them for
    three days, GitLab for seven.
    """

    name: ClassVar[str] = "github_webhooks"
    title: ClassVar[str] = "Webhooks of GitHub, GitLab, Gitea and Forgejo"
    area: ClassVar[Area] = Area.WEBHOOKS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """JSON that holds hooks, at its top: `config` with a `url` and `events`, or GitLab's `push_events`. Or
        deliveries, by their place."""
        if not path.endswith(".json"):
            return False
        if _DELIVERIES.fullmatch(path):
            return _DELIVERY_HEAD.search(head) is not None
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start not in (b"[", b"{"):
            return False
        if b'"push_events"' in head:
            return b'"url"' in head
        if b'"config"' not in head or b'"events"' not in head or b'"url"' not in head:
            return False
        # A delivery's payload (`ping` and `meta`) holds the hook that delivered it, beside `zen` or `hook`.
        return b'"hook"' not in head and b'"hook_id"' not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One WEBHOOK a hook, DELIVERS to its ENDPOINT. Of deliveries a fragment."""
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(min(stream.problem.line, len(stream.lines)))
            yield Malformed(where, excerpt(stream.problem.reason), "", not stream.documents)
        if _DELIVERIES.fullmatch(document.path):
            found = tuple(_deliveries(stream))
            if found:
                yield Fragment("deliveries", found, found[0].where)
            return
        hooks = [hook for root in stream.documents for hook in _hooks(root)]
        for hook in hooks[:HOOK_LIMIT]:
            yield from _facts(document.path, stream, hook)
        if len(hooks) > HOOK_LIMIT:
            yield Malformed(Where(), f"more than {HOOK_LIMIT} hooks: the rest is not read")

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """What the last deliveries say of each hook."""
        hooks: dict[tuple[str, str, str], Ref] = {}
        for one in fragments:
            place = _HOOKS.fullmatch(one.path)
            if place is not None and isinstance(one.value, tuple) and one.kind == "hook":
                identity, ref = one.value
                hooks[place[1], place[2], identity] = ref
        for one in fragments:
            place = _DELIVERIES.fullmatch(one.path)
            hook = hooks.get((place[1], place[2], place[3])) if place is not None else None
            if hook is not None and one.kind == "deliveries" and isinstance(one.value, tuple):
                yield Entity(hook, replace(one.where, path=one.path), _told(one.value))


def _hooks(root: YamlNode) -> list[YamlNode]:
    """The hooks of an answer: a list, pages of lists (`gh api --paginate --slurp`), or one hook."""
    if root.is_map:
        return [root]
    found: list[YamlNode] = []
    for element in root.elements:
        found.extend([element] if element.is_map else [inner for inner in element.elements if inner.is_map])
    return found


def _facts(path: str, stream: YamlStream, hook: YamlNode) -> Iterator[Parsed]:
    config = hook.get("config")
    url = config.get("url") if config is not None and config.is_map else hook.get("url")
    if url is None or not url.scalar:
        where = stream.where(hook)
        yield Malformed(where, "a hook without a URL")
        return
    public = public_part(url.scalar)
    endpoint, parts = endpoint_ref(public), split_endpoint(public)
    api = "$.config.url" if config is not None and config.is_map else "$.url"
    line = stream.where(url)
    # A line that holds a whole hook, or all of them, shows more than the URL, and perhaps its secret.
    short = len(stream.lines[line.line - 1]) <= EXCERPT_LIMIT and public == url.scalar
    text = line.excerpt if short else excerpt(f'"url": "{public}"')
    where = Where(line.line, text, api=api)
    if endpoint is None or parts is None:
        yield Malformed(where, "a hook whose URL has no host")
        return
    webhook = Ref(Kind.WEBHOOK, f"{_owner(path, hook)}: {parts.host} {hook.text('id')}".rstrip())
    yield Entity(webhook, where, _attributes(hook))
    # A receiver has to act on what it is told: answering alone is not enough.
    yield Dependency(webhook, endpoint, Relation.DELIVERS, where, need=Need.WRITE)
    if _HOOKS.fullmatch(path):
        yield Fragment("hook", (hook.text("id"), webhook), where)


def _deliveries(stream: YamlStream) -> Iterator[_Delivery]:
    """The deliveries of a list, GitHub's or GitLab's: the last one first, as their numbers grow."""
    for root in stream.documents:
        nodes = [node for node in root.elements if node.is_map]
        if all(node.text("id").isdecimal() for node in nodes):
            nodes.sort(key=lambda node: node.text("id").rjust(30, "0"), reverse=True)
        for node in nodes:
            when = parse_time(node.text("delivered_at"))
            if headers := node.get("response_headers"):
                when = _moment(next((value.scalar for key, value in headers.items() if key.scalar == "Date"), ""))
            code = node.text("status_code") or node.text("response_status")
            said = node.text("status") or node.text("response_status")
            status = int(code) if code.isdecimal() and len(code) == 3 else 0
            yield _Delivery(when.isoformat() if when else "", status, excerpt(said), stream.where(node))


def _moment(text: str) -> datetime | None:
    """A date of HTTP (RFC 9110, 5.6.7)."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _told(deliveries: Sequence[_Delivery]) -> dict[str, Attribute]:
    last = deliveries[0]
    failed = next((at for at, one in enumerate(deliveries) if not one.failed), len(deliveries))
    told: dict[str, Attribute] = {"deliveries": len(deliveries)}
    if failed:
        told["failed"] = failed
    if last.when:
        told["last_delivery"] = last.when
    if last.status:
        told["last_status"] = last.status
    if last.said:
        told["last_response"] = last.said
    if failed and deliveries[failed - 1].when:
        told["failing_since"] = deliveries[failed - 1].when
    if failed < len(deliveries) and deliveries[failed].when:
        told["last_success"] = deliveries[failed].when
    return told


def _attributes(hook: YamlNode) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    events = tuple(event.scalar for event in hook.children("events") if event.scalar)
    if not events:  # GitLab has a key for each event
        events = tuple(key.scalar for key, value in hook.items() if key.scalar.endswith("_events") and value.boolean)
    if events:
        attributes["events"] = tuple(excerpt(event) for event in events[:100])
    active = hook.get("active")
    if active is not None and active.boolean is not None:
        attributes["active"] = active.boolean
    elif (status := hook.text("alert_status")) in _GIVEN_UP:
        # Nobody can switch a webhook of GitLab off: it does so itself, after failures.
        attributes["given_up"], attributes["failed"] = excerpt(status), 1
    last = hook.get("last_response")
    if last is not None and last.is_map:
        code, status = last.text("code"), last.text("status")
        if code.isdecimal() and len(code) == 3:
            attributes["last_status"] = int(code)
        if status:
            attributes["last_response"] = excerpt(status)
        if (code and code[0] not in "12") or status in _NO_ANSWER:
            attributes["failed"] = 1
    for key in ("created_at", "updated_at"):
        if value := hook.text(key):
            attributes[key] = excerpt(value)
    return attributes


def _owner(path: str, hook: YamlNode) -> str:
    """Whose hook this is: by its own API address, else by its file's place, else the file."""
    place = _HOOKS.fullmatch(path)
    for key in ("url", "ping_url", "test_url", "deliveries_url"):
        found = _REPOSITORY.search(hook.text(key))
        if found:
            return excerpt(found[1] or found[2])
    if place is not None:
        return excerpt(place[2])
    if (project := hook.text("project_id")) and project.isdecimal():
        return f"project {project}"
    bare = path.removesuffix(".json")
    for marker in ("webhooks/github/", "webhooks/gitlab/"):
        if marker in bare:
            return bare.split(marker, 1)[1]
    return bare
