"""Short names that may be ordinary words, where their place says that they are a machine.

`gluck` in a sentence may be a composer; in `root@gluck:/srv`, `case $::hostname { gluck: {` or `"gluck:9100"` it is
`gluck.example.org`. Where a tree uses a word so, and for hardly anything else, it is that machine's name wherever it
stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from auditor.graph.hosts import Identity
from auditor.graph.lines import LONGEST, indent_of
from auditor.graph.mentions import Mention
from auditor.text import is_comment

GENERIC_NAMES: Final = frozenset(
    (
        "agent all any base bastion build builder buildbot central client cluster control core data default dist"
        " download downloads external files forge general git head hidden host image images internal jump key latest"
        " legacy lists local localhost location log logs login main manager master media name network new next node"
        " none null old other packages primary public query registry release remote replica repo root router runner"
        " search secondary secret security self server service services site slave source stable standby state static"
        " target time true false update upstream user users value version wiki worker www"
    ).split()
)
"""What branches, roles and values are called too: no place but one with a host's own variable tells it is a machine."""

_BLOCK: Final = 3000
"""Lines of a `case` on a host's name that are read."""
_SURE: Final = 3
"""Lines in which its place says that a word is a machine, that make it a name in this tree; in several files."""
_DOUBT: Final = 1
"""Lines with other uses, for each line with such a place, up to which it is one."""
_COMMON: Final = 10_000
"""Lines with other uses after which a word is a common one, whatever else."""
_OWN_NAME: Final = (
    r"(?:host_?name|fqdn|node_?name|inventory_hostname(?:_short)?|ansible_(?:host(?:name)?|fqdn|nodename)|uname\s+-n)"
)
_CASE: Final = re.compile(
    rf"(?:case\s|switch\s*\(|\?\s*\{{\s*$).{{0,60}}?{_OWN_NAME}|{_OWN_NAME}\S{{0,3}}\s*\?\s*\{{", re.IGNORECASE
)
_ADDRESS: Final = r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})"
_COMMANDS: Final = (
    r"(?:mosh|mtr|nmap|ping6?|rsync|scp|sftp|ssh|ssh-copy-id|ssh-keygen\s+-R|telnet|tracepath|traceroute)"
)
_REMOTELY: Final = r"\b(?:driverquery|schtasks|shutdown|systeminfo|taskkill|tasklist)\b.{0,200}?"
"""Programs of Windows that take the machine as `/s` or `/m`."""
_SCHEMES: Final = (
    r"\b(?:amqps?|cifs|ftps?|https?|imaps?|ipps?|ldaps?|mongodb|mqtts?|mysql|nfs|postgres(?:ql)?|rediss?|rsync|sftp|sieve"
    r"|smb|smtps?|socks[45]h?|ssh|tcp|udp|wss?)"
)
"""What a host stands behind, and no bucket, package or file."""
_OF_FILES: Final = r"[(\d$#@*?!-]|\{?(?i:\w*(?:date|day|ext|now|pid|stamp|time)s?\b)"
"""Variables in the names of files rather than of machines: `backup.$(date).tgz`, `report.$DATE`."""
_OPTIONS: Final = r"(?:\s+-{1,2}[\w-]+(?:[= ][^\s-]\S*)?){0,6}"
_HOLDERS: Final = r"(?:darwinConfigurations|nixosConfigurations|hostvars|hosts|machines|nodes|servers)"
_KEY: Final = r"(?:\w*(?:host|machine|node|server)(?:name|s|_?list)?)"
_CODE: Final = (".c", ".cc", ".cpp", ".cs", ".go", ".h", ".java", ".js", ".jsx", ".pl", ".pm", ".py", ".rs", ".ts")
_FILES: Final = r"(?:cfg|conf|config|crt|ini|json|key|md|nix|pem|pp|pub|rst|sh|sls|sql|txt|xml|ya?ml|zone)"
_CLOSED: Final = re.compile(r"\s*(?:\}|esac\b)")
_CONTAINERS: Final = re.compile(r"^services:\s*$", re.MULTILINE)
_CLUSTER: Final = re.compile(r"\bapiVersion\"?\s*:\s*\"?[a-z]")
"""Not a file of Grafana's provisioning, whose `apiVersion: 1` is one of files."""
_CLIENT: Final = re.compile(r"^\s*\"?kind\"?\s*:\s*\"?Config\b", re.MULTILINE)
"""A kubeconfig, which is read outside of the cluster."""
_TAGGED: Final = re.compile(r"\b(?:FROM|docker|image|podman|tag)\b", re.IGNORECASE)


def _everywhere(word: str) -> re.Pattern[str]:
    """Forms in which nothing but a machine can stand."""
    end = r"(?=$|[\s:/'\"`),;\]}&|\\<>])"
    ends = r"(?=$|[\s'\"`),;\]}&|\\])"
    forms = (
        rf"(?<![\w./@-])[\w.+-]+@{word}{end}(?!\s*:\s*['\"]?(?:sha256|v?\d))",
        rf"\w://(?:[^/@\s'\"]{{1,80}}@)?{word}(?=[:/'\"`\s?)]|$)",
        rf"(?:^|['\"\[(,])\s*(?:-\s+)?{_ADDRESS}\s+(?:[\w.-]+\s+){{0,6}}{word}{ends}",
        rf"(?:^|[\s`$(/]){_COMMANDS}{_OPTIONS}\s+{word}(?=$|[:\s'\"`);&|])",
        rf"^\s*(?:define\s+|object\s+)?(?:[Hh]ost|node)\s+['\"]?{word}['\"]?\s*(?:\{{|$)",
        rf"(?i:\s-(?:cn|computername|smtpserver|cimsession)\s+|\s/(?:node|server):|{_REMOTELY}\s/[sm]\s+)['\"\\]{{0,3}}{word}{end}",
        rf"(?<![\w.-]){word}\.(?:\{{\{{|\$(?!{_OF_FILES})|%\{{|<%=)",
        rf"--(?:[\w-]*host|limit|machine|node|server)[=\s]['\"]?{word}{ends}",
        rf"\\\\{word}(?=\\)|(?:^|[\s\"'=])//{word}/[\w$]",
        rf"\b{_HOLDERS}(?:\.|\[['\"]){word}(?![\w-])(?!\.(?:org|com|net|io)\b)",
    )
    return re.compile("|".join(forms))


def _set(word: str, *, code: bool) -> re.Pattern[str]:
    """The value of a setting for a machine, also one of several in a line: `(HOST = db1)(PORT = 1521)`."""
    key = r"(?:host|server)(?:[_.-]?(?:name|address|addr))?"
    end = r"(?=$|[\s'\",;)\]}&|\\:/])"
    forms = [rf"{key}['\"]?\s*(?:=>?|:)\s*['\"]{word}{end}"]
    if not code:
        forms += [rf"{key}\s*=\s*{word}{end}", rf"{key}:\s+{word}(?=$|[,;)\]}}])"]
    return re.compile("|".join(forms), re.IGNORECASE)


def _ported(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.@:/{{-]){word}:\d{{2,5}}(?![\w:.-])|(?:^|[\s'\"=]){word}:/[\w/]")


def _compared(word: str) -> re.Pattern[str]:
    """The name that a host has for itself, and this word: equal, in a list, or in a regular expression."""
    quoted = rf"(?:['\"/^(]{{0,4}}{word}['\")$/]{{0,4}})(?=$|[\s,;\]}}:)])"
    items = rf"[\w\s,'\"|.:-]{{0,400}}(?<![\w.-]){word}(?![\w-])(?!\.\w)[\w\s,'\"|.:-]{{0,400}}"
    listed = rf"(?:\[{items}\]|\(\s*{items}\)|\{{{items}\}})"
    sign = r"(?:==|!=|=~|!~|=>|=|:|\bin\b|\bis\b|\beq\b|\bne\b|-eq|-ne|\bmatches\b)"
    return re.compile(
        rf"{_OWN_NAME}[\w\s)}}\]\"'|-]{{0,12}}?\s*{sign}\s*(?:{quoted}|\W{{0,6}}{listed})"
        rf"|\b(?:host-name|hostname)\s+[\"']?{word}[\"']?\s*;?\s*$"
        rf"|{listed}[\w.?(]{{0,20}}[\s@$:(]{{1,4}}{_OWN_NAME}",
        re.IGNORECASE,
    )


def _labelled(word: str) -> re.Pattern[str]:
    """A case of the value: `gluck: {`, `kassia,gluck: {`, `gluck|kassia)`, `'gluck' => …`, `/^gluck/: {`."""
    part = r"['\"/^(]{0,4}[\w.*?\[\]-]+['\"/$)]{0,4}"
    return re.compile(
        rf"^\s*(?:case\s+)?\(?(?:{part}\s*[,|]\s*){{0,60}}['\"/^(]{{0,4}}{word}['\"/$)]{{0,3}}"
        rf"(?:\s*[,|]\s*{part}){{0,60}}\s*(?::|\)|=>)"
    )


def _given(word: str, *, code: bool) -> re.Pattern[str]:
    """A setting for machines whose value is this word, or a list with it."""
    sign = r"\s*(?::|=>)\s*" if code else r"\s*(?::|=>?)\s*"
    item = r"!?['\"]?[\w.*-]+['\"]?"
    value = rf"['\"]{word}['\"]" if code else rf"!?['\"]?{word}['\"]?"
    return re.compile(
        rf"""\s*(?:-\s+|[\w.-]+\.)?["']?{_KEY}["']?{sign}[\[(]?\s*(?:{item}\s*,\s*){{0,200}}{value}"""
        rf"""(?:\s*,\s*{item}){{0,200}}\s*[\])]?\s*[,;]?\s*(?:[#;].*)?""",
        re.IGNORECASE,
    )


def in_places(text: str, path: str, wanted: Mapping[str, str]) -> Iterator[Mention]:
    """The lines in which the place of a word says that it is a machine. `wanted` maps the words to the hosts."""
    lower = text.lower()
    present = {word: host for word, host in wanted.items() if word in (lower if _numbered(word) else text)}
    if not present:
        return
    lines = text.split("\n")
    code = path.endswith(_CODE)
    containers = _CONTAINERS.search(text) is not None
    for word, host in present.items():
        if containers and of_containers(text, word):
            continue
        identity = Identity(word, "short", host)
        labels = _in_cases(lines, word)
        for at, line in enumerate(lines):
            if len(line) > LONGEST:
                continue
            # Of a word with a number no other word is made by a capital: `FS1`.
            meant = word in line or (_numbered(word) and word in line.lower())
            if meant and (at in labels or is_place(line, word, code=code)):
                yield Mention(at + 1, line.rstrip("\r"), identity, False, False)


def of_containers(text: str, word: str) -> bool:
    """Whether a file is about containers, and something among them answers to this name.

    In a cluster any short name is that of a service; of Compose's, the services stand in the file.
    """
    if _is_of_cluster(text):
        return True
    return bool(
        _CONTAINERS.search(text) and re.search(rf"^\s+{re.escape(word)}:\s*$", text, re.MULTILINE | re.IGNORECASE)
    )


def _is_of_cluster(text: str) -> bool:
    return _CLUSTER.search(text) is not None and _CLIENT.search(text) is None


def in_shares(text: str, wanted: Mapping[str, str]) -> Iterator[Mention]:
    """The lines that have one of these words as the machine of a share or a URL, however common the word is.

    Nothing in manifests of containers, where other containers may be called so.
    """
    lower = text.lower()
    present = {word: host for word, host in wanted.items() if word in lower}
    if not present or _CONTAINERS.search(text) is not None or _is_of_cluster(text):
        return
    words = "|".join(map(re.escape, sorted(present)))
    form = re.compile(rf"(?:\\\\|{_SCHEMES}://(?:[^/@\s'\"]{{1,80}}@)?)({words})(?=[\\/:'\"`\s?)<]|$)")
    lines = text.split("\n")
    for number, line in enumerate(lower.split("\n"), 1):
        for word in dict.fromkeys(form.findall(line)) if len(line) <= LONGEST else ():
            written = lines[number - 1].rstrip("\r")
            yield Mention(number, written, Identity(word, "short", present[word]), True, is_comment(written))


def called(text: str, names: Mapping[str, str]) -> Iterator[Mention]:
    """The lines that have a name which the host's own table (hosts(5)) gives to a machine.

    A name of several labels counts wherever it stands, another one where its place says that it is a machine.
    """
    lower = text.lower()
    for name, host in names.items():
        if name not in lower:
            continue
        alone = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])(?!\.\w)")
        for number, line in enumerate(text.split("\n"), 1):
            if (
                len(line) <= LONGEST
                and alone.search(line.lower())
                and ("." in name or is_place(line, name, code=False))
            ):
                yield Mention(number, line.rstrip("\r"), Identity(name, "full", host), True, is_comment(line))


def among_hosts(words: Collection[str]) -> re.Pattern[str]:
    """Paths of a file or directory that one of these words names, among those of other hosts: `nodes/gluck.yaml`."""
    return re.compile(rf"(?:^|/)(?:fqdns?|host_?vars|hosts?|machines?|nodes?|systems?)/{_named(words)}")


def called_so(words: Collection[str]) -> re.Pattern[str]:
    """Paths of a file or directory that one of these words names, wherever it is."""
    return re.compile(rf"(?:^|/){_named(words)}")


def _named(words: Collection[str]) -> str:
    return rf"({'|'.join(map(re.escape, sorted(words))) or '(?!)'})(?=/|$|\.\w+$)"


@dataclass(slots=True)
class Uses:
    """How a tree uses a word, in lines that have no full name of its host."""

    host: str
    sure: set[tuple[str, int]] = field(default_factory=set)
    """Lines, by file, in which it is a machine."""
    plain: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Lines, by file, in which it stands alone and may be one."""
    vague: int = 0
    """All lines but the sure ones, with `gluck-tools`, `Gluck` and `gluck.js`. After very many it is a common word."""

    def is_name(self) -> bool:
        """Whether hardly anything but the machine is called so here."""
        several = len(self.sure) >= _SURE and len({path for path, _ in self.sure}) > 1
        return several and self.vague <= min(_DOUBT * len(self.sure), _COMMON)


def count_uses(
    text: str,
    path: str,
    word: str,
    uses: Uses,
    known: Collection[int],
    sure: Collection[int],
    machines: Collection[str] = (),
) -> None:
    """Adds the uses in a file. `known` are the lines with a full name or an address, `sure` those with a machine.

    `machines` are short names: that of another with the word in it is no use of the word.
    """
    uses.sure.update((path, number) for number in sure)
    alone, part = _alone(word), _part(word)
    for number, line in enumerate(text.split("\n"), 1):
        if number in known or number in sure or len(line) > LONGEST or word not in line.lower():
            continue
        if uses.vague > _COMMON:
            uses.plain.clear()
            return
        if alone.search(line):
            uses.plain.setdefault(path, []).append((number, line.rstrip("\r")))
            uses.vague += 1
        elif any(found[0].lower() not in machines for found in part.finditer(line)):
            uses.vague += 1


@dataclass(frozen=True, slots=True)
class _Forms:
    compared: re.Pattern[str]
    labelled: re.Pattern[str]
    everywhere: re.Pattern[str]
    ported: re.Pattern[str]
    given: re.Pattern[str]
    given_in_code: re.Pattern[str]
    setting: re.Pattern[str]
    setting_in_code: re.Pattern[str]


@lru_cache(maxsize=256)
def _forms(word: str) -> _Forms:
    escaped = re.escape(word)
    return _Forms(
        _compared(escaped),
        _labelled(escaped),
        _everywhere(escaped),
        _ported(escaped),
        _given(escaped, code=False),
        _given(escaped, code=True),
        _set(escaped, code=False),
        _set(escaped, code=True),
    )


@lru_cache(maxsize=256)
def _alone(word: str) -> re.Pattern[str]:
    # No article: machines have proper names.
    before = r"(?<![A-Za-z0-9-])(?<!\b[Aa] )(?<!\b[Aa]n )(?<!\b[Tt]he )"
    return re.compile(rf"{before}{re.escape(word)}(?![A-Za-z0-9-])(?!\.(?!{_FILES}\b)\w)")


@lru_cache(maxsize=256)
def _part(word: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![a-z0-9])(?:(?<![\w-])[\w-]{{1,40}}[_-])?{re.escape(word)}(?![a-z0-9])(?:[_-][\w-]{{1,40}})?",
        re.IGNORECASE,
    )


def _numbered(word: str) -> bool:
    return word[-1:].isdigit()


def is_place(line: str, word: str, *, code: bool) -> bool:
    """Whether the place of a word in a line says that it is a machine. One with a number is found in capitals too."""
    if _numbered(word) and word not in line:
        line = line.lower()
    forms = _forms(word)
    if forms.compared.search(line):
        return True
    if word in GENERIC_NAMES:
        return False
    if forms.everywhere.search(line) or (not _TAGGED.search(line) and forms.ported.search(line)):
        return True
    if (forms.setting_in_code if code else forms.setting).search(line):
        return True
    return (forms.given_in_code if code else forms.given).fullmatch(line.rstrip("\r")) is not None


def _in_cases(lines: Sequence[str], word: str) -> set[int]:
    """The lines that are labels with a word of a `case` on a host's name; line numbers count from 0."""
    found = set()
    label = _forms(word).labelled
    end = depth = -1
    for at, line in enumerate(lines):
        if len(line) > LONGEST:
            continue
        if at >= end:
            if _CASE.search(line):
                end, depth = at + _BLOCK, indent_of(line)
        elif indent_of(line) <= depth and _CLOSED.match(line):
            end = at
        elif word in line and label.match(line):
            found.add(at)
    return found
