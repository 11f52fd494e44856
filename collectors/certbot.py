"""certbot: renewal configurations, cli.ini, hook directories and the server in rfc2136 credentials.

Sources: certbot's `storage.py`, `renewal.py`, `hooks.py` and `cli` (5.x), and the certbot-dns-rfc2136 plugin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import basename, dirname
from typing import ClassVar, Final, NamedTuple

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
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
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_hostname,
    normal_name,
)

_RENEWAL: Final = re.compile(r"(?:^|.*/)renewal/([^/]+)\.conf")
_RENEWAL_HEAD: Final = re.compile(
    rb"(?m)^\s*(?:\[renewalparams\]|(?:fullchain|privkey|archive_dir|renew_before_expiry)\s*=)"
)
_CLI: Final = re.compile(r"(?:^|.*/)(?:letsencrypt|certbot)[^/]*/cli\.ini(?:\.(?:j2|erb|tmpl))?")
_CLI_HEAD: Final = re.compile(
    rb"(?m)^\s*(?:agree-tos|authenticator|deploy-hook|renew-hook|rsa-key-size|key-type|webroot-path|max-log-backups|"
    rb"preferred-challenges|no-directory-hooks)\s*(?:=|$)"
)
_HOOK: Final = re.compile(r"(?:^|.*/)renewal-hooks/(pre|deploy|post)/[^/]+")
_CREDENTIALS: Final = re.compile(rb"(?m)^\s*(?:certbot_dns_rfc2136:)?dns_rfc2136_server\s*=")
_ACCOUNT: Final = re.compile(r"(.*/)accounts/.+/([0-9a-f]{32})/(?:regr|meta)\.json")
# Not str.splitlines: other tools count no line at a form feed or at U+2028.
_BREAK: Final = re.compile(r"\r\n|\n|\r")
_FILES: Final = ("cert", "privkey", "chain", "fullchain")
_CLIENT: Final = Ref(Kind.CLIENT, "certbot")
_SIZE_LIMIT: Final = 1 << 20
_SKIPPED: Final = "certbot skips this lineage: nothing renews it"

Value = str | list[str]


class _Setting(NamedTuple):
    """The command line of a hook in cli.ini: its stage, and the place it stands at."""

    root: str
    stage: str
    command: str


class _Section(NamedTuple):
    values: Mapping[str, Value]
    webroots: Mapping[str, Value]


class _Lines:
    """Where each key of an INI file stands, by section. configobj does not keep that."""

    def __init__(self, text: str) -> None:
        self._places: dict[tuple[str, str], Where] = {}
        section = ""
        for number, line in enumerate(_BREAK.split(text), 1):
            bare = line.strip()
            if bare.startswith("["):
                section = bare.strip("[] \t").split("]", 1)[0].strip()
                self._places.setdefault((section, ""), Where(number, excerpt(line)))
            elif "=" in bare and not bare.startswith("#"):
                key = bare.split("=", 1)[0].strip().strip("'\"")
                # The last one wins nowhere in certbot: configobj reports duplicates as errors and keeps the first.
                self._places.setdefault((section, key), Where(number, excerpt(line)))

    def of(self, section: str, key: str) -> Where:
        return self._places.get((section, key)) or self._places.get((section, "")) or Where(0)


def _one(value: object) -> str:
    """A value as one text: configobj makes a list of `a, b`."""
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    text = "" if value is None else str(value)
    return "" if text == "None" else text


def _several(value: object) -> list[str]:
    """A value as a list; certbot writes a trailing comma for lists of one."""
    items = value if isinstance(value, list) else str(value or "").split(",")
    return [text for text in (str(i).strip() for i in items) if text and text != "None"]


def _is_false(value: str) -> bool:
    return value.strip().lower() in ("false", "no", "0", "off")


class CertbotCollector(Collector):
    """Lineages of certbot: who renews them, how they are validated, what deploys them.

    A lineage is `certbot:<name of the file in renewal/>`. The deploy hook is `renew_hook` on disk and `deploy-hook` in
    cli.ini. Hooks of the directories run for every lineage of the same configuration directory, unless it says
    `directory_hooks = False`. `autorenew = False` leaves the lineage without anything that renews it.

    Reads
    -----
    `renewal/*.conf`, `cli.ini`, the names of files in `renewal-hooks/{pre,deploy,post}`, the server in credentials of
    certbot-dns-rfc2136, and `regr.json` and `meta.json` of accounts.

    Yields
    ------
    Lineages with domains, files, CA, account (its URI and the host it was made on) and authenticator; webroots, the
    host itself for standalone, nginx and apache, the names of DNS challenges with the plugins' credentials, hooks of
    manual validation; all other hooks.

    Can't see
    ---------
    What starts certbot (its timer or cron job says so), options of its command line, and whether a hook in a directory
    is executable: each one counts except `*~`. Account keys are never read.
    """

    name: ClassVar[str] = "certbot"
    title: ClassVar[str] = "certbot renewal configurations and hooks"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.RENEWED_BY,
            Relation.VALIDATED_THROUGH,
            Relation.DEPLOYED_BY,
            Relation.ISSUED_BY,
            Relation.RUNS_ON,
            Relation.CALLS,
            Relation.CONNECTS,
            Relation.READS,
            Relation.WRITES,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By place, and by content where the place alone could be another program's."""
        if _RENEWAL.fullmatch(path):
            return "/letsencrypt/" in path or _RENEWAL_HEAD.search(head) is not None
        if _HOOK.fullmatch(path):
            return not path.endswith("~")
        if path.endswith(("/regr.json", "/meta.json")):
            return _ACCOUNT.fullmatch(path) is not None
        if path.endswith((".ini", ".ini.j2", ".conf")):
            if _CREDENTIALS.search(head):
                return True
            return _CLI.fullmatch(path) is not None or (basename(path) == "cli.ini" and bool(_CLI_HEAD.search(head)))
        return False

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One lineage, the settings for all of them, one hook of a directory, or an rfc2136 server."""
        if (hook := _HOOK.fullmatch(document.path)) is not None:
            root = dirname(dirname(dirname(document.path)))
            first = decode(document.content[:4096]).split("\n", 1)[0]
            yield Fragment("hook", _Setting(root, hook[1], document.path), Where(1, excerpt(first)))
            return
        if (account := _ACCOUNT.fullmatch(document.path)) is not None:
            yield from _account(account[1].rstrip("/"), account[2], document.content)
            return
        if len(document.content) > _SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 1 MiB, so not certbot's own", "not read", whole=True)
            return
        text = decode(document.content)
        lines = _Lines(text)
        renewal = _RENEWAL.fullmatch(document.path)
        if renewal is None and _CREDENTIALS.search(document.content):
            yield from self._credentials(document, text)
            return
        config, errors = _parse(text)
        yield from errors
        if renewal is not None:
            yield from self._lineage(document, renewal[1], config, lines)
        else:
            yield from self._cli(document, config, lines)

    def _credentials(self, document: Document, text: str) -> Iterator[Parsed]:
        """`dns_rfc2136_server`: the name server that takes the dynamic updates (RFC 2136)."""
        port = re.search(r"(?m)^\s*(?:certbot_dns_rfc2136:)?dns_rfc2136_port\s*=\s*(\d+)", text)
        for number, line in enumerate(_BREAK.split(text), 1):
            found = re.match(r"\s*(?:certbot_dns_rfc2136:)?dns_rfc2136_server\s*=\s*(\S+)", line)
            # A template fills it in later.
            if found is None or found[1].startswith(("{{", "<%", "$")):
                continue
            target = host_ref(found[1])
            if target is not None and port is not None and port[1] != "53":
                shown = f"[{target.text}]" if ":" in target.text else target.text
                target = endpoint_ref(f"{shown}:{port[1]}")
            if target is None:
                yield Malformed(Where(number, excerpt(line)), "the name server is neither a name nor an address")
                continue
            consumer = Ref(Kind.PATH, document.path)
            yield Dependency(consumer, target, Relation.CONNECTS, Where(number, excerpt(line)), Need.WRITE)

    def _cli(self, document: Document, config: Mapping[str, object], lines: _Lines) -> Iterator[Parsed]:
        """cli.ini: its hooks hold for every lineage of this directory."""
        root = dirname(document.path)
        names = {
            "deploy-hook": "deploy",
            "renew-hook": "deploy",
            "pre-hook": "pre",
            "post-hook": "post",
            "manual-auth-hook": "auth",
            "manual-cleanup-hook": "cleanup",
        }
        for key, value in config.items():
            name = key.replace("_", "-")
            where = lines.of("", key)
            if name in names and _one(value):
                yield Fragment("setting", _Setting(root, names[name], _one(value)), where)
            elif (name == "no-directory-hooks" and not _is_false(_one(value))) or (
                name == "directory-hooks" and _is_false(_one(value))
            ):
                yield Fragment("setting", _Setting(root, "no-directory-hooks", ""), where)

    def _lineage(self, document: Document, name: str, config: Mapping[str, object], lines: _Lines) -> Iterator[Parsed]:
        lineage = Ref(Kind.LINEAGE, f"certbot:{name}")
        params_section = config.get("renewalparams")
        params: Mapping[str, object] = params_section if isinstance(params_section, Mapping) else {}
        map_section = params.get("webroot_map")
        webroots: Mapping[str, object] = map_section if isinstance(map_section, Mapping) else {}
        missing = [key for key in _FILES if not _one(config.get(key))]
        if missing and not params:
            yield Malformed(Where(0), "a renewal configuration without its files and parameters", _SKIPPED, whole=True)
            return
        if missing:
            yield Malformed(Where(0), f"required file references are missing: {', '.join(missing)}", _SKIPPED)
        if not params:
            yield Malformed(Where(0), "there is no [renewalparams] section", _SKIPPED)
        domains = _domains(name, params, webroots)
        autorenew = not _is_false(_one(params.get("autorenew")))
        directory_hooks = not _is_false(_one(params.get("directory_hooks")))
        yield Entity(
            lineage,
            Where(1, lines.of("", "version").excerpt or lines.of("", "cert").excerpt),
            _attributes(config, params, domains, autorenew=autorenew, directory_hooks=directory_hooks),
        )
        yield Dependency(_CLIENT, THIS_HOST, Relation.RUNS_ON, Where(0))
        if autorenew and params and not missing:
            yield Dependency(lineage, _CLIENT, Relation.RENEWED_BY, lines.of("renewalparams", ""))
        for key, path in (
            ("archive_dir", _one(config.get("archive_dir"))),
            ("cert", dirname(_one(config.get("cert")))),
        ):
            if path.startswith("/"):
                yield Dependency(lineage, Ref(Kind.PATH, path.rstrip("/")), Relation.WRITES, lines.of("", key))
        if (server := endpoint_ref(_one(params.get("server")))) is not None and "://" in _one(params.get("server")):
            # The CA has to store what it issues.
            yield Dependency(lineage, server, Relation.ISSUED_BY, lines.of("renewalparams", "server"), Need.WRITE)
        yield from _validation(lineage, domains, params, webroots, lines)
        for key, stage in (("renew_hook", "deploy"), ("pre_hook", "pre"), ("post_hook", "post")):
            if command := _one(params.get(key)):
                yield from _hook(lineage, stage, command, lines.of("renewalparams", key))
        root = dirname(dirname(document.path))
        yield Fragment("lineage", (root, name, directory_hooks, _one(params.get("account"))), Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Hooks of the directories and of cli.ini, for each lineage of the same configuration directory."""
        settings = [f for f in fragments if f.kind == "setting" and isinstance(f.value, _Setting)]
        hooks = [f for f in fragments if f.kind == "hook" and isinstance(f.value, _Setting)]
        off = {f.value.root for f in settings if f.value.stage == "no-directory-hooks"}  # type: ignore[attr-defined]
        for fragment in fragments:
            if fragment.kind != "lineage" or not isinstance(fragment.value, tuple):
                continue
            root, name, wants_directory, account = fragment.value
            lineage = Ref(Kind.LINEAGE, f"certbot:{name}")
            for one in fragments:
                if one.kind == "account" and isinstance(one.value, tuple) and one.value[:2] == (root, account):
                    yield Entity(lineage, replace(one.where, path=one.path), dict(one.value[2]))
            for setting in settings:
                given = setting.value
                assert isinstance(given, _Setting)
                if given.root == root and given.stage != "no-directory-hooks":
                    yield from _hook(lineage, given.stage, given.command, replace(setting.where, path=setting.path))
            if not wants_directory or root in off:
                continue
            for hook in hooks:
                given = hook.value
                assert isinstance(given, _Setting)
                if given.root == root:
                    relation = Relation.DEPLOYED_BY if given.stage == "deploy" else Relation.CALLS
                    yield Dependency(
                        lineage, Ref(Kind.PATH, given.command), relation, replace(hook.where, path=hook.path), Need.RUN
                    )


def _account(root: str, identity: str, content: bytes) -> Iterator[Parsed]:
    """What an account's own files say: its URI at the CA, and when and on which host it was made."""
    try:
        known = json.loads(decode(content)) if len(content) <= _SIZE_LIMIT else None
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        yield Malformed(Where(0), "not an account's JSON", "certbot can't use the account", whole=True)
        return
    keys = (("uri", "account_uri"), ("creation_dt", "account_created"), ("creation_host", "account_host"))
    found = tuple((name, excerpt(known[key])) for key, name in keys if isinstance(known.get(key), str) and known[key])
    shown = ", ".join(f"{name.removeprefix('account_')} {value}" for name, value in found)
    yield Fragment("account", (root, identity, found), Where(1, excerpt(shown)))


def _parse(text: str) -> tuple[Mapping[str, object], list[Malformed]]:
    """configobj's tree, and its errors; what stands outside the broken lines is kept."""
    from configobj import ConfigObj, ConfigObjError

    lines = _BREAK.split(text)
    try:
        return ConfigObj(lines, interpolation=False, encoding=None), []
    except ConfigObjError as error:
        problems = []
        for one in getattr(error, "errors", None) or [error]:
            number = int(getattr(one, "line_number", 0) or 0)
            line = lines[number - 1] if 0 < number <= len(lines) else ""
            # Some messages quote the line, secrets and all.
            reason = re.sub(r" \(['\"].*['\"]\)| at line \d+\.?$", "", str(one)).strip().rstrip(".")
            reason = reason if len(reason) < 120 and line not in reason else "a line that is no setting"
            problems.append(Malformed(Where(number, excerpt(line)), reason, _SKIPPED))
        config = getattr(error, "config", None)
        return (config if isinstance(config, Mapping) else {}), problems[:20]
    # configobj indexes its input without checks in places; certbot would fail alike.
    except (AssertionError, LookupError, RecursionError, TypeError, ValueError, AttributeError):
        return {}, [Malformed(Where(0), "not readable as a configuration", _SKIPPED, whole=True)]


def _domains(name: str, params: Mapping[str, object], webroots: Mapping[str, object]) -> tuple[str, ...]:
    """Names of the lineage: of the webroot map, of old files' `domains`, else the lineage's own name.

    The certificate itself has them all; certbot takes them from there.
    """
    found = [*webroots, *_several(params.get("domains"))]
    if not found:
        bare = re.sub(r"-\d{4}$", "", name)
        found = [bare] if "." in bare else []
    return tuple(dict.fromkeys(normal_name(str(d)) for d in found if is_hostname(str(d))))


def _attributes(
    config: Mapping[str, object],
    params: Mapping[str, object],
    domains: tuple[str, ...],
    *,
    autorenew: bool,
    directory_hooks: bool,
) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {"client": "certbot", "autorenew": autorenew, "directory_hooks": directory_hooks}
    for key in ("version", "archive_dir", *_FILES, "renew_before_expiry"):
        if value := _one(config.get(key)):
            found[key] = excerpt(value)
    for key in ("authenticator", "installer", "server", "account", "key_type", "preferred_chain", "reuse_key"):
        if value := _one(params.get(key)):
            found[key] = excerpt(value)
    for key, attribute in (("renew_hook", "deploy_hook"), ("pre_hook", "pre_hook"), ("post_hook", "post_hook")):
        if value := _one(params.get(key)):
            found[attribute] = excerpt(value)
    if domains:
        found["domains"] = domains
    return found


def _validation(
    lineage: Ref,
    domains: tuple[str, ...],
    params: Mapping[str, object],
    webroots: Mapping[str, object],
    lines: _Lines,
) -> Iterator[Parsed]:
    """What the CA's challenge goes through, by authenticator."""
    authenticator = _one(params.get("authenticator")).rpartition(":")[2].replace("_", "-")
    here = lines.of("renewalparams", "authenticator")
    through_dns = authenticator.startswith("dns-")
    if authenticator == "webroot":
        roots = {str(path): lines.of("webroot_map", str(domain)) for domain, path in webroots.items()}
        for path in _several(params.get("webroot_path")):
            roots.setdefault(path, lines.of("renewalparams", "webroot_path"))
        for path, where in roots.items():
            if path.startswith("/"):
                provider = Ref(Kind.PATH, path.rstrip("/") or "/")
                yield Dependency(lineage, provider, Relation.VALIDATED_THROUGH, where, Need.WRITE)
    elif authenticator == "manual":
        for key in ("manual_auth_hook", "manual_cleanup_hook"):
            if command := _one(params.get(key)):
                stage = "auth" if key == "manual_auth_hook" else "cleanup"
                yield from _hook(lineage, stage, command, lines.of("renewalparams", key))
        through_dns = any(c.startswith("dns") for c in _several(params.get("pref_challs")))
    elif authenticator in ("standalone", "nginx", "apache"):
        yield Dependency(lineage, THIS_HOST, Relation.VALIDATED_THROUGH, here, Need.RUN)
    for key, value in params.items():
        if re.fullmatch(r"(?:certbot_\w+:)?dns_\w+_credentials", str(key)) and _one(value).startswith("/"):
            where = lines.of("renewalparams", str(key))
            yield Dependency(lineage, Ref(Kind.PATH, _one(value)), Relation.READS, where)
        elif re.fullmatch(r"(?:certbot_\w+:)?dns_rfc2136_server", str(key)):
            target = host_ref(_one(value))
            if target is not None:
                where = lines.of("renewalparams", str(key))
                yield Dependency(lineage, target, Relation.CONNECTS, where, Need.WRITE)
    if through_dns:
        for domain in domains:
            challenge = Ref(Kind.NAME, normal_name(f"_acme-challenge.{domain.removeprefix('*.')}"))
            yield Dependency(lineage, challenge, Relation.VALIDATED_THROUGH, here, Need.READ)


def _hook(lineage: Ref, stage: str, command: str, where: Where) -> Iterator[Parsed]:
    """What a hook's command line does for a lineage.

    What the deploy hook calls and connects to deploys the certificate: DEPLOYED_BY. The authentication hook likewise is
    VALIDATED_THROUGH. A script of this host must run; a receiver elsewhere must store something. Other stages keep the
    relations of a command.
    """
    relation = {"deploy": Relation.DEPLOYED_BY, "auth": Relation.VALIDATED_THROUGH}.get(stage)
    facts: Iterable[Parsed] = analyse_command(command, lineage, where)
    for fact in facts:
        if relation and isinstance(fact, Dependency) and fact.relation in (Relation.CALLS, Relation.CONNECTS):
            need = Need.RUN if fact.relation is Relation.CALLS else Need.WRITE
            sure = Confidence.HIGH if fact.confidence is Confidence.HIGH else Confidence.MEDIUM
            yield replace(fact, relation=relation, need=need, confidence=sure)
        else:
            yield fact
