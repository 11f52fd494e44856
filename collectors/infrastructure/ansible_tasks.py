"""Ansible tasks that need a host whatever hosts they are for: `delegate_to`, and jobs and mounts that they set up.

Source: Ansible's documentation of delegation. A literal host is one that a play needs, whatever hosts it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    is_hostname,
    is_loopback,
    normal_address,
    normal_name,
)
from collectors.infrastructure.ansible_jobs import WORD, tasks_of

TASKS_LIMIT: Final = 20_000
"""Delegations of one file that are read."""

_LINE: Final = re.compile(
    r"""^\s*(?:-\s+)?["']?delegate_to["']?\s*:\s*(?:"([^"]*)"|'([^']*)'|([^\s#"'][^#]*?))\s*(?:#.*)?$"""
)
_GROUP: Final = re.compile(
    r"\{\{\s*groups\s*(?:\[\s*['\"]([\w.-]+)['\"]\s*\]|\.(\w+))\s*(?:\[\s*0\s*\]|\|\s*first)\s*\}\}"
)
_MODULE: Final = re.compile(rb"(?m)^[ \t-]*(?:ansible\.(?:builtin|legacy|posix)\.)?(?:cron|mount)[ \t]*:")


class AnsibleTasksCollector(Collector):
    """Delegations to named hosts, and the cron jobs and network mounts that tasks set up.

    Reads
    -----
    YAML files below `tasks/` and `handlers/`, and others whose first 4 KiB have `delegate_to` or the modules `cron` or
    `mount`.

    Yields
    ------
    The playbook or task file, which connects to the host that it delegates to; `groups['name'][0]` as a group that it
    selects; each job of the module `cron` with its schedule and the hosts that its command reaches; the servers of
    network file systems of the module `mount`.

    Can't see
    ---------
    Hosts that variables name, which plays use a role, and on which hosts a job of a role is set up.
    """

    name: ClassVar[str] = "ansible_tasks"
    title: ClassVar[str] = "Ansible tasks: delegations, cron jobs and mounts"
    area: ClassVar[Area] = Area.CONFIGURATION
    # Mounts that tasks make say nothing of those that hosts have.
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """YAML of tasks by its directory, other YAML by its head."""
        if not path.endswith((".yml", ".yaml")):
            return False
        return "tasks/" in path or "handlers/" in path or b"delegate_to" in head or _MODULE.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Delegations line by line, which works in any template; jobs and mounts from what YAML can be read."""
        if b"delegate_to" in document.content:
            yield from _delegations(document)
        if WORD.search(document.content):
            yield from tasks_of(document)


def _delegations(document: Document) -> Iterator[Parsed]:
    consumer = Ref(Kind.PLAYBOOK, document.path)
    count = 0
    for number, line in enumerate(decode(document.content).split("\n"), 1):
        if "delegate_to" not in line or len(line) > 2000:
            continue
        found = _LINE.match(line.rstrip("\r"))
        if found is None:
            continue
        count += 1
        if count > TASKS_LIMIT:
            yield Malformed(Where(number), f"more than {TASKS_LIMIT:,} delegations: the rest is not read")
            return
        host = (found[1] or found[2] or found[3] or "").strip()
        where = Where(number, excerpt(line))
        if group := _GROUP.fullmatch(host):
            provider = Ref(Kind.GROUP, group[1] or group[2])
            yield Dependency(
                consumer, provider, Relation.SELECTS, where, None, f"delegate_to {provider.text}", Confidence.MEDIUM
            )
        elif host != "inventory_hostname" and not is_loopback(host) and (normal_address(host) or is_hostname(host)):
            provider = Ref(Kind.HOST, normal_address(host) or normal_name(host))
            yield Dependency(consumer, provider, Relation.CONNECTS, where, Need.RUN)
