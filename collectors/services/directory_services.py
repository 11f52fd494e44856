"""Directory and login servers of a host: ldap.conf(5), nslcd.conf(5), sssd.conf(5) 2.8, krb5.conf(5) of MIT 1.20."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final, TypeAlias

from auditor.api import Area, Collector, Document, Malformed, Need, Parsed, Ref, Relation, Where, excerpt
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    read_source,
    sections,
    target,
    url_target,
)

_Targets: TypeAlias = list[tuple[Ref | None, Where]]

# sssd's options that hold servers, and what they are for. Backups are alternatives of the servers they stand in for.
_SSSD: Final = {
    "ldap_uri": "LDAP",
    "ldap_backup_uri": "LDAP",
    "ldap_chpass_uri": "password change",
    "ldap_chpass_backup_uri": "password change",
    "krb5_server": "Kerberos",
    "krb5_backup_server": "Kerberos",
    "krb5_kpasswd": "password change",
    "krb5_backup_kpasswd": "password change",
    "ipa_server": "IPA",
    "ipa_backup_server": "IPA",
    "ad_server": "Active Directory",
    "ad_backup_server": "Active Directory",
}
_LDAP_URI: Final = re.compile(r"ldap[si]?://(\[[^\]]+\]|[^\s/:,\"']*)(?::(\d+))?[^\s,\"']*", re.IGNORECASE)
_REALM_SERVER: Final = {
    "kdc": "Kerberos realm",
    "master_kdc": "Kerberos administration of",
    "primary_kdc": "Kerberos administration of",
    "admin_server": "Kerberos administration of",
    "kpasswd_server": "Kerberos password changes of",
}
_SUFFIXES: Final = ("nslcd.conf", "slapd.conf", "ipa/default.conf")
_BASES: Final = frozenset({"ldap.conf", "nslcd.conf", "pam_ldap.conf", "libnss-ldap.conf", "nss_ldap.conf"})


class DirectoryServicesCollector(Collector):
    """The servers that a host asks for users, groups, passwords and tickets.

    Reads
    -----
    `ldap.conf`, `nslcd.conf` and their like, `sssd.conf` and `sssd/conf.d/*.conf`, `krb5.conf` and `krb5.conf.d/*`,
    `ipa/default.conf`, `slapd.conf` (syncrepl).

    Yields
    ------
    A service for each purpose (an sssd domain's LDAP, a realm's KDCs, its administration), which connects to its
    servers: one of them is enough, and `_srv_` (a lookup in DNS) is one of them. Administration and password changes
    need a server that can write. A replica of slapd reads its provider.

    Can't see
    ---------
    Servers that only DNS names, when no server is written; `cn=config` of slapd; sudo rules and maps in LDAP.
    """

    name: ClassVar[str] = "directory_services"
    title: ClassVar[str] = "LDAP, SSSD and Kerberos servers"
    area: ClassVar[Area] = Area.IDENTITY
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        if not ("ldap" in path or "sssd" in path or "krb5" in path or path.endswith(_SUFFIXES)):
            return False
        return bool(_form(path)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the program")
        if isinstance(source, Malformed):
            yield source
            return
        read = {"sssd": _sssd, "krb5": _krb5, "slapd": _slapd, "ipa": _ipa}.get(_form(document.path), _ldap)
        yield from limited(source, read(source))


def _form(path: str) -> str:
    base = base_name(path)
    if is_foreign(path):
        return ""
    if base in _BASES:
        return "ldap"
    if base == "sssd.conf" or ("/sssd/conf.d/" in path and base.endswith(".conf")):
        return "sssd"
    if base == "krb5.conf" or "/krb5.conf.d/" in path:
        return "krb5"
    if base == "slapd.conf":
        return "slapd"
    return "ipa" if path.endswith("ipa/default.conf") else ""


def _uris(text: str, where: Where) -> _Targets:
    found: _Targets = []
    for uri in _LDAP_URI.finditer(text):
        # ldap:///dc=x asks DNS, ldapi:// a socket of this host.
        if uri[1] and not uri[0].lower().startswith("ldapi"):
            found.append((url_target(uri[0].split("?")[0]), where))
        elif not uri[1] and not uri[0].lower().startswith("ldapi"):
            found.append((None, where))
    return found


def _ldap(source: Source) -> Iterator[Parsed]:
    name = f"LDAP client ({base_name(source.path)})"
    servers: _Targets = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text):
            continue
        words = text.split()
        where = source.where(number)
        if words[0].lower() == "uri":
            servers += _uris(text, where)
        elif words[0].lower() == "host":
            for word in words[1:]:
                host, _, port = word.partition(":") if word.count(":") == 1 else (word, "", "")
                servers.append((target(host, port), where))
    yield from source.uses(name, servers, group="servers")


def _sssd(source: Source) -> Iterator[Parsed]:
    found: dict[tuple[str, str], _Targets] = {}
    for setting in sections(source):
        if isinstance(setting, Malformed) or not setting.section.lower().startswith("domain/"):
            continue
        purpose = _SSSD.get(setting.key)
        if purpose is None or is_templated(setting.value):
            continue
        where = source.where(setting.line)
        servers = found.setdefault((setting.section.partition("/")[2], purpose), [])
        for word in re.split(r"[,\s]+", setting.value):
            if word == "_srv_":
                servers.append((None, where))
            elif "://" in word:
                servers += _uris(word, where)
            elif word:
                host, _, port = word.partition(":") if word.count(":") == 1 else (word, "", "")
                servers.append((target(host, port), where))
    for (domain, purpose), servers in found.items():
        need = Need.WRITE if purpose == "password change" else Need.READ
        yield from source.uses(f"sssd domain {domain}: {purpose}", servers, need, "servers")


def _krb5(source: Source) -> Iterator[Parsed]:
    realm, depth, section = "", 0, ""
    found: dict[tuple[str, str], _Targets] = {}
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] in "#;" or is_templated(text):
            continue
        if text[0] == "[":
            section, realm, depth = text.strip("[]*").lower(), "", 0
            continue
        if text.startswith("}"):
            depth = max(depth - 1, 0)
            realm = "" if depth == 0 else realm
            continue
        key, separator, value = (part.strip() for part in text.partition("="))
        if not separator:
            if not text.startswith(("include", "module")):
                where = source.where(number)
                yield Malformed(where, "no relation and no section", "Kerberos programs refuse the file")
            continue
        if value.startswith("{"):
            realm, depth = (key if depth == 0 else realm), depth + 1
            if value.endswith("}"):
                depth -= 1
            continue
        purpose = _REALM_SERVER.get(key.lower())
        if section != "realms" or not realm or depth != 1 or purpose is None:
            continue
        where = source.where(number)
        bare = re.split(r"\s", value)[0].removeprefix("tcp/").removeprefix("udp/")
        if "://" in bare:
            ref = url_target(bare)
        else:
            host, _, port = bare.partition(":") if bare.count(":") == 1 else (bare, "", "")
            ref = target(host, port)
        found.setdefault((realm, purpose), []).append((ref, where))
    for (realm, purpose), servers in found.items():
        need = Need.READ if purpose == "Kerberos realm" else Need.WRITE
        yield from source.uses(f"{purpose} {excerpt(realm)}", servers, need, "servers")


def _ipa(source: Source) -> Iterator[Parsed]:
    servers: _Targets = []
    for setting in sections(source):
        if (
            not isinstance(setting, Malformed)
            and setting.key in ("server", "xmlrpc_uri")
            and not is_templated(setting.value)
        ):
            where = source.where(setting.line)
            servers.append((url_target(setting.value) if "://" in setting.value else target(setting.value), where))
    yield from source.uses("IPA client", servers)


def _slapd(source: Source) -> Iterator[Parsed]:
    """`syncrepl` statements; lines that begin with white space continue (slapd.conf(5))."""
    text, number = "", 0
    for at, line in enumerate([*source.lines[:LINE_LIMIT], ""], start=1):
        if line[:1] in (" ", "\t") and text:
            text += line
            continue
        if text.lower().startswith("syncrepl") and (found := re.search(r"provider=(\S+)", text)):
            yield from source.uses("slapd replica", _uris(found[1], source.where(number, f"provider={found[1]}")))
        text, number = line, at
