"""Ansible tasks that are done on another host: `delegate_to`, in playbooks and in roles.

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
    normal_address,
    normal_name,
)

TASKS_LIMIT: Final = 20_000
"""Delegations of one file that are read."""

_LINE: Final = re.compile(
    r"""^\s*(?:-\s+)?["']?delegate_to["']?\s*:\s*(?:"([^"]*)"|'([^']*)'|([^\s#"'][^#]*?))\s*(?:#.*)?$"""
)
_GROUP: Final = re.compile(
    r"\{\{\s*groups\s*(?:\[\s*['\"]([\w.-]+)['\"]\s*\]|\.(\w+))\s*(?:\[\s*0\s*\]|\|\s*first)\s*\}\}"
)
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1", "inventory_hostname"})


class AnsibleTasksCollector(Collector):
    """Delegations to named hosts: what a playbook or role can't do without that host.

    Reads
    -----
    Lines with `delegate_to` in YAML files below `tasks/` and `handlers/`, and in others whose first 4 KiB have one.

    Yields
    ------
    The playbook or task file, which connects to the host; `groups['name'][0]` as a group that it selects.

    Can't see
    ---------
    Hosts that variables name, and which plays use a role.
    """

    name: ClassVar[str] = "ansible_tasks"
    title: ClassVar[str] = "Ansible tasks delegated to hosts"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """YAML of tasks by its directory, other YAML by its head."""
        if not path.endswith((".yml", ".yaml")):
            return False
        return "tasks/" in path or "handlers/" in path or b"delegate_to" in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One dependency a line."""
        if b"delegate_to" not in document.content:
            return
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
            elif host not in _LOCAL and (normal_address(host) or is_hostname(host)):
                provider = Ref(Kind.HOST, normal_address(host) or normal_name(host))
                yield Dependency(consumer, provider, Relation.CONNECTS, where, Need.RUN)
