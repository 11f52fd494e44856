"""Machines of AWS: instances, Elastic IP addresses and network interfaces (EC2 API, version 2016-11-15)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Document,
    Entity,
    Fragment,
    Kind,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    excerpt,
    is_address,
    is_hostname,
)
from collectors.aws.common import INSTANCE, Answer, is_answer, known, maps, moment, parsed, scalars, text, value

MAX_TAGS: Final = 80
"""Fifty are what AWS allows for one thing, beside those of its own services (`aws:…`)."""

_GONE: Final = frozenset({"shutting-down", "terminated"})
_STOPPED: Final = frozenset({"stopping", "stopped"})


class Ec2Collector(Collector):
    """Instances by their id, with all names and addresses by which others refer to them.

    A name tag that is no host name is kept as an attribute and not taken for a name. Whether two machines have the
    same name, and which machine of the inventory an instance is, is decided where all of the estate is known.

    Reads
    -----
    `ec2.DescribeInstances`, `DescribeAddresses`, `DescribeNetworkInterfaces`, `DescribeVolumes`,
    `DescribeVolumeStatus` and `ssm.DescribeInstanceInformation` under `aws/<account>/<region>/`.

    Yields
    ------
    A host for each instance: its id, Name tag, private and public DNS names and addresses, also those of further
    interfaces and Elastic IPs, and what the machine calls itself; its state, why and since when it stopped, its
    tags; volumes of it that AWS calls broken.

    Can't see
    ---------
    Names of machines without the agent of Systems Manager that only they know, and addresses of interfaces that no
    instance has.
    """

    name: ClassVar[str] = "aws_ec2"
    title: ClassVar[str] = "AWS instances and their addresses"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.STANDS_FOR})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One HOST entity for each instance, address or interface that an instance has."""
        return parsed(document, _PARSERS)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Broken volumes are those of the instance that they are attached to."""
        holders: dict[str, str] = {}
        broken: dict[str, list[tuple[str, Fragment]]] = {}
        for one in fragments:
            if one.kind == "attached" and isinstance(one.value, tuple):
                holders[one.value[0]] = one.value[1]
        for one in fragments:
            if one.kind == "broken" and isinstance(one.value, tuple) and one.value[0] in holders:
                volume, why = one.value
                broken.setdefault(holders[volume], []).append((f"{volume}: {why}", one))
        for instance, found in broken.items():
            first = found[0][1]
            where = Where(first.where.line, first.where.excerpt, first.path, first.where.api)
            said = tuple(sentence for sentence, _ in found)
            known_of: dict[str, Attribute] = {"origin": "AWS", "instance_id": instance, "broken_volumes": said}
            yield Entity(Ref(Kind.HOST, instance), where, known_of)


def _instances(answer: Answer) -> Iterator[Parsed]:
    for reservation in maps(answer.body, "Reservations"):
        for instance in maps(reservation, "Instances"):
            yield from _instance(answer, instance)


def _instance(answer: Answer, instance: YamlNode) -> Iterator[Parsed]:
    identity = value(instance, "InstanceId")
    if identity is None or not INSTANCE.fullmatch(identity.scalar):
        return
    tags = {tag.text("Key"): tag.text("Value") for tag in maps(instance, "Tags")}
    state = text(instance, "State", "Name")
    names: list[str] = []
    addresses: list[str] = []
    if state not in _GONE:
        # A terminated instance is listed for an hour, and its name is often another's already.
        names += [tags.get("Name", ""), text(instance, "PrivateDnsName"), text(instance, "PublicDnsName")]
        addresses += [text(instance, "PrivateIpAddress"), text(instance, "PublicIpAddress")]
        addresses.append(text(instance, "Ipv6Address"))
        for interface in maps(instance, "NetworkInterfaces"):
            addresses.extend(_interface_addresses(interface))
    attributes = known(
        name_tag=tags.get("Name", ""),
        state=state,
        state_reason=text(instance, "StateTransitionReason"),
        tags=tuple(excerpt(f"{key}={tags[key]}") for key in sorted(tags)[:MAX_TAGS]),
        launched=moment(text(instance, "LaunchTime")),
        account=answer.account,
        region=answer.region,
        observed="retired" if state in _GONE else "stopped" if state in _STOPPED else "",
    )
    yield _host(answer, identity, names, addresses, attributes)


def _host(
    answer: Answer,
    identity: YamlNode,
    names: Iterable[str],
    addresses: Iterable[str],
    attributes: dict[str, Attribute],
) -> Entity:
    made: dict[str, Attribute] = {"origin": "AWS", "instance_id": identity.scalar, **attributes}
    # Blanks make no host name: `Certificate server` is a title.
    if found := tuple(dict.fromkeys(name for name in names if is_hostname(name) and not name.startswith("*"))):
        made["names"] = found
    if kept := tuple(dict.fromkeys(address for address in addresses if is_address(address))):
        made["addresses"] = kept
    return Entity(Ref(Kind.HOST, identity.scalar), answer.where(identity), made)


def _interface_addresses(interface: YamlNode) -> Iterator[str]:
    yield text(interface, "PrivateIpAddress")
    yield text(interface, "Association", "PublicIp")
    for private in maps(interface, "PrivateIpAddresses"):
        yield text(private, "PrivateIpAddress")
        yield text(private, "Association", "PublicIp")
    for six in maps(interface, "Ipv6Addresses"):
        yield text(six, "Ipv6Address")
    for six in scalars(interface, "Ipv6Addresses"):
        yield six.scalar


def _addresses(answer: Answer) -> Iterator[Parsed]:
    for address in maps(answer.body, "Addresses"):
        identity = value(address, "InstanceId")
        if identity is not None and INSTANCE.fullmatch(identity.scalar):
            yield _host(answer, identity, (), (text(address, "PublicIp"), text(address, "PrivateIpAddress")), {})


def _interfaces(answer: Answer) -> Iterator[Parsed]:
    for interface in maps(answer.body, "NetworkInterfaces"):
        identity = value(interface, "Attachment", "InstanceId")
        if identity is not None and INSTANCE.fullmatch(identity.scalar):
            yield _host(answer, identity, (), _interface_addresses(interface), {})


def _volumes(answer: Answer) -> Iterator[Parsed]:
    for volume in maps(answer.body, "Volumes"):
        identity = value(volume, "VolumeId")
        if identity is None:
            continue
        for attachment in maps(volume, "Attachments"):
            if INSTANCE.fullmatch(instance := attachment.text("InstanceId")):
                yield Fragment("attached", (identity.scalar, instance), answer.where(identity))
        if volume.text("State") == "error":
            yield Fragment("broken", (identity.scalar, "state error"), answer.where(identity))


def _volume_statuses(answer: Answer) -> Iterator[Parsed]:
    for status in maps(answer.body, "VolumeStatuses"):
        identity, said = value(status, "VolumeId"), value(status, "VolumeStatus", "Status")
        if identity is not None and said is not None and said.scalar == "impaired":
            events = [one.text("Description") or one.text("EventType") for one in maps(status, "Events")]
            why = excerpt("; ".join(["impaired", *filter(None, events)]))
            yield Fragment("broken", (identity.scalar, why), answer.where(said))


def _managed(answer: Answer) -> Iterator[Parsed]:
    for machine in maps(answer.body, "InstanceInformationList"):
        identity, name = value(machine, "InstanceId"), value(machine, "ComputerName")
        if identity is None:
            continue
        attributes = known(ping=machine.text("PingStatus"), last_ping=moment(machine.text("LastPingDateTime")))
        names = [name.scalar] if name is not None else []
        address = text(machine, "IPAddress")
        if INSTANCE.fullmatch(identity.scalar):
            yield _host(answer, identity, names, (address,), attributes)
        elif name is not None and is_hostname(name.scalar):
            # A machine elsewhere (`mi-…`) that Systems Manager manages.
            at = known(address=address if is_address(address) else "")
            yield Entity(Ref(Kind.HOST, name.scalar), answer.where(name), {"origin": "AWS", **attributes, **at})


_PARSERS: Final = {
    "ssm.DescribeInstanceInformation": _managed,
    "ec2.DescribeVolumes": _volumes,
    "ec2.DescribeVolumeStatus": _volume_statuses,
    "ec2.DescribeInstances": _instances,
    "ec2.DescribeAddresses": _addresses,
    "ec2.DescribeNetworkInterfaces": _interfaces,
}
