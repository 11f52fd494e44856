"""NetBox (REST API of 3 and 4): devices and virtual machines with their status, and whose addresses are whose.

Lists are asked for in pages by `limit` and `offset`; the links to next pages are not followed, as a NetBox behind a
proxy gives them its inner name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from auditor.capture.http.client import Client, Credentials, FailedError
from auditor.capture.http.services import MAX_PAGES, Kept, Step, gathered, in_parts, kept_json
from auditor.model import Outcome

_PAGE: Final = 500
_MACHINE: Final = (
    *("id", "name", "device_type", "status", "role", "device_role", "site", "cluster", "platform", "tenant"),
    *("primary_ip4", "primary_ip6", "description", "last_updated"),
)
_ADDRESS: Final = (
    *("id", "address", "status", "role", "vrf", "dns_name", "assigned_object_type", "assigned_object", "nat_inside"),
    *("nat_outside", "description"),
)
_BRIEF: Final = ("id", "name", "address", "value", "slug", "device", "virtual_machine")
"""What is kept of an object inside of another."""


class Source(Credentials, Protocol):
    """A NetBox as the inventory declares it."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> str | None: ...


def netbox_client(source: Source, token: str) -> Client:
    """A client with a token of the first or the second version (NetBox 4.5, `nbt_…`). Raises FailedError."""
    scheme = "Bearer" if token.startswith("nbt_") else "Token"
    return Client(source.url, token=token, scheme=scheme, ca=source.ca)


def _server(client: Client) -> Iterator[Kept | Step]:
    about = client.get("/api/status/").json()
    yield Kept(kept_json({"program": "netbox", "url": client.address, "build": {"version": about["netbox-version"]}}))


def _list(
    path: str, keys: tuple[str, ...], wanted: Callable[[Mapping[str, Any]], bool] = lambda _one: True
) -> Callable[[Client], Iterator[Kept | Step]]:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found, cut = gathered(_pages(client, path))
        kept = [_kept(one, keys) for one in found if wanted(one)]
        if kept or cut:
            yield from in_parts(kept, '{"results": [', "]}", cut, indent=1)

    return ask


def _pages(client: Client, path: str) -> Iterator[Mapping[str, Any]]:
    offset = 0
    for _ in range(MAX_PAGES):
        body = client.get(path, {"limit": _PAGE, "offset": offset, "exclude": "config_context"}).json()
        results = body.get("results") if isinstance(body, dict) else None
        if not isinstance(results, list):
            raise FailedError(Outcome.PARTIAL, "the answer is no list of NetBox")
        yield from results
        offset += len(results)
        if not body.get("next"):
            # What was deleted meanwhile has moved the pages: something may have slipped from one into the one before.
            if isinstance(count := body.get("count"), int) and offset < count:
                raise FailedError(Outcome.PARTIAL, f"{count} are told of")
            return
        if not results:
            raise FailedError(Outcome.PARTIAL, "an empty page that is not the last one")
    raise FailedError(Outcome.PARTIAL, f"more than {MAX_PAGES} pages")


def _kept(thing: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: _brief(thing[key]) for key in keys if thing.get(key) not in (None, "", [])}


def _brief(value: Any) -> Any:
    if isinstance(value, list):
        return [_brief(one) for one in value]
    if isinstance(value, dict):
        return {key: _brief(value[key]) for key in _BRIEF if key in value}
    return value


def _tells(address: Mapping[str, Any]) -> bool:
    """Whether an address is anybody's, or has a name."""
    return bool(address.get("dns_name") or address.get("assigned_object") or address.get("nat_inside"))


NETBOX: Final[tuple[Step, ...]] = (
    Step("version.json", _server),
    Step("devices.json", _list("/api/dcim/devices/", _MACHINE)),
    Step("virtual-machines.json", _list("/api/virtualization/virtual-machines/", _MACHINE)),
    Step("ip-addresses.json", _list("/api/ipam/ip-addresses/", _ADDRESS, _tells)),
)
"""What is asked of a NetBox."""
