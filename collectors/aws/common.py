"""What the AWS collectors share: which file is which answer, and what an ARN means.

A file holds the answer of one operation as the API gave it, pages merged:
`aws/<account>/<region>/ec2.DescribeInstances.json`, global services under the region `aws-global`. What was asked once
for each of several things is `{"calls": [{"parameters": {...}, "answer": {...}}, ...]}`. A long answer goes on in
`ec2.DescribeInstances.2.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from auditor.api import (
    EXCERPT_LIMIT,
    Attribute,
    Dependency,
    Document,
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
    is_hostname,
    is_loopback,
    normal_name,
    parse_time,
    read_yaml,
    split_endpoint,
)

INSTANCE: Final = re.compile(r"(?<![\w-])i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![\w-])")
"""An instance id: 8 hexadecimal digits, 17 since 2016."""
TEXT_LIMIT: Final = 200_000
"""Characters of one value in which instance ids are looked for."""

_EFFECT: Final = "what stands after it is not seen"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: what it was asked with, and what the API said."""

    stream: YamlStream
    account: str
    region: str
    operation: str
    parameters: YamlNode | None
    body: YamlNode

    def where(self, node: YamlNode, shown: str = "") -> Where:
        """The place of a value. A file without line breaks shows the value instead of its line."""
        place = self.stream.where(node)
        long = 0 < place.line <= len(self.stream.lines) and len(self.stream.lines[place.line - 1]) > EXCERPT_LIMIT
        text = excerpt(shown or node.scalar) if long else place.excerpt
        return Where(place.line, text, api=self.operation)

    def parameter(self, name: str) -> str:
        """A parameter that this answer was asked with; empty if it is not known."""
        return self.parameters.text(name) if self.parameters is not None and self.parameters.is_map else ""


def place_of(path: str) -> tuple[str, str, str] | None:
    """Account, region and `service.Operation` of a path; None if it is no AWS answer's."""
    if not path.endswith(".json") or "aws/" not in path:
        return None
    parts = path.rsplit("/", 4)[-4:]
    if len(parts) != 4 or parts[0] != "aws":
        return None
    words = parts[3].split(".")
    if len(words) == 4 and words[2].isdecimal():
        del words[2]
    return (parts[1], parts[2], f"{words[0]}.{words[1]}") if len(words) == 3 else None


def is_answer(path: str, operations: Mapping[str, object]) -> bool:
    """Whether a path is that of one of these operations."""
    place = place_of(path)
    return place is not None and place[2] in operations


def read(document: Document) -> Iterator[Answer | Malformed]:
    """The answers of a file, and what could not be read of it."""
    account, region, operation = place_of(document.path) or ("", "", "")
    stream = read_yaml(document.content)
    if stream.problem is not None:
        where = stream.where(min(stream.problem.line, len(stream.lines)))
        yield Malformed(where, excerpt(stream.problem.reason), _EFFECT, not stream.documents)
    for root in stream.documents:
        if not root.is_map:
            yield Malformed(stream.where(root), "not an answer of the AWS API: no JSON object", "not read", True)
            continue
        calls = root.get("calls")
        if calls is None or not calls.is_list:
            yield Answer(stream, account, region, operation, None, root)
            continue
        for call in calls.elements:
            body = call.get("answer") if call.is_map else None
            if body is not None and body.is_map:
                yield Answer(stream, account, region, operation, call.get("parameters"), body)
            elif body is None or not body.is_null:
                yield Malformed(stream.where(call), "a call without an answer", "not read")


def maps(node: YamlNode | None, *keys: str) -> tuple[YamlNode, ...]:
    """The maps in the list behind several keys, one inside the other."""
    for key in keys[:-1]:
        node = node.get(key) if node is not None and node.is_map else None
    if node is None or not node.is_map:
        return ()
    return tuple(one for one in node.children(keys[-1]) if one.is_map)


def scalars(node: YamlNode | None, *keys: str) -> tuple[YamlNode, ...]:
    """The texts in the list behind several keys."""
    for key in keys[:-1]:
        node = node.get(key) if node is not None and node.is_map else None
    if node is None or not node.is_map:
        return ()
    return tuple(one for one in node.children(keys[-1]) if one.is_scalar and one.scalar)


def value(node: YamlNode | None, *keys: str) -> YamlNode | None:
    """The text behind several keys; None if there is none."""
    for key in keys:
        node = node.get(key) if node is not None and node.is_map else None
    return node if node is not None and node.is_scalar and node.scalar else None


def text(node: YamlNode | None, *keys: str) -> str:
    """The text behind several keys; empty if there is none."""
    found = value(node, *keys)
    return found.scalar if found is not None else ""


def known(**attributes: Attribute | None) -> dict[str, Attribute]:
    """Attributes without those that say nothing."""
    kept: dict[str, Attribute] = {}
    for name, one in attributes.items():
        if one is None or one == "" or one == ():
            continue
        kept[name] = excerpt(one) if isinstance(one, str) else one
    return kept


def moment(written: str) -> str:
    """A time in UTC, ISO 8601; empty if it is none."""
    found = parse_time(written)
    return found.isoformat() if found is not None else ""


def instance_ref(identity: str) -> Ref | None:
    """An instance by its id, which the EC2 collector makes a name of the machine."""
    return Ref(Kind.NAME, identity) if INSTANCE.fullmatch(identity) else None


def arn_ref(arn: str) -> Ref | None:
    """What an ARN stands for, the same wherever it is named; None if it is none.

    An instance is its id, a topic a RECEIVER, an API destination or delivery stream a WEBHOOK, a certificate a
    CERTIFICATE, a pipe or schedule a JOB, anything else a SERVICE. A Lambda function's version or alias is left out,
    and so is the id in an Auto Scaling group's.
    """
    parts = arn.strip().split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5] or len(arn) > 2048:
        return None
    service, rest = parts[2], parts[5]
    bare = arn.strip()
    if service == "ec2" and rest.startswith("instance/"):
        return instance_ref(rest.removeprefix("instance/"))
    if service == "sns":
        # A subscription is its topic, and what follows.
        return Ref(Kind.RECEIVER, ":".join([*parts[:5], rest.split(":", 1)[0]]))
    if service == "lambda" and rest.startswith("function:"):
        return Ref(Kind.SERVICE, ":".join([*parts[:5], *rest.split(":")[:2]]))
    if service == "acm" or (service == "iam" and rest.startswith("server-certificate/")):
        return Ref(Kind.CERTIFICATE, bare)
    if (service == "events" and rest.startswith("api-destination/")) or service == "firehose":
        return Ref(Kind.WEBHOOK, bare)
    if service == "autoscaling" and rest.startswith("autoScalingGroup:"):
        # Metrics and schedules name the group without the id before its name.
        return Ref(Kind.SERVICE, ":".join([*parts[:5], f"autoScalingGroup:{rest.rsplit('/', 1)[-1]}"]))
    if service in ("pipes", "scheduler") or (service == "events" and rest.startswith("rule/")):
        return Ref(Kind.JOB, bare)
    if service == "apigateway" or ":$" in bare:
        return None
    return Ref(Kind.SERVICE, bare)


def own_arn(answer: Answer, service: str, rest: str) -> str:
    """The ARN of a thing of the account and region that an answer is of."""
    partition = "aws"
    if answer.region.startswith("cn-"):
        partition = "aws-cn"
    elif answer.region.startswith("us-gov-"):
        partition = "aws-us-gov"
    return f"arn:{partition}:{service}:{answer.region}:{answer.account}:{rest}"


def vpc_link_ref(answer: Answer, identity: str) -> Ref:
    """A VPC link of API Gateway by its id, of either version of its API."""
    return Ref(Kind.SERVICE, own_arn(answer, "apigateway", f"vpclinks/{identity}"))


def outside(written: str) -> Ref | None:
    """The host of a URL, `host:port`, name or address, without what may be secret in a path; None if it is none.

    Variables (`${stageVariables.x}`, `#{host}`, `{proxy}` in the host) are not known.
    """
    bare = written.strip()
    if not bare or len(bare) > 2048:
        return None
    parts = split_endpoint(bare)
    if (
        parts is None
        or is_loopback(parts.host)
        or parts.host.startswith("169.254.")
        or parts.host.endswith((".invalid", ".example"))
    ):
        return None
    if "." not in parts.host and ":" not in parts.host:
        return None
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    if parts.scheme:
        return endpoint_ref(f"{parts.scheme}://{host}:{parts.port}" if parts.port else f"{parts.scheme}://{host}")
    return endpoint_ref(f"{host}:{parts.port}") if parts.port else host_ref(parts.host)


def reach(
    answer: Answer, service: Ref, node: YamlNode | None, need: Need = Need.READ, group: str = ""
) -> Iterator[Dependency]:
    """The dependency on the host that a text names, if it names one."""
    if node is not None and (found := outside(node.scalar)) is not None:
        yield Dependency(service, found, Relation.CONNECTS, answer.where(node), need, group)


def named(answer: Answer, name: YamlNode | None, service: Ref) -> Iterator[Dependency]:
    """A name that stands for a service."""
    if name is not None and is_hostname(name.scalar):
        yield Dependency(Ref(Kind.NAME, normal_name(name.scalar)), service, Relation.BACKED_BY, answer.where(name))


def instances_in(
    answer: Answer, consumer: Ref, node: YamlNode, group: str, need: Need = Need.RUN
) -> Iterator[Dependency]:
    """The instances that a text (the input of a call, say) names, all of which are needed."""
    for identity in dict.fromkeys(INSTANCE.findall(node.scalar[:TEXT_LIMIT])):
        where = answer.where(node, identity)
        yield Dependency(consumer, Ref(Kind.NAME, identity), Relation.CONNECTS, where, need, group)


def selected(answer: Answer, consumer: Ref, targets: Iterable[YamlNode]) -> Iterator[Dependency]:
    """What the `Targets` of a Systems Manager command name: instances by id, or machines by their Name tag.

    Each is acted on by itself: they are no alternatives.
    """
    for target in targets:
        key = target.text("Key")
        for one in scalars(target, "Values"):
            found = None
            if key in ("InstanceIds", "InstanceInformation.InstanceIds", "ParameterValues"):
                found = instance_ref(one.scalar)
            elif key.lower() == "tag:name":
                found = host_ref(one.scalar)
            if found is not None:
                yield Dependency(consumer, found, Relation.CONNECTS, answer.where(one), Need.RUN)


def parsed(document: Document, parsers: Mapping[str, object]) -> Iterator[Parsed]:
    """The facts of a file: each answer read by the parser of its operation."""
    for answer in read(document):
        if isinstance(answer, Malformed):
            yield answer
            continue
        parser = parsers.get(answer.operation)
        if callable(parser):
            yield from parser(answer)
