"""What the formats of this family share: YAML that may be a template, and which texts name something outside of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from auditor.api import (
    TEMPLATE,
    Confidence,
    Dependency,
    Document,
    Kind,
    Malformed,
    Need,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_loopback,
    read_yaml,
    split_endpoint,
    without_templates,
)

YAML_SUFFIXES: Final = (".yaml", ".yml")
TEMPLATE_SUFFIXES: Final = (".j2", ".jinja", ".jinja2", ".erb", ".epp", ".tmpl", ".tpl", ".gotmpl", ".in")
VALUES_LIMIT: Final = 10_000
"""Values of one object in which hosts are looked for."""

_UNKNOWN: Final = re.compile(r"[${}<>%*\s,|]|" + re.escape(TEMPLATE))
_PORT: Final = re.compile(r"[\w\].-]:\d{1,5}(?:/.*)?")
_HOST_KEY: Final = re.compile(
    r"(?!no[_.-]?proxy$)(?:.*[_.-]|(?:db|ldap|log|mail|pg|redis|smtp|sql)(?=host|server|url))?(?:host|hostname|server|servers|addr|address|endpoint|url|uri|broker|brokers|relay|proxy|nameserver)"
    r"(?:[_.-]?(?:name|url))?",
    re.IGNORECASE,
)
_INSIDE: Final = (
    ".svc", ".cluster.local", ".docker.internal", ".containers.internal", ".localhost", ".localdomain", ".invalid",
)  # fmt: skip


def bare_path(path: str) -> str:
    """A path without the suffix of a template."""
    for suffix in TEMPLATE_SUFFIXES:
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    return path


def read_documents(document: Document, effect: str) -> tuple[YamlStream, list[Malformed]]:
    """A YAML or JSON file and what could not be read of it. Of a template nothing is said to be malformed."""
    text = decode(document.content)
    template = "{{" in text or "{%" in text or "<%" in text
    stream = read_yaml(without_templates(text) if template else text)
    if stream.problem is None or template:
        return stream, []
    where = stream.where(min(stream.problem.line, len(stream.lines)))
    return stream, [Malformed(where, excerpt(stream.problem.reason), effect, not stream.documents)]


def known(text: str) -> str:
    """A text, unless a template, a variable or an expression fills it in."""
    return "" if _UNKNOWN.search(text.strip()) else text.strip()


def is_outside(host: str) -> bool:
    """Whether a name or address is one that other machines share: not loopback, not single-label, not of a cluster."""
    if is_loopback(host) or host.startswith("169.254."):
        return False
    return ":" in host or ("." in host and not host.endswith(_INSIDE))


def outside(text: str) -> Ref | None:
    """A URL, `host:port`, name or address that leads out of the document; without its path, which may be a secret."""
    text = known(text)
    if not text or len(text) > 2048:
        return None
    parts = split_endpoint(text)
    if parts is None or not is_outside(parts.host):
        return None
    if "://" in text or parts.port is not None or _PORT.fullmatch(text):
        scheme = f"{parts.scheme}://" if parts.scheme else ""
        host = f"[{parts.host}]" if ":" in parts.host else parts.host
        return endpoint_ref(f"{scheme}{host}:{parts.port}" if parts.port else f"{scheme}{host}")
    return host_ref(text)


def registry_of(image: str) -> Ref | None:
    """The registry that a container image comes from: its first part, if it has a dot or a port."""
    first, slash, _ = image.partition("/")
    if not slash or ("." not in first and ":" not in first):
        return None
    found = outside(f"https://{first}")
    return None if found is None or "docker.io" in found.text else found


def is_host_key(key: str) -> bool:
    """Whether a setting is called after a host that its program connects to: `db_host`, `brokers`."""
    return _HOST_KEY.fullmatch(key) is not None


def settings(consumer: Ref, pairs: Iterable[tuple[str, str, Where]]) -> Iterator[Dependency]:
    """What variables say a program connects to: URLs, and hosts of variables that are called after one.

    Evidence is the variable and the host, as the value may hold more than that.
    """
    seen: set[tuple[Ref, int]] = set()
    for count, (key, value, where) in enumerate(pairs):
        if count >= VALUES_LIMIT:
            return
        is_url = "://" in value
        if "{" in value or (not is_url and not is_host_key(key)):
            continue
        for one in re.split(r"[,\s]+", value, maxsplit=50) if len(value) < 4096 else ():
            found = outside(one)
            if found is None or (found, where.line) in seen or (is_url and "://" not in one):
                continue
            seen.add((found, where.line))
            sure = Confidence.HIGH if is_url else Confidence.MEDIUM
            group = f"{key} {excerpt(value)}" if "," in value else ""
            yield Dependency(consumer, found, Relation.CONNECTS, where, group=group, confidence=sure)


def commands(
    command: str, consumer: Ref, where: Where, *, script: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Dependency]:
    """What a command inside a container reaches outside of it, and the ACME clients that it runs."""
    if "/" not in command and "." not in command:
        return
    for fact in analyse_command(command, consumer, where, script=script, environment=environment):
        if not isinstance(fact, Dependency):
            continue
        provider = fact.provider
        if fact.relation is Relation.CONNECTS:
            parts = split_endpoint(provider.text)
            if parts is not None and is_outside(parts.host) and TEMPLATE not in provider.text:
                yield fact
        elif fact.relation is Relation.CALLS and provider.kind is Kind.CLIENT:
            yield fact


def mounted(consumer: Ref, server: str, read_only: bool, where: Where) -> Iterator[Dependency]:
    """A network file system that a consumer has mounted."""
    found = host_ref(known(server)) if known(server) else None
    if found is not None and is_outside(found.text):
        yield Dependency(consumer, found, Relation.MOUNTS, where, Need.READ if read_only else Need.WRITE)


def step(node: YamlNode | None, *keys: str) -> YamlNode | None:
    """The value behind several keys; None as soon as one is missing or is no map."""
    for key in keys:
        if node is None or not node.is_map:
            return None
        node = node.get(key)
    return node


def maps(node: YamlNode | None, key: str) -> tuple[YamlNode, ...]:
    """The maps in the list of a key (or the one map that stands there)."""
    if node is None or not node.is_map:
        return ()
    return tuple(one for one in node.children(key) if one.is_map)


def texts(node: YamlNode | None, key: str) -> tuple[YamlNode, ...]:
    """The scalars in the list of a key (or the one that stands there)."""
    if node is None or not node.is_map:
        return ()
    return tuple(one for one in node.children(key) if one.is_scalar and one.scalar)
