"""Lines of text that name a host that is going, for the rules that know what such a line means, and where they stand:
the files, as they are called on their hosts, and the settings of services."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.api import (
    EstateView,
    Going,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    is_address,
    is_comment,
    plural,
    ranged,
)

_WHOLE: Final = 150
"""Characters up to which the excerpt of a line is surely the whole line."""
_NOT_WHOLE: Final = frozenset("…‹›`")
"""What stands for something that was left out or redacted, and what would end a quotation."""

_MACHINE: Final = re.compile(r"[\d-]")
_PRIVATE: Final = re.compile(r"10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd][0-9a-f]{2}:")
_ANSWERS: Final = re.compile(r"(?:services|aws|lookups|tls|webhooks)/|hosts/[^/]+/(?:proc|\.auditor)/|inventory\.yaml$")
"""What no one writes by hand, and what says what is to happen to the host."""

_AWS: Final = {
    "acm": "Certificate Manager",
    "apigateway": "API Gateway",
    "apigatewayv2": "API Gateway",
    "appsync": "AppSync",
    "autoscaling": "Auto Scaling",
    "cloudfront": "CloudFront",
    "cloudwatch": "CloudWatch",
    "codebuild": "CodeBuild",
    "codepipeline": "CodePipeline",
    "datasync": "DataSync",
    "dms": "Database Migration Service",
    "ec2": "EC2",
    "elb": "Elastic Load Balancing",
    "elbv2": "Elastic Load Balancing",
    "events": "EventBridge",
    "firehose": "Data Firehose",
    "glue": "Glue",
    "lambda": "Lambda",
    "pipes": "EventBridge Pipes",
    "rds": "RDS",
    "route53": "Route 53",
    "route53resolver": "Route 53 Resolver",
    "scheduler": "EventBridge Scheduler",
    "servicediscovery": "Cloud Map",
    "sns": "SNS",
    "ssm": "Systems Manager",
    "transfer": "Transfer Family",
}
_FORGES: Final = {"forgejo": "Forgejo", "gitea": "Gitea", "github": "GitHub", "gitlab": "GitLab"}


@dataclass(slots=True)
class Lines:
    """Lines of one file that name hosts that are going; equal files on many hosts are one. `place` is the path that
    the file has on its host, or in the tree."""

    place: str
    documents: list[Node] = field(default_factory=list)
    going: dict[str, Going] = field(default_factory=dict)
    lines: list[Provenance] = field(default_factory=list)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The going hosts that are named."""
        return tuple(sorted(self.going))

    @property
    def on(self) -> list[str]:
        """The hosts that have the file, numbered ones as a range; none for a file of a tree."""
        return ranged(host for one in self.documents if (host := host_of(one.text)))

    @property
    def texts(self) -> list[str]:
        """The lines as they are written, each once."""
        return list(dict.fromkeys(one.excerpt for one in self.lines))

    @property
    def retires(self) -> bool:
        """Whether one of the hosts will be gone, and is not only read-only."""
        return any(one.lifecycle is not Lifecycle.READ_ONLY for one in self.going.values())


def naming(estate: EstateView, fits: Callable[[str, str], bool]) -> list[Lines]:
    """The lines that name a going host and fit, by what the file is called and what stands in the line.

    Files of the host itself are not among them. `fits` gets the path on the host, or in the tree, and the line.
    """
    documents: dict[int, Lines] = {}
    for going, document, line in mentions(estate):
        place = place_of(document.text)
        if line.line and fits(place, line.excerpt):
            one = documents.setdefault(document.id, Lines(place, [document]))
            one.going[going.host] = going
            if line not in one.lines:
                one.lines.append(line)
    return merged(documents.values())


def merged(found: Iterable[Lines]) -> list[Lines]:
    """Equal files on many hosts as one, with the lines of all."""
    alike: dict[tuple[str, tuple[tuple[int, str], ...]], Lines] = {}
    for one in found:
        one.lines.sort(key=lambda line: line.line)
        key = (one.place, tuple((line.line, line.excerpt) for line in one.lines))
        known = alike.setdefault(key, one)
        if known is not one:
            known.documents += one.documents
            known.going |= one.going
            known.lines += one.lines
    return list(alike.values())


def mentions(estate: EstateView) -> Iterator[tuple[Going, Node, Provenance]]:
    """Each going host with the files and lines that name it."""
    for going in estate.going:
        host = estate.host(going.host)
        for edge in estate.incoming(host, Relation.MENTIONS) if host is not None else ():
            if edge.consumer.kind is Kind.DOCUMENT:
                yield going, edge.consumer, edge.provenance


def lines_in(estate: EstateView) -> dict[str, list[tuple[Going, Provenance]]]:
    """By the path in the estate: the lines of a file that name going hosts."""
    found: dict[str, list[tuple[Going, Provenance]]] = {}
    for going, document, line in mentions(estate):
        if line.line:
            found.setdefault(document.text, []).append((going, line))
    return found


def place_of(estate_path: str) -> str:
    """The path on the host for a file of a host, else the path in the tree."""
    parts = estate_path.split("/", 2)
    return f"/{parts[2]}" if len(parts) == 3 and parts[0] == "hosts" else estate_path


def files(lines: Iterable[Provenance]) -> list[str]:
    """The files of some lines, as they are called on their own host."""
    return list(dict.fromkeys(place_of(one.path) for one in lines))


def settings(lines: Iterable[Provenance]) -> list[str]:
    """Where some lines are changed: files as they are called on their own host, and for what a service or a forge
    answered, that service: `EventBridge (account 123456789012, eu-west-1)`.
    """
    return list(dict.fromkeys(_setting(one.path) for one in lines))


def is_answer(line: Provenance) -> bool:
    """Whether a line is of what a service answered, and of no file that somebody could change."""
    return _setting(line.path) != place_of(line.path)


def _setting(path: str) -> str:
    kind, *rest = path.split("/")
    if kind == "aws" and len(rest) == 3:
        account, region, call = rest
        service = call.partition(".")[0]
        there = f", {region}" if region != "aws-global" else ""
        return f"{_AWS.get(service, service)} (account {account}{there})"
    if kind == "services" and len(rest) > 1:
        return f"the {rest[1].partition('.')[0].replace('-', ' ')} of {rest[0]}"
    if kind == "webhooks" and len(rest) > 2:
        return f"the webhooks of {'/'.join(rest[1:]).removesuffix('.json')} at {_FORGES.get(rest[0], rest[0])}"
    return place_of(path)


def host_of(estate_path: str) -> str:
    """The host, or the range of hosts, that a file of the estate was captured on; empty for one of the tree."""
    parts = estate_path.split("/", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "hosts" else ""


def called(going: Going) -> set[str]:
    """All that a host is called where a format has a host's place: names, the short one, addresses."""
    return {going.host, going.host.partition(".")[0], *going.names, *going.addresses} - {""}


def by_name(estate: EstateView) -> dict[str, list[Going]]:
    """The going hosts by all that they are called."""
    found: dict[str, list[Going]] = {}
    for going in estate.going:
        for name in called(going):
            found.setdefault(name, []).append(going)
    return found


def successor_called(estate: EstateView, going: Going) -> set[str]:
    """All that the declared successor is called; nothing if none is declared."""
    host = estate.host(going.host)
    successor = estate.successor(host) if host is not None else None
    if successor is None:
        return set()
    names = {successor.text, successor.text.partition(".")[0]}
    for edge in estate.incoming(successor, Relation.STANDS_FOR):
        if edge.consumer.kind in (Kind.NAME, Kind.ADDRESS) and not edge.consumer.scope:
            names.add(edge.consumer.text)
    return names


def changed(estate: EstateView, line: Provenance, going: Iterable[Going]) -> str:
    """A line with the successor in the place of the host that goes; empty where that can't be written, or is a comment.

    A name becomes the successor's in the same form, full or short. An address becomes the successor's only address of
    the same kind: of its version, and private as it is or not.
    """
    text = line.excerpt
    if not line.line or is_comment(text) or len(text) > _WHOLE or _NOT_WHOLE & set(text) or _ANSWERS.match(line.path):
        return ""
    for one in going:
        if not one.successor:
            continue
        short, new_short = one.host.partition(".")[0], one.successor.partition(".")[0]
        full = _replaced(text, one.host, one.successor)
        # A short name such as `web` may be a user or a group beside the full one.
        text = _replaced(full, short, new_short) if full == text or _MACHINE.search(short) else full
        for address in one.addresses:
            other = address_instead(estate, one, address)
            text = _replaced(text, address, other) if other else text
    return text if text != line.excerpt else ""


def address_instead(estate: EstateView, going: Going, address: str) -> str:
    """The successor's only address of the same kind; empty if it has none or several."""
    others = [name for name in successor_called(estate, going) if is_address(name)]
    same = [other for other in others if _network(other) == _network(address)]
    return same[0] if len(same) == 1 else ""


def written(estate: EstateView, lines: Iterable[Provenance], hosts: Iterable[str]) -> str:
    """` In hosts/a/etc/cron.d/x:3 write `…`.`: the first of these lines with the successor in it, the others counted.

    Empty where no line can be written so.
    """
    going = [one for one in estate.going if one.host in set(hosts)]
    once = {(line.path, line.line): line for line in reversed(list(lines))}
    found = [(line, text) for line in reversed(once.values()) if (text := changed(estate, line, going))]
    if not found:
        return ""
    line, text = found[0]
    more = f", and alike in {plural(len(found) - 1, 'more line')}" if len(found) > 1 else ""
    return f" In {line.path}:{line.line} write `{text}`{more}."


def _network(address: str) -> str:
    """Whether an address is of a private network (RFC 1918, RFC 4193), and of which version."""
    private = _PRIVATE.match(address) is not None
    return f"{'private' if private else 'public'} {6 if ':' in address else 4}"


def _replaced(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-]|\.\w)", lambda _: new, text, flags=re.IGNORECASE)


def on_hosts(names: Sequence[str], limit: int = 3) -> str:
    """` on web-01 and web-02`; nothing for a tree."""
    if not names:
        return ""
    shown = list(names) if len(names) <= limit else [*names[:limit], f"{len(names) - limit} more"]
    return " on " + (shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}")
