"""acme.sh: the configuration of each certificate, and account.conf.

Sources: acme.sh 3.1, its `_savedomainconf`, `_readdomainconf`, `_savedeployconf`, `deploy/*.sh` and `dnsapi/*.sh`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import basename, dirname
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Confidence,
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
    decode,
    excerpt,
    normal_name,
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
    moment,
    names,
    read_settings,
    target,
    validated_here,
    webroot,
    written,
)

_DOMAIN: Final = re.compile(rb"(?m)^Le_(?:Domain|Webroot|API|NextRenewTime)=")
_ACCOUNT: Final = re.compile(
    rb"(?m)^(?:SAVED_\w+|USER_PATH|UPGRADE_HASH|ACCOUNT_EMAIL|AUTO_UPGRADE|DEFAULT_ACME_SERVER|CERT_HOME|NOTIFY_HOOK)="
)
_ENCODED: Final = re.compile(r"__ACME_BASE64__START_([A-Za-z0-9+/=\s]*)__ACME_BASE64__END_")
_HOOKS: Final = {"Le_PreHook": "pre", "Le_PostHook": "post", "Le_RenewHook": "deploy", "Le_ReloadCmd": "deploy"}
_FILES: Final = ("Le_RealCertPath", "Le_RealCACertPath", "Le_RealKeyPath", "Le_RealFullChainPath")
_DEPLOY_HOST: Final = re.compile(
    r"SAVED_\w*?(?:_SERVER|_HOST|_HOSTNAME|_ADDR|_BASE_URL|_URL|_ENDPOINT|_HTTP_ADDR|_Hostname|_Host|_Url)$"
)
_DNS_SERVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "dns_acmedns": ("ACMEDNS_BASE_URL", "ACMEDNS_UPDATE_URL"),
    "dns_acmeproxy": ("ACMEPROXY_ENDPOINT",),
    "dns_cpanel": ("cPanel_Hostname",),
    "dns_da": ("DA_Api",),
    "dns_efficientip": ("EfficientIP_Server",),
    "dns_infoblox": ("Infoblox_Server",),
    "dns_ispconfig": ("ISPC_Api",),
    "dns_knot": ("KNOT_SERVER",),
    "dns_miab": ("MIAB_Server",),
    "dns_nsupdate": ("NSUPDATE_SERVER",),
    "dns_openstack": ("OS_AUTH_URL",),
    "dns_opnsense": ("OPNs_Host",),
    "dns_pdns": ("PDNS_Url",),
    "dns_technitium": ("Technitium_Server",),
}
"""DNS plugins whose server is one's own, and the variables that name it."""
_OF_DNS: Final = frozenset(f"SAVED_{variable}" for variables in _DNS_SERVERS.values() for variable in variables)


class AcmeShCollector(Collector):
    """Certificates of acme.sh: how each is validated, deployed, and where it is installed.

    A lineage is `acme.sh:<domain>`, with `_ecc` after it where its directory has it: both kinds may exist at once.

    Reads
    -----
    `<home>/<domain>/<domain>.conf` and `<home>/<domain>_ecc/<domain>.conf` wherever they are, and `account.conf`.

    Yields
    ------
    Lineages with domains, times, CA, webroots or the names of DNS challenges (of aliases too), hooks (decoded from
    base64), the hosts that deploy hooks put certificates on, the files of `--install-cert`, and the server of DNS
    plugins that talk to one's own: PowerDNS, nsupdate, acme-dns and their like.

    Can't see
    ---------
    Whether cron calls acme.sh (its crontab says so), what a deploy hook of one's own does, and environment variables
    of the job. Passwords and tokens are never read.
    """

    name: ClassVar[str] = "acme_sh"
    title: ClassVar[str] = "acme.sh certificates and account.conf"
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
        """By place (a directory of its own name, or one called after acme) and by settings that acme.sh alone has."""
        if not path.endswith((".conf", ".conf.j2", ".conf.erb")):
            return False
        base = path[path.rfind("/") + 1 : path.rfind(".conf")]
        if "acme" not in path and f"{base}/{base}.conf" not in path and f"{base}_ecc/{base}.conf" not in path:
            return False
        if b"Le_" in head and _DOMAIN.search(head):
            return True
        return path.endswith("/account.conf") and _ACCOUNT.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One lineage, or the settings that all lineages of a directory share."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        text = decode(document.content)
        settings = {one.name: one for one in read_settings(text)}
        if any(name in settings for name in ("Le_Domain", "Le_Webroot", "Le_API")):
            yield from self._certificate(document, settings)
        elif document.path.endswith("/account.conf"):
            servers = tuple(
                (variable, _plain(one), one.line)
                for variables in _DNS_SERVERS.values()
                for variable in variables
                if (one := settings.get(f"SAVED_{variable}") or settings.get(variable)) is not None and _plain(one)
            )
            yield Fragment("account", (dirname(document.path), servers), Where(1))

    def _certificate(self, document: Document, settings: Mapping[str, Setting]) -> Iterator[Parsed]:
        first = settings.get("Le_Domain")
        main = _text(settings, "Le_Domain")
        if first is None or not main:
            yield Malformed(Where(1), "a certificate without Le_Domain", "acme.sh does not renew it", whole=True)
            return
        directory = dirname(document.path)
        ecc = basename(directory).endswith("_ecc") or (
            basename(directory) != main and _text(settings, "Le_Keylength").startswith("ec-")
        )
        lineage = lineage_ref("acme.sh", f"{main}_ecc" if ecc else main)
        written_names = [main, *_text(settings, "Le_Alt").split(",")]
        domains = names(one for one in written_names if one not in ("no", ""))
        methods: list[str] = []
        for one in _text(settings, "Le_Webroot").split(","):
            # Nothing between two commas: as for the domain before.
            if one.strip() or methods:
                methods.append(one.strip() or methods[-1])
        files = tuple(path for key in _FILES if (path := _text(settings, key)).startswith("/"))
        here = _where(first)
        yield Entity(
            lineage,
            here,
            attributes(
                client="acme.sh",
                domains=domains,
                authenticator=", ".join(dict.fromkeys(methods)),
                server=_text(settings, "Le_API"),
                certificate_dir=directory if directory.startswith("/") else "",
                certificate_files=tuple(path for path in files if path != _text(settings, "Le_RealKeyPath")),
                key_type=_text(settings, "Le_Keylength"),
                created=moment(_text(settings, "Le_CertCreateTime")),
                next_renewal=moment(_text(settings, "Le_NextRenewTime")),
                deploy_hook=_text(settings, "Le_DeployHook"),
            ),
        )
        yield Dependency(client("acme.sh"), THIS_HOST, Relation.RUNS_ON, here)
        yield Dependency(lineage, client("acme.sh"), Relation.RENEWED_BY, here)
        yield from written(lineage, directory, here)
        for key in _FILES:
            if key in settings:
                yield from written(lineage, _text(settings, key), _where(settings[key]))
        if "Le_API" in settings:
            yield from issued_by(lineage, _text(settings, "Le_API"), _where(settings["Le_API"]))
        yield from self._validation(lineage, domains, methods, settings)
        for key, stage in _HOOKS.items():
            if command := _text(settings, key):
                yield from hook(lineage, stage, command, _where(settings[key]))
        if _text(settings, "Le_DeployHook"):
            yield from self._deployment(lineage, settings)
        if wanted := tuple(sorted({one for one in methods if one in _DNS_SERVERS})):
            own = frozenset(
                variable
                for one in wanted
                for variable in _DNS_SERVERS[one]
                if f"SAVED_{variable}" in settings or variable in settings
            )
            for one in wanted:
                for variable in _DNS_SERVERS[one]:
                    setting = settings.get(f"SAVED_{variable}") or settings.get(variable)
                    if setting is not None:
                        yield from _dns_server(lineage, variable, _plain(setting), _where(setting))
            yield Fragment("lineage", (dirname(directory), lineage.text, wanted, own), here)

    def _validation(
        self, lineage: Ref, domains: Sequence[str], methods: Sequence[str], settings: Mapping[str, Setting]
    ) -> Iterator[Parsed]:
        """`Le_Webroot`: a directory or a word for another way, one for each domain; the last holds for the rest."""
        setting = settings.get("Le_Webroot")
        if setting is None or not methods:
            return
        here = _where(setting)
        through_dns: list[str] = []
        alone = False
        for path in dict.fromkeys(methods):
            yield from webroot(lineage, path, here)
            alone = alone or not (path.startswith(("/", "dns_")) or path == "dns")
        for number, domain in enumerate(domains):
            method = methods[min(number, len(methods) - 1)]
            if method == "dns" or method.startswith("dns_"):
                through_dns.append(domain)
        if alone:
            yield from validated_here(lineage, here)
        yield from challenge_names(lineage, through_dns, here)
        aliases = settings.get("Le_ChallengeAlias")
        if aliases is not None and through_dns:
            for alias in dict.fromkeys(_plain(aliases).split(",")):
                alias = alias.strip()
                if not names([alias.lstrip("=")]) or alias == "no":
                    continue
                # --domain-alias is saved with `=` and is the whole name; --challenge-alias gets the prefix.
                name = normal_name(alias[1:] if alias.startswith("=") else f"_acme-challenge.{alias}")
                provider = Ref(Kind.NAME, name)
                yield Dependency(lineage, provider, Relation.VALIDATED_THROUGH, _where(aliases), Need.READ)

    def _deployment(self, lineage: Ref, settings: Mapping[str, Setting]) -> Iterator[Parsed]:
        """Where the deploy hooks put the certificate. They keep their settings as `SAVED_…` beside the certificate."""
        for key, setting in settings.items():
            if _DEPLOY_HOST.fullmatch(key) and key not in _OF_DNS:
                for word in _plain(setting).split():
                    word = word.rpartition("@")[2] if "://" not in word else word
                    provider = target(word)
                    if provider is not None:
                        yield Dependency(lineage, provider, Relation.DEPLOYED_BY, _where(setting), Need.WRITE)
            elif key in ("SAVED_DEPLOY_HAPROXY_PEM_PATH", "SAVED_DEPLOY_LOCALCOPY_CERTIFICATE"):
                yield from written(lineage, _plain(setting), _where(setting))
            elif key in ("SAVED_DEPLOY_HAPROXY_RELOAD", "SAVED_DEPLOY_LOCALCOPY_RELOADCMD"):
                yield from hook(lineage, "deploy", _plain(setting), _where(setting))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """DNS servers that account.conf names, for the lineages that use these plugins."""
        accounts: dict[str, tuple[Fragment, tuple[tuple[str, str, int], ...]]] = {}
        for fragment in fragments:
            if fragment.kind == "account" and isinstance(fragment.value, tuple):
                accounts[fragment.value[0]] = (fragment, fragment.value[1])
        for fragment in fragments:
            if fragment.kind != "lineage" or not isinstance(fragment.value, tuple):
                continue
            home, text, wanted, own = fragment.value
            # With --config-home the certificates lie elsewhere; then there is mostly one account.conf.
            account = accounts.get(home) or (next(iter(accounts.values())) if len(accounts) == 1 else None)
            if account is None:
                continue
            variables = {variable for one in wanted for variable in _DNS_SERVERS[one]} - own
            for variable, value, line in account[1]:
                if variable in variables:
                    where = Where(line, excerpt(f"SAVED_{variable}='{value}'"), path=account[0].path)
                    yield from _dns_server(Ref(Kind.LINEAGE, text), variable, value, where)


def _dns_server(lineage: Ref, variable: str, value: str, where: Where) -> Iterator[Parsed]:
    provider = target(value)
    if provider is not None:
        where = replace(where, excerpt=where.excerpt or excerpt(f"{variable}='{value}'"))
        yield Dependency(lineage, provider, Relation.VALIDATED_THROUGH, where, Need.WRITE, confidence=Confidence.HIGH)


def _plain(setting: Setting) -> str:
    """A value, out of base64 if it is wrapped in it; empty if it can't be read."""
    value = setting.value
    found = _ENCODED.fullmatch(value)
    if found is None:
        return value
    try:
        return base64.b64decode(found[1], validate=False).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _text(settings: Mapping[str, Setting], key: str) -> str:
    setting = settings.get(key)
    return _plain(setting).strip() if setting is not None else ""


def _where(setting: Setting) -> Where:
    """The place of a setting, with what was encoded as text: only so can secrets in it be seen and taken out."""
    value = _plain(setting)
    return Where(setting.line, excerpt(f"{setting.name}='{value}'"))
