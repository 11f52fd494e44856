"""lego: `.lego.yml`, and what it keeps of each certificate.

Sources: lego 5 (`cmd/internal/configuration`, the reference of its file configuration), lego 4's `certificates` store,
and the documentation of its DNS providers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from posixpath import basename, dirname, join, normpath
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
    excerpt,
    read_yaml,
    split_endpoint,
    without_templates,
)
from collectors.acme.lineages import (
    SIZE_LIMIT,
    TOO_LARGE,
    attributes,
    challenge_names,
    client,
    hook,
    issued_by,
    lineage_ref,
    names,
    read_settings,
    target,
    validated_here,
    webroot,
    written,
)

_LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
# acme/api's short names of directories in lego 5.
_SERVERS: Final = {
    "letsencrypt": _LETS_ENCRYPT,
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
_STORED: Final = re.compile(rb'"(?:certUrl|certStableUrl)"\s*:')
_CONFIGURED: Final = re.compile(rb"(?m)^certificates:")
# What the providers for servers of one's own read; each may come from a file as `<name>_FILE`.
_PROVIDERS: Final = {
    "RFC2136_NAMESERVER": "rfc2136",
    "PDNS_API_URL": "pdns",
    "ACME_DNS_API_BASE": "acme-dns",
    "HTTPREQ_ENDPOINT": "httpreq",
    "TECHNITIUM_SERVER_BASE_URL": "technitium",
    "INFOBLOX_HOST": "infoblox",
    "EFFICIENTIP_HOSTNAME": "efficientip",
    "BLUECAT_SERVER_URL": "bluecat",
    "OS_AUTH_URL": "designate",
    "CPANEL_BASE_URL": "cpanel",
    "PLESK_SERVER_BASE_URL": "plesk",
}


class LegoCollector(Collector):
    """Certificates of lego, by its configuration and by what it stored.

    A lineage is `lego:<id>`: the certificate's key in `.lego.yml`, or the name of its stored file.

    Reads
    -----
    `.lego.yml`, `.lego.yaml` and YAML in directories called after lego that configures certificates; the `.json` files
    of lego's `certificates` directory; the `envFile` of a DNS challenge, for the server that its provider talks to.

    Yields
    ------
    Lineages with domains, CA and files; webroots, memcached hosts and the names of DNS challenges; hooks.

    Can't see
    ---------
    What starts lego, and hooks on its command line: both are read with the job. Variables of the environment, unless an
    `envFile` holds them.
    """

    name: ClassVar[str] = "lego"
    title: ClassVar[str] = "lego configurations and stored certificates"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.RENEWED_BY,
            Relation.VALIDATED_THROUGH,
            Relation.DEPLOYED_BY,
            Relation.ISSUED_BY,
            Relation.WRITES,
            Relation.READS,
            Relation.RUNS_ON,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """`.lego.yml` by name, other YAML by directory and content; stored certificates by what only lego writes."""
        if path.endswith((".yml", ".yaml", ".yml.j2", ".yaml.j2")):
            if "lego" not in path:
                return False
            return basename(path).startswith((".lego.", "lego.")) or (
                _CONFIGURED.search(head) is not None and b"domains:" in head
            )
        return path.endswith(".json") and "/certificates/" in path and _STORED.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The certificates of a configuration, or the one of a stored file."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        text = decode(document.content)
        if document.path.endswith(".json"):
            yield from _stored(document.path, read_yaml(text))
            return
        template = "{{" in text or "{%" in text
        stream = read_yaml(without_templates(text) if template else text)
        if stream.problem is not None and not template:
            where = stream.where(stream.problem.line)
            yield Malformed(where, stream.problem.reason, "lego does not start", whole=not stream.documents)
        for root in stream.documents[:1]:
            yield from _configuration(document.path, stream, root)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The servers that the environment files of DNS challenges name."""
        for one in fragments:
            if not isinstance(one.value, tuple):
                continue
            text, provider, path = one.value
            content = read(path)
            if content is None or len(content) > SIZE_LIMIT:
                continue
            for setting in read_settings(decode(content)):
                found = target(setting.value) if _PROVIDERS.get(setting.name) == provider else None
                if found is not None:
                    where = Where(setting.line, excerpt(f"{setting.name}={setting.value}"), path=path)
                    yield Dependency(Ref(Kind.LINEAGE, text), found, Relation.VALIDATED_THROUGH, where, Need.WRITE)
                elif provider == "exec" and setting.name == "EXEC_PATH" and setting.value.startswith("/"):
                    where = Where(setting.line, excerpt(f"EXEC_PATH={setting.value}"), path=path)
                    script = Ref(Kind.PATH, setting.value)
                    yield Dependency(Ref(Kind.LINEAGE, text), script, Relation.VALIDATED_THROUGH, where, Need.RUN)


def _stored(path: str, stream: YamlStream) -> Iterator[Parsed]:
    root = stream.documents[0] if stream.documents else None
    if stream.problem is not None or root is None or not root.is_map:
        problem = stream.problem
        yield Malformed(
            stream.where(problem.line if problem else 0),
            problem.reason if problem else "not an object",
            "lego can't renew it",
            whole=True,
        )
        return
    name = root.text("id") or root.text("domain") or basename(path).removesuffix(".json")
    lineage = lineage_ref("lego", name)
    key = root.get("id") or root.get("domain") or root
    here = stream.where(key)
    base = path.removesuffix(".json")
    yield Entity(
        lineage,
        here,
        attributes(
            client="lego",
            domains=names(child.scalar for child in (root.children("domains") or root.children("domain"))),
            certificate_files=(f"{base}.crt",) if path.startswith("/") else (),
            key_type=root.text("keyType"),
        ),
    )
    yield Dependency(client("lego"), THIS_HOST, Relation.RUNS_ON, here)
    yield Dependency(lineage, client("lego"), Relation.RENEWED_BY, here)
    yield from written(lineage, dirname(path), here)
    link = root.get("certUrl")
    parts = split_endpoint(link.scalar) if link is not None else None
    if link is not None and parts is not None and parts.scheme:
        # The directory is kept with the account; the certificate's own address has the same host.
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.host}]" if ":" in parts.host else parts.host
        yield from issued_by(lineage, f"{parts.scheme}://{host}{port}", stream.where(link))


def _configuration(path: str, stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    certificates = root.get("certificates")
    if certificates is None or not certificates.is_map:
        return
    storage = root.text("storage") or ".lego"
    if not storage.startswith("/"):
        storage = normpath(join(dirname(path), storage)) if path.startswith("/") else ""
    yield Dependency(client("lego"), THIS_HOST, Relation.RUNS_ON, stream.where(certificates))
    for key, certificate in certificates.items():
        if certificate.is_map:
            yield from _certificate(path, stream, root, storage, key, certificate)


def _certificate(
    path: str, stream: YamlStream, root: YamlNode, storage: str, key: YamlNode, certificate: YamlNode
) -> Iterator[Parsed]:
    name = key.scalar
    lineage = lineage_ref("lego", name)
    here = stream.where(key)
    domains = names(child.scalar for child in certificate.children("domains"))
    challenge, method = _challenge(root, certificate)
    server, where_server = _server(stream, root, certificate)
    yield Entity(
        lineage,
        here,
        attributes(
            client="lego",
            domains=domains,
            authenticator=method,
            server=server,
            account=certificate.text("account"),
            certificate_files=(f"{storage}/certificates/{name}.crt",) if storage else (),
            key_type=certificate.text("keyType"),
        ),
    )
    yield Dependency(lineage, client("lego"), Relation.RENEWED_BY, here)
    if storage:
        place = root.get("storage")
        yield from written(lineage, storage, stream.where(place) if place is not None else here)
    yield from issued_by(lineage, server, where_server or here)
    yield from _validation(path, stream, lineage, domains, challenge, method, here)
    for owner in (root, certificate):
        hooks = owner.get("hooks")
        if hooks is None or not hooks.is_map:
            continue
        for stage in ("pre", "deploy", "post"):
            one = hooks.get(stage)
            command = one.get("command") if one is not None and one.is_map else one
            if command is not None and command.is_scalar and command.scalar:
                yield from hook(lineage, stage, command.scalar, stream.where(command))


def _challenge(root: YamlNode, certificate: YamlNode) -> tuple[YamlNode | None, str]:
    """The challenge that a certificate names (the only one if it names none), and its kind."""
    named = certificate.text("challenge")
    challenges = root.get("challenges")
    if challenges is not None and challenges.is_map:
        known = challenges.index()
        if not named and len(known) == 1:
            named = next(iter(known))
        if named in known and known[named][1].is_map:
            challenge = known[named][1]
            for kind, method in (("dns", "dns-01"), ("http", "http-01"), ("tls", "tls-alpn-01")):
                if challenge.get(kind) is not None:
                    return challenge.get(kind), method
            return None, "dns-persist-01" if challenge.get("dnsPersist") is not None else ""
    return None, named if named in ("http-01", "tls-alpn-01", "dns-persist-01") else ""


def _server(stream: YamlStream, root: YamlNode, certificate: YamlNode) -> tuple[str, Where | None]:
    """The directory of the certificate's account: a URL, a name of `servers`, or Let's Encrypt."""
    accounts = root.get("accounts")
    known = accounts.index() if accounts is not None and accounts.is_map else {}
    named = certificate.text("account") or (next(iter(known)) if len(known) == 1 else "")
    account = known[named][1] if named in known else None
    given = account.get("server") if account is not None and account.is_map else None
    if given is None or not given.scalar:
        return _LETS_ENCRYPT, None
    server = root.at("servers", given.scalar, "url")
    if server is not None and server.scalar:
        return server.scalar, stream.where(server)
    return _SERVERS.get(given.scalar, given.scalar), stream.where(given)


def _validation(
    path: str,
    stream: YamlStream,
    lineage: Ref,
    domains: tuple[str, ...],
    challenge: YamlNode | None,
    method: str,
    here: Where,
) -> Iterator[Parsed]:
    where = stream.where(challenge) if challenge is not None else here
    if method == "dns-01":
        yield from challenge_names(lineage, domains, where)
        provider = challenge.text("provider") if challenge is not None else ""
        environment = challenge.get("envFile") if challenge is not None else None
        if environment is not None and environment.scalar:
            file = environment.scalar
            if not file.startswith("/"):
                file = normpath(join(dirname(path), file))
            if file.startswith("/"):
                yield Dependency(lineage, Ref(Kind.PATH, file), Relation.READS, stream.where(environment))
            yield Fragment("environment", (lineage.text, provider, file), stream.where(environment))
    elif method in ("http-01", "tls-alpn-01"):
        root = challenge.get("webroot") if challenge is not None and challenge.is_map else None
        hosts = challenge.children("memcachedHosts") if challenge is not None and challenge.is_map else ()
        if root is not None and root.scalar:
            yield from webroot(lineage, root.scalar, stream.where(root))
        for host in hosts:
            found = target(host.scalar)
            if found is not None:
                yield Dependency(
                    lineage, found, Relation.VALIDATED_THROUGH, stream.where(host), Need.WRITE, "memcached"
                )
        elsewhere = (
            root is not None or hosts or (challenge is not None and challenge.is_map and challenge.get("s3Bucket"))
        )
        if not elsewhere:
            yield from validated_here(lineage, where)
