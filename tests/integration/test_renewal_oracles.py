"""Real programs as judges: `caddy adapt` for Caddyfiles, `dehydrated --env` for its configuration."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.api import Dependency, Document, Entity, Fragment, Kind, Relation
from collectors.acme.caddy import CaddyCollector
from collectors.acme.dehydrated import DehydratedCollector
from tests.integration.programs import need

pytestmark = pytest.mark.integration

CASES = Path(__file__).parents[1] / "collectors" / "acme.caddy"


def _values(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for one in node:
            yield from _values(one, key)


def _adapted(text: str, directory: Path) -> tuple[set[str], set[str]]:
    """The hosts and the upstreams that Caddy itself sees."""
    file = directory / "Caddyfile"
    file.write_text(text, "utf-8")
    done = subprocess.run(
        [need("caddy"), "adapt", "--config", str(file), "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(directory)},
    )
    assert done.returncode == 0, done.stderr
    servers = json.loads(done.stdout)["apps"]["http"]["servers"]
    hosts = {host for several in _values(servers, "host") for host in several}
    return hosts, {dial for dial in _values(servers, "dial") if not dial.startswith(("localhost", "unix/"))}


def _read(text: str) -> tuple[set[str], set[str]]:
    """The hosts and the upstreams that we see."""
    facts = list(CaddyCollector().parse(Document("/etc/caddy/Caddyfile", text.encode())))
    hosts: set[str] = set()
    for fact in facts:
        if isinstance(fact, Entity) and fact.ref.kind is Kind.SERVICE:
            addresses = fact.attributes.get("addresses", ())
            hosts.update(addresses if isinstance(addresses, tuple) else ())
    dials = {
        re.sub(r"^https?://", "", fact.provider.text)
        for fact in facts
        if isinstance(fact, Dependency)
        and fact.consumer.kind is Kind.SERVICE
        and fact.relation in (Relation.BACKED_BY, Relation.CONNECTS)
        and fact.provider.kind is Kind.ENDPOINT
    }
    return hosts, dials


def _random_caddyfile(chance: random.Random) -> str:
    lines = ["{", "\temail ops@example.org # {", "}", "(pool) {", "\tencode gzip"]
    lines += ["\treverse_proxy {args.0} spare.example.org:8080", "}"]
    for number in range(chance.randint(1, 5)):
        names = [f"s{number}-{n}.example.org" for n in range(chance.randint(1, 3))]
        separator = chance.choice([", ", " ", ",\n"])
        lines.append(f"{separator.join(names)} {{")
        for at in range(chance.randint(1, 4)):
            back = f"b{number}-{at}.example.org:{chance.randint(1024, 9999)}"
            lines.append(
                chance.choice(
                    [
                        f"\treverse_proxy /p{at}* {back} localhost:90{at}",
                        f"\thandle /h{at}/* {{\n\t\treverse_proxy {back} # {{\n\t}}",
                        f"\treverse_proxy /t{at} {{\n\t\tto {back}\n\t\tlb_policy first\n\t}}",
                        f"\troute /i{at} {{\n\t\timport pool {back}\n\t}}",
                        '\theader X-A "a } { \\" b"',
                        "\trespond /r `{ raw }`",
                        "\t# reverse_proxy ghost.example.org:80",
                        f"\t@m{at} path /m{at}\n\treverse_proxy @m{at} \\\n\t\t{back}",
                    ]
                )
            )
        lines.append("}")
    return "\n".join(lines) + "\n"


def test_caddyfiles_are_read_as_caddy_reads_them(tmp_path: Path) -> None:
    need("caddy")
    chance = random.Random(20261123)
    texts = [_random_caddyfile(chance) for _ in range(60)]
    for text in texts:
        assert _read(text) == _adapted(text, tmp_path), text


def test_cases_are_what_caddy_takes(tmp_path: Path) -> None:
    """Cases of plain sites are valid, and say what Caddy says."""
    need("caddy")
    single = (CASES / "single_site.raw").read_text("utf-8")
    assert _read(single) == _adapted(single, tmp_path)
    # Arguments in brackets are newer than Debian's Caddy; key files are loaded by `adapt`.
    sites = (CASES / "sites.raw").read_text("utf-8").replace("{args[0]}", "{args.0}")
    assert _read(sites) == _adapted(sites, tmp_path)


def _environment(config: Path) -> dict[str, str]:
    done = subprocess.run([need("dehydrated"), "--env", "-f", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(re.findall(r'^declare -[-x]+ (\w+)="(.*)"$', done.stdout, re.MULTILINE))


def _random_config(chance: random.Random, base: Path) -> str:
    def quoted(text: str, *, literal: bool = False) -> str:
        styles = [f'"{text}"', text] + ([f"'{text}'"] if literal else [])
        return chance.choice(styles)

    lines = ["# BASEDIR=/nowhere", f"BASEDIR={quoted(str(base), literal=True)}"]
    # dehydrated wants this directory to be there.
    webroot = chance.choice([quoted("${BASEDIR}/challenges"), quoted(f"{base}/acme", literal=True)])
    lines.append(f"WELLKNOWN={webroot}")
    choices = [
        ("CERTDIR", quoted("$BASEDIR/kept") + "  # comment"),
        ("CA", chance.choice(["zerossl", '"buypass"', "'letsencrypt-test'", '"https://ca.example.org/dir"'])),
        ("CHALLENGETYPE", chance.choice(["dns-01", '"http-01"', "'dns-01'"])),
        ("HOOK", '"${BASEDIR}"/hook'),
        ("DOMAINS_TXT", '"${BASEDIR}/list/domains.txt"'),
        ("CONFIG_D", '"${BASEDIR}/more"'),
    ]
    chance.shuffle(choices)
    lines += [f"{name}={value}" for name, value in choices[: chance.randint(1, len(choices))]]
    if not any(line.startswith("HOOK=") for line in lines):
        lines.append("HOOK=${BASEDIR}/hook")
    return "\n".join(lines) + "\n"


def test_dehydrated_configurations_mean_what_dehydrated_says(tmp_path: Path) -> None:
    need("dehydrated")
    chance = random.Random(20261123)
    base = tmp_path / "base"
    for name in ("more", "challenges", "acme"):
        (base / name).mkdir(parents=True)
    (base / "hook").write_text("#!/bin/sh\nexit 0\n")
    (base / "hook").chmod(0o755)
    config = tmp_path / "config"
    more = base / "more" / "override.sh"
    compared = 0
    for _ in range(40):
        config.write_text(_random_config(chance, base))
        more.write_text(chance.choice(['KEYSIZE="2048"\n', 'CERTDIR="${BASEDIR}/overridden"\n', "CA=zerossl\n"]))
        told = _environment(config)
        collector = DehydratedCollector()
        fragments: list[Fragment] = []
        for path, content in (
            (str(base / "more" / "override.sh"), more.read_bytes()),
            (str(config), config.read_bytes()),
            (told["DOMAINS_TXT"], b"a.example.org\n"),
        ):
            fragments += [
                Fragment(one.kind, one.value, one.where, "host", path)
                for one in collector.parse(Document(path, content))
                if isinstance(one, Fragment)
            ]
        facts = list(collector.combine(fragments, lambda _: None))
        attributes = next(fact.attributes for fact in facts if isinstance(fact, Entity))
        shown = config.read_text() + more.read_text()
        assert attributes["server"] == told["CA"], shown
        assert attributes["authenticator"] == told["CHALLENGETYPE"], shown
        assert attributes["certificate_dir"] == f"{told['CERTDIR']}/a.example.org", shown
        assert attributes["deploy_hook"] == told["HOOK"], shown
        webroots = {
            fact.provider.text
            for fact in facts
            if isinstance(fact, Dependency)
            and fact.relation is Relation.VALIDATED_THROUGH
            and fact.provider.kind is Kind.PATH
            and fact.provider.text != told["HOOK"]
        }
        assert webroots == (set() if told["CHALLENGETYPE"] == "dns-01" else {told["WELLKNOWN"]}), shown
        compared += 1
    assert compared == 40
