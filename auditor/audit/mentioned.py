"""Where text names the hosts that are going: one scan over all of it, and what only the surroundings tell.

A short name that may be an ordinary word counts in a role or a playbook that is the host's alone, in Terraform's
entries of the host, and among the names of other machines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from auditor.capture.reading import Bound, Reading
from auditor.capture.sealed import SEARCHED
from auditor.capture.tree import INVENTORY
from auditor.graph.hosts import COMMON_FIRST_LABELS, HostTable, Identity, distinctive, owns_short
from auditor.model import Area, Confidence, Coverage, Dependency, Entity, Kind, Need, Outcome, Provenance, Ref, Relation
from auditor.text import decode, excerpt, is_address, is_comment, is_loopback, normal_address, normal_name

if TYPE_CHECKING:
    from auditor.graph.mentions import Mention, MentionScanner
    from auditor.graph.resolved import Resolved
    from auditor.inventory.schema import Inventory

_DIRECTORIES: Final = re.compile(
    r"aws/[^/]+/[^/]+/(?:ec2\.Describe|route53\.ListResourceRecordSets)"
    r"|services/[^/]+/(?:devices|virtual-machines|ip-addresses)\."
)
_SEEN_FROM: Final = re.compile(r"services/[^/]+/(?:pings|deliveries)/")
"""Answers that log where something came from: no text that anything reads."""
_DESCRIBING: Final = re.compile(
    r'\s*"(?:InstanceId|Private(?:Dns|Ip)\w*|Public(?:Dns|Ip)\w*|Carrier\w*|Name|name|address|dns_name)"'
    r'\s*:\s*"[^"]*",?\s*$'
)
_HCL: Final = (".tf", ".tfvars", ".hcl")
_NAME_TAG: Final = re.compile(r'\s*"Key"\s*:\s*"Name",\s*$')
_TABLE: Final = 200
"""Names that a host's own hosts file gives to machines that go, up to which they are looked for."""
_SHARED: Final = (b"://", b"\\\\", b"\\\x00\\\x00")
"""What a URL or a share has, also in UTF-16."""
SAID_BY_HOSTS: Final = (
    "/.auditor/sockets.txt", "/.auditor/ss-established.txt", "/.auditor/ss-listening.txt", "/.auditor/session.txt",
    "/.auditor/states.txt", "/.auditor/immutable.txt",
)  # fmt: skip
"""What running hosts say of themselves: connections, each line of which is understood, and what became of files that
were captured themselves. A mention would tell once more what is told of those."""
_OF_UNITS: Final = tuple(f"/.auditor/systemctl-{what}.txt" for what in ("units", "timers", "services"))
_OF_CRON: Final = "/.auditor/cron-log.txt"
_RECORDS: Final = frozenset((*_OF_UNITS, _OF_CRON))
_STARTED: Final = re.compile(r"\) CMD \(\s*(.*?)\s*\)\s*$")
_UNIT: Final = re.compile(r"(?:Id|Unit)=(.+)\.(?:service|timer)\s*$")
_ENABLES: Final = re.compile(r"/systemd/(?:system|user)/[^/]+\.(?:wants|requires|upholds)/([^/]+)$")


class _Runs:
    """What files of each host tell of the units and jobs that ran there: a record of that tells it once more.

    An instance that somebody has started (`autossh@web01`) and a job of a crontab that was not captured are in the
    record alone.
    """

    def __init__(self, texts: Iterable[Bound], *known: Mapping[bytes, Sequence[Mention]]) -> None:
        """`known` are the mentions in each distinct text."""
        self._files: dict[str, set[str]] = {}
        self._lines: dict[str, set[str]] = {}
        named = {digest for several in known for digest, mentions in several.items() if mentions}
        sources = {one.file.source for one in texts if one.file.path in _RECORDS and one.template.digest in named}
        for one in texts:
            if one.file.source in sources and one.file.path not in _RECORDS:
                name = one.file.path.rpartition("/")[2]
                self._files.setdefault(one.file.source, set()).add(name.removesuffix(".service").removesuffix(".timer"))
                lines = self._lines.setdefault(one.file.source, set())
                mentions = (mention for several in known for mention in several.get(one.template.digest, ()))
                lines.update(_as_started(mention.text) for mention in mentions)

    def tell_more(self, source: str, path: str, line: str) -> bool:
        """Whether a line of a record names what no file of its host does."""
        if path != _OF_CRON:
            unit = _UNIT.match(line)
            return unit is not None and unit[1] not in self._files.get(source, ())
        started = _STARTED.search(line)
        command = _as_started(started[1]) if started is not None else ""
        return bool(command) and not any(command in one for one in self._lines.get(source, ()))


def _as_started(command: str) -> str:
    return " ".join(command.replace("\\%", "%").split())


@dataclass(frozen=True, slots=True)
class _Paths:
    """The paths that are called after hosts by words that may be ordinary ones."""

    hosts: Mapping[str, str]
    """The words with their hosts."""
    pattern: re.Pattern[str]
    """Its first group is the word."""


def links_of(reading: Reading) -> Mapping[str, str]:
    """The links of an estate, by their paths, with the files of the same host that they lead to and that were read.

    A pack has links for equal files, too: there only those are known that enable a unit. Those from host to host are
    no host's own either: who has saved room by them has two hosts with that file all the same.
    """
    found: dict[str, str] = {}
    units = {
        (bound.file.source, bound.template.digest, bound.file.path.rpartition("/")[2]): bound.file.estate_path
        for bound in reading.bound
        if "/systemd/" in bound.file.path and _ENABLES.search(bound.file.path) is None
    }
    source_of = {bound.file.estate_path: bound.file.source for bound in reading.bound}
    root = os.path.realpath(reading.tree.root)
    for bound in reading.bound:
        file, target = bound.file, ""
        if unit := _ENABLES.search(file.path):
            target = units.get((file.source, bound.template.digest, unit[1]), "")
        elif file.real and not reading.tree.content_addressed:
            target = os.path.relpath(file.real, root)
        if target != file.estate_path and source_of.get(target) == file.source:
            found[file.estate_path] = target
    return found


def look_for_mentions(
    reading: Reading,
    hosts: HostTable,
    linked: Resolved,
    wanted: Sequence[Identity],
    progress: Callable[[str, int], None],
    inventory: Inventory | None,
    links: Mapping[str, str] = MappingProxyType({}),
) -> Collection[str]:
    """Scans every distinct text once, and makes a DOCUMENT node for each file that names a going host.

    A file that a link leads to is told once, as itself. Returns the short names that may be ordinary words elsewhere,
    and were looked for everywhere in this estate.
    """
    from auditor.graph.encoded import in_base64, may_hold
    from auditor.graph.mentions import MAX_PER_FILE, MentionScanner

    scanner = MentionScanner(hosts, wanted)
    texts = [
        bound
        for bound in reading.bound
        if (bound.template.text or bound.template.sealed in SEARCHED) and bound.file.path not in SAID_BY_HOSTS
    ]
    going = {identity.host for identity in wanted}
    distinct = {bound.template.digest: bound for bound in reversed(texts)}

    encoded: dict[bytes, list[Mention]] = {}
    cut_short: set[bytes] = set()

    def missed(bound: Bound, outcome: Outcome, detail: str) -> None:
        where = bound.file.estate_path
        row = Coverage(bound.file.source, Area.MENTIONS, where, outcome, detail=detail, path=where)
        reading.coverage.append(row)

    def contents() -> Iterator[bytes]:
        wanted = list(distinct.values())
        for count, (bound, content) in enumerate(zip(wanted, reading.contents(wanted), strict=True), 1):
            if count % 1024 == 0:
                progress("scanning", count)
            if isinstance(content, OSError):
                missed(bound, Outcome.DENIED, f"the file can't be read again: {content.strerror}")
            elif may_hold(content):
                encoded[bound.template.digest], whole = in_base64(content, scanner.scan)
                if not whole:
                    cut_short.add(bound.template.digest)
            yield b"" if isinstance(content, OSError) else content

    known = dict(zip(distinct, scanner.scan_all(contents()), strict=True))
    ending = cache(partial(linked.emptied_playbooks, going))
    besides = _in_own_roles(texts, reading, hosts, linked, known, going, ending)
    for more in (
        _in_terraform(texts, reading, known, going),
        _in_own_files(texts, reading, hosts, linked, going, ending),
        _by_own_tables(texts, reading, known, wanted),
    ):
        for path, several in more.items():
            besides.setdefault(path, []).extend(several)
    bare, called, named = _bare_names(distinct, reading, hosts, linked, wanted, known)
    for digest, several in encoded.items():
        bare.setdefault(digest, []).extend(several)
    runs = _Runs(texts, known, bare)
    nodes: dict[str, int] = {}
    canonical = {source: {hosts.find(name) or name for name in names} for source, names in reading.tree.sources.items()}
    for bound in texts:
        found = known[bound.template.digest]
        if bound.template.digest in cut_short:
            missed(bound, Outcome.PARTIAL, "more values in base64 than are decoded: the rest was not looked at")
        if others := [*besides.get(bound.file.estate_path, ()), *bare.get(bound.template.digest, ())]:
            seen = {(one.line, one.identity.host) for one in found}
            found = [*found, *(one for one in others if (one.line, one.identity.host) not in seen)]
        if bound.file.path in _RECORDS:
            found = [one for one in found if runs.tell_more(bound.file.source, bound.file.path, one.text)]
        if not found:
            continue
        if len(found) >= MAX_PER_FILE:
            detail = f"more than {MAX_PER_FILE:,} places name a host that is going: the rest was not looked at"
            missed(bound, Outcome.PARTIAL, detail)
        own = canonical.get(bound.file.source, set())
        document = linked.node(Ref(Kind.DOCUMENT, bound.file.estate_path))
        understood: set[int] = set()
        entry_of: Callable[[str], set[int]] | None = None
        if inventory is not None and bound.file.estate_path == INVENTORY:
            understood = _understood(reading, bound, inventory, going)
            entry_of = partial(_holders_lines, reading, bound, inventory, going)
        elif _DIRECTORIES.match(bound.file.estate_path):
            understood = _describing(reading, bound)
        log = _SEEN_FROM.match(bound.file.estate_path) is not None
        # What systemd-run and generators make they describe by the command, which stands in the unit as well.
        made = "/systemd/transient/" in bound.file.path or "/systemd/generator" in bound.file.path
        by_address = any(one.identity.kind == "address" for one in found)
        described = _described(reading, hosts, bound) if by_address else set()
        is_container = cache(partial(_is_container, bound, reading))
        for one in found:
            if one.line in understood or (made and one.text.startswith("Description=")):
                continue
            linked.identity_seen.add(one.identity.host)
            if one.identity.host in own or log or bound.file.estate_path in links:
                continue
            if one.identity.kind == "address" and not described.isdisjoint(hosts.at(one.identity.text)):
                continue  # variables of a machine say where that machine is
            if one.identity.kind == "address" and _is_of_another(one, own, hosts, entry_of):
                continue
            host = nodes.get(one.identity.host)
            if host is None:
                host = nodes[one.identity.host] = linked.node(Ref(Kind.HOST, one.identity.host))
            comment = one.comment or is_comment(one.text)
            sure = one.exact and one.identity.kind in ("full", "prefix", "address")
            if not comment and not sure:
                sure = _is_addressed(one) and not is_container(one.identity.text)
            confidence = Confidence.MEDIUM if sure and not comment else Confidence.LOW
            linked.edge(
                document,
                host,
                Relation.MENTIONS,
                need=Need.READ,
                group=f"line {one.line}",
                provenance=Provenance(bound.file.estate_path, one.line, excerpt(one.text), bound.collected_at),
                confidence=confidence,
            )
            linked.describe_mention(document, one.line, one.identity.text, one.identity.kind, comment)
    _named_after(reading, canonical, linked, scanner, named)
    return called


def _is_of_another(
    mention: Mention, own: Collection[str], hosts: HostTable, entry_of: Callable[[str], set[int]] | None
) -> bool:
    """Whether an address is another machine's here: in that one's network, or in its entry of the inventory."""
    address, going = mention.identity.text, mention.identity.host
    if len(hosts.at(address)) < 2:
        return False
    line = mention.text.lower()
    if any(name in line for name in (hosts.records[going].short, *hosts.records[going].names)):
        return False
    if entry_of is not None and mention.line in entry_of(address):
        return True
    return bool(own) and all(going not in hosts.seen_from(address, name) for name in own)


def _is_addressed(mention: Mention) -> bool:
    """Whether a short name stands where only a machine can: in a share, `\\\\fs01\\files`, or a URL.

    One that is no ordinary word, also in any other place of a machine: `db1:5432`, `host=db1`, `backup@db1`.
    """
    from auditor.graph.places import is_place

    if mention.identity.kind != "short":
        return False
    text = mention.identity.text
    if re.search(rf"(?:\\\\|://){re.escape(text)}(?:[\\/:]|$)", mention.text, re.IGNORECASE) is not None:
        return True
    return (distinctive(text) or text[-1].isdigit()) and is_place(mention.text, text, code=False)


def _is_container(bound: Bound, reading: Reading, name: str) -> bool:
    """Whether a short name is rather what a container or a service of a cluster is called in this file."""
    from auditor.graph.places import of_containers

    return of_containers(decode(reading.content(bound)), name)


def _in_terraform(
    texts: Sequence[Bound], reading: Reading, known: Mapping[bytes, Sequence[Mention]], going: Collection[str]
) -> Mapping[str, list[Mention]]:
    """The short names of hosts in Terraform's configuration, however common."""
    written = [bound for bound in texts if bound.file.path.endswith(_HCL)]
    if not written:
        return {}
    from auditor.graph.entries import HclFile, short_names

    files = [
        HclFile(bound.file.estate_path, decode(reading.content(bound)), known[bound.template.digest])
        for bound in written
    ]
    return short_names(files, sorted(name for name in going if not is_address(name)))


def _by_own_tables(
    texts: Sequence[Bound], reading: Reading, known: Mapping[bytes, Sequence[Mention]], wanted: Iterable[Identity]
) -> dict[str, list[Mention]]:
    """Names that only a host's own hosts file leads to a machine that is going, in other files of that host."""
    looked = {identity.text: identity for identity in wanted}
    tables: dict[str, dict[str, str]] = {}
    others: dict[str, set[str]] = {}
    for bound in texts:
        if (
            not known[bound.template.digest]
            or bound.file.path.rpartition("/")[2].lower() != "hosts"
            or not reading.tree.sources.get(bound.file.source)
        ):
            continue
        for line in decode(reading.content(bound)).split("\n"):
            words = line.partition("#")[0].split()
            if len(words) < 2 or (address := normal_address(words[0])) is None:
                continue
            names = [name for one in words[1:] if not is_loopback(name := normal_name(one)) and name not in looked]
            table = tables.setdefault(bound.file.source, {})
            if address in looked and len(table) < _TABLE:
                table.update((name, looked[address].host) for name in names if len(name) > 2)
            else:
                others.setdefault(bound.file.source, set()).update(names)
    if not tables:
        return {}
    from auditor.graph.places import called

    done: dict[tuple[bytes, tuple[tuple[str, str], ...]], list[Mention]] = {}
    more: dict[str, list[Mention]] = {}
    for bound in texts:
        table = tables.get(bound.file.source, {})
        led = {name: table[name] for name in sorted(table.keys() - others.get(bound.file.source, set()))}
        if not led or bound.file.path.rpartition("/")[2].lower() == "hosts":
            continue
        key = (bound.template.digest, tuple(led.items()))
        if key not in done:
            content = reading.content(bound)
            lower = content.lower()
            held = b"\x00" in content or any(name.encode("utf-8", "replace") in lower for name in led)
            done[key] = list(called(decode(content), led)) if held else []
        if done[key]:
            more.setdefault(bound.file.estate_path, []).extend(done[key])
    return more


def _bare_names(
    distinct: Mapping[bytes, Bound],
    reading: Reading,
    hosts: HostTable,
    linked: Resolved,
    wanted: Iterable[Identity],
    found_before: Mapping[bytes, Sequence[Mention]],
) -> tuple[dict[bytes, list[Mention]], set[str], Sequence[_Paths]]:
    """Short names that may be ordinary words, where what is around them says that they are machines.

    Also the words that hardly anything but the machine is called by, which are found everywhere; and which paths are
    called after a host by such a word.
    """
    looked = {identity.text for identity in wanted}
    going = {identity.host for identity in wanted}
    vague = {
        record.short: record.name
        for record in (hosts.records[name] for name in sorted(going))
        if "." in record.name and record.short not in looked and owns_short(hosts, record.name, {record.name})
    }
    # What a machine is only called besides may be any word: `\\\\files\\public`, `http://proxy:3128`.
    besides = {
        label: record.name
        for record in (hosts.records[name] for name in sorted(going))
        for name in sorted(record.names)
        if "." in name and len(label := name.partition(".")[0]) > 1 and label not in looked and label not in vague
        if not is_loopback(label) and owns_short(hosts, name, {record.name})
    }
    if not vague and not besides:
        return {}, set(), ()
    from auditor.graph.mentions import Mention
    from auditor.graph.peers import Names, among_machines, beside_full, labels_in
    from auditor.graph.places import GENERIC_NAMES, Uses, among_hosts, called_so, count_uses, in_places, in_shares

    words = {word: name for word, name in vague.items() if len(word) > 2 and word not in COMMON_FIRST_LABELS}
    bounds = list(distinct.values())
    domains = {name.partition(".")[2] for name in words.values()}
    contents = (content for content in reading.contents(bounds) if isinstance(content, bytes))
    labels = labels_in(contents, domains) if words else set()
    machines = {record.short for record in hosts.records.values() if not is_address(record.name)}
    machines |= {name.partition(".")[0] for name in linked.host_names() if not is_address(name)}
    machines |= {name.partition(".")[0] for name in linked.with_address() if name.partition(".")[2] in domains}
    known = COMMON_FIRST_LABELS | words.keys()
    names = Names(machines - known, labels - known)
    found: dict[bytes, list[Mention]] = {}
    uses = {word: Uses(host) for word, host in words.items() if word not in GENERIC_NAMES}
    placed: dict[str, bytes] = {}
    for bound, content in zip(bounds, reading.contents(bounds), strict=True):
        digest, path = bound.template.digest, bound.file.estate_path
        if not isinstance(content, bytes):
            continue
        if not vague and not any(mark in content for mark in _SHARED):
            continue
        text = decode(content)
        several = [
            *beside_full(text, found_before[digest], vague),
            *among_machines(text, words, names),
            *in_places(text, path, words),
            *in_shares(text, besides),
        ]
        if several:
            found[digest] = list({(one.line, one.identity.host): one for one in several}.values())
        placed[path] = digest
        lower = text.lower()
        for word, use in uses.items():
            if word in lower:
                full = {one.line for one in found_before[digest] if one.identity.host == use.host}
                sure = {one.line for one in several if one.identity.host == use.host}
                sure |= _lines_about(reading, hosts, bound, use.host)
                count_uses(text, path, word, use, full, sure - full, machines)
    among = among_hosts(uses)
    for bound in reading.bound:
        if (placed_so := among.search(bound.file.path)) is not None:
            uses[placed_so[1]].sure.add((bound.file.estate_path, 0))
    called = {word: use for word, use in uses.items() if use.is_name()}
    for word, use in called.items():
        for path, lines in use.plain.items():
            more = (Mention(number, line, Identity(word, "short", use.host), False, False) for number, line in lines)
            found.setdefault(placed[path], []).extend(more)
    of_hosts = {word: use.host for word, use in uses.items()}
    return found, set(called), (_Paths(of_hosts, among), _Paths(of_hosts, called_so(called)))


def _lines_about(reading: Reading, hosts: HostTable, bound: Bound, host: str) -> set[int]:
    """The lines that a parser understood as about a host, by one of its names: records of its zone."""
    return {
        item.where.line
        for _, item in reading.items_of(bound)
        if isinstance(item, Dependency)
        and any(
            one.kind in (Kind.HOST, Kind.NAME) and hosts.find(one.text) == host
            for one in (item.consumer, item.provider)
        )
    }


def _in_own_files(
    texts: Sequence[Bound],
    reading: Reading,
    hosts: HostTable,
    linked: Resolved,
    going: Collection[str],
    ending: Callable[[], Mapping[str, set[str]]],
) -> dict[str, list[Mention]]:
    """Short names in the playbooks that select nothing else, and in the variables of hosts and groups that go."""
    words = {
        name: hosts.records[name].short
        for name in going
        if "." in name and not is_address(name) and hosts.records[name].short not in COMMON_FIRST_LABELS
    }
    words = {name: word for name, word in words.items() if len(word) > 2 and set(hosts.with_short(word)) <= set(going)}
    if not words:
        return {}
    from auditor.graph.mentions import Mention
    from auditor.graph.roles import naming

    own = linked.own_documents(going)
    for path, named in ending().items():
        own.setdefault(path, set()).update(named)
    found: dict[str, list[Mention]] = {}
    for bound in texts:
        path = bound.file.estate_path
        for name in sorted(own.get(path, set()) & words.keys()):
            word = Identity(words[name], "short", name)
            for number, line in naming(words[name], decode(reading.content(bound))):
                found.setdefault(path, []).append(Mention(number, line, word, exact=False, comment=False))
    return found


def _in_own_roles(
    texts: Sequence[Bound],
    reading: Reading,
    hosts: HostTable,
    linked: Resolved,
    known: Mapping[bytes, Sequence[Mention]],
    going: Collection[str],
    ending: Callable[[], Mapping[str, set[str]]],
) -> dict[str, list[Mention]]:
    """What names a host in the roles that are called as it is and that nothing else uses, and where they are used."""
    from auditor.graph.mentions import Mention
    from auditor.graph.roles import called_like, is_for, naming, uses_of

    # `wiki` is wiki.example.org rather than wiki.stg.example.org, where both are going.
    full = [name for name in sorted(going, key=lambda one: -len(one)) if "." in name and not is_address(name)]
    shorts = {hosts.records[name].short: name for name in full}
    roles = called_like((bound.file.estate_path for bound in texts), shorts)
    if not roles:
        return {}
    found: dict[str, list[Mention]] = {}

    def add(path: str, line: int, text: str, host: str) -> None:
        word = Identity(hosts.records[host].short, "short", host)
        found.setdefault(path, []).append(Mention(line, text, word, exact=False, comment=False))

    read = {
        bound.file.estate_path: (bound, decode(reading.content(bound)))
        for bound in texts
        if bound.file.path.endswith((".yml", ".yaml"))
    }
    for role in roles:
        same = {name for name in full if hosts.records[name].short == hosts.records[role.host].short}
        used = [(bound, text, use) for path, (bound, text) in read.items() for use in uses_of(role, path, text)]
        own = []
        for bound, text, use in used:
            named = {
                one.line
                for one in known[bound.template.digest]
                if one.identity.host in same and one.identity.kind == "full"
            }
            if not same.isdisjoint(ending().get(use.path, ())) or is_for(use, text.split("\n"), named):
                own.append((bound, use))
        if not own or len(own) < len(used):
            continue
        node = linked.node(Ref(Kind.PLAYBOOK, role.directory))
        for bound, use in own:
            add(use.path, use.line, use.text, role.host)
            place = Provenance(use.path, use.line, excerpt(use.text), bound.collected_at)
            linked.describe(node, {"role": role.role, "made_for": role.host}, place)
        for bound in texts:
            path = bound.file.estate_path
            if path.startswith(role.directory + "/"):
                for number, line in naming(hosts.records[role.host].short, decode(reading.content(bound))):
                    add(path, number, line, role.host)
    return found


def _named_after(
    reading: Reading,
    canonical: Mapping[str, Collection[str]],
    linked: Resolved,
    scanner: MentionScanner,
    besides: Iterable[_Paths],
) -> None:
    """Files and directories that are called as a going host is: the first file of each such directory stands for it.

    `besides` are those that a word names that the scanner does not look for.
    """
    from auditor.graph.mentions import Mention

    placed: dict[str, list[Bound]] = {}
    for one_bound in reading.bound:
        placed.setdefault(one_bound.file.path, []).append(one_bound)
    paths = list(placed)
    shown: set[tuple[str, str, str]] = set()
    after = list(scanner.scan("\n".join(paths).encode("utf-8", "surrogateescape")))
    for words in besides:
        for at, path in enumerate(paths, 1):
            if (word := words.pattern.search(path)) is not None:
                after.append(Mention(at, path, Identity(word[1], "short", words.hosts[word[1]]), True, False))
    for one in after:
        host = one.identity.host
        elsewhere = (b for b in placed[paths[one.line - 1]] if host not in canonical.get(b.file.source, ()))
        bound = next(elsewhere, None)
        if bound is None or not one.exact:
            continue
        parts = bound.file.path.split("/")
        depth = next((at for at, part in enumerate(parts, 1) if one.identity.text in part.lower()), len(parts))
        key = (bound.file.source, "/".join(parts[:depth]), host)
        document = linked.node(Ref(Kind.DOCUMENT, bound.file.estate_path))
        if key in shown:
            continue
        shown.add(key)
        linked.identity_seen.add(host)
        linked.edge(
            document,
            linked.node(Ref(Kind.HOST, host)),
            Relation.MENTIONS,
            need=Need.READ,
            group="line 0",
            provenance=Provenance(bound.file.estate_path, 0, "", bound.collected_at),
            confidence=Confidence.LOW,
        )
        linked.describe_mention(document, 0, one.identity.text, one.identity.kind, comment=False)


def _described(reading: Reading, hosts: HostTable, bound: Bound) -> set[str | None]:
    """The machines whose variables a document holds."""
    return {
        hosts.find(item.provider.text)
        for _, item in reading.items_of(bound)
        if isinstance(item, Dependency) and item.relation is Relation.SELECTS and item.consumer.kind is Kind.DOCUMENT
    }


def _understood(reading: Reading, bound: Bound, inventory: Inventory, going: set[str]) -> set[int]:
    from auditor.inventory.facts import lines_understood

    return lines_understood(inventory, decode(reading.content(bound)), going)


def _holders_lines(reading: Reading, bound: Bound, inventory: Inventory, going: set[str], address: str) -> set[int]:
    from auditor.inventory.facts import lines_of_holders

    return lines_of_holders(inventory, decode(reading.content(bound)), going, address)


def _describing(reading: Reading, bound: Bound) -> set[int]:
    """Lines of an answer of AWS or NetBox that say what a machine or a record is called: that is no use of it."""
    called = {
        item.where.line
        for _, item in reading.items_of(bound)
        if (isinstance(item, Dependency) and item.relation is Relation.STANDS_FOR)
        or (isinstance(item, Entity) and item.ref.kind in (Kind.HOST, Kind.NAME))
    }
    lines = decode(reading.content(bound)).split("\n")
    called.update(number for number, line in enumerate(lines, 1) if _DESCRIBING.match(line))
    # The tag that is the machine's name.
    called.update(number + 1 for number, line in enumerate(lines, 1) if _NAME_TAG.match(line))
    return called
