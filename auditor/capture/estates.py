"""Estates by their paths: a directory, a pack, or several of them read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from auditor.capture.tree import INVENTORY, File, Tree
from auditor.errors import EstateError
from auditor.model import Area, Capture, Coverage, Outcome
from auditor.phrases import timestamp

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
_Rank: TypeAlias = tuple[datetime, int]


def open_estate(path: Path) -> Tree:
    """A directory or a pack. Raises EstateError if it is neither."""
    left = path.with_name(f"{path.name}.collecting") if path.name else path
    if not path.exists() and left.is_dir():
        raise EstateError(
            f"{path}: not there yet, its collection was interrupted",
            hint=f"Continue it with `auditor collect --pack --resume -o {path}`, or read {left}.",
        )
    if path.is_file():
        from auditor.capture.pack import PackTree

        return PackTree.open(path, has_inventory=PackTree.holds_inventory(path))
    return Tree.open(path, has_inventory=(path / INVENTORY).is_file())


def open_estates(paths: Sequence[Path], collected_at: Callable[[Tree], datetime | None] = lambda _tree: None) -> Tree:
    """One estate, or several as one.

    `collected_at` gives the time that a hand-made estate's inventory states. Raises EstateError if one of them is none.
    """
    trees = [open_estate(path) for path in paths]
    for tree in trees:
        if not tree.recorded:
            tree.collected_at = collected_at(tree)
    return trees[0] if len(trees) == 1 else MergedTree.of(trees)


@dataclass(slots=True)
class MergedTree(Tree):
    """Several estates as one, each with its time.

    Of a path that several have, the newest capture is taken; what has no known time is older than what has one, and
    among equals the later of the command line wins. A path that a newer collection found absent, or did not find in a
    directory that it looked into, is gone. What a newer collection could not see stays as it was last seen, and the
    failure stays a gap. The inventory is that of the first that has one.
    """

    trees: tuple[Tree, ...] = ()
    _owners: dict[str, int] = field(default_factory=dict)
    _told: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> MergedTree:
        """Estates in the order of the command line."""
        merged = cls(trees[0].root, trees=tuple(trees))
        merged._told = [0] * len(trees)
        merged.recorded = any(tree.recorded for tree in trees)
        for tree in trees:
            merged.sources.update(tree.sources)
        merged._merge_captures()
        merged._inventories()
        for number in range(len(trees)):
            merged._adopt(number)
        return merged

    @property
    def label(self) -> str:
        return " + ".join(tree.label for tree in self.trees)

    def called(self, path: str) -> str:
        """As in the estate that it was taken from, else in the first that has an inventory."""
        number = self._owners.get(path)
        return (self.trees[number] if number is not None else self.holder()).called(path)

    def own_file(self, path: str, limit: int) -> bytes | None:
        """That of the first estate that has an inventory."""
        return self.holder().own_file(path, limit)

    def holder(self) -> Tree:
        """The first that has an inventory, else the first."""
        return next((tree for tree in self.trees if tree.has_inventory()), self.trees[0])

    def leave_out(self, paths: Iterable[str]) -> None:
        """Of each of the estates."""
        for tree in self.trees:
            tree.leave_out(paths)

    def _inventories(self) -> None:
        """Another inventory than the one that is taken is told of: what it declares counts for nothing."""
        known: bytes | None = None
        first = ""
        for number, tree in enumerate(self.trees):
            content = tree.inventory(16 * 1024 * 1024)
            if content is None:
                continue
            if known is None:
                known, first = content, tree.label
                self._owners[INVENTORY] = number
            elif content != known:
                self.coverage.append(
                    Coverage(
                        "",
                        Area.COVERAGE,
                        f"{INVENTORY} of {tree.label}",
                        Outcome.UNSUPPORTED,
                        detail=f"differs from that of {first}, which was taken: the first one given that has one",
                        path=INVENTORY,
                        needed=False,
                        estate=tree.label,
                    )
                )

    def _rank(self, number: int, when: datetime | None) -> _Rank:
        return when or _NEVER, number

    def _gone_since(self, path: str, when: datetime | None, number: int) -> bool:
        """Whether another estate says, and later, that a path is no more. Without both times nothing is let go."""
        if when is None:
            return False
        for other, tree in enumerate(self.trees):
            if other == number or tree.has_file(path) or (record := tree.gone(path)) is None:
                continue
            later = tree.time_of(record.estate_path)
            if later is not None and later > when:
                return True
        return False

    def _merge_captures(self) -> None:
        chosen: dict[str, tuple[_Rank, int, Capture]] = {}
        seen: dict[str, tuple[_Rank, int]] = {}
        for number, tree in enumerate(self.trees):
            for path, record in tree.captures.items():
                when = tree.time_of(path)
                if self._gone_since(path, when, number):
                    continue
                rank = self._rank(number, when)
                if path not in chosen or rank > chosen[path][0]:
                    chosen[path] = (rank, number, record)
                if record.outcome in _SEEN and (path not in seen or rank > seen[path][0]):
                    seen[path] = (rank, number)
        for path, (_, _, record) in chosen.items():
            if record.outcome not in _SEEN and path in seen:
                last, where = seen[path]
                stamp = f" {timestamp(last[0])}" if last[0] is not _NEVER else ""
                why = f"{record.detail}; " if record.detail else ""
                record = replace(record, detail=f"{why}last seen{stamp} in {self.trees[where].label}")
            source, inner = self.place(path)
            self.captures[path] = replace(record, source=source, path=inner)

    def files(self) -> Iterator[File]:
        for number, tree in enumerate(self.trees):
            tree.known = self.known
            for file in tree.files():
                if not self._wins(number, file.estate_path):
                    continue
                self._owners[file.estate_path] = number
                source, inner = self.place(file.estate_path)
                yield file._replace(source=source, path=inner)
            self._adopt(number)
            for name, count in tree.skipped.items():
                self.skipped[name] = self.skipped.get(name, 0) + count

    def _wins(self, number: int, path: str) -> bool:
        if path == INVENTORY:
            return self._owners.get(path) == number
        when = self.trees[number].time_of(path)
        rank = self._rank(number, when)
        for other, tree in enumerate(self.trees):
            if other != number and tree.has_file(path) and self._rank(other, tree.time_of(path)) > rank:
                return False
        return not self._gone_since(path, when, number)

    def _adopt(self, number: int) -> None:
        """Takes over what an estate has found wrong since the last time, with its name."""
        tree = self.trees[number]
        self.coverage.extend(replace(one, estate=tree.label) for one in tree.coverage[self._told[number] :])
        self._told[number] = len(tree.coverage)

    def read(self, file: File) -> bytes:
        number = self._owners[file.estate_path]
        try:
            return self.trees[number].read(file)
        finally:
            self._adopt(number)

    def read_all(self, files: Iterable[File]) -> Iterator[bytes | OSError]:
        wanted = list(files)
        owners = [self._owners[file.estate_path] for file in wanted]
        each = {
            number: self.trees[number].read_all(
                [file for file, one in zip(wanted, owners, strict=True) if one == number]
            )
            for number in set(owners)
        }
        for number in owners:
            yield next(each[number])
            self._adopt(number)

    def digest(self, file: File, content: bytes) -> bytes:
        return self.trees[self._owners[file.estate_path]].digest(file, content)

    def exists(self, estate_path: str) -> bool:
        if (number := self._owners.get(estate_path)) is not None:
            return self.trees[number].exists(estate_path)
        # A file that no estate owns was let go; what is left are directories and what is no regular file.
        return any(tree.exists(estate_path) and not tree.has_file(estate_path) for tree in self.trees)

    def has_file(self, estate_path: str) -> bool:
        return estate_path in self._owners

    def is_empty(self, estate_path: str) -> bool:
        """Whether every estate that has this directory has nothing in it, or only what is gone."""
        return estate_path not in self._owners and not any(path.startswith(f"{estate_path}/") for path in self._owners)

    def collected(self, estate_path: str) -> str | None:
        number = self._owners.get(estate_path)
        if number is None:
            return None
        when = self.trees[number].time_of(estate_path)
        return timestamp(when) if when is not None else None

    def time_of(self, estate_path: str) -> datetime | None:
        number = self._owners.get(estate_path)
        if number is not None:
            return self.trees[number].time_of(estate_path)
        known = [when for tree in self.trees if (when := tree.time_of(estate_path)) is not None]
        return max(known, default=None)

    def origin(self, estate_path: str) -> str:
        number = self._owners.get(estate_path)
        if number is not None:
            return self.trees[number].label
        # A record, or a place that nothing stands at: the newest that has something to say of it.
        speaking = [
            (self._rank(at, tree.time_of(estate_path)), tree.label)
            for at, tree in enumerate(self.trees)
            if tree.nearest(estate_path) is not None
        ]
        return max(speaking)[1] if speaking else ""


def read_inventory(tree: Tree, limit: int) -> bytes | None:
    """The inventory of an estate. Raises EstateError if it is there and can't be read."""
    try:
        return tree.inventory(limit)
    except OSError as error:
        raise EstateError(f"{tree.called(INVENTORY)}: can't be read: {error.strerror}") from error
