"""Jobs and network mounts that Ansible tasks set up: the `cron` and `mount` modules, in playbooks, roles and blocks.

Source: the documentation of ansible.builtin.cron and ansible.posix.mount (ansible-core 2.19).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from auditor.api import (
    TEMPLATE,
    Attribute,
    Dependency,
    Document,
    Entity,
    Kind,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    analyse_command,
    decode,
    excerpt,
    is_loopback,
    read_cron_schedule,
    split_endpoint,
    split_words,
)
from collectors.infrastructure.common import mounted, read_documents

NESTED_LIMIT: Final = 20
"""Blocks within blocks that are followed."""

COMMAND_LINES: Final = 50
"""Lines of one command in which a host is looked for."""

WORD: Final = re.compile(rb"\b(?:cron|mount)\b")
"""What a file must hold to have such a task."""

_CRON: Final = ("cron", "ansible.builtin.cron", "ansible.legacy.cron")
_MOUNT: Final = ("mount", "ansible.posix.mount", "ansible.builtin.mount")
_LISTS: Final = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
_FIELDS: Final = ("minute", "hour", "day", "month", "weekday")
_NETWORK: Final = ("nfs", "cifs", "smb", "fuse.sshfs", "glusterfs", "ceph")


def tasks_of(document: Document) -> Iterator[Parsed]:
    """What the tasks of a file set up: jobs with what they reach, mounts of the playbook that makes them."""
    stream, _ = read_documents(document, "")
    # Evidence is the line as it stands in the file, with its templates.
    written = replace(stream, lines=decode(document.content).split("\n"), places={})
    for root in stream.documents:
        yield from _tasks(written, document.path, root, 0)


def _tasks(stream: YamlStream, path: str, tasks: YamlNode, depth: int) -> Iterator[Parsed]:
    for task in tasks.elements if depth < NESTED_LIMIT else ():
        if not task.is_map:
            continue
        for key in _LISTS:
            if (inner := task.get(key)) is not None:
                yield from _tasks(stream, path, inner, depth + 1)
        for names, reader in ((_CRON, _cron), (_MOUNT, _mount)):
            module = next((found for name in names if (found := task.get(name)) is not None), None)
            if module is not None:
                yield from reader(stream, path, task, _arguments(module))


def _arguments(module: YamlNode) -> dict[str, tuple[str, YamlNode]]:
    """Arguments of a module, given as a map or as `name=value` words."""
    if module.is_map:
        return {key.scalar: (value.scalar, value) for key, value in module.items() if value.is_scalar}
    try:
        words = split_words(module.scalar)
    except ValueError:
        return {}
    return {key: (value, module) for key, sign, value in (word.partition("=") for word in words) if sign}


def _cron(
    stream: YamlStream, path: str, task: YamlNode, arguments: dict[str, tuple[str, YamlNode]]
) -> Iterator[Parsed]:
    command, node = arguments.get("job", ("", task))
    name = arguments.get("name", ("", task))[0] or task.text("name")
    if not command.strip() or _text(arguments, "state") == "absent" or _text(arguments, "env") in ("true", "yes"):
        return
    shown = excerpt(f"{name or command} in {path}".replace(TEMPLATE, "…"))
    job = Ref(Kind.JOB, f"ansible cron {shown}")
    place = _line_of(stream, node)
    attributes: dict[str, Attribute] = {"command": excerpt(command.replace(TEMPLATE, "…"))}
    if user := _text(arguments, "user"):
        attributes["user"] = excerpt(user)
    if _text(arguments, "disabled") in ("true", "yes"):
        attributes["ignored"] = "disabled: true"
    if schedule := _schedule(arguments):
        attributes["schedule"] = schedule
    yield Entity(job, place, attributes)
    for fact in analyse_command(command, job, place):
        # What it calls, reads and writes is on the hosts that get it: which these are, the task does not say.
        if isinstance(fact, Dependency) and fact.relation is Relation.CONNECTS:
            parts = split_endpoint(fact.provider.text)
            if parts is not None and TEMPLATE not in fact.provider.text and not is_loopback(parts.host):
                yield replace(fact, where=_line_with(stream, place, parts.host))


def _line_with(stream: YamlStream, place: Where, host: str) -> Where:
    """Where a host stands in a command of several lines."""
    for number in range(place.line, min(place.line + COMMAND_LINES, len(stream.lines) + 1)):
        if host in stream.lines[number - 1].lower():
            return stream.where(number)
    return place


def _schedule(arguments: dict[str, tuple[str, YamlNode]]) -> str:
    """As cron writes it; empty where a template fills in a part."""
    if special := _text(arguments, "special_time"):
        text = f"@{special}"
    else:
        text = " ".join(_text(arguments, field) or "*" for field in _FIELDS)
    try:
        read_cron_schedule(text)
    except ValueError:
        return ""
    return text


def _mount(
    stream: YamlStream, path: str, task: YamlNode, arguments: dict[str, tuple[str, YamlNode]]
) -> Iterator[Parsed]:
    source, node = arguments.get("src", ("", task))
    if _text(arguments, "state") in ("absent", "unmounted", "absent_from_fstab"):
        return
    if not _text(arguments, "fstype").startswith(_NETWORK):
        return
    server = source[2:].split("/", 1)[0] if source.startswith("//") else source.partition(":/")[0].rpartition("@")[2]
    read_only = "ro" in _text(arguments, "opts").split(",")
    yield from mounted(Ref(Kind.PLAYBOOK, path), server.strip("[]"), read_only, _line_of(stream, node))


def _text(arguments: dict[str, tuple[str, YamlNode]], name: str) -> str:
    return arguments.get(name, ("", None))[0].strip()


def _line_of(stream: YamlStream, node: YamlNode) -> Where:
    """Where a value stands; of a folded block the line below its mark."""
    where = stream.where(node)
    if where.excerpt.rstrip("-+0123456789").endswith(("|", ">")) and where.line < len(stream.lines):
        return stream.where(where.line + 1)
    return where
