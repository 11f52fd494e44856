"""Short names that are ordinary words, where they stand among the names of other machines.

`gluck` alone may be a composer; in `[kassia, gluck, klecker]`, or as one of several keys that are called as machines
are, it is `gluck.example.org`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.graph.hosts import COMMON_FIRST_LABELS, Identity
from auditor.graph.lines import LONGEST, indent_of
from auditor.graph.mentions import Mention

_WORDS: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]*[a-z0-9])*", re.IGNORECASE)
_LAST_LABEL: Final = re.compile(rb"(?<![\w.-])([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)$")
_BETWEEN: Final = re.compile(r"[\s,|:;'\"!+]{1,8}")
_OPEN: Final = ("[", "(", "{")
_CLOSED: Final = ("]", ")", "}")
_NEAR: Final = 15
"""Lines above and below one that are looked at for others of its form."""
_SETTING: Final = (
    r"""\s*(?:-\s+)?["']?\w*(?:alias|cn|domain|host|machine|node|server)\w*["']?(?:\s*[:=]>?\s*|\s+)"""
    r"""["']?{}["']?\s*[,;]?\s*(?:[#;].*)?"""
)
_ENTRY: Final = (
    r"""\s*(?:-\s+|\w+\s+)?["'\[]?{}["'\]]?\s*(?:(?::|=>?)\s*[\[{{(]?|[\[{{(]|(?<=\]))\s*[\[{{(]?\s*(?:#.*)?"""
)
_BESIDE: Final = 4
"""Lines above and below one with the full name that may have the short one as a setting."""
_ENOUGH: Final = 2
"""Names of other machines that make a word one."""


@dataclass(frozen=True, slots=True)
class Names:
    """What counts as the name of a machine: short names of machines, and of whatever else has a name in a domain."""

    machines: Collection[str]
    labels: Collection[str]

    def is_name(self, word: str) -> bool:
        """Whether a word, in lower case, is a machine's name, or one in the domain."""
        short = word.partition(".")[0]
        return short in self.machines or (short in self.labels and ("." in word or len(word) > 2))


def labels_in(texts: Iterable[bytes], domains: Collection[str]) -> set[str]:
    """The first labels of all names directly below these domains."""
    ends = [re.compile(rb"\.%s(?![\w-])" % re.escape(domain.encode())) for domain in sorted(domains)]
    found = set()
    for text in texts:
        lower = text.lower()
        for end in ends:
            for at in end.finditer(lower):
                label = _LAST_LABEL.search(lower, max(at.start() - 64, 0), at.start())
                if label is not None:
                    found.add(label[1].decode())
    return found


def among_machines(text: str, wanted: Mapping[str, str], names: Names) -> Iterator[Mention]:
    """The lines in which a word stands among machines. `wanted` maps the words to the hosts."""
    lower = text.lower()
    present = {word: host for word, host in wanted.items() if word in lower}
    if not present:
        return
    either = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, sorted(present)))})(?![\w-])(?!\.\w)")
    lines = lower.split("\n")
    written: list[str] | None = None
    for at, line in enumerate(lines):
        if len(line) > LONGEST:
            continue
        for found in either.finditer(line):
            if _in_list(line, found.start(), found.end(), names) or _among_lines(lines, at, found, names):
                written = written or text.split("\n")
                host = present[found[0]]
                yield Mention(at + 1, written[at].rstrip("\r"), Identity(found[0], "short", host), False, False)
                break


def beside_full(text: str, found: Iterable[Mention], wanted: Mapping[str, str]) -> Iterator[Mention]:
    """Settings such as `host_name build` close to a line that has the host's full name or address.

    Also the entry `build:` or `'build' => {` that such a line is in.
    """
    words = {host: word for word, host in wanted.items()}
    sure = [one for one in found if one.exact and not one.comment and one.identity.kind in ("full", "address")]
    if words.keys().isdisjoint(one.identity.host for one in sure):
        return
    lines = text.split("\n")
    for one in sure:
        word = words.get(one.identity.host)
        if word is None or one.line > len(lines):
            continue
        setting = re.compile(_SETTING.format(re.escape(word)), re.IGNORECASE)
        entry = re.compile(_ENTRY.format(re.escape(word)), re.IGNORECASE)
        depth = indent_of(lines[one.line - 1])
        above, below = range(one.line - 1, 0, -1)[:_BESIDE], range(one.line + 1, len(lines) + 1)[:_BESIDE]
        for numbers in (above, below):
            for number in numbers:
                line = lines[number - 1].rstrip("\r")
                if not line.strip(" \t{}"):
                    break
                inside = number < one.line and word not in COMMON_FIRST_LABELS and 0 <= indent_of(line) < depth
                depth = indent_of(line) if inside else depth
                if len(line) <= LONGEST and (setting.fullmatch(line) or (inside and entry.fullmatch(line))):
                    yield Mention(number, line, Identity(word, "short", one.identity.host), False, False)


def _in_list(line: str, start: int, end: int, names: Names) -> bool:
    """Whether a word is in a list of names of machines: with two others, or with one in brackets.

    Words of a sentence are no list: it has commas or bars between its parts, or is nothing but them between brackets,
    quotes, a colon or the ends of the line.
    """
    words = [found.span() for found in _WORDS.finditer(line)]
    if (start, end) not in words or line[end : end + 1] == "=":
        return False
    first = last = words.index((start, end))
    while first and _joined(line, words[first - 1], words[first]) and names.is_name(line[slice(*words[first - 1])]):
        first -= 1
    while (
        last + 1 < len(words)
        and _joined(line, words[last], words[last + 1])
        and names.is_name(line[slice(*words[last + 1])])
    ):
        last += 1
    if first == last:
        return False
    before, after = line[: words[first][0]].rstrip(), line[words[last][1] :].lstrip()
    if last - first < _ENOUGH:
        before, after = before.rstrip(" '\""), after.lstrip(" '\"")
        return before[-1:] in _OPEN and after[:1] in _CLOSED
    between = (line[words[at][1] : words[at + 1][0]] for at in range(first, last))
    return all("," in one or "|" in one for one in between) or (
        (not before or before[-1] in _OPEN or before[-1] in "'\"=:-")
        and (not after or after[0] in _CLOSED or after[0] in "'\"")
    )


def _joined(line: str, left: tuple[int, int], right: tuple[int, int]) -> bool:
    return _BETWEEN.fullmatch(line, left[1], right[0]) is not None


def _among_lines(lines: Sequence[str], at: int, found: re.Match[str], names: Names) -> bool:
    """Whether lines near by that begin alike have names of machines in the word's place, most of them."""
    head, after = lines[at][: found.start()], lines[at][found.end() : found.end() + 1]
    alike = machines = 0
    for number in range(max(at - _NEAR, 0), min(at + _NEAR + 1, len(lines))):
        line = lines[number]
        if number == at or not line.startswith(head):
            continue
        word = _WORDS.match(line, found.start())
        if word is None or (word[0] == found[0]):
            continue
        if line[word.end() : word.end() + 1] != after and "." not in word[0]:
            continue
        alike += 1
        machines += word[0].partition(".")[0] in names.machines
    return machines >= _ENOUGH and 2 * machines >= alike
