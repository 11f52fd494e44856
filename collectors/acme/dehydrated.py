"""dehydrated: config, config.d, domains.txt, the configuration of single certificates, and the hook.

Sources: dehydrated 0.7.2, its `load_config` and `command_sign_domains`, and in its docs/ domains_txt.md,
per-certificate-config.md and examples/hook.sh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import basename, dirname, join, normpath
from typing import ClassVar, Final, NamedTuple

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
    decode,
    excerpt,
    is_hostname,
)
from collectors.acme.lineages import (
    SIZE_LIMIT,
    TOO_LARGE,
    Setting,
    attributes,
    challenge_names,
    client,
    issued_by,
    lineage_ref,
    names,
    read_settings,
    validated_here,
    webroot,
    written,
)

LINE_LIMIT: Final = 100_000
"""Lines of a domains.txt that are read."""

_KEYS: Final = re.compile(
    rb"(?m)^[ \t]*(?:export[ \t]+)?(?:WELLKNOWN|CHALLENGETYPE|DOMAINS_TXT|HOOK_CHAIN|CERTDIR|DOMAINS_D|CONFIG_D|"
    rb"PRIVATE_KEY_RENEW|ALPNCERTDIR)="
)
_SUFFIXES: Final = (
    "/config",
    "/domains.txt",
    ".sh",
    "/config.j2",
    "/domains.txt.j2",
    "/config.erb",
    "/domains.txt.erb",
)
# load_config's presets.
_CAS: Final = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-test": "https://acme-staging-v02.api.letsencrypt.org/directory",
    "zerossl": "https://acme.zerossl.com/v2/DV90",
    "buypass": "https://api.buypass.com/acme/directory",
    "buypass-test": "https://api.test4.buypass.no/acme/directory",
    "google": "https://dv.acme-v02.api.pki.goog/directory",
    "google-test": "https://dv.acme-v02.test-api.pki.goog/directory",
}
_COMMENT: Final = re.compile(r"(?m)^\s*#.*$")


class _Place(NamedTuple):
    """A setting with the file it stands in."""

    setting: Setting
    path: str
    where: Where


_Settings = dict[str, _Place]


class DehydratedCollector(Collector):
    """Certificates of dehydrated: the lines of domains.txt, with what the configuration says of them.

    A lineage is `dehydrated:<alias>`, or the first domain of its line. The configuration is a sourced shell file: only
    assignments are read, nothing is run.

    Reads
    -----
    `config` (in a directory called after dehydrated, or with its settings), `CONFIG_D/*.sh`, `domains.txt`,
    `<certificate>/config` or the file in `DOMAINS_D`, and the hook for which of dehydrated's verbs it handles.

    Yields
    ------
    Lineages with domains, CA, the directory they are written to, the webroot or the names of DNS challenges, and the
    hook: it deploys if it handles `deploy_cert`, and validates if it handles `deploy_challenge`.

    Can't see
    ---------
    Options of the command line that override the configuration, values that the shell would compute, and what starts
    dehydrated (its cron job says so). What the hook itself does is read where scripts are read.
    """

    name: ClassVar[str] = "dehydrated"
    title: ClassVar[str] = "dehydrated configurations and domains.txt"
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
        """By place: a directory called after dehydrated; `config` elsewhere by settings that only it has."""
        if not path.endswith(_SUFFIXES):
            return False
        own = "dehydrated" in path or "letsencrypt.sh/" in path
        name = basename(path)
        if name.startswith("config"):
            return _KEYS.search(head) is not None or (own and not name.endswith(".sh") and b"CHALLENGETYPE" in head)
        if name.endswith(".sh"):
            return own and dirname(path).endswith(("/conf.d", "/config.d"))
        return own

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The lines or settings of one file; what they mean needs all of them."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        text = decode(document.content)
        if "domains.txt" in basename(document.path):
            yield from _domains(document.path, text)
        else:
            kind = "more" if document.path.endswith(".sh") else "config"
            yield Fragment(kind, (document.path, text), Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Each line of each domains.txt, with the configuration that names this file or lies beside it."""
        configs = [
            (one.value[0], _read(one.value[0], one.path, one.value[1], {}), one)
            for one in fragments
            if one.kind == "config" and isinstance(one.value, tuple)
        ]
        for _path, settings, _ in configs:
            directory = _value(settings, "CONFIG_D")
            for one in sorted(
                (f for f in fragments if f.kind == "more" and isinstance(f.value, tuple)), key=lambda f: str(f.value)
            ):
                assert isinstance(one.value, tuple)
                if directory and dirname(one.value[0]) == directory.rstrip("/"):
                    settings.update(_read(one.value[0], one.path, one.value[1], settings))
        ran: set[str] = set()
        for one in fragments:
            if one.kind != "certificate" or not isinstance(one.value, tuple):
                continue
            path, alias, domains = one.value
            place = Where(one.where.line, one.where.excerpt, path=one.path)
            if one.path not in ran:
                ran.add(one.path)
                yield Dependency(client("dehydrated"), THIS_HOST, Relation.RUNS_ON, place)
            settings = _settings_for(path, configs)
            yield from _lineage(alias, domains, settings, place, path, read)


def _domains(path: str, text: str) -> Iterator[Parsed]:
    """Lines of domains.txt, as dehydrated's sed and grep leave them."""
    for number, line in enumerate(text.split("\n")[:LINE_LIMIT], start=1):
        bare = re.sub(r"\s*>\s*", " >", line.strip().lower())
        if not bare or bare.startswith("#") or "{{" in bare or "{%" in bare or "<%" in bare:
            continue
        words = bare.split()
        where = Where(number, excerpt(line))
        aliases = [word[1:] for word in words if word.startswith(">")]
        written_names = [word for word in words if not word.startswith(">")]
        if len(aliases) > 1:
            yield Malformed(where, "more than one alias on a line", "dehydrated stops: nothing below is renewed")
            return
        bad = [word for word in written_names if not is_hostname(word)]
        if not written_names or bad:
            yield Malformed(where, f"{excerpt(bad[0]) if bad else 'nothing'} is no domain", "the CA refuses the order")
            continue
        if written_names[0].startswith("*.") and not aliases:
            yield Malformed(where, "a wildcard certificate without an alias", "dehydrated skips the line")
            continue
        alias = aliases[0] if aliases and aliases[0] else written_names[0]
        yield Fragment("certificate", (path, alias, names(written_names)), where)


def _read(path: str, origin: str, text: str, before: Mapping[str, _Place]) -> _Settings:
    base = dirname(path)
    known = {"SCRIPTDIR": base, "BASEDIR": base} | {key: place.setting.value for key, place in before.items()}
    lines = text.split("\n")
    found: _Settings = {}
    for setting in read_settings(text, known):
        line = lines[setting.line - 1] if setting.line <= len(lines) else ""
        found[setting.name] = _Place(setting, path, Where(setting.line, excerpt(line), path=origin))
    return found


def _value(settings: Mapping[str, _Place], key: str) -> str:
    place = settings.get(key)
    return place.setting.value if place is not None else ""


def _settings_for(path: str, configs: Sequence[tuple[str, _Settings, Fragment]]) -> _Settings:
    """The configuration whose DOMAINS_TXT a file is; else the one in the same directory."""
    for config, settings, _ in configs:
        base = _value(settings, "BASEDIR") or dirname(config)
        listed = _value(settings, "DOMAINS_TXT") or join(base, "domains.txt")
        if normpath(listed) == normpath(path):
            return settings
    return next((settings for config, settings, _ in configs if dirname(config) == dirname(path)), {})


def _lineage(
    alias: str, domains: tuple[str, ...], shared: _Settings, where: Where, domains_txt: str, read: Read
) -> Iterator[Parsed]:
    lineage = lineage_ref("dehydrated", alias)
    base = _value(shared, "BASEDIR") or dirname(domains_txt)
    certificates = _value(shared, "CERTDIR") or join(base, "certs")
    directory = join(certificates, alias)
    settings = dict(shared)
    single = join(_value(shared, "DOMAINS_D"), alias) if _value(shared, "DOMAINS_D") else join(directory, "config")
    content = read(single) if single.startswith("/") else None
    if content is not None and len(content) <= SIZE_LIMIT:
        settings.update(_read(single, single, decode(content), shared))
    method = _value(settings, "CHALLENGETYPE") or "http-01"
    ca = _value(settings, "CA") or "letsencrypt"
    ca = _CAS.get(ca, ca)
    hook = _value(settings, "HOOK")
    yield Entity(
        lineage,
        where,
        attributes(
            client="dehydrated",
            domains=domains,
            authenticator=method,
            server=ca,
            certificate_dir=directory if directory.startswith("/") else "",
            deploy_hook=hook,
            key_type=_value(settings, "KEY_ALGO"),
        ),
    )
    yield Dependency(lineage, client("dehydrated"), Relation.RENEWED_BY, where)
    yield from written(lineage, directory, _at(settings, "CERTDIR", where))
    yield from issued_by(lineage, ca, _at(settings, "CA", where))
    validates, deploys = _verbs(hook, method, read)
    here = _at(settings, "CHALLENGETYPE", where)
    if method == "dns-01":
        yield from challenge_names(lineage, domains, here)
    elif method == "tls-alpn-01":
        yield from validated_here(lineage, here)
    else:
        yield from webroot(
            lineage, _value(settings, "WELLKNOWN") or "/var/www/dehydrated", _at(settings, "WELLKNOWN", where)
        )
    if hook.startswith("/"):
        script = Ref(Kind.PATH, hook)
        if validates:
            yield Dependency(lineage, script, Relation.VALIDATED_THROUGH, _at(settings, "HOOK", where), Need.RUN)
        if deploys:
            yield Dependency(lineage, script, Relation.DEPLOYED_BY, _at(settings, "HOOK", where), Need.RUN)


def _at(settings: Mapping[str, _Place], key: str, otherwise: Where) -> Where:
    place = settings.get(key)
    return place.where if place is not None else otherwise


def _verbs(hook: str, method: str, read: Read) -> tuple[bool, bool]:
    """Whether a hook answers challenges, and whether it deploys: by the verbs in its text, if that was captured."""
    content = read(hook) if hook.startswith("/") else None
    if content is None or len(content) > SIZE_LIMIT or b"\x00" in content[:512]:
        return method == "dns-01", True
    text = _COMMENT.sub("", decode(content))
    return "deploy_challenge" in text and method != "http-01", "deploy_cert" in text
