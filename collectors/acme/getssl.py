"""getssl: getssl.cfg of the account and of each domain.

Sources: getssl 2.49, its README and `copy_file_to_location`, `reload_service`, `check_challenge_completion`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    host_ref,
    is_hostname,
)
from collectors.acme.lineages import (
    SIZE_LIMIT,
    TOO_LARGE,
    Setting,
    attributes,
    challenge_names,
    client,
    hook,
    issued_by,
    lineage_ref,
    names,
    read_settings,
    webroot,
    written,
)

_KEYS: Final = re.compile(
    rb"(?m)^[ \t]*#?[ \t]*(?:ACL|SANS|DOMAIN_CERT_LOCATION|DOMAIN_KEY_LOCATION|RELOAD_CMD|CHECK_REMOTE|RENEW_ALLOW|"
    rb"USE_SINGLE_ACL|ACCOUNT_KEY|SERVER_TYPE)="
)
_LOCATIONS: Final = (
    "DOMAIN_CERT_LOCATION",
    "DOMAIN_KEY_LOCATION",
    "CA_CERT_LOCATION",
    "DOMAIN_CHAIN_LOCATION",
    "DOMAIN_PEM_LOCATION",
    "DOMAIN_KEY_CERT_LOCATION",
)
_STAGING: Final = "https://acme-staging-v02.api.letsencrypt.org/directory"
_REMOTE: Final = re.compile(r"(ssh|sftp|ftp|ftps|ftpes|davs):(.+)", re.DOTALL)


class GetsslCollector(Collector):
    """Certificates of getssl: one directory each, whose settings override those of the directory above.

    A lineage is `getssl:<domain>`, called after its directory.

    Reads
    -----
    `getssl.cfg` of the working directory (`~/.getssl`, `/etc/getssl`) and of each domain in it.

    Yields
    ------
    Lineages with domains and CA; the directories that challenges are put into, here or over ssh, sftp, ftp and WebDAV;
    the places that certificates are copied to, here or on other hosts; the command that reloads a service; the commands
    of DNS challenges.

    Can't see
    ---------
    What starts getssl (its cron job says so), and values that the shell would compute. Passwords of ftp and WebDAV
    locations are never read.
    """

    name: ClassVar[str] = "getssl"
    title: ClassVar[str] = "getssl configurations"
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
        """By name, and by settings that getssl has."""
        if not path.endswith(("getssl.cfg", "getssl.cfg.j2", "getssl.cfg.erb")):
            return False
        return basename(path).startswith("getssl.cfg") and _KEYS.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The settings of one file; a domain's need those of the directory above."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        yield Fragment("settings", (document.path, decode(document.content)), Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """A lineage for each domain's directory. What overrides what: the last file read wins."""
        files = {one.value[0]: one for one in fragments if isinstance(one.value, tuple)}
        for path, one in files.items():
            domain = basename(dirname(path))
            if not is_hostname(domain) or "." not in domain.strip("."):
                continue
            assert isinstance(one.value, tuple)
            places: dict[str, tuple[Setting, Where]] = {}
            texts: dict[str, Sequence[str]] = {}
            above = files.get(f"{dirname(dirname(path))}/{basename(path)}")
            for source in (above, one):
                if source is not None and isinstance(source.value, tuple):
                    known = {name: setting.value for name, (setting, _) in places.items()}
                    known |= {"DOMAIN": domain, "WORKING_DIR": dirname(dirname(path)), "DOMAIN_DIR": dirname(path)}
                    lines = texts[source.path] = source.value[1].split("\n")
                    for setting in read_settings(source.value[1], known):
                        line = lines[setting.line - 1] if setting.line <= len(lines) else ""
                        places[setting.name] = (setting, Where(setting.line, excerpt(line), path=source.path))
            yield from _lineage(domain, dirname(path), places, texts, Where(1, _first(one.value[1]), path=one.path))


def _first(text: str) -> str:
    return excerpt(next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), ""))


def _below(lines: Sequence[str], place: Where, part: str) -> Where:
    """The line that a word of an array stands on: the assignment's own, or one of those after it."""
    for number, line in enumerate(lines[place.line - 1 : place.line + 99], start=place.line):
        if part in line:
            return replace(place, line=number, excerpt=excerpt(line))
    return place


def _lineage(
    domain: str,
    directory: str,
    places: Mapping[str, tuple[Setting, Where]],
    lines: Mapping[str, Sequence[str]],
    where: Where,
) -> Iterator[Parsed]:
    lineage = lineage_ref("getssl", domain)

    def value(key: str) -> str:
        return places[key][0].value if key in places else ""

    domains = names([domain, *re.split(r"[,\s]+", value("SANS"))])
    if value("IGNORE_DIRECTORY_DOMAIN").lower() == "true":
        domains = names(re.split(r"[,\s]+", value("SANS"))) or domains
    through_dns = value("VALIDATE_VIA_DNS").lower() in ("true", "1", "yes")
    installed = tuple(
        part
        for key in ("DOMAIN_CERT_LOCATION", "DOMAIN_CHAIN_LOCATION", "DOMAIN_PEM_LOCATION", "DOMAIN_KEY_CERT_LOCATION")
        for part in value(key).split(";")
        if part.startswith("/")
    )
    server = value("CA") or _STAGING
    yield Entity(
        lineage,
        where,
        attributes(
            client="getssl",
            domains=domains,
            authenticator="dns" if through_dns else "webroot",
            server=server,
            certificate_dir=directory if directory.startswith("/") else "",
            certificate_files=installed,
            deploy_hook=value("RELOAD_CMD"),
        ),
    )
    yield Dependency(client("getssl"), THIS_HOST, Relation.RUNS_ON, where)
    yield Dependency(lineage, client("getssl"), Relation.RENEWED_BY, where)
    yield from written(lineage, directory, where)
    yield from issued_by(lineage, server, places["CA"][1] if "CA" in places else where)
    if through_dns:
        here = places["VALIDATE_VIA_DNS"][1]
        yield from challenge_names(lineage, domains, here)
        for key in ("DNS_ADD_COMMAND", "DNS_DEL_COMMAND"):
            if value(key):
                yield from hook(lineage, "auth" if key == "DNS_ADD_COMMAND" else "cleanup", value(key), places[key][1])
    elif "ACL" in places:
        setting, here = places["ACL"]
        for word in setting.words if setting.known else ():
            # One location may be several, with `;` between them.
            for part in word.split(";"):
                there = _below(lines.get(here.path, ()), here, part)
                yield from webroot(lineage, part, there)
                yield from _elsewhere(lineage, part, Relation.VALIDATED_THROUGH, there)
    for key in _LOCATIONS:
        for part in value(key).split(";") if value(key) else ():
            yield from written(lineage, part, places[key][1])
            yield from _elsewhere(lineage, part, Relation.DEPLOYED_BY, places[key][1])
    for word in places["RELOAD_CMD"][0].words if value("RELOAD_CMD") else ():
        here = places["RELOAD_CMD"][1]
        if _REMOTE.match(word):
            yield from _elsewhere(lineage, word, Relation.DEPLOYED_BY, here)
        else:
            yield from hook(lineage, "deploy", word, here)


def _elsewhere(lineage: Ref, location: str, relation: Relation, where: Where) -> Iterator[Parsed]:
    """`ssh:[user@]host:path`, `sftp:`, `ftp:`, `ftpes:`, `davs:user:password:host:…`: the host must store something."""
    found = _REMOTE.match(location.strip())
    if found is None:
        return
    rest = found[2]
    if found[1] == "ssh":
        # Words before the host are options of ssh.
        words = rest.partition(":")[0].rpartition("@")[2].split()
        host = words[-1] if words else ""
    else:
        parts = rest.split(":")
        host = parts[2] if len(parts) > 3 else ""
    provider = host_ref(host)
    if provider is not None:
        yield Dependency(lineage, provider, relation, where, Need.WRITE)
