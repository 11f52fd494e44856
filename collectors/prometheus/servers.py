"""The files of one Prometheus server together: its configuration with the file_sd lists and servers that it names.

A pattern of file names is followed exactly where the files are beside each other; else, and in a repository, by the end
of the path, and of several candidates by the nearest directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import lru_cache
from posixpath import dirname, normpath
from posixpath import join as join_path

from auditor.api import (
    TEMPLATE,
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
    endpoint_ref,
    is_loopback,
    split_endpoint,
)
from collectors.prometheus.alertmanager import holds
from collectors.prometheus.config import (
    SERVICE,
    Config,
    Job,
    Target,
    TargetGroup,
    final_targets,
    probe_ref,
    target_facts,
)
from collectors.prometheus.promql import Selector


@dataclass(frozen=True, slots=True)
class Piece:
    """One fragment with the path that its document has on its own host or in its tree."""

    fragment: Fragment
    path: str

    @property
    def source(self) -> str:
        return self.fragment.source

    def where(self, where: Where) -> Where:
        return replace(where, path=self.fragment.path)


class Server:
    """One configuration with all its targets."""

    def __init__(self, piece: Piece) -> None:
        assert isinstance(piece.fragment.value, Config)
        self.piece = piece
        self.config = piece.fragment.value
        self.parts: list[Server] = []
        self.targets: list[Target] = []
        self.upstream: list[tuple[Target, tuple[Selector, ...]]] = []
        self.managers = list(self.config.alertmanagers)
        self.hidden: list[Job] = [job for job in self.config.jobs if job.hidden or job.names]
        for job in self.config.jobs:
            self.targets += [target for target in final_targets(job, job.groups) if isinstance(target, Target)]

    def read_lists(self, lists: Sequence[Piece]) -> Iterator[Parsed]:
        """Targets from file_sd lists. A pattern that finds no list leaves the job's targets partly unseen."""
        source = self.piece.source
        home = Ref(Kind.HOST, source) if source and self.piece.path.startswith("/") else None
        for job in self.config.jobs:
            for pattern, where in job.files:
                chosen = documents_of(self.piece, (pattern,), lists)
                if not chosen:
                    if job not in self.hidden:
                        self.hidden.append(job)
                    place = self.piece.where(where)
                    yield Malformed(
                        place, f"no file_sd list is at hand for {pattern!r}", "its targets are not known here"
                    )
                    yield Entity(Ref(Kind.SCRAPE, job.name, source), self.piece.where(job.where), {"dynamic": True})
                for found in chosen:
                    groups = found.fragment.value
                    assert isinstance(groups, tuple)
                    moved = (
                        TargetGroup(tuple((t, found.where(w)) for t, w in group.targets), group.labels)
                        for group in groups
                    )
                    for target in final_targets(job, moved, found.path):
                        if isinstance(target, Malformed):
                            yield target
                        else:
                            self.targets.append(target)
                            at = self.piece.where(job.exporter) if job.exporter else None
                            yield from target_facts(target, source, home, target.where, at)
        yield from self._read_manager_lists(lists)

    def _read_manager_lists(self, lists: Sequence[Piece]) -> Iterator[Parsed]:
        for wanted in self.config.manager_files:
            for pattern, where in wanted.files:
                chosen = documents_of(self.piece, (pattern,), lists)
                if not chosen:
                    yield Malformed(
                        self.piece.where(where),
                        f"no file_sd list is at hand for {pattern!r}",
                        "the Alertmanagers in it are not known here",
                    )
                for found in chosen:
                    groups = found.fragment.value
                    assert isinstance(groups, tuple)
                    for target in final_targets(wanted.job, groups, found.path):
                        if isinstance(target, Target) and (ref := endpoint_ref(target.address)):
                            self.managers.append(target.address)
                            yield Dependency(
                                Ref(SERVICE.kind, SERVICE.text, self.piece.source),
                                ref,
                                Relation.CONNECTS,
                                found.where(target.where),
                                Need.RUN,
                                group="alertmanagers",
                            )

    def follow_federation(self, servers: Sequence[Server]) -> None:
        """Adds the targets of the Prometheus servers that this one asks for their series, with the labels they give.

        A server that was not captured, and series that lose their labels on the way, are targets that are not known.
        """
        upstream: list[tuple[Target, tuple[Selector, ...]]] = []
        for target in list(self.targets):
            if target.job.federated is None:
                continue
            parts = split_endpoint(target.address)
            found = [
                other
                for other in servers
                if other is not self and other.piece.source and parts and same_host(parts.host, other.piece.source)
            ]
            known = target.job.honors and bool(found)
            if not known or any(other.hidden for other in found):
                self.hidden += [target.job] if target.job not in self.hidden else []
            for other in found if known else ():
                for one in other.targets:
                    labels = {**dict(other.config.external_labels), **dict(one.labels)}
                    asked = tuple(ask for ask in target.job.federated if _compatible(ask, labels))
                    if one.job.federated is None and asked:
                        upstream.append((replace(one, labels=tuple(sorted(labels.items()))), asked))
        self.upstream = upstream

    def all_targets(self) -> list[tuple[Target, tuple[Selector, ...] | None]]:
        """Targets, with what is asked for of those that come by a federation."""
        return [
            pair
            for server in (self, *self.parts)
            for pair in (*((target, None) for target in server.targets), *server.upstream)
        ]

    def all_hidden(self) -> list[Job]:
        return [job for server in (self, *self.parts) for job in server.hidden]


def same_host(host: str, source: str) -> bool:
    """Whether a host as it is written is the one that a source is called after, either of them in short."""
    return bool(source) and (host in (source, source.partition(".")[0]) or host.partition(".")[0] == source)


def _compatible(asked: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a federation's selector may select series of a target."""
    return all(
        holds(operator, value, labels[label])
        for label, operator, value in asked.matchers
        if label in labels and label != "__name__"
    )


def modules_of_probes(servers: Sequence[Server], files: Sequence[Piece]) -> Iterator[Parsed]:
    """What the module of a probe asks besides its target. The modules of the exporter's host count, or of the tree."""
    for server in servers:
        for target in server.targets:
            if not target.probe or not target.module or TEMPLATE in target.probe:
                continue
            parts = split_endpoint(target.address)
            host = parts.host if parts else ""
            near = [
                file
                for file in files
                if (file.source == server.piece.source and (not file.source or is_loopback(host)))
                or same_host(host, file.source)
            ]
            probe = probe_ref(target)
            probe = Ref(probe.kind, probe.text, server.piece.source)
            for file in near:
                assert isinstance(file.fragment.value, tuple)
                for module, relation, ref, need, where in file.fragment.value:
                    if module == target.module:
                        yield Dependency(probe, ref, relation, file.where(where), need)


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def documents_of(piece: Piece, patterns: Iterable[str], candidates: Sequence[Piece]) -> list[Piece]:
    """The documents that patterns in a configuration mean, see `ranked_documents`."""
    return [found for found, _ in ranked_documents(piece, patterns, candidates)]


def ranked_documents(piece: Piece, patterns: Iterable[str], candidates: Sequence[Piece]) -> list[tuple[Piece, bool]]:
    """The documents that patterns in a configuration mean, and whether by their exact path.

    First the exact paths, relative to the configuration, of the same source. Else those of a repository that end in
    the pattern's last directory and name (in the name alone if it has no directory), and of these the ones with the
    longest common directory.
    """
    found: dict[int, tuple[Piece, bool]] = {}
    for pattern in patterns:
        pattern = pattern.replace(TEMPLATE, "*")
        full = normpath(join_path(dirname(piece.path), pattern))
        matches = _glob(full)
        exact = [
            other
            for other in candidates
            if other.source == piece.source and other.path.count("/") == full.count("/") and matches.match(other.path)
        ]
        for other in exact or _by_suffix(piece, pattern, candidates):
            found.setdefault(id(other), (other, bool(exact)))
    return list(found.values())


def _by_suffix(piece: Piece, pattern: str, candidates: Sequence[Piece]) -> list[Piece]:
    parts = [part for part in pattern.split("/") if part not in ("", ".", "..")][-2:]
    if not parts:
        return []
    # On a captured host the exact path counts: only a repository has its files elsewhere.
    found = [other for other in candidates if not other.source and _ends_in(other.path, parts)]
    nearest = max((common_directories(piece.path, other.path) for other in found), default=0)
    return [other for other in found if common_directories(piece.path, other.path) == nearest]


def _ends_in(path: str, parts: Sequence[str]) -> bool:
    ends = path.split("/")[-len(parts) :]
    name = ends[-1]
    for suffix in (".j2", ".tmpl", ".tpl", ".erb"):
        name = name.removesuffix(suffix)
    return len(ends) == len(parts) and all(
        _glob(part).match(end) is not None for part, end in zip(parts, (*ends[:-1], name), strict=True)
    )


def common_directories(one: str, other: str) -> int:
    """How many directories two paths begin with together."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count
