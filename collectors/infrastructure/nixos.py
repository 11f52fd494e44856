"""NixOS: what machines need of others by their configuration, as far as it is literal.

Sources: the options of NixOS 25.05 (`networking.*`, `services.*`, `fileSystems`, `nix.*`, `systemd.network`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    is_address,
    is_hostname,
)
from collectors.infrastructure.common import is_host_key, mounted, outside
from collectors.infrastructure.nix import NixText, is_member, read_nix

MAX_BYTES: Final = 4 << 20
VALUES_LIMIT: Final = 50_000
"""Texts of one file in which hosts are looked for."""

_ROOTS: Final = frozenset({"services", "networking", "fileSystems", "nix", "systemd"})
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_REMOTE: Final = re.compile(r"(?://([\w.-]+)/|(\[[0-9a-fA-F:]+\]|[\w.-]+):/).*")
# What a service is called or listens on, and where it sends people that ask for something else.
_OWN: Final = re.compile(
    r"(?:.*_)?(?:root|base|external|public|site|canonical|web|app|own|home|advertised?|listen|bind|frontend|callback"
    r"|redirect|http|https|grpc|metrics)_(?:url|uri|addr|address|addresses|host|hostname|server)"
    r"|global_redirect|(?:.*_)?(?:listen|bind).*|(?:.*_)?(?:domain|domains|server_name|server_aliases|host_name)"
)
_ELSEWHERE: Final = re.compile(
    r"remote|peer|server|target|upstream|backend|database|db|master|primary|relay|smtp|gateway"
)
_LISTENS: Final = frozenset({"server", "http", "https", "grpc", "listen", "listeners", "web", "api", "listenaddresses"})
_ITSELF: Final = frozenset({"host", "hostname", "address", "addr", "ip", "url"})
_LISTS: Final = frozenset(
    {"servers", "upstreams", "upstream", "targets", "peers", "members", "hosts", "brokers", "endpoints", "urls"}
)
_LEFT_OUT: Final = frozenset({"exporters", "knownhosts", "listen", "environment_file"})


class NixosCollector(Collector):
    """What services of NixOS machines reach elsewhere.

    The machine is known by its `networking.hostName`, its place in a flake (`nixosConfigurations`) or its file
    (`hosts/web-01/…`, `machines/web-01.nix`); what says of none is of its file.

    Reads
    -----
    `*.nix`. Conditions and functions are read over: what they would give to an option counts as given. Names that `let`
    binds to a text in the same file are filled in.

    Yields
    ------
    Of `services.*` URLs, and hosts of options that are called after one (`database.host`, `servers`, `upstream`), those
    of a list as alternatives; back ends of nginx; scrape jobs of Prometheus with their targets. Endpoints of
    WireGuard's peers, name servers, a default gateway and proxy, network file systems, builders and binary caches.

    Can't see
    ---------
    What is computed, or comes from another file; options that hold a program's own configuration as a text (the mention
    scan reads them). What a service listens on, and what it calls itself, is no dependency.
    """

    name: ClassVar[str] = "nixos"
    title: ClassVar[str] = "NixOS configuration"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.BACKED_BY, Relation.MOUNTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the suffix."""
        return path.endswith(".nix") and b"\x00" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """What the options of one file name."""
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", True)
            return
        text = decode(document.content)
        if not any(root in text for root in _ROOTS):
            return
        yield from _File(document.path, text).facts()


class _File:
    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.split("\n")
        found = [(one, below) for one in read_nix(text) if one.whole and (below := _below(one.path))]
        self.texts = found[:VALUES_LIMIT]
        self.made: set[Ref] = set()
        self.members: dict[tuple[str, ...], int] = {}
        """How many members each list has."""
        for one, _ in self.texts:
            if one.text is not None and is_member(one.path[-1]):
                self.members[one.path[:-1]] = self.members.get(one.path[:-1], 0) + 1
        self.named = {one.path[:-2]: one.text for one, option in self.texts if option == _NAME and _is_name(one.text)}
        self.domains = {
            one.path[:-2]: one.text for one, option in self.texts if option == _DOMAIN and _is_name(one.text)
        }
        self.jobs = {one.path[:-1]: one.text for one, _ in self.texts if one.text and one.path[-1] == "job_name"}

    def facts(self) -> Iterator[Parsed]:
        for one, option in self.texts:
            for fact in self._of(one, option):
                if isinstance(fact, Dependency) and fact.consumer not in self.made:
                    self.made.add(fact.consumer)
                    yield Entity(fact.consumer, fact.where)
                yield fact

    def _of(self, one: NixText, option: tuple[str, ...]) -> Iterator[Parsed]:
        names = [part for part in option if not is_member(part)]
        root, key = names[0], names[-1]
        if one.text is None:
            # nginx's upstreams have their servers as names of attributes.
            if names[:3] == ["services", "nginx", "upstreams"] and len(names) == 6 and names[4] == "servers":
                ref = self._service(one, option, f"nginx upstream {excerpt(names[3])}")
                yield from self._to(one, ref, names[5], Relation.BACKED_BY, "servers")
            return
        if root == "services":
            yield from self._service_option(one, option, names)
        elif root == "networking":
            yield from self._networking(one, option, names)
        elif root == "fileSystems" and len(names) == 3 and key == "device" and (found := _REMOTE.fullmatch(one.text)):
            ref = self._service(one, option, f"file system {excerpt(names[1])}")
            yield from mounted(ref, (found[1] or found[2]).strip("[]"), False, self._where(one))
        elif names == ["nix", "buildMachines", "hostName"]:
            yield from self._to(
                one, self._service(one, option, "nix builders"), one.text, Relation.CONNECTS, "builders"
            )
        elif names[:2] == ["nix", "settings"] and key in ("substituters", "trusted-substituters", "extra-substituters"):
            yield from self._to(one, self._service(one, option, "nix"), one.text, Relation.CONNECTS, "substituters")
        elif names[:3] == ["systemd", "network", "netdevs"] and key == "Endpoint":
            ref = self._service(one, option, f"wireguard {excerpt(names[3])}")
            yield from self._to(one, ref, one.text, Relation.CONNECTS)

    def _networking(self, one: NixText, option: tuple[str, ...], names: Sequence[str]) -> Iterator[Parsed]:
        assert one.text is not None
        if names[1:2] in (["wireguard"], ["wg-quick"]) and len(names) > 4 and names[-1] == "endpoint":
            ref = self._service(one, option, f"wireguard {excerpt(names[3])}")
            yield from self._to(one, ref, one.text, Relation.CONNECTS)
        elif names[1:] == ["nameservers"]:
            # `1.1.1.1#one.one.one.one`: with the name of its certificate.
            ref, place = self._service(one, option, "name servers"), one.text.partition("#")[0]
            yield from self._to(one, ref, place, Relation.CONNECTS, "nameservers")
        elif names[1:] in (["defaultGateway"], ["defaultGateway", "address"], ["defaultGateway6", "address"]):
            yield from self._to(one, self._service(one, option, "default gateway"), one.text, Relation.CONNECTS)
        elif names[1:2] == ["proxy"] and len(names) == 3 and names[2] != "noProxy":
            yield from self._to(one, self._service(one, option, "proxy"), one.text, Relation.CONNECTS)

    def _service_option(self, one: NixText, option: tuple[str, ...], names: Sequence[str]) -> Iterator[Parsed]:
        assert one.text is not None
        if len(names) < 3 or any(name.lower() in _LEFT_OUT for name in names[2:]):
            return
        service, key = names[1], _WORDS.sub("_", names[-1]).lower().replace("-", "_")
        if service == "nginx" and key == "proxy_pass":
            ref = self._service(one, option, f"nginx server {excerpt(names[3])}")
            yield from self._to(one, ref, one.text, Relation.BACKED_BY)
            return
        if service == "prometheus" and key == "targets" and "scrapeConfigs" in names:
            yield from self._scraped(one, option)
            return
        listed = is_member(one.path[-1])
        above = names[-2].lower() if len(names) > 3 else ""
        own = _OWN.fullmatch(key) is not None or (key in _ITSELF and (len(names) == 3 or above in _LISTENS))
        own = own or (is_address(one.text) and key.endswith(("addr", "address")) and not _ELSEWHERE.search(key))
        if own or (listed and key not in _LISTS and not is_host_key(key)):
            return
        if "://" in one.text or key in _LISTS or is_host_key(key) or key.endswith(("dbhost", "upstream", "relayhost")):
            group = ".".join(names[2:]) if listed and self.members.get(one.path[:-1], 0) > 1 else ""
            sure = Confidence.HIGH if "://" in one.text else Confidence.MEDIUM
            ref = self._service(one, option, f"services.{excerpt(service)}")
            yield from self._to(one, ref, one.text, Relation.CONNECTS, group, sure)

    def _scraped(self, one: NixText, option: tuple[str, ...]) -> Iterator[Parsed]:
        """A target of a scrape job; its name stands beside its targets."""
        at = next(n for n, part in enumerate(one.path) if part == "scrapeConfigs") + 2
        job = self.jobs.get(one.path[:at], "")
        target = outside(one.text or "")
        if target is not None and TEMPLATE not in job:
            machine = self._machine(one, option)
            ref = Ref(Kind.SCRAPE, (excerpt(job) or "nixos") + ("" if machine else f" in {self.path}"), machine)
            if ref not in self.made:
                self.made.add(ref)
                yield Entity(ref, self._where(one), {"targets": self.members.get(one.path[:-1], 1)})
            yield Dependency(ref, target, Relation.WATCHES, self._where(one), group="targets")

    def _to(
        self,
        one: NixText,
        consumer: Ref,
        text: str,
        relation: Relation,
        group: str = "",
        confidence: Confidence = Confidence.HIGH,
    ) -> Iterator[Parsed]:
        target = outside(text)
        if target is not None:
            yield Dependency(consumer, target, relation, self._where(one), group=group, confidence=confidence)

    def _service(self, one: NixText, option: tuple[str, ...], label: str) -> Ref:
        """A part of a machine's configuration; of the file's, where it does not say of which machine it is."""
        if machine := self._machine(one, option):
            return Ref(Kind.SERVICE, f"nixos {label}", machine)
        above = [part for part in one.path[: len(one.path) - len(option)] if not is_member(part) and part not in _PLAIN]
        of = f" of {excerpt('.'.join(above))}" if above else ""
        return Ref(Kind.SERVICE, f"nixos {label}{of} in {self.path}")

    def _machine(self, one: NixText, option: tuple[str, ...]) -> str:
        """The machine that an option is of: by its host name, its place in a flake, or where its file lies."""
        above = one.path[: len(one.path) - len(option)]
        for place in (above, ()) if above else (above,):
            if name := self.named.get(place, ""):
                domain = self.domains.get(place, "")
                return f"{name}.{domain}" if domain and "." not in name else name
            at = next((n for n, part in enumerate(place[:-1]) if part == "nixosConfigurations"), -1)
            if at >= 0 and _is_name(place[at + 1]):
                return place[at + 1]
        found = _PLACE.search(self.path)
        return found[1] if found is not None and is_hostname(found[1]) and found[1] not in _MODULES else ""

    def _where(self, one: NixText) -> Where:
        return Where(one.line, excerpt(self.lines[one.line - 1]) if one.line <= len(self.lines) else "")


_NAME: Final = ("networking", "hostName")
_DOMAIN: Final = ("networking", "domain")
_PLACE: Final = re.compile(r"(?:^|/)(?:hosts?|machines?|nodes?|servers?)/([\w.-]+?)(?:/[^/]*)?\.nix$")
_MODULES: Final = frozenset({"common", "default", "base", "modules", "profiles", "shared", "roles", "services"})
_PLAIN: Final = frozenset({"config", "let", "modules", "imports", "content", "nixosModules", "default"})


def _is_name(text: str | None) -> bool:
    return text is not None and text == text.strip() and TEMPLATE not in text and is_hostname(text)


def _below(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path from the option on: what stands before may be a machine of a flake, or a module."""
    at = next((n for n, part in enumerate(path) if part in _ROOTS), -1)
    return path[at:] if at >= 0 and len(path) > at + 1 else ()
