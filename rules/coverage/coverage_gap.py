"""What nobody saw, and where that is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Coverage,
    EstateView,
    Finding,
    Impact,
    Outcome,
    Phase,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)

_INVENTORY: Final = "inventory.yaml"
_SAID: Final = {
    Outcome.DENIED: "could not be read",
    Outcome.UNREACHABLE: "could not be reached",
    Outcome.UNSUPPORTED: "could not be collected",
    Outcome.PARTIAL: "were seen in part only",
}
_TO_DO: Final = {
    Outcome.DENIED: "Give the collecting account read access, and collect again",
    Outcome.UNREACHABLE: "Find out why it does not answer, and collect again",
    Outcome.UNSUPPORTED: "Look at it by hand, or declare in the inventory what is there",
    Outcome.PARTIAL: "Look at the rest by hand, or collect again",
}


class CoverageGapRule(Rule):
    """Lists what nobody saw of an estate and that the scenario depends on.

    What it does
    ------------
    Takes each gap that rules out CLEAR and that somebody can look up: what the collection itself wrote down as denied,
    unreachable, unsupported or partial (`captures.jsonl`), files of the estate that could not be read, and areas of a
    going host that nobody looked at, by the line of the inventory that declares it. One finding for each source and
    outcome. An estate without an inventory and without a record of its collection has none of these: there the
    section on coverage says what was not seen.

    Why it matters
    --------------
    What nobody saw may depend on the host. The incident that this tool was made after was such a gap: a crontab that
    nobody had read.

    Example
    -------
    `build-01: /var/spool/cron/crontabs could not be read (the user auditor may not use sudo)`

    What to do
    ----------
    Collect it, or declare in the inventory that there is nothing (`absent`), with a reason and a name.

    What it can't see
    -----------------
    Sources that nobody declared.
    """

    id: ClassVar[str] = "coverage-gap"
    title: ClassVar[str] = "Something was not looked at"
    area: ClassVar[Area] = Area.COVERAGE
    severity: ClassVar[Severity] = Severity.WARN
    phases: ClassVar[frozenset[Phase]] = frozenset(Phase)
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each source and outcome, and one for each going host that nobody looked at."""
        gaps = [row for row in estate.gaps() if row.needed]
        declared = {
            host.text: place
            for one in estate.going
            if (host := estate.host(one.host)) is not None
            for place in host.provenance
            if place.path == _INVENTORY
        }
        kept = bool(declared) or any(row.recorded for row in gaps)
        asked: dict[tuple[str, Outcome], list[Coverage]] = {}
        unseen: dict[str, list[Coverage]] = {}
        for row in gaps:
            if row.outcome is Outcome.UNSEEN:
                if row.source in declared and row.area is not Area.COVERAGE:
                    unseen.setdefault(row.source, []).append(row)
            elif row.path and (row.recorded or (kept and row.outcome is Outcome.DENIED)):
                asked.setdefault((row.source, row.outcome), []).append(row)
        for (source, outcome), rows in sorted(asked.items(), key=lambda item: (item[0][0], item[0][1].value)):
            yield self._asked(estate, source, outcome, rows)
        for source, rows in sorted(unseen.items()):
            yield self._unseen(source, rows, declared[source])

    def _asked(self, estate: EstateView, source: str, outcome: Outcome, rows: Sequence[Coverage]) -> Finding:
        places = [row.what for row in rows]
        reasons = list(dict.fromkeys(row.detail for row in rows if row.detail))
        said = _SAID.get(outcome, "were not seen").replace("were", "was" if len(rows) == 1 else "were")
        hosts = listed([one.host for one in estate.going])
        what = f"{listed(places)}{f' on {source}' if source else ''}" if places != ["/"] else source
        unique = {(row.path, row.line): row for row in rows}
        areas = listed(sorted({row.area.value for row in rows}))
        of = f" ({areas})" if areas != Area.COVERAGE else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=source or places[0],
            identity=(source, outcome.value, *sorted({row.area.value for row in rows})),
            message=f"{what} {said}" + (f": {listed(reasons, 2)}" if reasons else ""),
            why=f"What is there{of} may depend on {hosts}, and nobody would know.",
            action=f"{_TO_DO.get(outcome, 'Collect it')}; or declare in the inventory that there is nothing.",
            impact=Impact.NONE,
            evidence=tuple(Provenance(row.path, row.line) for row in unique.values()),
            hosts=tuple(one.host for one in estate.going if one.host == source),
        )

    def _unseen(self, source: str, rows: Sequence[Coverage], place: Provenance) -> Finding:
        areas = sorted({row.area.value for row in rows})
        parts = sorted({row.what.split(" on ")[0] for row in rows})
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=source,
            identity=(source, Outcome.UNSEEN.value),
            message=f"Nobody looked at {listed(parts)} on {source} itself",
            why=f"{plural(len(areas), 'area')} of the host that is going {'is' if len(areas) == 1 else 'are'} unknown:"
            " what runs there ends with it unnoticed.",
            action=_to_see(source, rows),
            impact=Impact.NONE,
            evidence=(place,),
            hosts=(source,),
        )


def _to_see(host: str, rows: Sequence[Coverage]) -> str:
    """What to capture, in one sentence: each gap of a host says `To see it, capture …` of itself."""
    under = f" under hosts/{host}/"
    said: dict[str, None] = {}
    for row in rows:
        wanted = row.detail.removeprefix("To see it, ").removeprefix("To see them, ").rstrip(".")
        if not (wanted.startswith("capture ") and wanted.endswith(under)):
            return " ".join(dict.fromkeys(one.detail for one in rows if one.detail))
        wanted = wanted.removeprefix("capture ").removesuffix(under)
        said.setdefault(row.what.split(" on ")[0] if wanted == "them" else wanted)
    return f"To see {'it' if len(said) == 1 else 'them'}, capture{under}: {'; '.join(said)}."
