"""The server: it answers to this machine alone, changes nothing, and does one audit at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

from auditor.api import Collector
from auditor.audit.diff import compare
from auditor.audit.engine import Audited, Request, audit
from auditor.audit.scenario import Asked, parse_hosts
from auditor.audit.waves import judge_wave, read_hosts
from auditor.capture.reading import Templates
from auditor.errors import AuditorError, UsageError
from auditor.model import Failure, Lifecycle
from auditor.page import render_page
from auditor.page.review import review_of
from auditor.registry import load_collectors
from auditor.serve import pages
from auditor.serve.store import Cache, Store, Stored, open_store, state
from auditor.wave import Wave

if TYPE_CHECKING:
    from auditor.audit.kept import KeptEstates

T = TypeVar("T")
Known: TypeAlias = "tuple[Templates, KeptEstates | None]"

LOOPBACK: Final = ("127.0.0.1", "::1")
HTTP_PORT: Final = 80
PAGES_KEPT: Final = 32
QUERY_LIMIT: Final = 8_192
HOSTS_LIMIT: Final = 200
WAVE_LIMIT: Final = 1 << 24
_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)


@dataclass
class App:
    """What answers requests. `rules` gives the rules anew, as a policy may change their thresholds."""

    place: Path
    waves: Sequence[Path]
    rules: Callable[[], tuple[list[Any], list[Failure]]]
    now: datetime | None = None
    cache: Path | None = None
    """A directory for what is kept of snapshots, with `caching`, which gives what there is and writes it down."""
    caching: Callable[[Request, Sequence[Collector]], AbstractContextManager[Known]] = lambda _request, _collectors: (
        nullcontext((Templates(), None))
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: OrderedDict[tuple[object, ...], Any] = field(default_factory=OrderedDict)
    _cache: Cache = field(default_factory=Cache)

    def page(self, path: str, query: Mapping[str, list[str]]) -> str:
        """The page of a path. Raises AuditorError for what makes no sense, LookupError for what there is not."""
        makers = {
            "/": self._home,
            "/review": self._review,
            "/diff": self._diff,
            "/wave": self._wave,
            "/waves": self._waves,
        }
        if path not in makers:
            raise LookupError(path)
        with self._lock:
            return makers[path](open_store(self.place, self.waves, self._cache), query)

    def _home(self, store: Store, query: Mapping[str, list[str]]) -> str:
        return pages.home_page(store)

    def _review(self, store: Store, query: Mapping[str, list[str]]) -> str:
        one = store.snapshot(_one(query, "snapshot"))
        hosts = _hosts(query)
        lifecycle, on = _one(query, "as"), _one(query, "on")
        names = tuple(one.name for one in hosts)
        key = ("review", self._state(one), tuple(hosts), lifecycle, on, store)

        def made() -> str:
            audited = self._audited(one, hosts, lifecycle, _day(on))
            return render_page(review_of(audited), before=[pages.around(store, one, names, lifecycle, self.now)])

        return self._once(key, made)

    def _diff(self, store: Store, query: Mapping[str, list[str]]) -> str:
        old, new = store.snapshot(_one(query, "old")), store.snapshot(_one(query, "new"))
        hosts = tuple(_hosts(query))

        def made() -> str:
            collectors, failures = load_collectors()
            rules, more = self.rules()
            diff = compare(old.path, new.path, hosts, None, self._now(new), collectors, rules, (*failures, *more))
            return pages.diff_page(diff, old, new)

        return self._once(("diff", self._state(old), self._state(new), hosts), made)

    def _wave(self, store: Store, query: Mapping[str, list[str]]) -> str:
        name = _one(query, "wave")
        store.wave(name)
        one = store.snapshot(_one(query, "snapshot"))
        return pages.wave_page(self._judged(store, name, one), store, one, self.now)

    def _waves(self, store: Store, query: Mapping[str, list[str]]) -> str:
        one = store.snapshot(_one(query, "snapshot"))
        return pages.waves_page([self._judged(store, name, one) for name, _ in store.waves], store, one, self.now)

    def _judged(self, store: Store, name: str, one: Stored) -> Wave:
        """A wave in a snapshot, with the waves that were given before it gone."""
        before: list[Asked] = []
        names: list[str] = []
        for other, path in store.waves:
            with path.open(encoding="utf-8", errors="replace") as stream:
                hosts = read_hosts(stream.read(WAVE_LIMIT), other)
            if other == name:
                break
            before += hosts
            names.append(other)

        def made() -> Wave:
            return judge_wave(name, self._audited(one, [*before, *hosts], "", None), hosts, names)

        return self._once(("wave", name, tuple(before), tuple(hosts), self._state(one)), made)

    def _audited(self, one: Stored, hosts: Sequence[Asked], lifecycle: str, on: datetime | None) -> Audited:
        if lifecycle not in ("", Lifecycle.RETIRED, Lifecycle.READ_ONLY):
            raise UsageError(f"{lifecycle!r}: say retired or read-only", hint="Choose one of the list.")
        collectors, failures = load_collectors()
        rules, more = self.rules()
        request = Request(
            one.path,
            tuple(hosts),
            Lifecycle(lifecycle) if lifecycle else None,
            self._now(one),
            on,
            confirmed=len(hosts) or HOSTS_LIMIT,
            cache=self.cache,
        )
        with self.caching(request, collectors) as (known, kept):
            return audit(request, collectors, rules, (*failures, *more), known=known, kept=kept)

    def _now(self, one: Stored) -> datetime:
        """The time at which a snapshot is judged: when it was made, unless the command line says otherwise."""
        return self.now or one.at or datetime.now(UTC)

    def _state(self, one: Stored) -> tuple[object, ...]:
        """What an answer about a snapshot depends on; of one without a time, the minute in which it is judged."""
        return one.path, state(one.path), self._now(one).replace(second=0, microsecond=0)

    def _once(self, key: tuple[object, ...], made: Callable[[], T]) -> T:
        """What was made before, or made now. Called with the lock held."""
        if key not in self._kept:
            self._kept[key] = made()
            while len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        found: T = self._kept[key]
        return found


def _one(query: Mapping[str, list[str]], name: str) -> str:
    return (query.get(name) or [""])[0]


def _hosts(query: Mapping[str, list[str]]) -> list[Asked]:
    found = parse_hosts(query.get("host", []))
    if len(found) > HOSTS_LIMIT:
        raise UsageError(f"more than {HOSTS_LIMIT} hosts", hint="Ask for fewer, or use `auditor report`.")
    return found


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date", hint="Write it as 2026-12-01.") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    app: App

    def names(self) -> frozenset[str]:
        """How a browser may call this server: any other name is another site's, led here (DNS rebinding)."""
        port = self.server_address[1]
        names = ("127.0.0.1", "localhost", "[::1]")
        return frozenset((*(f"{name}:{port}" for name in names), *(names if port == HTTP_PORT else ())))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "auditor"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """A page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """What a page would be."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, body = self._made()
        content = body.encode("utf-8", "backslashreplace")
        self.send_response(status)
        for name, value in _HEADERS:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _made(self) -> tuple[int, str]:
        if self.headers.get("Host", "") not in self.server.names():
            return 403, pages.error_page(403, "This server answers to this machine alone.", "Open it as localhost.")
        if self._from_elsewhere():
            return 403, pages.error_page(403, "Another site asked for this page.", "Open it by its own address.")
        asked = urlsplit(self.path)
        if len(asked.query) > QUERY_LIMIT:
            return 414, pages.error_page(414, "The question is too long.", "Ask about fewer hosts at once.")
        try:
            return 200, self.server.app.page(asked.path, parse_qs(asked.query, max_num_fields=500))
        except LookupError:
            return 404, pages.error_page(404, "There is no such page.", "Begin with the list of snapshots.")
        except AuditorError as error:
            return 400, pages.error_page(400, str(error), error.hint)
        except (ValueError, OSError) as error:
            return 400, pages.error_page(400, f"{type(error).__name__}: {error}", "Begin with the list of snapshots.")

    def _from_elsewhere(self) -> bool:
        """Whether a page of another site wants to use this one: an image or a frame of it, or a request of its script.

        A link may lead here. Browsers say so in these headers (W3C, Fetch Metadata Request Headers).
        """
        if self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
            return False
        return (self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")) != ("navigate", "document")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what is asked names hosts."""


def server_of(app: App, address: str, port: int) -> _Server:
    """A server that listens, and serves once `serve_forever` is called. Port 0 is any free one.

    Raises UsageError for an address that is not this machine's loopback, or in use.
    """
    if address not in LOOPBACK:
        raise UsageError(f"{address}: only 127.0.0.1 and ::1 are served", hint="Put a proxy with a login before it.")
    import socket

    kind = type("_Bound", (_Server,), {"address_family": socket.AF_INET6 if ":" in address else socket.AF_INET})
    try:
        server: _Server = kind((address, port), _Handler)
    except OSError as error:
        raise UsageError(f"{address}:{port}: {error.strerror}", hint="Give another port, or 0 for any.") from error
    server.app = app
    return server
