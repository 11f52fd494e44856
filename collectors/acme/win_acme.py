"""win-acme (and simple-acme): its renewals and settings.json.

Sources: win-acme 2.2's documentation of settings.json, its plugins' options, and renewal files that versions 2.0 to 2.3
write. Its JSON may have comments and trailing commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from posixpath import basename, dirname
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    decode,
    is_hostname,
    normal_name,
    parse_time,
    read_yaml,
)
from collectors.acme.lineages import (
    SIZE_LIMIT,
    TOO_LARGE,
    attributes,
    challenge_names,
    client,
    issued_by,
    lineage_ref,
    names,
    target,
    validated_here,
)

_SETTINGS: Final = re.compile(rb'"(?:DefaultBaseUri|ScheduledTask|RenewalDays|ClientNames?)"\s*:')
_STRING_OR_COMMENT: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_SELF_HOSTING: Final = "c7d5e050-9363-4ba1-b3a8-931b31c618b7"
_UNC: Final = re.compile(r"\\\\([^\\/?]+)\\")
_HISTORY_LIMIT: Final = 10_000
_CLIENT: Final = client("win-acme")


class WinAcmeCollector(Collector):
    """Renewals of win-acme on Windows. Its scheduled task starts it.

    A lineage is `win-acme:<id>`, the name of its file.

    Reads
    -----
    `*.renewal.json` and win-acme's `settings.json`.

    Yields
    ------
    Lineages with domains, the CA (by the directory, which is called after it), the last success; the places that
    certificates are stored at and challenges are put into, shares of other hosts included; scripts that install.

    Can't see
    ---------
    Domains that are taken from IIS when it runs, the certificate store of Windows, and the scheduled task (which is
    read with the tasks). Passwords are never read.
    """

    name: ClassVar[str] = "win_acme"
    title: ClassVar[str] = "win-acme renewals and settings"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.RENEWED_BY,
            Relation.VALIDATED_THROUGH,
            Relation.DEPLOYED_BY,
            Relation.ISSUED_BY,
            Relation.WRITES,
            Relation.RUNS_ON,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """Renewals by name; settings.json by what only win-acme has there."""
        if path.endswith(".renewal.json"):
            return True
        return path.endswith("/settings.json") and b"Acme" in head and _SETTINGS.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One lineage, or what holds for all of them."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        stream = read_yaml(_without_comments(decode(document.content)))
        root = stream.documents[0] if stream.documents else None
        if stream.problem is not None or root is None or not root.is_map:
            problem = stream.problem
            where = stream.where(problem.line if problem else 0)
            yield Malformed(where, problem.reason if problem else "not an object", "win-acme skips it", whole=True)
            return
        if document.path.endswith(".renewal.json"):
            yield from _renewal(document.path, stream, root)
        else:
            server = root.at("Acme", "DefaultBaseUri")
            scripts = tuple(
                (key, node.scalar, stream.where(node))
                for key in ("DefaultPreExecutionScript", "DefaultPostExecutionScript")
                if (node := root.at("Execution", key)) is not None and node.scalar
            )
            yield Fragment(
                "settings", (server.scalar if server is not None else "", scripts), stream.where(server or root)
            )

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """What settings.json says for every renewal: the CA where the directory does not, and scripts."""
        settings = [one for one in fragments if one.kind == "settings" and isinstance(one.value, tuple)]
        if len(settings) != 1:
            return
        assert isinstance(settings[0].value, tuple)
        server, scripts = settings[0].value
        path = settings[0].path
        for one in fragments:
            if one.kind != "renewal" or not isinstance(one.value, tuple):
                continue
            text, has_ca = one.value
            lineage = Ref(Kind.LINEAGE, text)
            if not has_ca:
                yield from issued_by(lineage, server, replace(settings[0].where, path=path))
            for _key, script, where in scripts:
                yield Dependency(lineage, Ref(Kind.PATH, script), Relation.CALLS, replace(where, path=path))


def _without_comments(text: str) -> str:
    """JSON without comments; no line moves."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else "\n" * found[0].count("\n")

    return _STRING_OR_COMMENT.sub(blank, text)


def _renewal(path: str, stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    name = root.text("Id") or basename(path).removesuffix(".renewal.json")
    lineage = lineage_ref("win-acme", name)
    here = stream.where(root.get("Id") or root)
    options = root.get("TargetPluginOptions")
    domains: tuple[str, ...] = ()
    if options is not None and options.is_map:
        written_names = [options.text("CommonName"), *(one.scalar for one in options.children("AlternativeNames"))]
        domains = names(one for one in written_names if one)
    created, due = _history(root)
    # The configuration directory is called after the CA: acme-v02.api.letsencrypt.org.
    authority = basename(dirname(path))
    has_ca = "." in authority and is_hostname(authority) and not authority.startswith(".")
    validation = root.get("ValidationPluginOptions")
    friendly = root.text("FriendlyName") or root.text("LastFriendlyName")
    yield Entity(
        lineage,
        here,
        attributes(
            client="win-acme",
            domains=domains,
            friendly_name=friendly,
            server=f"https://{authority}/" if has_ca else "",
            created=created,
            next_renewal=due,
        ),
    )
    yield Dependency(_CLIENT, THIS_HOST, Relation.RUNS_ON, here)
    yield Dependency(lineage, _CLIENT, Relation.RENEWED_BY, here)
    if has_ca:
        yield from issued_by(lineage, f"https://{authority}/", here)
    if validation is not None and validation.is_map:
        yield from _validation(stream, lineage, domains, validation)
    for store in root.children("StorePluginOptions"):
        node = store.get("Path") if store.is_map else None
        if node is not None and node.scalar:
            yield from _file(lineage, node.scalar, Relation.WRITES, stream.where(node))
    for installation in root.children("InstallationPluginOptions"):
        node = installation.get("Script") if installation.is_map else None
        if node is not None and node.scalar:
            yield Dependency(lineage, Ref(Kind.PATH, node.scalar), Relation.DEPLOYED_BY, stream.where(node), Need.RUN)
            parameters = installation.get("ScriptParameters")
            for word in parameters.scalar.split() if parameters is not None else ():
                found = target(word.strip("'\"")) if "://" in word else None
                if found is not None and parameters is not None:
                    yield Dependency(lineage, found, Relation.DEPLOYED_BY, stream.where(parameters), Need.WRITE)
    yield Fragment("renewal", (lineage.text, has_ca), here)


def _validation(stream: YamlStream, lineage: Ref, domains: tuple[str, ...], options: YamlNode) -> Iterator[Parsed]:
    through_dns = "dns" in options.text("ChallengeType").lower()
    for key in ("Path", "BaseUri", "CreateScript", "ServerHost", "Server", "Host"):
        node = options.get(key)
        if node is None or not node.scalar:
            continue
        where = stream.where(node)
        through_dns = through_dns or key != "Path"
        if key == "CreateScript":
            yield Dependency(lineage, Ref(Kind.PATH, node.scalar), Relation.VALIDATED_THROUGH, where, Need.RUN)
        elif key == "Path" and "://" not in node.scalar:
            yield from _file(lineage, node.scalar, Relation.VALIDATED_THROUGH, where)
        else:
            found = target(node.scalar)
            if found is not None:
                yield Dependency(lineage, found, Relation.VALIDATED_THROUGH, where, Need.WRITE)
    if options.text("Plugin").lower() == _SELF_HOSTING:
        yield from validated_here(lineage, stream.where(options.get("Plugin") or options))
    if through_dns:
        yield from challenge_names(lineage, domains, stream.where(options))


def _file(lineage: Ref, path: str, relation: Relation, where: Where) -> Iterator[Parsed]:
    r"""A directory of this host, or a share of another one: `\\server\share`."""
    share = _UNC.match(path)
    if share is None:
        yield Dependency(lineage, Ref(Kind.PATH, path), relation, where, Need.WRITE)
    elif is_hostname(share[1]):
        yield Dependency(lineage, Ref(Kind.NAME, normal_name(share[1])), relation, where, Need.WRITE)


def _history(root: YamlNode) -> tuple[str, str]:
    """When it succeeded last, and when it is due: ISO 8601 in UTC, or empty."""
    created = due = ""
    for entry in root.children("History")[-_HISTORY_LIMIT:]:
        if not entry.is_map or entry.text("Success").lower() != "true":
            continue
        date = parse_time(entry.text("Date"))
        created = date.isoformat() if date is not None else created
        for result in entry.children("OrderResults"):
            window = result.get("DueDate") if result.is_map else None
            if window is not None:
                start = parse_time(window.text("Start") if window.is_map else window.scalar)
                due = start.isoformat() if start is not None else due
    return created, due
