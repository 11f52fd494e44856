"""What a running Prometheus and Alertmanager answer: targets, rules, silences, and which server it was.

The answers of `/api/v1/targets` and `/api/v1/rules` (Prometheus 2 and 3) and of `/api/v2/silences` (Alertmanager), as
they are or in parts, and `server.json`, which a collection writes beside them. Answers in one directory are of one
server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from posixpath import dirname
from typing import Final
from urllib.parse import parse_qs, urlsplit

from auditor.api import (
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
    host_ref,
    is_loopback,
    parse_time,
    split_endpoint,
)
from collectors.prometheus.config import Config, Job, Labels, Target, seconds, target_facts
from collectors.prometheus.pool import Pool, bits, named_hosts
from collectors.prometheus.promql import Matcher, Selector
from collectors.prometheus.rules import read_rules
from collectors.prometheus.servers import Piece, Server

MAX_SILENCED: Final = 200
"""Targets that one silence is said to silence one by one."""
_PROGRAMS: Final = frozenset({"prometheus", "alertmanager", "grafana"})
_NEVER: Final = "0001-01-01"


@dataclass(frozen=True, slots=True)
class LiveTarget:
    """A target that a server scrapes: what its series are called, and how it is reached."""

    pool: str
    address: str
    labels: Labels
    where: Where
    probe: str = ""
    module: str = ""
    metrics_path: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that holds, now or later."""

    text: str
    matchers: tuple[Matcher, ...]
    where: Where


def is_answer(root: YamlNode) -> bool:
    """Whether a document is an answer that `read_answer` reads."""
    if root.is_list:
        return bool(root.elements) and all(_is_silence(element) for element in root.elements)
    if root.at("data", "activeTargets") is not None or _is_server(root):
        return True
    groups = root.at("data", "groups")
    return root.text("status") == "success" and groups is not None and groups.is_list


def read_answer(root: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """Facts and fragments of one answer."""
    if root.is_list:
        yield from _read_silences(root, stream)
    elif _is_server(root):
        yield from _read_server(root, stream)
    elif (targets := root.at("data", "activeTargets")) is not None:
        yield from _read_targets(targets, stream)
    elif (groups := root.at("data", "groups")) is not None:
        yield from _read_rules(root, groups, stream, on_host)


def _is_silence(node: YamlNode) -> bool:
    return node.is_map and node.get("matchers") is not None and node.get("endsAt") is not None


def _is_server(root: YamlNode) -> bool:
    return root.is_map and root.text("program") in _PROGRAMS and root.get("build") is not None


def _read_server(root: YamlNode, stream: YamlStream) -> Iterator[Parsed]:
    program = root.text("program")
    url = root.get("url") or root
    attributes: dict[str, Attribute] = {"program": program}
    if version := root.at("build", "version"):
        attributes["version"] = excerpt(version.scalar)
    service = Ref(Kind.SERVICE, program)
    yield Entity(service, stream.where(url), attributes)
    parts = split_endpoint(url.scalar)
    if parts is not None and not is_loopback(parts.host) and (host := host_ref(parts.host)):
        yield Dependency(service, host, Relation.RUNS_ON, stream.where(url), confidence=Confidence.MEDIUM)


def _read_targets(nodes: YamlNode, stream: YamlStream) -> Iterator[Parsed]:
    found: list[LiveTarget] = []
    jobs: dict[str, list[YamlNode]] = {}
    for node in nodes.elements:
        url = node.get("scrapeUrl") if node.is_map else None
        if url is None or not url.scalar:
            yield Malformed(stream.where(node), "a target without scrapeUrl")
            continue
        labels = tuple(
            (key.scalar, value.scalar) for key, value in (node.get("labels") or _NOTHING).items() if value.is_scalar
        )
        pool = node.text("scrapePool") or dict(labels).get("job", "")
        try:
            parts = urlsplit(url.scalar)
            asked = parse_qs(parts.query, max_num_fields=100)
        except ValueError:
            yield Malformed(stream.where(url), "a scrapeUrl that is no URL")
            continue
        target = LiveTarget(
            pool,
            parts.netloc.rpartition("@")[2],
            tuple(sorted(labels)),
            stream.where(url),
            (asked.get("target") or [""])[0],
            (asked.get("module") or [""])[0],
            parts.path,
        )
        found.append(target)
        jobs.setdefault(pool, []).append(node)
        yield from target_facts(target_of(target, _job(pool, target.where)), "", None, target.where)
        yield from _health(target, node)
    for pool, members in jobs.items():
        attributes: dict[str, Attribute] = {
            "live_targets": len(members),
            "live_targets_down": sum(member.text("health") == "down" for member in members),
        }
        interval = seconds(members[0].text("scrapeInterval", "x"))
        if interval is not None:
            attributes["interval"] = interval
        first = members[0].get("scrapePool") or members[0]
        yield Entity(Ref(Kind.SCRAPE, excerpt(pool)), stream.where(first), attributes)
    yield Fragment("live_targets", tuple(found), stream.where(nodes))


def _health(target: LiveTarget, node: YamlNode) -> Iterator[Parsed]:
    """What the last scrape of a target gave, at the endpoint."""
    ref = endpoint_ref(target.address)
    if ref is None or target.probe:
        return
    attributes: dict[str, Attribute] = {}
    if health := node.text("health"):
        attributes["scrape_health"] = excerpt(health)
    if error := node.text("lastError"):
        attributes["scrape_error"] = excerpt(error)
    last = node.text("lastScrape")
    if last and not last.startswith(_NEVER) and (when := parse_time(last)):
        attributes["last_scrape"] = when.isoformat()
    if attributes:
        yield Entity(ref, target.where, attributes)


def _job(name: str, where: Where) -> Job:
    return Job(
        excerpt(name), where, (("job", name), ("__scheme__", "http"), ("__metrics_path__", "/metrics")), (), (), ()
    )


def target_of(live: LiveTarget, job: Job) -> Target:
    """A live target as one of a job."""
    return Target(
        job,
        live.address,
        live.labels,
        live.where,
        live.probe,
        live.module,
        live.metrics_path,
        portless=not _has_port(live.address),
    )


def _has_port(address: str) -> bool:
    parts = split_endpoint(address)
    return parts is not None and parts.port is not None


def _read_rules(root: YamlNode, groups: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """The rules of an answer in the form of a rule file, each file's groups by themselves."""
    by_file: dict[str, list[YamlNode]] = {}
    for group in groups.elements:
        if group.is_map:
            by_file.setdefault(group.text("file"), []).append(_as_group(group))
    for members in by_file.values():
        listed = YamlNode("list", members[0].line)
        listed.elements = tuple(members)
        yield from read_rules(root, listed, stream, on_host, live=True)


def _as_group(group: YamlNode) -> YamlNode:
    made = YamlNode("map", group.line)
    rules = YamlNode("list", group.line)
    rules.elements = tuple(_as_rule(rule) for rule in group.children("rules") if rule.is_map)
    name = group.index().get("name")
    pairs = [name] if name is not None else []
    made.pairs = (*pairs, (YamlNode("scalar", group.line, text="rules"), rules))
    return made


def _as_rule(rule: YamlNode) -> YamlNode:
    alerting = rule.text("type") == "alerting"
    names = {"name": "alert" if alerting else "record", "query": "expr", "duration": "for"}
    kept = {"labels", "annotations", "health", "lastError", "lastEvaluation"} if alerting else {"labels"}
    pairs: list[tuple[YamlNode, YamlNode]] = []
    for key, (written, value) in rule.index().items():
        if key == "duration":
            if not alerting:
                continue
            value = YamlNode("scalar", value.line, quoted=True, text=_duration(value.scalar))
        if key in names:
            pairs.append((YamlNode("scalar", written.line, text=names[key]), value))
        elif key in kept and not value.is_null:
            pairs.append((written, value))
    made = YamlNode("map", rule.line)
    made.pairs = tuple(pairs)
    return made


def _duration(number: str) -> str:
    try:
        return f"{int(float(number) * 1000)}ms"
    except (ValueError, OverflowError):
        return number


def _read_silences(root: YamlNode, stream: YamlStream) -> Iterator[Parsed]:
    found: list[Silence] = []
    for node in root.elements:
        state = node.at("status", "state")
        if state is not None and state.scalar == "expired":
            continue
        matchers: list[Matcher] = []
        for matcher in node.children("matchers"):
            name, value = matcher.text("name"), matcher.text("value")
            if not name:
                yield Malformed(stream.where(matcher), "a matcher without a name")
                continue
            regular = (matcher.get("isRegex") or _NOTHING).boolean is True
            equal = (matcher.get("isEqual") or _NOTHING).boolean is not False
            matchers.append((name, ("=~" if regular else "=") if equal else ("!~" if regular else "!="), value))
        if not matchers:
            yield Malformed(stream.where(node), "a silence without matchers")
            continue
        where = stream.where(node.get("matchers") or node)
        named = next((value for value in _values(node) if value.scalar), None)
        if named is not None:
            where = stream.where(named)
        shown = ", ".join(f'{name}{operator}"{value}"' for name, operator, value in matchers)
        text = f"{excerpt(shown)} ({excerpt(node.text('id'))[:8]})"
        attributes: dict[str, Attribute] = {
            "matchers": tuple(excerpt(f"{name}{operator}{value}") for name, operator, value in matchers)
        }
        if state is not None:
            attributes["state"] = excerpt(state.scalar)
        for key, attribute in (("createdBy", "created_by"), ("comment", "comment")):
            if told := node.text(key):
                attributes[attribute] = excerpt(" ".join(told.split()))
        for key, attribute in (("startsAt", "starts_at"), ("endsAt", "ends_at")):
            if when := parse_time(node.text(key)):
                attributes[attribute] = when.isoformat()
        yield Entity(Ref(Kind.SILENCE, text), where, attributes)
        found.append(Silence(text, tuple(matchers), where))
    yield Fragment("silences", tuple(found), stream.where(root))


def _values(node: YamlNode) -> Iterator[YamlNode]:
    """The values of a silence's matchers, those that name a host first."""
    pairs = [(one.text("name"), one.get("value")) for one in node.children("matchers")]
    for host in (True, False):
        for name, value in pairs:
            if value is not None and (name in ("instance", "host", "hostname", "target", "nodename", "server")) is host:
                yield value


def with_live(servers: Sequence[Server], pieces: Sequence[Piece]) -> tuple[list[Server], list[Server]]:
    """Servers that answered with their targets, and all servers: those that answered with nothing else among them.

    What a server says that it scrapes is all that it scrapes, so nothing of its service discovery is hidden any more.
    """
    by_place: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        by_place.setdefault((piece.source, dirname(piece.path)), []).append(piece)
    live: list[Server] = []
    every = list(servers)
    for place, answers in by_place.items():
        own = [
            server
            for server in servers
            if (server.piece.source, dirname(server.piece.path)) == place and server.config.main
        ]
        if not own:
            own = [Server(Piece(replace(answers[0].fragment, kind="config", value=Config(())), answers[0].path))]
            every += own
        for server in own:
            known = {job.name: job for job in server.config.jobs}
            server.targets = [
                target_of(replace(one, where=answer.where(one.where)), known.get(one.pool) or _job(one.pool, one.where))
                for answer in answers
                for one in _live_targets(answer)
            ]
            server.hidden = []
            live.append(server)
    return live, every


def _live_targets(piece: Piece) -> tuple[LiveTarget, ...]:
    value = piece.fragment.value
    return value if isinstance(value, tuple) else ()


def silenced(pieces: Iterable[Piece], servers: Sequence[Server]) -> Iterator[Parsed]:
    """What silences hide: the targets whose series meet all their matchers, else the hosts that they name.

    A matcher on a label that comes with the alert and not with its target (`alertname`, `severity`) is left open.
    """
    pool = Pool(servers)
    for piece in pieces:
        value = piece.fragment.value
        for silence in value if isinstance(value, tuple) else ():
            assert isinstance(silence, Silence)
            ref = Ref(Kind.SILENCE, silence.text, piece.source)
            where = piece.where(silence.where)
            seen: dict[Ref, Confidence] = {}
            for host, exact in named_hosts(Selector("", silence.matchers)):
                if named := endpoint_ref(host):
                    seen[named] = Confidence.HIGH if exact else Confidence.MEDIUM
            of_targets = [one for one in silence.matchers if one[0] in pool.labels]
            if of_targets and any(one[1] in ("=", "=~") for one in of_targets):
                mask = pool.everything
                for matcher in of_targets:
                    mask &= pool.mask(matcher, True)
                for number in list(bits(mask))[:MAX_SILENCED]:
                    watched = pool.targets[number][1].watched
                    asked = pool.targets[number][1].probe
                    target = endpoint_ref(asked) if asked else watched
                    if target is not None and not target.kind.is_local:
                        seen.setdefault(target, Confidence.HIGH)
            for target, confidence in seen.items():
                yield Dependency(
                    ref, target, Relation.SILENCES, where, Need.OBSERVE, group="silenced", confidence=confidence
                )


_NOTHING: Final = YamlNode("map", 0)
