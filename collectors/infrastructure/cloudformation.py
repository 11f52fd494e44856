"""CloudFormation templates: what stacks point at by name, address or URL.

Source: the AWS CloudFormation resource and property types reference. Intrinsic functions are resolved as far as the
defaults of parameters tell (`!Ref`, `!Sub`, `!Join`); what a stack passes or AWS makes is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, NamedTuple

from auditor.api import (
    Area,
    Attribute,
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
    YamlNode,
    YamlStream,
    excerpt,
    host_ref,
    is_hostname,
    normal_address,
    normal_name,
)
from collectors.infrastructure.common import is_outside, outside, read_documents, settings, step

RESOURCES_LIMIT: Final = 10_000
"""Resources of one template that are read; AWS allows 500."""

_SUFFIXES: Final = (".yaml", ".yml", ".json", ".template", ".cfn", ".cform")
_VARIABLE: Final = re.compile(r"\$\{([^}!]+)\}")
_DEPTH: Final = 20
_NEEDS: Final[Mapping[str, tuple[tuple[tuple[str, ...], Need], ...]]] = {
    "AWS::ApiGateway::Method": ((("Integration", "Uri"), Need.RUN),),
    "AWS::ApiGatewayV2::Integration": ((("IntegrationUri",), Need.RUN),),
    "AWS::DMS::Endpoint": ((("ServerName",), Need.READ),),
    "AWS::EC2::CustomerGateway": ((("IpAddress",), Need.READ), (("IPAddress",), Need.READ)),
    "AWS::DataSync::LocationNFS": ((("ServerHostname",), Need.READ),),
    "AWS::DataSync::LocationSMB": ((("ServerHostname",), Need.READ),),
    "AWS::Transfer::Connector": ((("Url",), Need.WRITE),),
    "AWS::AppSync::DataSource": ((("HttpConfig", "Endpoint"), Need.READ),),
}
"""Properties that name another machine, and what is needed of it."""
_HOOKS: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS::SNS::Subscription": ("Endpoint",),
    "AWS::Events::ApiDestination": ("InvocationEndpoint",),
}


class CloudFormationCollector(Collector):
    """Resources of a template. There is no host: a stack's own machines have no names before it is made.

    Reads
    -----
    YAML and JSON templates whose first 4 KiB hold `AWSTemplateFormatVersion`, or `Resources` and an `AWS::` type.

    Yields
    ------
    Record sets of Route 53 as names that resolve, health checks as probes, targets of target groups by address and
    origins of distributions as back ends, subscriptions and API destinations as webhooks, rules with a schedule as
    jobs, hosts in functions' and tasks' variables, and servers of DMS, DataSync, API Gateway and AppSync.

    Can't see
    ---------
    Parameters that a stack is made with, imports from other stacks, macros, and what stands in user data (the mention
    scan reads it).
    """

    name: ClassVar[str] = "cloudformation"
    title: ClassVar[str] = "CloudFormation templates"
    area: ClassVar[Area] = Area.CONFIGURATION
    # What a template has of webhooks and health checks says nothing of all others.
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES, Relation.BACKED_BY, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the format's version, or by resources with types of AWS."""
        if not path.endswith(_SUFFIXES):
            return False
        if b"AWS" not in head:
            return False
        return b"AWSTemplateFormatVersion" in head or (b"AWS::" in head and b"Resources" in head)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """What each resource of the template points at."""
        stream, problems = read_documents(document, "CloudFormation refuses the template")
        yield from problems
        for root in stream.documents[:1]:
            resources = root.get("Resources") if root.is_map else None
            if resources is None or not resources.is_map:
                continue
            values = _Values(stream, root)
            for count, (key, resource) in enumerate(resources.items()):
                if count >= RESOURCES_LIMIT:
                    yield Malformed(stream.where(key), f"more than {RESOURCES_LIMIT:,} resources: the rest is not read")
                    return
                properties = resource.get("Properties") if resource.is_map else None
                if properties is not None and properties.is_map:
                    one = _Resource(values, document.path, key, resource.text("Type"), properties)
                    yield from one.read()


class _Values:
    """Scalars with intrinsic functions, as far as the template itself tells what they are."""

    def __init__(self, stream: YamlStream, root: YamlNode) -> None:
        self.stream = stream
        self._defaults: dict[str, str] = {}
        parameters = root.get("Parameters")
        if parameters is not None and parameters.is_map:
            for key, parameter in parameters.items():
                default = parameter.get("Default") if parameter.is_map else None
                hidden = parameter.is_map and parameter.text("NoEcho").lower() == "true"
                if default is not None and default.is_scalar and not hidden:
                    self._defaults[key.scalar] = default.scalar

    def text(self, node: YamlNode | None, depth: int = 0) -> tuple[str, bool]:
        """A text, and whether all of it was written as it is; empty if a part of it is unknown."""
        if node is None or depth > _DEPTH:
            return "", False
        function, argument = node.tag.lstrip("!").removeprefix("Fn::"), node
        if not function and node.is_map and len(node.pairs) == 1:
            key, argument = node.pairs[0]
            function = key.scalar.removeprefix("Fn::")
        if not function:
            return (node.scalar, True) if node.is_scalar else ("", False)
        if function == "Ref":
            return self._defaults.get(argument.scalar, ""), False
        if function == "Sub":
            return self._substituted(argument, depth), False
        if function == "Join" and len(argument.elements) == 2 and argument.elements[1].is_list:
            parts = [self.text(one, depth + 1)[0] for one in argument.elements[1].elements]
            return ("", False) if not all(parts) else (argument.elements[0].scalar.join(parts)[:4096], False)
        return "", False

    def _substituted(self, node: YamlNode, depth: int) -> str:
        own: dict[str, str] = {}
        template = node.scalar
        if len(node.elements) == 2 and node.elements[1].is_map:
            template = node.elements[0].scalar
            own = {key.scalar: self.text(value, depth + 1)[0] for key, value in node.elements[1].items()}
        known = {**self._defaults, **own}
        if len(template) > 4096 or any(not known.get(found[1]) for found in _VARIABLE.finditer(template)):
            return ""
        return _VARIABLE.sub(lambda found: known[found[1]], template)[:4096]


class _Resource(NamedTuple):
    """One resource of a template."""

    values: _Values
    path: str
    key: YamlNode
    type: str
    properties: YamlNode

    @property
    def label(self) -> str:
        return f"{self.type} {self.key.scalar} in {self.path}"

    def at(self, node: YamlNode | None) -> Where:
        where = self.values.stream.where(node or self.key)
        return where if len(where.excerpt) < 200 else Where(where.line, excerpt(self.label))

    def text(self, *keys: str) -> tuple[str, YamlNode | None, Confidence]:
        """The text of a property, its node, and how sure it is."""
        node = step(self.properties, *keys)
        text, literal = self.values.text(node)
        return text, node, Confidence.HIGH if literal else Confidence.MEDIUM

    def read(self) -> Iterator[Parsed]:
        """What this resource points at."""
        kind = self.type
        if kind == "AWS::Route53::RecordSet":
            yield from self._records(self.properties)
        elif kind == "AWS::Route53::RecordSetGroup":
            for one in self.properties.children("RecordSets"):
                if one.is_map:
                    yield from self._records(one)
        elif kind == "AWS::Route53::HealthCheck":
            yield from self._check()
        elif kind == "AWS::ElasticLoadBalancingV2::TargetGroup":
            yield from self._targets()
        elif kind == "AWS::CloudFront::Distribution":
            yield from self._origins()
        elif kind in _HOOKS:
            yield from self._hook(Ref(Kind.WEBHOOK, self.label), self.properties, _HOOKS[kind])
        elif kind == "AWS::SNS::Topic":
            for number, one in enumerate(self.properties.children("Subscription"), 1):
                if one.is_map:
                    yield from self._hook(Ref(Kind.WEBHOOK, f"{self.label} {number}"), one, ("Endpoint",))
        elif kind in ("AWS::Events::Rule", "AWS::Scheduler::Schedule"):
            yield from self._schedule()
        elif kind in _NEEDS:
            for keys, need in _NEEDS[kind]:
                text, node, sure = self.text(*keys)
                if node is not None and (found := outside(text)) is not None and "amazonaws.com" not in found.text:
                    yield from self._service(((found, node, sure, need),))
        else:
            yield from self._variables()

    def _service(self, targets: tuple[tuple[Ref, YamlNode, Confidence, Need], ...]) -> Iterator[Parsed]:
        ref = Ref(Kind.SERVICE, self.label)
        yield Entity(ref, self.at(None), {"type": self.type})
        for found, node, sure, need in targets:
            yield Dependency(ref, found, Relation.CONNECTS, self.at(node), need, confidence=sure)

    def _records(self, properties: YamlNode) -> Iterator[Parsed]:
        name, literal = self.values.text(properties.get("Name"))
        kind = self.values.text(properties.get("Type"))[0].upper()
        if not is_hostname(name) or "." not in name.rstrip("."):
            return
        owner = Ref(Kind.NAME, normal_name(name))
        alias = step(properties, "AliasTarget", "DNSName")
        nodes = [alias] if alias is not None else list(properties.children("ResourceRecords"))
        weighted = properties.get("SetIdentifier") is not None
        for node in nodes[:1000]:
            text, is_written = self.values.text(node)
            sure = Confidence.HIGH if literal and is_written else Confidence.MEDIUM
            text = text.strip().removeprefix("dualstack.")
            address = normal_address(text)
            if kind in ("A", "AAAA") and address:
                provider = Ref(Kind.ADDRESS, address)
            elif (kind == "CNAME" or node is alias) and not address and "." in text and is_hostname(text):
                provider = Ref(Kind.NAME, normal_name(text))
            elif not text:
                # Another value, which AWS makes: the set does not stand and fall with those that are known.
                provider = Ref(Kind.SERVICE, f"{self.label}: values not known")
            else:
                continue
            group = "addresses" if len(nodes) > 1 or address or weighted else ""
            yield Dependency(owner, provider, Relation.RESOLVES, self.at(node), group=group, confidence=sure)

    def _check(self) -> Iterator[Parsed]:
        for key in ("FullyQualifiedDomainName", "IPAddress"):
            text, node, sure = self.text("HealthCheckConfig", key)
            found = host_ref(text) if text else None
            if found is not None and is_outside(found.text):
                probe = Ref(Kind.PROBE, self.label)
                yield Entity(probe, self.at(None), {"type": self.type})
                yield Dependency(probe, found, Relation.WATCHES, self.at(node), confidence=sure)
                return

    def _targets(self) -> Iterator[Parsed]:
        service = Ref(Kind.SERVICE, self.label)
        for target in self.properties.children("Targets"):
            node = target.get("Id") if target.is_map else None
            address = normal_address(self.values.text(node)[0])
            other = Ref(Kind.SERVICE, f"{self.label}: targets not known")
            provider = Ref(Kind.ADDRESS, address) if address else other
            yield Dependency(service, provider, Relation.BACKED_BY, self.at(node), group="servers")

    def _origins(self) -> Iterator[Parsed]:
        service = Ref(Kind.SERVICE, self.label)
        origins = step(self.properties, "DistributionConfig", "Origins")
        for origin in origins.elements if origin_list(origins) and origins is not None else ():
            node = origin.get("DomainName") if origin.is_map else None
            text, literal = self.values.text(node)
            found = host_ref(text) if text else None
            if found is not None and is_outside(found.text) and "amazonaws.com" not in found.text:
                sure = Confidence.HIGH if literal else Confidence.MEDIUM
                yield Dependency(service, found, Relation.BACKED_BY, self.at(node), confidence=sure)

    def _hook(self, webhook: Ref, properties: YamlNode, keys: tuple[str, ...]) -> Iterator[Parsed]:
        node = step(properties, *keys)
        text, literal = self.values.text(node)
        found = outside(text) if "://" in text else None
        if found is None:
            return
        where = Where(self.at(node).line, excerpt(f"{keys[-1]}: {found.text}"))
        yield Entity(webhook, where, {"type": self.type})
        sure = Confidence.HIGH if literal else Confidence.MEDIUM
        yield Dependency(webhook, found, Relation.DELIVERS, where, Need.WRITE, confidence=sure)

    def _schedule(self) -> Iterator[Parsed]:
        text, node, _ = self.text("ScheduleExpression")
        if not text:
            return
        attributes: dict[str, Attribute] = {"schedule": excerpt(text), "dialect": "aws", "timezone": "UTC"}
        if zone := self.text("ScheduleExpressionTimezone")[0]:
            attributes["timezone"] = excerpt(zone)
        if self.text("State")[0].upper() == "DISABLED":
            attributes["ignored"] = "State: DISABLED"
        yield Entity(Ref(Kind.JOB, self.label), self.at(node), attributes)

    def _variables(self) -> Iterator[Parsed]:
        """Environments of functions, tasks and builds."""
        pairs: list[tuple[str, str, Where]] = []
        environment = step(self.properties, "Environment", "Variables")
        if environment is not None and environment.is_map:
            pairs += [(key.scalar, self.values.text(value)[0], self.at(value)) for key, value in environment.items()]
        lists = [self.properties.get("EnvironmentVariables"), step(self.properties, "Environment")]
        containers = self.properties.get("ContainerDefinitions")
        defined = containers.elements if containers is not None else ()
        lists += [container.get("Environment") for container in defined if container.is_map]
        for entries in lists:
            for entry in entries.elements if entries is not None else ():
                if entry.is_map and entry.get("Name") is not None:
                    value = entry.get("Value")
                    pairs.append((entry.text("Name"), self.values.text(value)[0], self.at(value)))
        consumer = Ref(Kind.SERVICE, self.label)
        found = list(settings(consumer, pairs))
        if found:
            yield Entity(consumer, self.at(None), {"type": self.type})
            yield from found


def origin_list(node: YamlNode | None) -> bool:
    """Whether a node is a list of maps."""
    return node is not None and node.is_list
