"""An estate that was read and linked before it is known which hosts are going, and what may be asked of it then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.audit.scenario import Asked
from auditor.capture.reading import Reading
from auditor.capture.tree import INVENTORY, Tree
from auditor.graph.hosts import HostTable
from auditor.graph.resolved import Resolved
from auditor.model import Kind
from auditor.text import normal_name


@dataclass(slots=True)
class Ready:
    """An estate that was read and linked, whichever hosts are going."""

    tree: Tree
    reading: Reading
    hosts: HostTable
    linked: Resolved
    before: frozenset[str]
    """The names by which machines were known before the linking."""

    def fits(self, asked: Iterable[Asked]) -> bool:
        """Whether linking would have made the same of it had these hosts been asked for before.

        That holds for a machine's own names, and for the first label of its full name if no other machine has it and
        nothing was linked by it. `KeptEstates.may_have` has looked at the rest.
        """
        return all(self._fits(one) for one in asked)

    def _fits(self, one: Asked) -> bool:
        name = normal_name(one.name)
        found = self.hosts.find(name)
        if found is None:
            return False
        names = self.hosts.records[found].names
        if name in self.before:
            # Unless the name was taken from it meanwhile.
            return name in names
        given = names.get(name)
        return (
            found.startswith(f"{name}.")
            and self.hosts.with_short(name) == [found]
            and self.linked.find(Kind.NAME, name) is None
            and (given is None or given.path != INVENTORY)
        )

    def learn(self, asked: Iterable[Asked]) -> None:
        """Lets the names that fit be as if they had been asked for first, and found in files afterwards."""
        for one in asked:
            name = normal_name(one.name)
            found = self.hosts.find(name)
            if name not in self.before and found is not None:
                self.hosts.records[found].names[name] = None
