"""What pipelines have in common: steps that are shell scripts, the machines that run them, what they deploy to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from auditor.api import (
    Confidence,
    Dependency,
    Kind,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    analyse_script,
    endpoint_ref,
    excerpt,
    host_ref,
    is_hostname,
    is_loopback,
    split_endpoint,
)

VALUES_LIMIT: Final = 2_000
"""Values of one pipeline's job that are looked at."""

_UNKNOWN: Final = re.compile(r"[${}<>%*\s,|]")
_RUNNER: Final = "host.docker.internal"
"""What a container calls the machine that it runs on."""
_HOST_KEY: Final = re.compile(
    r"(?:.*[_-])?(?:host|hosts|hostname|server|addr|address|endpoint|url|remote|target)", re.IGNORECASE
)
_COMMON_LABELS: Final = re.compile(
    r"self-hosted|linux|windows|macos|osx|docker|shell|kubernetes|k8s|x64|x86|x86_64|amd64|arm|arm64|aarch64|gpu|master|"
    r"main|any|none|built-in|default|(?:ubuntu|debian|windows|macos|centos|rhel|fedora|alpine|rocky|node|python|java|jdk)"
    r"[-_.]?[\w.-]*",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A text, unless a variable or an expression fills it in."""
    return "" if _UNKNOWN.search(text.strip()) or len(text) > 2048 else text.strip()


def outside(text: str) -> Ref | None:
    """A URL, `host:port`, full name or address, without its path; None for short names and loopback."""
    text = plain(text)
    parts = split_endpoint(text) if text else None
    if parts is None or parts.host == _RUNNER or is_loopback(parts.host):
        return None
    if "." not in parts.host and ":" not in parts.host:
        return None
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    if "://" in text or parts.port is not None:
        scheme = f"{parts.scheme}://" if parts.scheme else ""
        return endpoint_ref(f"{scheme}{host}:{parts.port}" if parts.port else f"{scheme}{host}")
    # `1.2.3` is a version as often as it is anything, and `main.py` a file: a host has a top-level domain.
    return host_ref(text) if ":" in text or re.search(r"\.(?:[a-z]{2,24}|\d+)$", text, re.IGNORECASE) else None


def settings(consumer: Ref, pairs: Sequence[tuple[str, YamlNode]], stream: YamlStream) -> Iterator[Dependency]:
    """Hosts that a pipeline's variables and parameters name, by the parameter's name."""
    for key, node in pairs[:VALUES_LIMIT]:
        if not node.is_scalar or not _HOST_KEY.fullmatch(key) or "{{" in node.scalar:
            continue
        for one in re.split(r"[,\s]+", node.scalar, maxsplit=50):
            found = outside(one)
            if found is not None:
                where = stream.where(node)
                yield Dependency(consumer, found, Relation.CONNECTS, where, Need.RUN, confidence=Confidence.MEDIUM)


def script(
    text: str, consumer: Ref, where: Where, environment: Mapping[str, str], inside: frozenset[str] = frozenset()
) -> Iterator[Parsed]:
    """What the steps of a job reach, and the ACME clients that they run.

    Paths are those of the machine or container that runs the job, so they say nothing here; nor do the names of the
    service containers beside it (`inside`).
    """
    for fact in analyse_script(text, consumer, where, environment=environment):
        if not isinstance(fact, Dependency):
            # A step may be of another language than its file says.
            continue
        provider = fact.provider
        if fact.relation is Relation.CONNECTS:
            parts = split_endpoint(provider.text)
            if parts is not None and parts.host not in (*inside, _RUNNER) and not is_loopback(parts.host):
                yield fact
        elif fact.relation is Relation.CALLS and provider.kind is Kind.CLIENT:
            yield fact


def first_line(stream: YamlStream, node: YamlNode) -> int:
    """The line that a scalar's text starts on: a block scalar's (`|`, `>`) is the one after its indicator."""
    line = stream.lines[node.line - 1] if 0 < node.line <= len(stream.lines) else ""
    return node.line + 1 if re.search(r"[|>][-+0-9]*\s*(?:#.*)?$", line) and "\n" in node.scalar else node.line


def runners(consumer: Ref, product: str, labels: Sequence[str], where: Where) -> Iterator[Parsed]:
    """The machines that a job may run on: those with all of its labels. A label may be a machine's own name."""
    for label in labels[:50]:
        name = plain(label)
        if not name:
            continue
        yield Dependency(consumer, Ref(Kind.GROUP, excerpt(f"{product} {name}")), Relation.SELECTS, where)
        if is_hostname(name) and re.search(r"[.\d]", name) and not _COMMON_LABELS.fullmatch(name):
            machine = host_ref(name)
            if machine is not None:
                yield Dependency(consumer, machine, Relation.RUNS_ON, where, confidence=Confidence.MEDIUM)


def deployed(consumer: Ref, node: YamlNode | None, stream: YamlStream) -> Iterator[Parsed]:
    """The URL of the environment that a job deploys to."""
    found = outside(node.scalar) if node is not None and node.is_scalar else None
    if node is not None and found is not None:
        yield Dependency(
            consumer, found, Relation.CONNECTS, stream.where(node), Need.WRITE, confidence=Confidence.MEDIUM
        )


def registry(consumer: Ref, image: YamlNode | None, stream: YamlStream) -> Iterator[Parsed]:
    """The registry of a container image: the first part of its name, if that has a dot or a port."""
    if image is None or not image.is_scalar or "/" not in image.scalar:
        return
    first = image.scalar.partition("/")[0]
    found = outside(f"https://{first}") if "." in first or ":" in first else None
    if found is not None and "docker.io" not in found.text:
        yield Dependency(consumer, found, Relation.CONNECTS, stream.where(image))
