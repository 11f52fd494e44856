"""URLs of webhooks in configurations: chat services' incoming hooks, Sentry's DSNs, build triggers, and plain lists.

Sources: the documentation of incoming webhooks of Slack, Microsoft Teams (connectors and workflows), Discord, Google
Chat, Mattermost and Rocket.Chat; Sentry's of a DSN; Jenkins' plugins that take hooks. The path of such a URL is its
password: only the host is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Confidence,
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
    decode,
    endpoint_ref,
    excerpt,
    is_loopback,
    split_endpoint,
)

MAX_BYTES: Final = 8 << 20
HOOKS_LIMIT: Final = 10_000
"""Webhooks of one file that are read."""

_SUFFIXES: Final = (
    ".env", ".yml", ".yaml", ".json", ".conf", ".ini", ".toml", ".cfg", ".properties", ".config", ".j2", ".erb", ".tpl",
)  # fmt: skip
_LISTS: Final = (".txt", ".csv", ".lst", ".list", ".tsv")
_WORDS: Final = (b"hook", b"HOOK", b"Hook", b"sentry", b"SENTRY", b"Sentry", b"office.com")
_URL: Final = re.compile(r"\bhttps?://[^\s\"'<>`|\\^,;]{3,2000}", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?:web)?hook(?:s|[_.-]?(?:url|uri|endpoint|address))?[\"']?\s*(?:[:=]|=>)\s*[\"']?$", re.IGNORECASE
)
_CHAT: Final = (
    ("slack", re.compile(r"hooks\.slack(?:-gov)?\.com")),
    ("teams", re.compile(r"[\w.-]+\.webhook\.office\.com|outlook\.office(?:365)?\.com|[\w.-]+\.logic\.azure\.com|"
                         r"[\w.-]+\.powerplatform\.com")),
    ("discord", re.compile(r"(?:[\w-]+\.)?discord(?:app)?\.com")),
    ("google chat", re.compile(r"chat\.googleapis\.com")),
)  # fmt: skip
_PATHS: Final = (
    ("chat", re.compile(r"/hooks/[A-Za-z0-9]{17,}(?:/[A-Za-z0-9]{17,})?/?")),
    ("jenkins", re.compile(r"/(?:[\w./-]*/)?(?:github|gitlab|gitea|bitbucket|generic|multibranch)-(?:web)?hook"
                           r"(?:-trigger)?(?:/.*)?")),
    ("generic", re.compile(r"/(?:[\w./-]*/)?(?:[\w-]+-)?(?:web)?hooks?(?:/[^?]*)?")),
)  # fmt: skip
_CHAT_PATH: Final = re.compile(r"/(?:services|workflows|triggers|webhook\w*|api/webhooks|v1/spaces|powerautomate)/")
_DSN: Final = re.compile(r"https?://[0-9a-f]{32}(?::[0-9a-f]{32})?@[^/\s]+/(?:[\w-]+/)*\d+/?", re.IGNORECASE)
_DOCUMENTATION: Final = re.compile(
    r"(?:docs?|developers?|api|help|support|www)\..*|(?:github|gitlab|bitbucket)\.(?:com|org)"
)
_COMMENTS: Final = ("#", "//", ";", "<!--", "*", "--")


class WebhookUrlsCollector(Collector):
    """Webhooks that programs are configured to call: hosts only, as the rest of such a URL is a secret.

    Reads
    -----
    Configurations (`.env`, YAML, JSON, INI, TOML, properties, and templates of them) whose first 4 KiB speak of hooks
    or Sentry; lists called `webhooks.*`, in which every URL is one. Comments are left out.

    Yields
    ------
    A webhook for each host that a file delivers to, with its style: slack, teams, discord, google chat, chat
    (Mattermost, Rocket.Chat), sentry, jenkins, named (by its setting's name), list, or generic (confidence medium).

    Can't see
    ---------
    URLs that are put together at run time, secrets kept elsewhere, what is sent, and hooks that a file first speaks of
    after its beginning.
    """

    name: ClassVar[str] = "webhook_urls"
    title: ClassVar[str] = "Webhook URLs in configurations"
    # Hooks that configurations name say nothing of those that a code host has: these must be exported all the same.
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        """Configurations that speak of hooks, but not those of which other collectors know the structure."""
        if not path.endswith(_SUFFIXES) and not (path.endswith(_LISTS) and _is_list(path)):
            return False
        if b"://" not in head:
            return False
        if not _is_list(path) and not any(word in head for word in _WORDS):
            return False
        if b"_configs:" in head or b'"push_events"' in head or b"admissionregistration.k8s.io" in head:
            return False
        return not (b'"config"' in head and b'"events"' in head) and path != "inventory.yaml"

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One WEBHOOK a host, DELIVERS to its ENDPOINT."""
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", True)
            return
        listed = _is_list(document.path)
        seen: set[str] = set()
        for number, line in enumerate(decode(document.content).split("\n"), 1):
            if "://" not in line or line.lstrip().startswith(_COMMENTS):
                continue
            line = line[:20_000]
            for found in _URL.finditer(line):
                style = "list" if listed else _style(found[0], line[max(0, found.start() - 80) : found.start()])
                endpoint = _host_only(found[0]) if style else None
                if endpoint is None or endpoint.text in seen:
                    continue
                if len(seen) >= HOOKS_LIMIT:
                    yield Malformed(Where(number), f"more than {HOOKS_LIMIT:,} webhooks: the rest is not read")
                    return
                seen.add(endpoint.text)
                where = Where(number, excerpt(_URL.sub(_shown, line)))
                webhook = Ref(Kind.WEBHOOK, f"{document.path}: {endpoint.text.partition('://')[2]}")
                yield Entity(webhook, where, {"style": style})
                sure = Confidence.MEDIUM if style == "generic" else Confidence.HIGH
                yield Dependency(webhook, endpoint, Relation.DELIVERS, where, Need.WRITE, confidence=sure)


def _is_list(path: str) -> bool:
    base = path[path.rfind("/") + 1 :]
    return base.startswith(("webhooks.", "webhook_urls.", "webhook-urls.", "hooks.txt", "hooks.csv"))


def _host_only(url: str) -> Ref | None:
    """The URL's scheme, host and port; None if its host is filled in later, or is this machine."""
    parts = split_endpoint(url)
    if parts is None or "{" in url.partition("://")[2].partition("/")[0] or "$" in parts.host:
        return None
    if is_loopback(parts.host) or "." not in parts.host.strip("."):
        return None
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    return endpoint_ref(f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}")


def _shown(found: re.Match[str]) -> str:
    ref = _host_only(found[0])
    return f"{ref.text}/…" if ref is not None else "…"


def _style(url: str, before: str) -> str:
    """What sort of webhook a URL is; empty if nothing says that it is one."""
    if _DSN.fullmatch(url):
        return "sentry"
    parts = split_endpoint(url)
    if parts is None:
        return ""
    path = parts.path[:300].partition("?")[0].partition("#")[0]
    for style, pattern in _CHAT:
        if pattern.fullmatch(parts.host):
            return style if style == "slack" or _CHAT_PATH.search(f"{path}/") else ""
    if _DOCUMENTATION.fullmatch(parts.host):
        return ""
    if _NAMED.search(before):
        return "named"
    return next((style for style, pattern in _PATHS if pattern.fullmatch(path)), "")
