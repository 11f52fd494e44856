"""A run that is kept, from its first record to its last signature, as the command line has it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from auditor.cli.main import main
from tests.policy.test_decisions import NOW, OLD, PUSH, WIKI, estate, rules

Capture = pytest.CaptureFixture[str]
CRON = "hosts/web01.example.org/etc/cron.d/push"


class Book:
    """A file of runs of an estate."""

    def __init__(self, root: Path, capsys: Capture) -> None:
        self.estate = estate(root / "estate")
        self.file = root / "run.jsonl"
        self.capsys = capsys

    def run(self, *words: str, host: str = OLD) -> dict[str, Any]:
        command = ["checklist", host, "--estate", str(self.estate), "--now", NOW, "--quiet", "--run", str(self.file)]
        main([*command, "--format", "json", *words])
        report: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return report

    def does(self, word: str, *words: str) -> tuple[int, str, str]:
        code = main(["checklist", word, str(self.file), *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.does("show", "--format", "json")[1])
        return found

    def area(self, name: str) -> dict[str, Any]:
        return next(one for one in self.state()["areas"] if one["id"] == name)

    def answer(self, item: str, *words: str) -> tuple[int, str, str]:
        return self.does("answer", item, "--by", "Ada", *words)


@pytest.fixture
def book(tmp_path: Path, capsys: Capture) -> Book:
    return Book(tmp_path, capsys)


def test_what_is_new_fixed_and_still_open(book: Book) -> None:
    assert book.run()["since"] is None
    same = book.run()["since"]
    assert (same["new"], same["fixed"], same["not_seen_again"]) == ([], [], [])
    (book.estate / CRON).write_text("1 1 * * * root true\n")
    (book.estate / "docs" / "more.md").write_text(f"{OLD}\n")
    report = book.run()
    assert rules(report["since"]["fixed"]) == [PUSH]
    new = [one for one in report["findings"] if one["fingerprint"] in report["since"]["new"]]
    assert [one["subject"] for one in new] == ["docs/more.md"]
    main(["checklist", OLD, "--estate", str(book.estate), "--now", NOW, "--run", str(book.file), "--quiet"])
    said = " ".join(book.capsys.readouterr().out.split())
    assert re.search(r"Since the run of \w{3} \d{4}-\d\d-\d\d \d\d:\d\d UTC: 0 new, 0 fixed, \d+ still open", said)
    assert len(book.state()["runs"]) == 4
    assert main(["checklist", "verify", str(book.file)]) == 0


def test_what_was_not_seen_again_is_not_fixed(book: Book) -> None:
    book.run()
    (book.estate / CRON).unlink()
    denied = {"path": "hosts/web01.example.org/etc/cron.d", "outcome": "denied", "collected_at": NOW}
    (book.estate / "captures.jsonl").write_text(json.dumps(denied) + "\n")
    since = book.run()["since"]
    assert since["fixed"] == []
    assert rules(since["not_seen_again"]) == [PUSH]


def test_what_is_set_aside_is_not_fixed(book: Book) -> None:
    book.run()
    waiver = f"waivers:\n  - match: {{rule: {PUSH}}}\n    reason: It moves.\n    owner: web\n    expires: 2026-07-01\n"
    (book.estate / "policy.yaml").write_text(f"version: 1\n{waiver}")
    since = book.run()["since"]
    assert since["fixed"] == []
    assert rules(since["set_aside"]) == [PUSH]


def test_a_file_is_about_the_same_hosts(book: Book) -> None:
    book.run()
    command = ["checklist", "web01.example.org", "--estate", str(book.estate), "--run", str(book.file), "--quiet"]
    assert main(command) == 2
    assert "the kept run is about old.example.org, and this one about web01.example.org" in book.capsys.readouterr().err
    assert book.state()["records"] == 1


def test_answers(book: Book, tmp_path: Path) -> None:
    book.run()
    code, _, err = book.answer("records-notise", "--answer", "yes")
    assert (code, "Did you mean records-notice?" in err) == (2, True)
    code, _, err = book.answer("records-notice", "--answer", "yes")
    assert (code, "wants something to show for a yes: the message" in err) == (2, True)
    code, _, err = book.answer("webhooks-partners", "--answer", "na")
    assert (code, "--note" in err) == (2, True)
    shown = tmp_path / "mail.txt"
    shown.write_text("We switch it off.\n")
    assert (
        book.answer("records-notice", "--answer", "yes", "--evidence", str(shown), "--note", "password=hunter2")[0] == 0
    )
    assert book.answer("records-agreed", "--answer", "no", "--note", "not before\nMonday \x1b[31m")[0] == 0
    report = book.run()
    items = {item["item"]: item["answer"] for area in report["checklist"]["areas"] for item in area["items"]}
    notice = items["records-notice"]
    assert (notice["answer"], notice["by"]) == ("yes", "Ada")
    assert re.search(r"mail\.txt \(SHA-256 [0-9a-f]{16}…\)$", notice["evidence"])
    assert "hunter2" not in book.file.read_text()
    assert items["records-agreed"]["note"] == "not before Monday \\x1b[31m"
    assert items["names-registrar"] is None
    assert report["checklist"]["open_items"] == sum(item is None for item in items.values())
    # The newest answer counts, and the verdict does not hang on it.
    assert book.answer("records-agreed", "--answer", "yes", "--evidence", "CHG-1")[0] == 0
    again = book.run()
    assert again["verdict"] == report["verdict"]
    records = next(area for area in again["checklist"]["areas"] if area["id"] == "records")
    assert [one["answer"]["answer"] for one in records["items"] if one["answer"]] == ["yes", "yes"]


def test_a_question_that_is_another_now_is_open_again(book: Book, tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    text = """\
version: 1
name: short
areas:
  - {id: all, title: All, covers: [renewal], items: [{id: told, text: Were its users told?, who: owner}]}
"""
    profile.write_text(text)
    book.run("--profile", str(profile))
    assert book.answer("told", "--answer", "yes")[0] == 0
    assert book.run("--profile", str(profile))["checklist"]["open_items"] == 0
    profile.write_text(text.replace("told?", "told twice?"))
    assert book.run("--profile", str(profile))["checklist"]["open_items"] == 1


def test_signatures(book: Book) -> None:
    book.run()
    code, _, err = book.does("sign", "--area", "schedules", "--by", "Ada")
    assert (code, "schedules can't be signed off: 1 blocker" in err) == (2, True)
    code, _, err = book.does("sign", "--area", "name", "--by", "Ada")
    assert (code, "Did you mean names?" in err) == (2, True)
    code, _, err = book.does("sign", "--area", "names", "--by", "Ada", "--despite", "I may")
    assert (code, "Ada may not sign off names: the inventory names Nia" in err) == (2, True)
    assert book.does("sign", "--area", "names", "--by", "Nia", "--despite", "asked later")[0] == 0
    assert book.area("names")["current"]
    code, out, _ = book.does("sign", "--area", "identity", "--by", "Ada")
    assert (code, "not signed off: renewal" in out) == (0, True)
    code, out, _ = book.does("show")
    assert code == 4
    assert "signed off by Nia" in out
    assert "despite not answered: names-registrar: asked later" in " ".join(out.split())


def test_a_signature_holds_as_long_as_the_area_is_as_it_was(book: Book) -> None:
    book.run()
    assert book.does("sign", "--area", "mentions", "--by", "Ada")[0] == 0
    assert book.does("sign", "--area", "schedules", "--by", "Ada", "--despite", "it moves tomorrow")[0] == 0
    book.run()
    assert book.area("mentions")["current"]
    assert book.area("schedules")["current"]
    (book.estate / "docs" / "more.md").write_text(f"{OLD}\n")
    book.run()
    assert not book.area("mentions")["current"]
    assert book.area("mentions")["signed_by"] == "Ada"
    assert book.area("schedules")["current"]
    assert book.answer("schedules-by-hand", "--answer", "yes")[0] == 0
    assert not book.area("schedules")["current"]
    assert "no longer as it was signed: look again" in " ".join(book.does("show")[1].split())


def test_a_run_is_complete_when_all_is_answered_and_signed(book: Book) -> None:
    book.run()
    for area in book.run()["checklist"]["areas"]:
        for item in area["items"]:
            assert book.answer(item["item"], "--answer", "yes", "--evidence", "CHG-1")[0] == 0
    assert book.does("sign", "--area", "all", "--by", "Ada", "--despite", "all is known")[0] == 0
    state = book.state()
    assert [one["id"] for one in state["areas"] if not one["current"]] == ["names"]
    assert not state["complete"]
    assert book.does("sign", "--area", "all", "--by", "Nia", "--despite", "all is known")[0] == 0
    state = book.state()
    assert state["complete"]
    assert book.does("show")[0] == 0
    head = state["head"]
    assert book.does("verify", "--head", head)[0] == 0
    assert book.run()["verdict"] == "BLOCKED"


def test_verify(book: Book) -> None:
    book.run()
    book.answer("names-registrar", "--answer", "yes")
    book.answer("webhooks-partners", "--answer", "no")
    code, out, _ = book.does("verify")
    assert code == 0
    assert "3 records, each as it was written" in out
    assert "noted elsewhere" in out
    head = re.search(r"^head ([0-9a-f]{64})$", out, re.MULTILINE)
    assert head is not None
    book.run()
    code, out, _ = book.does("verify", "--head", head[1])
    assert (code, "the noted record is number 3; 1 record came after it" in out) == (0, True)
    lines = book.file.read_bytes().splitlines(keepends=True)
    # Without its end it looks whole: the noted hash tells.
    book.file.write_bytes(b"".join(lines[:2]))
    assert book.does("verify")[0] == 0
    code, out, _ = book.does("verify", "--head", head[1])
    assert (code, "no record has the hash" in out) == (1, True)
    book.file.write_bytes(b"".join(lines).replace(b'"answer":"no"', b'"answer":"yes"'))
    code, out, _ = book.does("verify")
    assert (code, f"{book.file}:3: this line was changed" in out) == (1, True)
    assert book.does("show")[0] == 1
    code, _, err = book.answer("webhooks-partners", "--answer", "yes", "--evidence", "x")
    assert (code, "Nothing is added to such a file" in err) == (2, True)
    code, _, err = book.does("verify", "--head", "")
    assert main(["checklist", "verify", str(book.file) + ".no"]) == 2


@pytest.mark.parametrize(
    "change", [{"areas": None}, {"phase": "never"}, {"findings": [1]}, {"hosts": "x"}, {"areas": [{}]}]
)
def test_a_whole_chain_of_nonsense_is_no_crash(book: Book, change: dict[str, Any]) -> None:
    from auditor.policy.chain import FIRST, sealed

    book.run()
    record = {**json.loads(book.file.read_text()), **change}
    made = sealed({key: value for key, value in record.items() if key != "hash"}, 1, FIRST)
    book.file.write_text(json.dumps(made, sort_keys=True, separators=(",", ":")) + "\n")
    assert book.does("verify")[0] == 0
    assert book.does("show")[0] in (2, 4)
    main(["checklist", OLD, "--estate", str(book.estate), "--now", NOW, "--run", str(book.file), "--quiet"])
    assert "internal error" not in book.capsys.readouterr().err


def test_an_owner_of_an_area_that_there_is_not(book: Book) -> None:
    inventory = book.estate / "inventory.yaml"
    inventory.write_text(inventory.read_text().replace("area: names, owner", "area: naems, owner"))
    assert main(["checklist", OLD, "--estate", str(book.estate), "--now", NOW, "--quiet"]) == 2
    assert f"{inventory}:5: the checklist has no area `naems`" in book.capsys.readouterr().err


def test_the_file_is_no_part_of_the_estate(book: Book) -> None:
    book.file = book.estate / "run.jsonl"
    first = book.run()
    second = book.run()
    assert not any("run.jsonl" in json.dumps(one) for one in second["findings"])
    assert first["counts"]["files"] == second["counts"]["files"]
    records = [json.loads(one) for one in book.file.read_text().splitlines()]
    assert records[0]["estate_sha256"] == records[1]["estate_sha256"]
    (book.estate / "docs" / "wiki.md").write_text("changed\n")
    book.run()
    assert json.loads(book.file.read_text().splitlines()[2])["estate_sha256"] != records[0]["estate_sha256"]
    assert WIKI in rules(records[0]["findings"])


def test_the_page_shows_answers_and_signatures(book: Book, tmp_path: Path) -> None:
    """It adds nothing to the file, and says of each signature whether it still holds for what the page shows."""
    page = tmp_path / "review.html"
    command = ["report", OLD, "--estate", str(book.estate), "--now", NOW, "--quiet", "--run", str(book.file)]
    assert main([*command, "-o", str(page)]) == 2
    assert "no such file" in book.capsys.readouterr().err
    book.run()
    assert book.answer("webhooks-partners", "--answer", "na", "--note", "there are none")[0] == 0
    assert book.does("sign", "--area", "webhooks", "--by", "Ada")[0] == 0
    assert book.does("sign", "--area", "mentions", "--by", "Bo <b>", "--despite", "a wiki")[0] == 0
    before = book.file.read_bytes()
    assert main([*command, "-o", str(page)]) == 1
    said = page.read_text()
    assert "2 of 13 areas are signed off" in said
    assert "signed off by Ada on " in said
    assert "signed off by Bo &lt;b&gt; on " in said
    assert "there are none" in said
    assert "0 new, 0 fixed" in said
    (book.estate / "docs" / "more.md").write_text(f"{OLD}\n")
    assert main([*command, "-o", str(page)]) == 1
    assert "1 of 13 areas is signed off, 1 no longer as it was signed" in page.read_text()
    assert "no longer as it was signed: look again" in page.read_text()
    assert book.file.read_bytes() == before
    signed = {area["id"]: area["signed_off"] for area in book.run()["checklist"]["areas"]}
    assert (signed["webhooks"]["by"], signed["webhooks"]["current"]) == ("Ada", True)
    assert (signed["mentions"]["by"], signed["mentions"]["current"]) == ("Bo <b>", False)
    assert signed["names"] is None
    book.file.write_bytes(before.replace(b"there are none", b"there are some"))
    assert main([*command, "-o", str(page)]) == 2
    assert "auditor checklist verify" in book.capsys.readouterr().err
