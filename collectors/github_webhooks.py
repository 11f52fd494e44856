"""Webhooks of code hosts: what GitHub's `GET /repos/{owner}/{repo}/hooks` and GitLab's `GET /projects/:id/hooks` say.

Also the organization and group forms of both, and the same of Gitea and Forgejo, whose hooks have GitHub's form. The
secret of a hook is never kept: GitHub masks it, old exports do not. Nor is a part of a URL's path that is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    EXCERPT_LIMIT,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    endpoint_ref,
    excerpt,
    read_yaml,
    split_endpoint,
)

HOOK_LIMIT: Final = 100_000
"""Hooks of one file that are read."""

_REPOSITORY: Final = re.compile(r"/(?:repos/([^/]+/[^/]+)|orgs/([^/]+))/hooks(?:/|$)")
# Chat services' URLs, and others whose path holds a token: from there on nothing is kept.
_CHAT: Final = re.compile(
    r"//(?:hooks\.slack(?:-gov)?\.com|[\w.-]+\.webhook\.office\.com|discord(?:app)?\.com|chat\.googleapis\.com|"
    r"[\w.-]+\.logic\.azure\.com)(?=/)",
    re.I,
)
_TOKEN: Final = re.compile(r"/(?=[\w=-]*\d)(?=[\w=-]*[A-Za-z])[\w=-]{20,}(?:/|$|\?|#)|\?|#")


class GithubWebhooksCollector(Collector):
    """Webhooks, and the endpoints that they deliver to.

    Attributes: `events`, `active` (a hook that is switched off delivers nothing, and stays in the list), and
    `last_status`, the HTTP status of the last delivery, where GitHub says it.

    Reads
    -----
    The JSON lists that GitHub and GitLab give for a repository, project, group or organization, whatever the files
    are called.

    Yields
    ------
    A webhook for each entry, and the endpoint that it delivers to and that has to act on it; its events, whether it
    is active, and the status of its last delivery.

    Can't see
    ---------
    Apps and integrations that are not webhooks, and deliveries before the last one.
    """

    name: ClassVar[str] = "github_webhooks"
    title: ClassVar[str] = "Webhooks of GitHub, GitLab, Gitea and Forgejo"
    area: ClassVar[Area] = Area.WEBHOOKS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """JSON that holds hooks, at its top: `config` with a `url` and `events`, or GitLab's `push_events`."""
        if not path.endswith(".json"):
            return False
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
        """One WEBHOOK a hook, DELIVERS to its ENDPOINT."""
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(min(stream.problem.line, len(stream.lines)))
            yield Malformed(where, excerpt(stream.problem.reason), "", not stream.documents)
        hooks = [hook for root in stream.documents for hook in _hooks(root)]
        for hook in hooks[:HOOK_LIMIT]:
            yield from _facts(document.path, stream, hook)
        if len(hooks) > HOOK_LIMIT:
            yield Malformed(Where(), f"more than {HOOK_LIMIT} hooks: the rest is not read")


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
    public = _public(url.scalar)
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


def _public(url: str) -> str:
    """A URL up to what is a secret in it: a chat service's path, a token, a query."""
    start = url.find("://") + 3 if "://" in url else 0
    if chat := _CHAT.search(url[:500]):
        return url[: chat.end()]
    token = _TOKEN.search(url, max(url.find("/", start), start))
    return url[: token.start()] if token is not None else url


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
    elif hook.text("alert_status") in ("disabled", "temporarily_disabled"):
        attributes["active"] = False
    last = hook.get("last_response")
    if last is not None and last.is_map:
        code, status = last.text("code"), last.text("status")
        if code.isdigit() and len(code) == 3:
            attributes["last_status"] = int(code)
        if status:
            attributes["last_response"] = excerpt(status)
    for key in ("created_at", "updated_at"):
        if value := hook.text(key):
            attributes[key] = excerpt(value)
    return attributes


def _owner(path: str, hook: YamlNode) -> str:
    """Whose hook this is: by its own API address, else the file's place under `webhooks/github/`, else the file."""
    for key in ("url", "ping_url", "test_url", "deliveries_url"):
        found = _REPOSITORY.search(hook.text(key))
        if found:
            return excerpt(found[1] or found[2])
    if (project := hook.text("project_id")) and project.isdigit():
        return f"project {project}"
    bare = path.removesuffix(".json")
    for marker in ("webhooks/github/", "webhooks/gitlab/"):
        if marker in bare:
            return bare.split(marker, 1)[1]
    return bare
