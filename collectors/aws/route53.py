"""Records of Route 53 (API version 2013-04-01): what its zones answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    excerpt,
    is_hostname,
    normal_address,
    normal_name,
    read_spf,
)
from collectors.aws.common import Answer, is_answer, known, maps, parsed, text, value

_OCTAL: Final = re.compile(r"\\([0-3][0-7]{2})")
_SETS: Final = frozenset({"MX", "NS", "SRV", "NAPTR", "HTTPS", "SVCB", "SPF"})
_WORDS: Final = {"MX": (2, 1), "NS": (1, 0), "PTR": (1, 0), "SRV": (4, 3), "HTTPS": (-2, 1), "SVCB": (-2, 1)}
"""Words of the value of a type (at least so many, if negative), and which of them names a host."""
_POLICIES: Final = ("Weight", "Region", "Failover", "MultiValueAnswer")


class Route53Collector(Collector):
    """Names with their addresses and aliases, and records that name other hosts, each with its zone and set.

    Weighted, latency, failover and multi-value sets of one name are alternatives, whichever set they are in. A
    geolocation set is alone in answering its clients: only the addresses within it are alternatives. A private zone's
    records are no alternatives of a public one's.

    Reads
    -----
    `route53.ListHostedZones`, `ListResourceRecordSets`, `ListTrafficPolicyInstances` and `GetTrafficPolicy` under
    `aws/<account>/aws-global/`; `route53resolver.ListResolverRules` under `aws/<account>/<region>/`.

    Yields
    ------
    Zones; names that resolve to addresses, to other names, and through aliases to load balancers and distributions;
    MX, NS, SRV, PTR, CAA, HTTPS, SVCB and SPF records with the hosts that they name. Names that a traffic policy
    answers, with its endpoints as alternatives. A service for each forwarding rule, with the resolvers that it asks.

    Can't see
    ---------
    Which of its endpoints a traffic policy gives to whom, and which networks see a private zone.
    """

    name: ClassVar[str] = "aws_route53"
    title: ClassVar[str] = "Zones of Route 53"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES, Relation.RECORDS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Zones and their records."""
        return parsed(document, _PARSERS)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Names of traffic policy instances, with the endpoints that the documents of their policies have."""
        answers: dict[object, list[Ref]] = {}
        for one in fragments:
            if one.kind == "policy" and isinstance(one.value, tuple):
                policy, provider = one.value
                answers.setdefault(policy, []).append(provider)
        for one in fragments:
            if one.kind == "instance" and isinstance(one.value, tuple):
                policy, name = one.value
                where = Where(one.where.line, one.where.excerpt, one.path, one.where.api)
                for provider in answers.get(policy, ()):
                    yield Dependency(Ref(Kind.NAME, name), provider, Relation.RESOLVES, where, group="addresses")


def _zones(answer: Answer) -> Iterator[Parsed]:
    for zone in maps(answer.body, "HostedZones"):
        name = value(zone, "Name")
        if name is not None:
            private = text(zone, "Config", "PrivateZone") == "true"
            attributes = known(zone_id=zone.text("Id").rsplit("/", 1)[-1], private=private or None)
            yield Entity(Ref(Kind.ZONE, _name(name.scalar)), answer.where(name), attributes)


def _records(answer: Answer) -> Iterator[Parsed]:
    zone = answer.parameter("HostedZoneId").rsplit("/", 1)[-1]
    sets: set[str] = set()
    for record in maps(answer.body, "ResourceRecordSets"):
        name, kind = value(record, "Name"), record.text("Type").upper()
        if name is None or not kind:
            yield Malformed(answer.where(record), "a record set without name or type", "not read")
            continue
        owner = _name(name.scalar)
        alias = value(record, "AliasTarget", "DNSName")
        if alias is not None:
            target = _name(alias.scalar).removeprefix("dualstack.")
            if target != owner and is_hostname(target):
                yield _named(owner, "ALIAS", record, answer.where(alias))
                yield Dependency(
                    Ref(Kind.NAME, owner),
                    Ref(Kind.NAME, target),
                    Relation.RESOLVES,
                    answer.where(alias),
                    group=_group(record, zone, "addresses" if _alternative(record) else ""),
                )
            continue
        for one in maps(record, "ResourceRecords"):
            written = value(one, "Value")
            if written is not None:
                yield from _value(answer, record, owner, kind, zone, written, sets)


def _value(
    answer: Answer, record: YamlNode, owner: str, kind: str, zone: str, written: YamlNode, sets: set[str]
) -> Iterator[Parsed]:
    where = answer.where(written, f"{owner} {kind} {written.scalar}")
    if kind in ("A", "AAAA"):
        address = normal_address(written.scalar)
        if address is None:
            yield Malformed(where, f"the value of an {kind} record that is no address", "Route 53 would refuse it")
            return
        group = _group(record, zone, "addresses")
        yield _named(owner, kind, record, where)
        yield Dependency(Ref(Kind.NAME, owner), Ref(Kind.ADDRESS, address), Relation.RESOLVES, where, group=group)
        return
    if kind == "CNAME":
        group = _group(record, zone, "addresses" if _alternative(record) else "")
        target = _name(written.scalar)
        if is_hostname(target):
            yield _named(owner, kind, record, where)
            yield Dependency(Ref(Kind.NAME, owner), Ref(Kind.NAME, target), Relation.RESOLVES, where, group=group)
        return
    providers = list(_providers(kind, owner, written.scalar))
    if kind == "SOA" or not (providers or kind in ("CAA", "TXT")):
        return
    identifier = record.text("SetIdentifier")
    shown = excerpt(" ".join(part for part in (owner, kind, written.scalar, identifier) if part))
    ref = Ref(Kind.RECORD, shown)
    yield Entity(ref, where, known(owner=owner, type=kind, ttl=_ttl(record), set=identifier))
    of = "SPF" if kind in ("TXT", "SPF") else kind
    if of in _SETS and providers:
        whole = Ref(Kind.RECORD, f"{owner} {of}")
        if whole.text not in sets:
            sets.add(whole.text)
            yield Entity(whole, where, {"type": of, "owner": owner, "record_set": True})
            if kind in ("NS", "SRV"):
                yield Dependency(Ref(Kind.NAME, owner), whole, Relation.RECORDS, where)
        yield Dependency(whole, ref, Relation.RECORDS, where, group=of)
    for provider, group in providers:
        yield Dependency(ref, provider, Relation.RECORDS, where, group=group)


def _named(owner: str, kind: str, record: YamlNode, where: Where) -> Entity:
    """A name that a zone has addresses or an alias of."""
    return Entity(Ref(Kind.NAME, owner), where, known(type=kind, ttl=_ttl(record)))


def _providers(kind: str, owner: str, written: str) -> Iterator[tuple[Ref, str]]:
    """The hosts that a value names, each with the group of its alternatives."""
    words = written.split()
    if kind in _WORDS:
        count, at = _WORDS[kind]
        if len(words) == count or (count < 0 and len(words) >= -count):
            target = _name(words[at]) if words[at] != "." else owner if count < 0 else ""
            if is_hostname(target) and target != owner:
                yield Ref(Kind.NAME, target), ""
        return
    if kind not in ("TXT", "SPF"):
        return
    joined = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', written)) or written
    if joined.lower().startswith("v=spf1 "):
        yield from read_spf(joined, owner)[0]


def _alternative(record: YamlNode) -> bool:
    return any(record.get(policy) is not None for policy in _POLICIES)


def _group(record: YamlNode, zone: str, group: str) -> str:
    """The group of a record among those of its name: within its zone, and within its location if it has one."""
    identifier = record.text("SetIdentifier")
    if identifier and not _alternative(record):
        return f"{group or 'location'} in zone {zone}, {identifier}"
    return f"{group} in zone {zone}" if group else ""


def _ttl(record: YamlNode) -> int | None:
    written = record.text("TTL")
    return int(written) if written.isdecimal() and len(written) < 11 else None


def _name(written: str) -> str:
    """A name as Route 53 writes it, with octal escapes: `\\052` is `*`."""
    return normal_name(_OCTAL.sub(lambda found: chr(int(found[1], 8)), written))


def _instances(answer: Answer) -> Iterator[Parsed]:
    for instance in maps(answer.body, "TrafficPolicyInstances"):
        name = value(instance, "Name")
        if name is not None:
            policy = (instance.text("TrafficPolicyId"), instance.text("TrafficPolicyVersion"))
            yield Fragment("instance", (policy, _name(name.scalar)), answer.where(name))


def _policy(answer: Answer) -> Iterator[Parsed]:
    policy = answer.body.get("TrafficPolicy")
    written = value(policy, "Document")
    if policy is None or written is None:
        return
    try:
        found = json.loads(written.scalar).get("Endpoints")
    except (ValueError, RecursionError, AttributeError):
        yield Malformed(answer.where(written), "the document of a traffic policy that is no JSON object", "not read")
        return
    identity = (policy.text("Id"), policy.text("Version"))
    for endpoint in found.values() if isinstance(found, dict) else ():
        target = endpoint.get("Value") if isinstance(endpoint, dict) else None
        if not isinstance(target, str):
            continue
        address, name = normal_address(target), _name(target).removeprefix("dualstack.")
        if address is not None:
            yield Fragment("policy", (identity, Ref(Kind.ADDRESS, address)), answer.where(written))
        elif is_hostname(name):
            yield Fragment("policy", (identity, Ref(Kind.NAME, name)), answer.where(written))


def _forwards(answer: Answer) -> Iterator[Parsed]:
    for rule in maps(answer.body, "ResolverRules"):
        arn, domain = value(rule, "Arn"), _name(rule.text("DomainName")) or "."
        if arn is None or rule.text("RuleType") != "FORWARD":
            continue
        service = Ref(Kind.SERVICE, arn.scalar)
        yield Entity(service, answer.where(arn), known(program="Route 53 Resolver", domain=domain))
        for target in maps(rule, "TargetIps"):
            for key in ("Ip", "Ipv6"):
                address = value(target, key)
                normal = normal_address(address.scalar) if address is not None else None
                if address is not None and normal is not None:
                    provider, where = Ref(Kind.ADDRESS, normal), answer.where(address)
                    yield Dependency(service, provider, Relation.CONNECTS, where, group="resolvers")


_PARSERS: Final = {
    "route53.GetTrafficPolicy": _policy,
    "route53.ListHostedZones": _zones,
    "route53.ListResourceRecordSets": _records,
    "route53.ListTrafficPolicyInstances": _instances,
    "route53resolver.ListResolverRules": _forwards,
}
