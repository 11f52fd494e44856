"""Alertmanager: the tree of routes, and where each receiver sends.

Read from the configuration reference of Alertmanager 0.28 and dispatch/route.go: the first matching child takes an
alert unless it says `continue`, and a route takes what none of its children took. Regular expressions are anchored.
Time intervals belong to their route alone (dispatch/route.go does not pass them on). Intervals and inhibition matter
here where they suppress an alert at all times: see `Route.muted` and `Inhibition`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final, TypeAlias

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Fragment,
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
    split_endpoint,
)
from collectors.prometheus.promql import Matcher
from collectors.prometheus.relabel import anchored

SERVICE: Final = Ref(Kind.SERVICE, "alertmanager")
Week: TypeAlias = int
"""Minutes of the week from Sunday 00:00, a bit for each."""

MAX_ROUTES: Final = 20_000
MAX_MATCHER: Final = 4096
MAX_URL: Final = 4096

_REFUSED: Final = "Alertmanager refuses the whole configuration"
# Integration -> (key of its URL, key of the default in `global`, what it is if neither is given).
_INTEGRATIONS: Final[dict[str, tuple[str, str, str]]] = {
    "webhook_configs": ("url", "", ""),
    "slack_configs": ("api_url", "slack_api_url", ""),
    "mattermost_configs": ("webhook_url", "mattermost_webhook_url", ""),
    "discord_configs": ("webhook_url", "", ""),
    "msteams_configs": ("webhook_url", "", ""),
    "msteamsv2_configs": ("webhook_url", "", ""),
    "opsgenie_configs": ("api_url", "opsgenie_api_url", "https://api.opsgenie.com/"),
    "pagerduty_configs": ("url", "pagerduty_url", "https://events.pagerduty.com/v2/enqueue"),
    "pushover_configs": ("api_url", "", "https://api.pushover.net/1/messages.json"),
    "victorops_configs": ("api_url", "victorops_api_url", "https://alert.victorops.com/integrations/generic/"),
    "wechat_configs": ("api_url", "wechat_api_url", "https://qyapi.weixin.qq.com/cgi-bin/"),
    "telegram_configs": ("api_url", "telegram_api_url", "https://api.telegram.org"),
    "webex_configs": ("api_url", "webex_api_url", "https://webexapis.com/v1/messages"),
    "rocketchat_configs": ("api_url", "rocketchat_api_url", "https://open.rocket.chat/"),
    "jira_configs": ("api_url", "jira_api_url", ""),
    "incidentio_configs": ("url", "", ""),
    "sns_configs": ("api_url", "", "https://sns.amazonaws.com"),
}
_REQUIRED: Final = {
    "slack_configs": ("api_url", "app_token", "app_url", "bot_token"),
    "victorops_configs": ("api_key",),
    "opsgenie_configs": ("api_key",),
}
_OWN_PATH: Final = frozenset(
    {"webhook_configs", "jira_configs", "opsgenie_configs", "pagerduty_configs", "wechat_configs"}
)
_TOKEN: Final = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[\w~.-]{20,}")
_MATCHER: Final = re.compile(
    r"""\s*+(?P<name>"(?:\\.|[^"\\])*+"|[^\s=!~"{},]++)\s*+(?P<op>=~|!~|!=|=)\s*+"""
    r"""(?P<value>"(?:\\.|[^"\\])*+"\s*+|[^,"]*+)(?P<end>,|$)"""
)
_ESCAPE: Final = re.compile(r"\\(.)", re.S)


@dataclass(frozen=True, slots=True)
class Route:
    """One route with all below it."""

    text: str
    receiver: str
    matchers: tuple[Matcher, ...]
    goes_on: bool
    routes: tuple[Route, ...]
    where: Where
    muted: str = ""
    """Why nothing ever leaves this route by itself: the names of its time intervals. Empty if something does."""


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Alerts that meet `target` are silent while one that meets `source` fires with the same labels `equal`."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """What one Alertmanager (or Grafana) does with alerts. `program` is which of them."""

    root: Route
    receivers: tuple[str, ...]
    inhibitions: tuple[Inhibition, ...] = ()
    program: str = "alertmanager"


def safe_endpoint(url: str, keep_path: bool) -> Ref | None:
    """The endpoint of a URL. A path that is, or may hold, a token is left out."""
    parts = split_endpoint(url)
    ref = endpoint_ref(url)
    if parts is None or ref is None or len(url) > MAX_URL:
        return None
    path = parts.path.partition("?")[0]
    if path and (not keep_path or _TOKEN.search(path) or excerpt(url.strip()) != url.strip()):
        scheme, separator, rest = ref.text.partition("://") if "://" in ref.text else ("", "", ref.text)
        return Ref(Kind.ENDPOINT, scheme + separator + re.split(r"[/?#]", rest, maxsplit=1)[0])
    return ref


def read_alertmanager(root: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """Receivers with their channels, routes, and the tree as a fragment."""
    where = stream.where(root)
    yield Entity(SERVICE, where, {"program": "alertmanager"})
    if on_host:
        yield Dependency(SERVICE, THIS_HOST, Relation.RUNS_ON, where)
    defaults = root.get("global") or _NOTHING
    receivers: list[str] = []
    yield from _twice(defaults, stream)
    for node in root.children("receivers"):
        name = node.get("name")
        if name is None or not name.scalar:
            yield Malformed(stream.where(node), "a receiver without a name", _REFUSED)
            continue
        text = excerpt(name.scalar)
        if text in receivers:
            yield Malformed(stream.where(name), f"two receivers named {text!r}", _REFUSED)
        receivers.append(text)
        yield from _read_receiver(node, Ref(Kind.RECEIVER, text), stream, defaults, on_host)
    top = root.get("route")
    if top is None or not top.is_map:
        yield Malformed(where, "no route", _REFUSED)
        return
    problems: list[Parsed] = []
    reader = RouteReader(stream, problems, read_intervals(root))
    route = reader.read(top, "", "route", 0)
    for key in ("match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals"):
        own = top.get(key)
        if own is not None and (own.elements or own.index()):
            what = "time intervals" if key.endswith("_intervals") else "matchers"
            problems.append(Malformed(stream.where(own), f"the first route may not have {what}", _REFUSED))
    inhibitions = tuple(reader.inhibition(node) for node in root.children("inhibit_rules") if node.is_map)
    yield from problems
    yield from route_facts(route, receivers)
    yield Fragment("alertmanager", Routing(route, tuple(receivers), inhibitions), where)


def route_facts(route: Route, receivers: Sequence[str] | None) -> Iterator[Parsed]:
    """Routes as entities, with the receivers that they name; `receivers` are those that exist, None if not known."""
    for entry in _all_routes(route):
        ref = Ref(Kind.ROUTE, entry.text)
        attributes: dict[str, Attribute] = {"receiver": entry.receiver}
        if entry.matchers:
            attributes["matchers"] = tuple(excerpt("".join(matcher)) for matcher in entry.matchers)
        if entry.goes_on:
            attributes["continue"] = True
        if entry.muted:
            attributes["muted_by"] = entry.muted
        yield Entity(ref, entry.where, attributes)
        if receivers is not None and entry.receiver not in receivers and TEMPLATE not in entry.receiver:
            reason = f"no receiver is named {entry.receiver!r}" if entry.receiver else "a route without a receiver"
            yield Malformed(entry.where, reason, _REFUSED)
        else:
            yield Dependency(ref, Ref(Kind.RECEIVER, entry.receiver), Relation.NOTIFIES, entry.where)


def _all_routes(route: Route) -> Iterator[Route]:
    yield route
    for child in route.routes:
        yield from _all_routes(child)


def _read_receiver(node: YamlNode, ref: Ref, stream: YamlStream, defaults: YamlNode, on_host: bool) -> Iterator[Parsed]:
    channels = [
        (key.scalar, entry)
        for key, value in node.items()
        if key.scalar.endswith("_configs")
        for entry in value.elements
    ]
    kinds = tuple(dict.fromkeys(kind.removesuffix("_configs") for kind, _ in channels))
    yield Entity(ref, stream.where(node.get("name") or node), {"channels": kinds} if kinds else {})
    if on_host:
        yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, stream.where(node.get("name") or node))
    group = "channels" if len(channels) > 1 else ""
    for kind, entry in channels:
        if not entry.is_map:
            yield Malformed(stream.where(entry), f"an entry of {kind} that is not a mapping", _REFUSED)
            continue
        yield from _channel(ref, kind, entry, stream, defaults, group)
        yield from _twice(entry, stream)
        yield from _secrets(ref, kind, entry, stream, defaults)
        files = [pair for pair in entry.items() if not pair[0].scalar.endswith("url_file")]  # that is in `_channel`
        for holder_of_files in ("tls_config", "http_config"):
            inner = entry.get(holder_of_files)
            if inner is not None and inner.is_map:
                files += inner.items()
                for keys in (("tls_config",), ("authorization",), ("basic_auth",), ("oauth2",)):
                    deeper = inner.at(*keys)
                    files += deeper.items() if deeper is not None and deeper.is_map else ()
        for key, value in files:
            if key.scalar.endswith("_file") and value.is_scalar and value.scalar.startswith("/"):
                yield Dependency(ref, Ref(Kind.PATH, value.scalar), Relation.READS, stream.where(value))
        token = entry.at("http_config", "oauth2", "token_url")
        if token is not None and TEMPLATE not in token.scalar and (server := safe_endpoint(token.scalar, True)):
            yield Dependency(ref, server, Relation.CONNECTS, stream.where(token), Need.RUN)
        # Mail does not go through an HTTP proxy.
        for holder in (entry, defaults) if kind != "email_configs" else ():
            proxy = holder.at("http_config", "proxy_url")
            if proxy is not None:
                if address := safe_endpoint(proxy.scalar, False):
                    yield Dependency(ref, address, Relation.CONNECTS, stream.where(proxy), Need.RUN)
                break


def _secrets(ref: Ref, kind: str, entry: YamlNode, stream: YamlStream, defaults: YamlNode) -> Iterator[Parsed]:
    """Files in `global` with the secrets that an integration has not itself, and secrets that are missing."""
    prefix = "smtp_" if kind == "email_configs" else kind.removesuffix("configs")
    for key, value in defaults.items():
        name = key.scalar.removeprefix(prefix).removesuffix("_file")
        if (
            key.scalar.startswith(prefix)
            and key.scalar.endswith("_file")
            and not name.endswith("url")
            and not (entry.get(name) or entry.get(f"{name}_file"))
            and value.scalar.startswith("/")
        ):
            yield Dependency(ref, Ref(Kind.PATH, value.scalar), Relation.READS, stream.where(value))
    required = _REQUIRED.get(kind, ())
    if required and not any(
        entry.get(name) or defaults.get(prefix + name) for key in required for name in (key, f"{key}_file")
    ):
        yield Malformed(stream.where(entry), f"{kind}: no {required[0]}, and none in global", _REFUSED)


def _twice(node: YamlNode, stream: YamlStream) -> Iterator[Malformed]:
    """Secrets that are given both in place and by a file."""
    for name in node.index():
        if name.endswith("_file") and (given := node.get(name.removesuffix("_file"))):
            yield Malformed(stream.where(given), f"both {excerpt(name.removesuffix('_file'))} and its file", _REFUSED)


def _channel(
    ref: Ref, kind: str, entry: YamlNode, stream: YamlStream, defaults: YamlNode, group: str
) -> Iterator[Parsed]:
    """Where one integration sends: its own URL, the global one, or the service's."""
    if kind == "email_configs":
        host = entry.get("smarthost") or defaults.get("smtp_smarthost")
        if host is None:
            yield Malformed(stream.where(entry), "an email without smarthost", _REFUSED)
        elif TEMPLATE not in host.scalar and (address := endpoint_ref(host.scalar)):
            yield Dependency(ref, address, Relation.NOTIFIES, stream.where(host), group=group)
        return
    key, global_key, service = _INTEGRATIONS.get(kind, ("url", "", ""))
    url = entry.get(key)
    if url is None and entry.get(f"{key}_file") is None and global_key:
        url = defaults.get(global_key)
    if url is not None and url.is_scalar:
        if TEMPLATE in url.scalar:
            return
        address = safe_endpoint(url.scalar, kind in _OWN_PATH)
        if address is not None:
            yield Dependency(ref, address, Relation.NOTIFIES, stream.where(url), group=group)
        elif url.scalar and not url.scalar.startswith("<"):
            yield Malformed(stream.where(url), f"{kind}: the URL names no host", _REFUSED)
        return
    file = entry.get(f"{key}_file") or (defaults.get(f"{global_key}_file") if global_key else None)
    if file is not None and file.is_scalar and file.scalar.startswith("/"):
        yield Dependency(ref, Ref(Kind.PATH, file.scalar), Relation.READS, stream.where(file), group=group)
    elif service and (address := endpoint_ref(service)):
        yield Dependency(
            ref, address, Relation.NOTIFIES, stream.where(entry), group=group, confidence=Confidence.MEDIUM
        )


_DAYS: Final = {
    name: number
    for number, day in enumerate(("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"))
    for name in (day, str(number))
}
_MINUTES: Final = 24 * 60
_ALL_OF: Final = {"days_of_month": ("1:31", "1:-1"), "months": ("1:12", "january:december")}


def read_intervals(
    root: YamlNode, keys: Iterable[str] = ("time_intervals", "mute_time_intervals")
) -> dict[str, Week | None]:
    """Time intervals by name: the minutes of the week that each surely holds, None if it never holds.

    An entry that is limited to days of the month, to months or to years holds no minute for sure.
    """
    found: dict[str, Week | None] = {}
    for key in keys:
        for node in root.children(key):
            if node.is_map and node.text("name"):
                entries = node.children("time_intervals")
                found[node.text("name")] = reduce(or_, map(_week, entries), 0) if entries else None
    return found


def _week(entry: YamlNode) -> Week:
    if not entry.is_map or entry.children("years"):
        return 0
    for key, whole in _ALL_OF.items():
        given = {value.scalar.replace(" ", "").lower() for value in entry.children(key)}
        if given and given.isdisjoint(whole):
            return 0
    days: set[int] = set()
    for value in entry.children("weekdays"):
        first, _, last = value.scalar.replace(" ", "").lower().partition(":")
        start, end = _DAYS.get(first, 0), _DAYS.get(last or first, -1)
        days |= set(range(start, end + 1))
    minutes = 0 if entry.children("times") else (1 << _MINUTES) - 1
    for span in entry.children("times"):
        if span.is_map:
            start, end = _minute(span.text("start_time")), _minute(span.text("end_time"))
            minutes |= (1 << max(end - start, 0)) - 1 << start
    return reduce(or_, (minutes << day * _MINUTES for day in (days if entry.children("weekdays") else range(7))), 0)


def _minute(text: str) -> int:
    found = re.fullmatch(r"(\d{1,2}):(\d\d)", text.strip(), re.ASCII)
    return min(int(found[1]) * 60 + int(found[2]), _MINUTES) if found else 0


class RouteReader:
    """Reads the tree of routes; what is wrong goes to `problems`. `intervals` is by `read_intervals`."""

    def __init__(
        self, stream: YamlStream, problems: list[Parsed], intervals: Mapping[str, Week | None], grafana: str = ""
    ) -> None:
        self.grafana = grafana
        """What stands before the names of Grafana's contact points. Of its intervals not all are in the same file."""
        self.found: dict[str, None] = {}
        self.stream = stream
        self.problems = problems
        self.intervals = intervals
        self.count = 0
        self.taken: dict[str, int] = {}

    def read(self, node: YamlNode, inherited: str, above: str, depth: int) -> Route:
        self.count += 1
        matchers = tuple(self._matchers(node, (("match", "="), ("match_re", "=~")), "matchers"))
        own = "{" + ",".join(f"{name}{op}{excerpt(value)!r}" for name, op, value in matchers) + "}" if depth else ""
        text = f"{above}/{own}" if depth else above
        self.taken[text] = self.taken.get(text, 0) + 1
        if self.taken[text] > 1:
            text = f"{text}#{self.taken[text]}"
        own_receiver = excerpt(node.text("receiver"))
        receiver = self.grafana + own_receiver if own_receiver else inherited
        self.found[receiver] = None
        routes = []
        for child in node.children("routes"):
            if not child.is_map:
                self._problem(child, "a route that is not a mapping")
            elif self.count >= MAX_ROUTES:
                self._problem(child, f"more than {MAX_ROUTES} routes")
                break
            else:
                routes.append(self.read(child, receiver, text, depth + 1))
        goes_on = (node.get("continue") or _NOTHING).boolean is True if node.get("continue") else False
        place = self.stream.where(node.get("receiver") or node)
        return Route(text, receiver, matchers, goes_on, tuple(routes), place, self._muted(node) if depth else "")

    @property
    def receivers(self) -> tuple[str, ...]:
        """All receivers that the routes name."""
        return tuple(self.found)

    def _muted(self, node: YamlNode) -> str:
        """The intervals that silence a route at all times: muting ones fill the week, active ones are empty."""
        named: dict[str, list[str]] = {}
        for key in ("mute_time_intervals", "active_time_intervals"):
            for name in node.children(key):
                if name.scalar in self.intervals:
                    named.setdefault(key, []).append(name.scalar)
                elif TEMPLATE not in name.scalar and not self.grafana:
                    self._problem(name, f"no time interval is named {excerpt(name.scalar)!r}")
        muting = named.get("mute_time_intervals", [])
        if reduce(or_, (self.intervals[name] or 0 for name in muting), 0) == (1 << 7 * _MINUTES) - 1:
            return excerpt(", ".join(muting))
        active = named.get("active_time_intervals", [])
        if active and all(self.intervals[name] is None for name in active):
            return excerpt(", ".join(active))
        return ""

    def inhibition(self, node: YamlNode) -> Inhibition:
        """One of `inhibit_rules`, in the new or the old form."""
        sides = []
        for side in ("source", "target"):
            keys = ((f"{side}_match", "="), (f"{side}_match_re", "=~"))
            sides.append(tuple(self._matchers(node, keys, f"{side}_matchers")))
        return Inhibition(sides[0], sides[1], tuple(one.scalar for one in node.children("equal")))

    def _problem(self, node: YamlNode, reason: str) -> None:
        effect = "Grafana does not start" if self.grafana else _REFUSED
        self.problems.append(Malformed(self.stream.where(node), reason, effect))

    def _matchers(self, node: YamlNode, maps: Iterable[tuple[str, str]], lines: str) -> Iterator[Matcher]:
        for key, operator in maps:
            for name, value in (node.get(key) or _NOTHING).items():
                if value.is_null and operator == "=~":
                    self._problem(name, f"no regular expression for {excerpt(name.scalar)!r}")
                    continue
                yield from self._checked(value, name.scalar, operator, value.scalar)
        for triple in node.children("object_matchers"):
            parts = [part.scalar for part in triple.elements]
            if len(parts) == 3 and parts[1] in ("=", "!=", "=~", "!~"):
                yield from self._checked(triple, *parts)
            else:
                self._problem(triple, "an object matcher is a list of a label, an operator and a value")
        for line in node.children(lines):
            try:
                found = parse_matchers(line.scalar)
            except ValueError as error:
                self._problem(line, str(error))
                continue
            for matcher in found:
                yield from self._checked(line, *matcher)

    def _checked(self, node: YamlNode, name: str, operator: str, value: str) -> Iterator[Matcher]:
        if operator in ("=~", "!~"):
            try:
                anchored(value)
            except ValueError as error:
                self._problem(node, str(error))
                return
        yield name, operator, value


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Matchers in the classic and in the UTF-8 syntax: `a="b"`, `{a=~b|c, "d e"!="f"}`. Raises ValueError.

    Both unescape `\\\\`, `\\"` and `\\n`; what else follows a backslash stays, as in the classic syntax.
    """
    inner = text.strip()
    if len(inner) > MAX_MATCHER:
        raise ValueError(f"a matcher of more than {MAX_MATCHER} characters")
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    matchers: list[Matcher] = []
    at = 0
    while at < len(inner):
        found = _MATCHER.match(inner, at)
        if found is None:
            raise ValueError(f"not a matcher: {excerpt(inner[at:])}")
        matchers.append((_unquoted(found["name"]), found["op"], _unquoted(found["value"].strip())))
        at = found.end()
    return tuple(matchers)


def _unquoted(text: str) -> str:
    inner = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    return _ESCAPE.sub(lambda found: {"n": "\n", '"': '"', "\\": "\\"}.get(found[1], found[0]), inner)


def holds(operator: str, value: str, actual: str) -> bool:
    """Whether a label's value (empty if it has none) meets a condition. A pattern that RE2 refuses meets none."""
    if operator == "=":
        return actual == value
    if operator == "!=":
        return actual != value
    try:
        matched = anchored(value)(actual) is not None
    except ValueError:
        return False
    return matched if operator == "=~" else not matched


def receivers_of(route: Route, decide: Callable[[Matcher], bool | None]) -> tuple[tuple[Route, ...], bool | None]:
    """The routes by which an alert may reach a receiver, and whether the route takes it (None: perhaps).

    `decide` says whether the alert meets a matcher; None where that is not known, and then both ways are followed.
    """
    taken: bool | None = True
    for matcher in route.matchers:
        met = decide(matcher)
        if met is False:
            return (), False
        if met is None:
            taken = None
    reached: list[Route] = []
    certain = False
    for child in route.routes:
        found, state = receivers_of(child, decide)
        reached.extend(found)
        if state:
            certain = True
            if not child.goes_on:
                break
    if not certain:
        reached.append(route)
    return tuple(reached), taken


_NOTHING: Final = YamlNode("map", 0)
