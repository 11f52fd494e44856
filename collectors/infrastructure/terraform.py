"""Terraform and OpenTofu: plans and states as JSON (`show -json`), state files as they are stored, and configuration.

Sources: Terraform's "JSON Output Format" (format_version 1.x: unknown keys are to be ignored, a new major version
rejected), its state file of version 4, and the providers' documentation of the resources in `terraform_resources`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

from auditor.api import (
    EXCERPT_LIMIT,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    host_ref,
    is_address,
    is_hostname,
    normal_address,
    normal_name,
    read_spf,
)
from collectors.infrastructure import terraform_configuration as configuration
from collectors.infrastructure import terraform_resources as table
from collectors.infrastructure.common import is_outside, outside
from collectors.infrastructure.hcl import MAX_BYTES as MAX_HCL_BYTES
from collectors.infrastructure.hcl import read_hcl

MAX_BYTES: Final = 128 << 20
RESOURCES_LIMIT: Final = 200_000
_FAR: Final = 4 << 20
"""Characters in which the next resource is looked for: they follow each other."""
VALUES_LIMIT: Final = 1_000
"""Values of one attribute that are read."""

Values: TypeAlias = Mapping[str, Any]

_CONFIGURATION: Final = (".tf", ".tofu")
_GIVEN: Final = ("/terraform.tfvars", ".auto.tfvars")
# `${aws_instance.old.private_ip}`, `${aws_instance.old[0].private_ip}`
_REFERENCE: Final = re.compile(r"\$\{\s*([a-z]\w*\.[\w-]+)(?:\[[^\]]{0,80}\])?\.\w+\s*\}")
_ZONE: Final = re.compile(r"\$\{\s*((?:data\.)?[a-z]\w*\.[\w-]+)(?:\[[^\]]{0,80}\])?\.\w+\s*\}")
_PARTS: Final = re.compile(r'\\?"\s*\\?"')
_MARKS: Final = (b'"terraform_version"', b'"format_version"')
_ACTIONS: Final = {
    ("no-op",): "",
    ("read",): "",
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("forget",): "forget",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("create", "forget"): "replace",
}
_GOES: Final = frozenset({"delete", "replace"})


class TerraformCollector(Collector):
    """Resources of a plan as they will be, of a state as they are, and of a configuration as far as it is literal.

    Of a plan, what is known only after apply is left out, and so is every value that is marked as sensitive, here and
    in states. A record or machine that the plan deletes or replaces carries `action`.

    Reads
    -----
    `terraform show -json` of plans and states, `*.tfstate` of version 4: any JSON that begins with
    `format_version` or `terraform_version`. `*.tf` and `*.tofu` in HCL, with `terraform.tfvars` and `*.auto.tfvars`:
    the files of one directory are read together.

    Yields
    ------
    DNS records of a dozen providers as names that resolve to names or addresses; machines as hosts with addresses;
    load balancers with their machines as alternatives; health checks and uptime monitors as probes, alarms on
    machines; webhooks and subscriptions with their URLs; certificates with names and end.

    Can't see
    ---------
    Of a configuration what is more than a literal, a variable with a literal value or another resource's attribute:
    functions, modules, `for_each`, data sources other than zones (its plan has them; its text is scanned for mentions).
    Resources of other kinds, values behind providers' ids that are in no resource of the same file, and URLs that the
    provider marks as sensitive: those are named as not read.
    """

    name: ClassVar[str] = "terraform"
    title: ClassVar[str] = "Terraform plans, states and configuration"
    area: ClassVar[Area] = Area.CONFIGURATION
    # What a plan or state has of webhooks and monitors says nothing of all others.
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES, Relation.BACKED_BY})

    def recognizes(self, path: str, head: bytes) -> bool:
        """JSON of Terraform, by its versions at the top; configuration by its suffix."""
        if path.endswith(_CONFIGURATION) or f"/{path}".endswith(_GIVEN):
            return b"\x00" not in head
        if not path.endswith((".json", ".tfstate", ".tfplan", ".backup")):
            return False
        start = head[:600].lstrip(b"\xef\xbb\xbf \t\r\n")
        return start[:1] == b"{" and b"_version" in start and any(mark in start for mark in _MARKS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of all resources that a table knows."""
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", True)
            return
        text = decode(document.content).removeprefix("\ufeff")
        if document.path.endswith((*_CONFIGURATION, ".tfvars")):
            yield from _configured(document.path, text)
            return
        try:
            root = json.loads(text)
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", 0)
            yield Malformed(Where(line), excerpt(f"not JSON: {error}"), "Terraform refuses the file", True)
            return
        version = root.get("format_version") if isinstance(root, dict) else None
        if not isinstance(root, dict) or not (isinstance(version, str) or "lineage" in root):
            return
        if isinstance(version, str) and version.partition(".")[0] not in ("0", "1"):
            reason = f"format_version {excerpt(version)} is of a major version that is not known"
            yield Malformed(_Places(text).of("", '"format_version"'), reason, "scanned for mentions only", True)
            return
        if version is None and root.get("version") not in (3, 4):
            reason = f"state version {excerpt(str(root.get('version')))} is not known"
            yield Malformed(Where(1), reason, "scanned for mentions only", True)
            return
        resources = list(_resources(root, text))
        yield from _Reader(resources[:RESOURCES_LIMIT], _read_zones(root)).read()
        if len(resources) > RESOURCES_LIMIT:
            yield Malformed(Where(), f"more than {RESOURCES_LIMIT:,} resources: the rest is not read")

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The resources of each directory of a configuration, which name each other."""
        for resources in configuration.configured(fragments):
            made = [_Resource(one.address, one.type, one.values, "", one.lines, 0) for one in resources]
            yield from _Reader(made[:RESOURCES_LIMIT]).read()


def _configured(path: str, text: str) -> Iterator[Parsed]:
    lines = text.split("\n")
    if len(text) > MAX_HCL_BYTES:
        yield Malformed(Where(), f"larger than {MAX_HCL_BYTES >> 20} MiB", "scanned for mentions only", True)
        return
    root, problem = read_hcl(text)
    if problem is not None and "{{" not in text and "<%" not in text:
        shown = excerpt(lines[problem.line - 1]) if problem.line <= len(lines) else ""
        effect = "Terraform refuses it; the rest is scanned for mentions only"
        yield Malformed(Where(problem.line, shown), excerpt(problem.reason), effect, not root.blocks)
    yield from configuration.pieces(root, path, lines)


class _Places:
    """Lines of values: JSON of Terraform is one line as a rule, and then only the excerpt tells."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = [found.start() for found in re.finditer("\n", text)]
        self._lines = text.split("\n") if self._breaks else []

    def find(self, text: str, start: int) -> int:
        return self._text.find(text, start, start + _FAR)

    def of(self, shown: str, sought: str, start: int = 0, end: int | None = None) -> Where:
        """The place of a text; `shown` is the excerpt where its line holds more than that."""
        from bisect import bisect_left

        at = self._text.find(sought, start, end) if end is not None else self._text.find(sought, start)
        if at < 0:
            at = max(start, 0)
        line = bisect_left(self._breaks, at)
        # A line that holds several values may hold one that must not be shown.
        if self._lines and len(self._lines[line]) <= EXCERPT_LIMIT and self._lines[line].count('":') < 2:
            return Where(line + 1, excerpt(self._lines[line]))
        return Where(line + 1, excerpt(shown or sought))


@dataclass(slots=True)
class _Resource:
    """One resource: what will be (of a plan) or is, without what is unknown or sensitive."""

    address: str
    type: str
    values: Values
    action: str
    places: _Places | configuration.Lines
    start: int
    hidden: frozenset[str] = field(default_factory=frozenset)
    partly: frozenset[str] = frozenset()
    """Lists of which some elements are known after apply only."""
    before: Values = field(default_factory=dict)

    def where(self, value: object = None, key: str = "") -> Where:
        """The place of a value inside this resource, or of the resource."""
        end = self.start + 100_000
        if value is not None:
            sought = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
            shown = f'{self.address}: "{key}": {sought}' if key else f"{self.address}: {sought}"
            where = self.places.of(shown, sought, self.start, end)
        else:
            where = self.places.of(self.address, json.dumps(self.address), self.start, end)
        return Where(where.line, where.excerpt, where.path, self.address)

    def text(self, *keys: str) -> str:
        """The first of these attributes that is a text and not empty."""
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
        return ""

    def texts(self, *keys: str) -> list[str]:
        """The texts of these attributes, lists or single."""
        found: list[str] = []
        for key in keys:
            value = self.values.get(key)
            several = value if isinstance(value, list) else [value]
            found += [one.strip() for one in several if isinstance(one, str) and one.strip()]
        return found[:VALUES_LIMIT]

    def maps(self, key: str) -> Sequence[Values]:
        """The blocks of a name: a list of objects, or one."""
        value = self.values.get(key)
        return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)][:VALUES_LIMIT]


def _resources(root: Mapping[str, Any], text: str) -> Iterator[_Resource]:
    """Resources of a plan, of a state that was shown, or of a state file; data sources are left out."""
    places = _Places(text)
    changes = root.get("resource_changes")
    if isinstance(changes, list):
        start = max(places.find('"resource_changes"', 0), 0)
        for change in changes:
            if not isinstance(change, dict) or not isinstance(change.get("change"), dict):
                continue
            made = _changed(change, change["change"], places, start)
            if made is not None:
                start = made.start
                yield made
        return
    values = root.get("values") or root.get("planned_values")
    if isinstance(values, dict) and isinstance(values.get("root_module"), dict):
        start = 0
        for one in _shown(values["root_module"]):
            known = _without(one.get("values"), one.get("sensitive_values"))
            made = _make(one, known, "", places, start, _hidden(one.get("sensitive_values")))
            if made is not None:
                start = made.start
                made.partly = _partly(one.get("values"), None)
                yield made
        return
    yield from _stored(root, places)


def _changed(one: Values, change: Values, places: _Places, start: int) -> _Resource | None:
    actions = change.get("actions")
    action = _ACTIONS.get(tuple(str(a) for a in actions), "") if isinstance(actions, list) else ""
    gone = action in ("delete", "forget")
    before = _without(change.get("before"), change.get("before_sensitive"))
    after = _without(_without(change.get("after"), change.get("after_unknown")), change.get("after_sensitive"))
    hidden = _hidden(change.get("before_sensitive" if gone else "after_sensitive"))
    made = _make(one, before if gone else after, action, places, start, hidden)
    if made is not None:
        made.before = before
        made.partly = frozenset() if gone else _partly(change.get("after"), change.get("after_unknown"))
    return made


def _partly(values: object, unknown: object) -> frozenset[str]:
    """The lists of an object that hold values which are not known, beside others or alone."""
    masks = unknown if isinstance(unknown, dict) else {}
    found = {key for key, mask in masks.items() if isinstance(mask, list) and any(one is True for one in mask)}
    if isinstance(values, dict):
        found |= {key for key, value in values.items() if isinstance(value, list) and None in value}
    return frozenset(found)


def _make(
    one: Values, values: Values, action: str, places: _Places, start: int, hidden: frozenset[str]
) -> _Resource | None:
    address, kind = one.get("address"), one.get("type")
    if not isinstance(address, str) or not isinstance(kind, str) or one.get("mode", "managed") != "managed":
        return None
    at = places.find(json.dumps(address, ensure_ascii=False), start)
    return _Resource(excerpt(address), kind, values, action, places, at if at >= 0 else start, hidden)


def _shown(module: Values) -> Iterator[Values]:
    pending: list[Values] = [module]
    while pending:
        current = pending.pop()
        for one in _list(current.get("resources")):
            if isinstance(one, dict):
                yield one
        pending.extend(child for child in reversed(_list(current.get("child_modules"))) if isinstance(child, dict))


def _stored(root: Values, places: _Places) -> Iterator[_Resource]:
    """A state file of version 4: `sensitive_attributes` are paths. Version 3 kept flat maps: only strings are read."""
    start = 0
    for one in _list(root.get("resources")):
        if not isinstance(one, dict) or one.get("mode") != "managed" or not isinstance(one.get("type"), str):
            continue
        module = f"{one['module']}." if isinstance(one.get("module"), str) else ""
        at = places.find(f'"type": {json.dumps(one["type"])}', start)
        start = max(at, start)
        for instance in _list(one.get("instances")):
            if not isinstance(instance, dict):
                continue
            key = instance.get("index_key")
            index = f"[{json.dumps(key)}]" if isinstance(key, str | int) else ""
            hidden = frozenset(
                str(path[0].get("value"))
                for path in _list(instance.get("sensitive_attributes"))
                if isinstance(path, list) and path and isinstance(path[0], dict)
            )
            values = instance.get("attributes")
            known = {k: v for k, v in values.items() if k not in hidden} if isinstance(values, dict) else {}
            address = excerpt(f"{module}{one['type']}.{one.get('name', '')}{index}")
            yield _Resource(address, one["type"], known, "", places, start, hidden)


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _hidden(mask: object) -> frozenset[str]:
    return frozenset(key for key, value in mask.items() if value) if isinstance(mask, dict) else frozenset()


def _without(values: object, mask: object, depth: int = 0) -> dict[str, Any]:
    """An object without what a mask of the same form says true of."""
    if not isinstance(values, dict) or mask is True:
        return {}
    return {key: kept for key, value in values.items() if (kept := _kept(value, _at(mask, key), depth)) is not None}


def _at(mask: object, key: str) -> object:
    return mask.get(key) if isinstance(mask, dict) else None


def _kept(value: object, mask: object, depth: int) -> object:
    if mask is True or depth > 50:
        return None
    if isinstance(value, dict):
        return _without(value, mask, depth + 1)
    if isinstance(value, list):
        masks = mask if isinstance(mask, list) else []
        kept = [
            _kept(one, masks[number] if number < len(masks) else None, depth + 1) for number, one in enumerate(value)
        ]
        return [one for one in kept if one is not None]
    return value


def _zone_name(kind: str, values: Values) -> str:
    """The name of a zone; empty for what is none, and where the name is computed."""
    written = next((text for key in table.ZONES.get(kind, ()) if isinstance(text := values.get(key), str)), "")
    name = normal_name(written.strip())
    return name if "." in name and is_hostname(name) else ""


def _read_zones(root: Values) -> list[tuple[str, Values]]:
    """The zones of a plan or state that are data sources."""
    pending: list[Values] = [one for one in _list(root.get("resources")) if isinstance(one, dict)]
    for state in (root, root.get("prior_state"), root.get("planned_values")):
        values = state.get("values", state) if isinstance(state, dict) else None
        if isinstance(values, dict) and isinstance(values.get("root_module"), dict):
            pending += _shown(values["root_module"])
    for change in _list(root.get("resource_changes")):
        if isinstance(change, dict) and isinstance(change.get("change"), dict):
            pending.append({**change, "values": change["change"].get("after")})
    found: list[tuple[str, Values]] = []
    for one in pending:
        if one.get("mode") == "data" and one.get("type") in table.ZONES:
            several = [
                one.get("values"),
                *(i.get("attributes") for i in _list(one.get("instances")) if isinstance(i, dict)),
            ]
            found += [(str(one["type"]), values) for values in several if isinstance(values, dict)]
    return found


class _Reader:
    """Turns resources into facts, with the ids by which they name each other."""

    def __init__(self, resources: Sequence[_Resource], read: Sequence[tuple[str, Values]] = ()) -> None:
        """`read` are zones that are data sources: their types and values."""
        self.resources = resources
        self.zones: dict[str, str] = {}
        """Names of zones by their ids, and by the addresses of their resources."""
        for kind, values in (*read, *((one.type, found) for one in resources for found in (one.before, one.values))):
            self._zone(kind, values)
        for one in resources:
            if name := _zone_name(one.type, one.values):
                self.zones[f"resource {one.address}"] = name
        self.machines: dict[str, Ref] = {}
        self.by_resource: dict[str, Ref] = {}
        """Machines by the address of their resource, as a configuration names them."""
        self.groups: dict[str, Ref] = {}
        """Load balancers and target groups by their ARN or id."""

    def read(self) -> Iterator[Parsed]:
        for one in self.resources:
            if one.type in table.MACHINES:
                yield from self._machine(one)
            elif one.type in table.BALANCERS:
                ref = Ref(Kind.SERVICE, one.address)
                for source in (one.values, one.before):
                    for key in ("arn", "id", "name" if one.type == "aws_elb" else "id"):
                        if isinstance(source.get(key), str):
                            self.groups[f"{one.type.partition('_')[0]} {source[key]}"] = ref
        for one in self.resources:
            if one.action == "forget":
                continue
            if one.type in table.BALANCERS:
                yield from self._balancer(one)
            elif one.type in table.ATTACHMENTS:
                yield from self._attachment(one)
            elif one.type in table.LISTENERS:
                yield from self._listener(one)
            elif one.type in table.CHECKS:
                yield from self._check(one)
            elif one.type == "aws_cloudwatch_metric_alarm":
                yield from self._alarm(one)
            elif one.type in table.HOOKS:
                yield from self._hook(one)
            elif one.type in table.CERTIFICATES:
                yield from self._certificate(one)
            else:
                yield from self._record(one)

    def _zone(self, kind: str, values: Values) -> None:
        name = _zone_name(kind, values)
        for key in (*table.ZONE_IDS, *table.ZONES.get(kind, ())) if name else ():
            if isinstance(values.get(key), str | int):
                self.zones[f"{kind.partition('_')[0]} {values[key]}"] = name

    def _zone_of(self, one: _Resource) -> str:
        """The name of a record's zone; empty if it is not known."""
        written = table.zone_of(one.type, one.values)
        found = _ZONE.fullmatch(written)
        known = self.zones.get(f"resource {found[1]}") if found is not None else None
        known = known or self.zones.get(f"{one.type.partition('_')[0]} {written}")
        return known or (written if "." in written and is_hostname(written) else "")

    def _machine(self, one: _Resource) -> Iterator[Parsed]:
        """A machine by the name that people gave it, else by its address; ids are how other resources name it."""
        tags = one.values.get("tags")
        tagged = tags.get("Name") if isinstance(tags, dict) else None
        written = [tagged, one.values.get("name"), one.values.get("hostname"), one.values.get("label")]
        name = next((n for n in written if isinstance(n, str) and is_hostname(n) and " " not in n), "")
        addresses = [a for text in one.texts(*table.ADDRESS_KEYS) if (a := normal_address(text.partition("/")[0]))]
        for block in table.ADDRESS_BLOCKS:
            for inner in one.maps(block):
                for key in ("network_ip", "nat_ip", "ip", "ipv4_address", "private_ip_address"):
                    value = inner.get(key)
                    if isinstance(value, str) and (address := normal_address(value)):
                        addresses.append(address)
        name = name or next(iter(addresses), "")
        if not name:
            return
        host = Ref(Kind.HOST, normal_name(name))
        self.by_resource[one.address] = host
        for source in (one.values, one.before):
            for key in ("id", "arn", "self_link"):
                value = source.get(key)
                if isinstance(value, str | int):
                    self.machines[f"{one.type.partition('_')[0]} {value}"] = host
        attributes: dict[str, Attribute] = {"origin": "terraform", "resource": one.address}
        # The linker takes one address a statement.
        for address in dict.fromkeys(addresses) or [""]:
            known = {**attributes, "address": address} if address else dict(attributes)
            if one.action in _GOES:
                known["action"] = one.action
            yield Entity(host, one.where(name), known)

    def _target(self, one: _Resource, text: str) -> Ref | None:
        """A machine by its id, or an address or name that was written."""
        found = self.machines.get(f"{one.type.partition('_')[0]} {text}") or self._of_resource(text)
        if found is not None:
            return found
        outer = host_ref(text) if is_address(text) or "." in text else None
        return outer if outer is not None and is_outside(outer.text) else None

    def _of_resource(self, text: str) -> Ref | None:
        """The machine whose attribute a configuration takes."""
        found = _REFERENCE.fullmatch(text)
        return self.by_resource.get(found[1]) if found is not None else None

    def _balancer(self, one: _Resource) -> Iterator[Parsed]:
        if one.action == "delete":
            return
        ref = Ref(Kind.SERVICE, one.address)
        attributes: dict[str, Attribute] = {"type": one.type}
        if name := one.text("dns_name", "hostname"):
            attributes["dns_name"] = excerpt(normal_name(name))
        yield Entity(ref, one.where(), attributes)
        if name and is_hostname(name) and one.type in ("aws_lb", "aws_alb", "aws_elb"):
            yield Dependency(Ref(Kind.NAME, normal_name(name)), ref, Relation.STANDS_FOR, one.where(name, "dns_name"))
        for text in one.texts("instances"):
            provider = self._target(one, text) or Ref(Kind.SERVICE, f"{one.address}: targets not known")
            yield Dependency(ref, provider, Relation.BACKED_BY, one.where(text), group="servers")

    def _attachment(self, one: _Resource) -> Iterator[Parsed]:
        group_keys, target_keys = table.ATTACHMENTS[one.type]
        cloud = one.type.partition("_")[0]
        numbers = {key: str(one.values[key]) for key in (*group_keys, *target_keys) if key in one.values}
        group = next((found for key in group_keys if (found := self.groups.get(f"{cloud} {numbers.get(key)}"))), None)
        named = next((numbers[key] for key in target_keys if self._target(one, numbers.get(key, ""))), "")
        target = self._target(one, named) if named else None
        if group is None or one.action == "delete":
            return
        # A target that is known after apply only is an alternative all the same.
        provider = target or Ref(Kind.SERVICE, f"{one.address}: target not known")
        where = one.where(named) if isinstance(one.places, configuration.Lines) and named else one.where()
        yield Dependency(group, provider, Relation.BACKED_BY, where, group="servers")

    def _listener(self, one: _Resource) -> Iterator[Parsed]:
        """The target groups that a load balancer sends to: those of one listener share its traffic."""
        balancer = self.groups.get(f"aws {one.text('load_balancer_arn')}")
        if balancer is None or one.action == "delete":
            return
        for action in (*one.maps("default_action"), *one.maps("action")):
            arns = [action.get("target_group_arn")]
            for forward in _list(action.get("forward")):
                if isinstance(forward, dict):
                    arns += [t.get("arn") for t in _list(forward.get("target_group")) if isinstance(t, dict)]
            for arn in arns:
                target = self.groups.get(f"aws {arn}")
                if target is not None:
                    group = f"forward {one.address}"
                    yield Dependency(balancer, target, Relation.BACKED_BY, one.where(), group=group)

    def _check(self, one: _Resource) -> Iterator[Parsed]:
        target = ""
        for path in table.CHECKS[one.type]:
            value = _dig(one.values, path)
            if isinstance(value, str) and value:
                target = value
                break
        found = outside(target) if target else None
        if found is None or one.action == "delete":
            return
        probe = Ref(Kind.PROBE, f"terraform {one.address}")
        yield Entity(probe, one.where(target), {"type": one.type})
        yield Dependency(probe, found, Relation.WATCHES, one.where(target))

    def _alarm(self, one: _Resource) -> Iterator[Parsed]:
        dimensions = one.values.get("dimensions")
        instance = dimensions.get("InstanceId") if isinstance(dimensions, dict) else None
        target = self.machines.get(f"aws {instance}") if isinstance(instance, str) else None
        if target is None or one.action == "delete":
            return
        alert = Ref(Kind.ALERT, f"terraform/{excerpt(one.text('alarm_name') or one.address)}")
        yield Entity(alert, one.where(), {"metric": excerpt(one.text("metric_name"))})
        yield Dependency(alert, target, Relation.WATCHES, one.where(instance, "InstanceId"))

    def _hook(self, one: _Resource) -> Iterator[Parsed]:
        path = table.HOOKS[one.type]
        if one.action == "delete":
            return
        if path[0] in one.hidden:
            yield Malformed(one.where(), "the URL is marked as sensitive", "it is not known where this one delivers")
            return
        value = _dig(one.values, path)
        found = outside(value) if isinstance(value, str) and "://" in value else None
        if found is None or not isinstance(value, str):
            return
        where = one.where(value)
        where = Where(where.line, excerpt(f"{one.address}: {found.text}"), where.path, one.address)
        webhook = Ref(Kind.WEBHOOK, f"terraform {one.address}")
        attributes: dict[str, Attribute] = {"type": one.type}
        if events := tuple(excerpt(event) for event in one.texts("events")):
            attributes["events"] = events
        if isinstance(one.values.get("active"), bool):
            attributes["active"] = one.values["active"]
        yield Entity(webhook, where, attributes)
        yield Dependency(webhook, found, Relation.DELIVERS, where, Need.WRITE)

    def _certificate(self, one: _Resource) -> Iterator[Parsed]:
        if one.action == "delete":
            return
        written = one.texts("domain_name", "common_name", "subject_alternative_names", "domain")
        names = list(dict.fromkeys(normal_name(name) for name in written if is_hostname(name)))
        if not names:
            return
        service = Ref(Kind.SERVICE, one.address)
        attributes: dict[str, Attribute] = {"type": one.type, "sans": tuple(names)}
        for key in ("not_after", "certificate_not_after", "validation_method", "renewal_eligibility"):
            if text := one.text(key):
                attributes[key] = excerpt(text)
        yield Entity(service, one.where(names[0]), attributes)

    def _record(self, one: _Resource) -> Iterator[Parsed]:
        record = table.read_record(one.type, one.values, self._zone_of(one))
        if record is None:
            return
        owner = normal_name(record.name)
        name = Ref(Kind.NAME, owner)
        attributes: dict[str, Attribute] = {"type": record.kind, "origin": "terraform"}
        if one.action in _GOES:
            attributes["action"] = one.action
        if one.action == "delete" and record.within:
            return
        if one.action == "delete":
            yield Entity(name, one.where(record.written), attributes)
            return
        providers = [
            (ref, value)
            for value in record.values[:VALUES_LIMIT]
            if (ref := _record_target(record.kind, value) or self._of_resource(value)) is not None
        ]
        if record.within:
            for provider, value in providers:
                ref = Ref(Kind.RECORD, f"{one.address}: {record.written} {record.kind} {excerpt(value)}")
                yield Entity(ref, one.where(value), {**attributes, "owner": record.written})
                yield Dependency(ref, provider, Relation.RECORDS, one.where(value))
        elif record.kind in ("A", "AAAA", "CNAME", "ALIAS"):
            if providers:
                yield Entity(name, one.where(record.written), attributes)
            group = "addresses" if record.kind in ("A", "AAAA") or record.weighted else ""
            for provider, value in providers:
                yield Dependency(name, provider, Relation.RESOLVES, one.where(value), group=group)
            if providers and group and (one.partly & table.VALUES or len(providers) < len(record.values)):
                # A value that is known after apply only is an alternative all the same.
                unknown = Ref(Kind.NAME, f"{one.address}: value not known")
                yield Dependency(name, unknown, Relation.RESOLVES, one.where(record.written), group=group)
        elif record.kind in ("MX", "NS", "SRV", "PTR"):
            for provider, value in providers:
                ref = Ref(Kind.RECORD, f"{owner} {record.kind} {excerpt(value)}")
                yield Entity(ref, one.where(value), {**attributes, "owner": owner})
                yield Dependency(ref, provider, Relation.RECORDS, one.where(value))
                if record.kind != "PTR":
                    yield from _one_of(ref, owner, record.kind, one.where(value))
        elif record.kind in ("TXT", "SPF"):
            for value in record.values[:VALUES_LIMIT]:
                yield from self._spf(one, owner, value, attributes)

    def _spf(self, one: _Resource, owner: str, value: str, known: Mapping[str, Attribute]) -> Iterator[Parsed]:
        """Who may send mail, by a record whose text may be in several parts."""
        text = _PARTS.sub("", value.strip().strip('"'))
        providers = read_spf(text, owner)[0] if text.lower().startswith("v=spf1 ") else ()
        if not providers:
            return
        ref = Ref(Kind.RECORD, f"{owner} TXT {excerpt(text)}")
        yield Entity(ref, one.where(value), {**known, "owner": owner})
        yield from _one_of(ref, owner, "SPF", one.where(value))
        for provider, group in providers:
            yield Dependency(ref, provider, Relation.RECORDS, one.where(value), group=group)


def _one_of(record: Ref, owner: str, kind: str, where: Where) -> Iterator[Parsed]:
    """A record among those of its name and kind, which are alternatives."""
    whole = Ref(Kind.RECORD, f"{owner} {kind}")
    yield Entity(whole, where, {"type": kind, "owner": owner, "record_set": True})
    yield Dependency(whole, record, Relation.RECORDS, where, group=kind)


def _record_target(kind: str, value: str) -> Ref | None:
    text = value.strip().strip('"')
    if kind in ("MX", "SRV"):
        text = text.split()[-1] if text.split() else ""
    address = normal_address(text)
    if kind in ("A", "AAAA"):
        return Ref(Kind.ADDRESS, address) if address else None
    return Ref(Kind.NAME, normal_name(text)) if not address and "." in text and is_hostname(text) else None


def _dig(values: object, path: Sequence[str]) -> object:
    """The value behind keys, the first element of lists on the way."""
    current = values
    for key in path:
        if isinstance(current, list):
            current = current[0] if current else None
        current = current.get(key) if isinstance(current, dict) else None
    return current
