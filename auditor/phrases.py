"""How numbers and times are said, the same in every rule and report."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

_NUMBERED: Final = re.compile(r"([^.]*?)(\d+)([^.\d]*(?:\..*)?)", re.DOTALL)

_ARN: Final = re.compile(r"arn:aws[\w-]*:([a-z0-9-]+):[a-z0-9-]*:\d*:([\w./:$*-]*[\w$*])")
_ARN_KINDS: Final = {
    ("acm", "certificate"): "ACM certificate",
    ("apigateway", "vpclinks"): "VPC link",
    ("autoscaling", "autoScalingGroup"): "Auto Scaling group",
    ("cloudfront", "distribution"): "CloudFront distribution",
    ("cloudwatch", "alarm"): "CloudWatch alarm",
    ("datasync", "agent"): "DataSync agent",
    ("datasync", "location"): "DataSync location",
    ("ec2", "instance"): "instance",
    ("elasticloadbalancing", "listener"): "listener of load balancer",
    ("elasticloadbalancing", "loadbalancer"): "load balancer",
    ("elasticloadbalancing", "targetgroup"): "target group",
    ("events", "api-destination"): "API destination",
    ("events", "connection"): "EventBridge connection",
    ("events", "rule"): "EventBridge rule",
    ("lambda", "function"): "Lambda function",
    ("pipes", "pipe"): "EventBridge pipe",
    ("rds", "cluster"): "RDS cluster",
    ("rds", "db"): "RDS database",
    ("scheduler", "schedule"): "schedule",
    ("states", "stateMachine"): "state machine",
}
_ARN_SERVICES: Final = {"sns": "SNS topic", "sqs": "SQS queue", "s3": "S3 bucket"}


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 host`, `340 hosts`, `1,204 hosts`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def parse_time(text: object) -> datetime | None:
    """An ISO 8601 attribute as aware UTC; None if it is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def timestamp(moment: datetime) -> str:
    """A time with its zone as machines read it: RFC 3339, in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """`12 min`, `34 h`, `5 months`: two significant units at the most, as people say them."""
    seconds = abs(seconds)
    if seconds < 3600:
        return f"{max(int(seconds // 60), 0)} min"
    if seconds < 72 * 3600:
        return f"{int(seconds // 3600)} h"
    days = int(seconds // 86400)
    return plural(days, "day") if days < 60 else f"{plural(days // 30, 'month')}"


def time_left(now: datetime, then: datetime) -> str:
    """`in 34 h`, or `12 days ago`."""
    seconds = (then - now).total_seconds()
    return f"in {duration(seconds)}" if seconds >= 0 else f"{duration(seconds)} ago"


def day(moment: datetime) -> str:
    """`Sun 2025-11-23 08:00 UTC`."""
    return moment.astimezone(UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def listed(names: Sequence[str], limit: int = 3) -> str:
    """`a, b and c`, or `a, b, c and 12 more`."""
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def ranged(names: Iterable[str]) -> list[str]:
    """Names with those that are numbered through as one: `api[001:340].example.net`, sorted.

    The last number in the first label counts, if at least three names follow each other; leading zeros are kept.
    """
    written: dict[tuple[str, str], set[str]] = {}
    found: list[str] = []
    for name in set(names):
        parts = _NUMBERED.fullmatch(name)
        if parts is None or len(parts[2]) > 9:
            found.append(name)
        else:
            written.setdefault((parts[1], parts[3]), set()).add(parts[2])
    numbered: dict[tuple[str, str, int], list[int]] = {}
    for (before, after), texts in written.items():
        padded = {len(text) for text in texts if text.startswith("0") and len(text) > 1}
        for text in texts:
            width = len(text) if len(text) in padded else 1
            numbered.setdefault((before, after, width), []).append(int(text))
    for (before, after, width), numbers in numbered.items():
        numbers.sort()
        start = 0
        for at in range(1, len(numbers) + 1):
            if at < len(numbers) and numbers[at] == numbers[at - 1] + 1:
                continue
            first, last = numbers[start], numbers[at - 1]
            if at - start >= 3:
                found.append(f"{before}[{first:0{width}}:{last:0{width}}]{after}")
            else:
                found.extend(f"{before}{number:0{width}}{after}" for number in numbers[start:at])
            start = at
    return sorted(found)


def without_arns(text: str) -> str:
    """A text in which names of AWS are as people say them: `Lambda function label-printer` for its ARN."""
    return _ARN.sub(_said, text) if "arn:" in text else text


def _said(found: re.Match[str]) -> str:
    service, rest = found[1], found[2]
    kind, separator, name = rest.partition("/") if ":" not in rest else rest.partition(":")
    parts = name.split("/")
    if service == "elasticloadbalancing":
        label = parts[1] if len(parts) > 1 and parts[0] in ("app", "net", "gwy") else parts[0]
        if kind == "listener-rule":
            return f"rule {parts[-1]} of load balancer {label}"
        return f"{_ARN_KINDS[service, kind]} {label}" if (service, kind) in _ARN_KINDS else f"{service} {rest}"
    if (service, kind) in _ARN_KINDS:
        # A destination's id follows its name; a rule's bus and a schedule's group come before theirs.
        return f"{_ARN_KINDS[service, kind]} {parts[0] if kind in ('api-destination', 'connection') else parts[-1]}"
    return f"{_ARN_SERVICES.get(service, service)} {rest}" if separator or service in _ARN_SERVICES else found[0]


def checklist_command(host: str, estate: str) -> str:
    """The command that shows a host's checklist in an estate, or in several as they are labelled, to be pasted."""
    options = [] if estate in ("", ".") else [word for one in estate.split(" + ") for word in ("--estate", one)]
    return shlex.join(["auditor", "checklist", host, *options])
