"""Ansible roles that are made for one name: each call of the role is given that name, and no other host.

Source: Ansible's documentation of roles (`roles:`, `import_role`, `include_role`, `dependencies:` in `meta/main.yml`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
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
    YamlStream,
    is_hostname,
    normal_name,
)
from collectors.infrastructure.common import YAML_SUFFIXES, read_documents

CALLS_LIMIT: Final = 10_000
"""Calls of roles in one file that are read."""
NESTED_LIMIT: Final = 20
"""Blocks within blocks that are followed."""

_FILE: Final = re.compile(r"(?:^|.*/)roles/(.+)/(?:tasks|meta)/main\.ya?ml")
_CALL: Final = re.compile(rb"(?m)^[ \t-]*(?:roles|dependencies|(?:[a-z.]+\.)?(?:import|include)_role)[ \t]*:")
_TASKS: Final = tuple(
    f"{collection}{module}"
    for module in ("import_role", "include_role")
    for collection in ("", "ansible.builtin.", "ansible.legacy.")
)
_LISTS: Final = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
_NO_ARGUMENT: Final = frozenset({"role", "name", "tags", "when", "become_user", "remote_user", "delegate_to"})


class AnsibleRolesCollector(Collector):
    """Roles that are called for one name only: a site's, or a service's.

    Reads
    -----
    Playbooks, task files and `meta/main.yml` whose first 4 KiB call roles, and the `tasks/main.yml` of roles.

    Yields
    ------
    Each role all of whose calls are given host names as parameters, with these names and the lines of the calls.

    Can't see
    ---------
    Calls with a template as the role's name, names that variables of groups and hosts give, and which of a role's files
    are for the name.
    """

    name: ClassVar[str] = "ansible_roles"
    title: ClassVar[str] = "Ansible roles made for one name"
    area: ClassVar[Area] = Area.CONFIGURATION
    # That a role is called says nothing of which hosts playbooks select.
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        """Roles by their directory, other YAML by its head."""
        if not path.endswith(YAML_SUFFIXES):
            return False
        return _CALL.search(head) is not None or ("roles/" in path and _FILE.fullmatch(path) is not None)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The calls of one file, and the role that it belongs to."""
        if (found := _FILE.fullmatch(document.path)) is not None and "/tasks/" in document.path:
            yield Fragment("role", found[1], Where())
        if _CALL.search(document.content) is None:
            return
        stream, _ = read_documents(document, "")
        for number, call in enumerate(_calls(stream)):
            if number >= CALLS_LIMIT:
                return
            yield call

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Roles whose every call of this source is given a name."""
        calls: dict[str, list[Fragment]] = {}
        names: dict[str, set[str]] = {}
        for fragment in fragments:
            if fragment.kind == "call" and isinstance(fragment.value, tuple):
                role, *given = fragment.value
                calls.setdefault(role, []).append(fragment)
                names.setdefault(role, set()).update(given or [""])
        for fragment in fragments:
            role = fragment.value
            if fragment.kind != "role" or not isinstance(role, str) or "" in names.get(role, {""}):
                continue
            own = Ref(Kind.PLAYBOOK, fragment.path.rpartition("/tasks/")[0])
            attributes: dict[str, Attribute] = {"role": role, "made_for": tuple(sorted(names[role]))}
            yield Entity(own, Where(0, "", fragment.path), attributes)
            for call in calls[role]:
                where = Where(call.where.line, call.where.excerpt, call.path)
                yield Dependency(
                    Ref(Kind.PLAYBOOK, call.path), own, Relation.CALLS, where, confidence=Confidence.MEDIUM
                )


def _calls(stream: YamlStream) -> Iterator[Fragment]:
    for root in stream.documents:
        if root.is_map:
            yield from _listed(stream, root, "dependencies")
        yield from _in_tasks(stream, root, 0)


def _in_tasks(stream: YamlStream, tasks: YamlNode, depth: int) -> Iterator[Fragment]:
    """Calls of plays and tasks, and of blocks within them."""
    for task in tasks.elements if depth < NESTED_LIMIT else ():
        if not task.is_map:
            continue
        yield from _listed(stream, task, "roles")
        for key in _TASKS:
            module = task.get(key)
            if module is not None and module.is_map:
                yield from _call(stream, module, (module, task.get("vars")))
        for key in _LISTS:
            if (inner := task.get(key)) is not None:
                yield from _in_tasks(stream, inner, depth + 1)


def _listed(stream: YamlStream, holder: YamlNode, key: str) -> Iterator[Fragment]:
    for item in holder.children(key):
        if item.is_map:
            yield from _call(stream, item, (item, item.get("vars")))
        elif item.scalar and TEMPLATE not in item.scalar:
            yield Fragment("call", (item.scalar,), stream.where(item))


def _call(stream: YamlStream, named: YamlNode, givers: Sequence[YamlNode | None]) -> Iterator[Fragment]:
    role = named.get("role") or named.get("name")
    if role is None or not role.scalar or TEMPLATE in role.scalar:
        return
    given = [
        normal_name(value.scalar)
        for giver in givers
        if giver is not None
        for key, value in giver.items()
        if key.scalar not in _NO_ARGUMENT and value.is_scalar and "." in value.scalar and is_hostname(value.scalar)
    ]
    yield Fragment("call", (role.scalar, *dict.fromkeys(given)), stream.where(role))
