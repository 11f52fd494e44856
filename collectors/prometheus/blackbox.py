"""blackbox_exporter's modules, and exporters whose configuration names what they ask.

Read from the CONFIGURATION.md of blackbox_exporter 0.27 and the READMEs of smokeping_prober 0.8, ping_exporter 1.1,
domain_exporter 1.23 and ssl_exporter 2.4. Other exporters (snmp, json, script, ipmi) get their targets from the scrape
job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Dependency,
    Entity,
    Fragment,
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
)

ModuleFact: TypeAlias = tuple[str, Relation, Ref, Need, Where]
"""The name of a module, and what each probe that uses it depends on."""

_PROBERS: Final = frozenset({"http", "tcp", "dns", "icmp", "grpc", "unix", "https", "file", "http_file", "kubernetes"})
_REFUSED: Final = "blackbox_exporter refuses the whole configuration"


def is_modules(root: YamlNode) -> bool:
    """Whether a document holds modules of blackbox_exporter or ssl_exporter."""
    modules = root.get("modules")
    return modules is not None and modules.is_map and any(value.get("prober") for _, value in modules.items())


def read_modules(root: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """Modules that ask for more than the target: a proxy, a token server, a name in the DNS, a fixed target."""
    exporter = Ref(Kind.SERVICE, "blackbox_exporter")
    where = stream.where(root)
    yield Entity(exporter, where, {"program": "blackbox_exporter"})
    if on_host:
        yield Dependency(exporter, THIS_HOST, Relation.RUNS_ON, where)
    facts: list[ModuleFact] = []
    modules = root.get("modules")
    for key, module in modules.items() if modules is not None else ():
        if not module.is_map or not module.text("prober"):
            yield Malformed(stream.where(key), f"module {excerpt(key.scalar)!r} has no prober", _REFUSED)
            continue
        if module.text("prober") not in _PROBERS and TEMPLATE not in module.text("prober"):
            yield Malformed(
                stream.where(module.get("prober") or key),
                f"unknown prober {excerpt(module.text('prober'))!r}",
                _REFUSED,
            )
            continue
        facts += _module(key.scalar, module, stream)
    named = dict.fromkeys(name for name, *_ in facts)
    for name in named:
        own = [fact for fact in facts if fact[0] == name]
        ref = Ref(Kind.SERVICE, f"blackbox_exporter module {excerpt(name)}")
        yield Entity(ref, own[0][4], {"program": "blackbox_exporter"})
        if on_host:
            yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, own[0][4])
        for _, relation, provider, need, at in own:
            yield Dependency(ref, provider, relation, at, need)
    if facts:
        yield Fragment("blackbox", tuple(facts), where)


def _module(name: str, module: YamlNode, stream: YamlStream) -> Iterator[ModuleFact]:
    for holder in (module.get("http"), module.get("https"), module.get("http_probe")):
        if holder is None or not holder.is_map:
            continue
        for keys in (("proxy_url",), ("oauth2", "token_url"), ("oauth2", "proxy_url")):
            url = holder.at(*keys)
            if url is not None and TEMPLATE not in url.scalar and (ref := endpoint_ref(url.scalar)):
                yield name, Relation.CONNECTS, ref, Need.RUN, stream.where(url)
    asked = module.at("dns", "query_name")
    if asked is not None and TEMPLATE not in asked.scalar and "." in asked.scalar.rstrip("."):
        ref = host_ref(asked.scalar)
        if ref is not None:
            yield name, Relation.WATCHES, ref, Need.OBSERVE, stream.where(asked)
    # Only ssl_exporter has a target in its module; it replaces that of the request.
    target = module.get("target")
    if target is not None and TEMPLATE not in target.scalar and (ref := endpoint_ref(target.scalar)):
        yield name, Relation.WATCHES, ref, Need.OBSERVE, stream.where(target)


_EXPORTERS: Final = {
    # Where the configuration of an exporter lists its targets.
    "smokeping_prober": ("targets", "hosts"),
    "ping_exporter": ("targets",),
    "domain_exporter": ("domains",),
}


def read_exporter(program: str, root: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """What an exporter asks of its own accord: each target is one of many, so they are one group."""
    service = Ref(Kind.SERVICE, program)
    nodes = [root]
    for step in _EXPORTERS[program]:
        nodes = [child for node in nodes if node.is_map for child in node.children(step)]
    found = []
    for node in nodes:
        if node.is_map:
            # A target with labels: `name.example.net: {asn: 1}`, or `name:`/`host:` beside other keys.
            named = node.get("name") or node.get("host") or next((pair[0] for pair in node.items()), None)
            node = named if named is not None and named.is_scalar else node
        if node.is_scalar and TEMPLATE not in node.scalar and (ref := host_ref(node.scalar)):
            found.append((ref, stream.where(node)))
    if not found:
        return
    yield Entity(service, found[0][1], {"program": program, "targets": len(found)})
    if on_host:
        yield Dependency(service, THIS_HOST, Relation.RUNS_ON, found[0][1])
    for ref, where in found:
        yield Dependency(service, ref, Relation.WATCHES, where, Need.OBSERVE, group="targets")
