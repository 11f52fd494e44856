"""What one entry of the inventory stands for: ranges of names and of addresses, and the hosts they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice

from auditor.inventory.values import WrongValueError
from auditor.model import Lifecycle
from auditor.text import RANGE_LIMIT, expand_range, is_hostname, normal_address, normal_name, range_size

_HOW_RANGE = "write a range as api[001:340].example.net or api{001..340}.example.net"


@dataclass(frozen=True, slots=True)
class ExpandedHost:
    """One host that the inventory declares. An entry with a range stands for many of these.

    `successor` is the name of a declared host, in full. `network` is the declared one, or else the only declared
    network that holds all of the host's addresses. `line` is the entry's line in the inventory, `lines` the lines of
    its keys (`lifecycle`, `since`, ...). Times are aware and in UTC.
    """

    name: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    since: datetime | None = None
    on: datetime | None = None
    successor: str = ""
    owner: str = ""
    site: str = ""
    network: str = ""
    roles: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    instance_id: str = ""
    notes: str = ""
    declared_as: str = ""
    line: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)


def check_name_pattern(text: str) -> str:
    """The one spelling of a host name that may hold ranges. Raises WrongValueError."""
    name = normal_name(text)
    if normal_address(text) is not None:
        raise WrongValueError("expected a host name, and this is an address", "addresses go under `addresses`")
    if "*" in name:
        raise WrongValueError("a host name can't hold a wildcard", _HOW_RANGE)
    size = range_size(name)
    if size == 0:
        raise WrongValueError("a range that runs backwards holds no name", _HOW_RANGE)
    if size > RANGE_LIMIT:
        raise WrongValueError(f"a range of more than {RANGE_LIMIT} names", "split it, or check its numbers")
    if not is_hostname(next(expand_range(name), "")):
        raise WrongValueError("expected a host name", "letters, digits, hyphens and dots, such as api-01.example.net")
    return name


def is_pattern(text: str) -> bool:
    """Whether a text stands for any host that it fits, rather than for hosts by their names."""
    return "*" in text or "?" in text


def expand_names(pattern: str) -> tuple[str, ...]:
    """The names of a checked pattern, in order."""
    return tuple(islice(expand_range(pattern), RANGE_LIMIT))


@lru_cache(maxsize=65536)
def address_range(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """First address and count of an address, or of a range `10.20.8.1-10.20.9.84`. Raises WrongValueError."""
    if "/" in text:
        raise WrongValueError("a host has addresses, and this is a network", "networks go under `networks`")
    first_text, dash, last_text = text.partition("-")
    first, last = normal_address(first_text), normal_address(last_text if dash else first_text)
    if first is None or last is None:
        raise WrongValueError(
            "expected an address", "write 10.20.4.17, 2001:db8::17, or a range as 10.20.8.1-10.20.9.84"
        )
    low, high = ip_address(first), ip_address(last)
    if low.version != high.version or int(high) < int(low):
        raise WrongValueError("a range of addresses that ends before it starts", "write 10.20.8.1-10.20.9.84")
    if int(high) - int(low) >= RANGE_LIMIT:
        raise WrongValueError(f"a range of more than {RANGE_LIMIT} addresses", "split it, or check its numbers")
    if low.is_loopback or low.is_unspecified or low.is_multicast:
        raise WrongValueError(f"{low} is no address that others could reach the host by", "leave it out")
    return low, int(high) - int(low) + 1


def check_addresses(text: str) -> str:
    """The one spelling of an address or a range of addresses. Raises WrongValueError."""
    first, count = address_range(text)
    return str(first) if count == 1 else f"{first}-{first + (count - 1)}"


def spread_names(patterns: Sequence[str], count: int) -> list[tuple[str, ...]] | None:
    """Aliases for each of `count` hosts: every pattern must make `count` names. None if one does not."""
    columns = [expand_names(pattern) for pattern in patterns]
    if any(len(column) != count for column in columns):
        return None
    return list(zip(*columns, strict=True)) if columns else [()] * count


def spread_addresses(items: Sequence[str], count: int) -> list[tuple[str, ...]] | None:
    """Addresses for each of `count` hosts; None if they don't come out even.

    Either every item is a range of `count` addresses (or, for one host, an address): each host gets one of each, such
    as one v4 and one v6. Or all items together are `count` addresses, given out in order.
    """
    sizes = [address_range(item)[1] for item in items]
    if all(size == count for size in sizes):
        columns = [list(addresses_in(item)) for item in items]
        return list(zip(*columns, strict=True)) if columns else [()] * count
    if sum(sizes) == count:
        return [(address,) for item in items for address in addresses_in(item)]
    return None


def addresses_in(item: str) -> Iterator[str]:
    """Each address of one, or of a range of them."""
    first, count = address_range(item)
    return (str(first + n) for n in range(count))
