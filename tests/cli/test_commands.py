"""The command line: what it prints, where to, and what it ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.cli.main import main, parser

ROOT = Path(__file__).resolve().parents[2]
NOW = ["--now", "2025-11-20T00:00:00Z"]
GOING = "old.example.org"
COMMANDS = ["checklist", "audit", "diff", "why", "inventory", "init", "rules", "explain"]

CLEAR = """\
version: 1
domains: [example.org]
hosts:
  - {name: old.example.org, lifecycle: retired, addresses: [10.0.0.1]}
  - {name: web01.example.org, addresses: [10.0.0.2]}
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    return write(
        tmp_path / "estate",
        {
            "inventory.yaml": CLEAR,
            "hosts/web01.example.org/etc/cron.d/push": f"1 1 * * * root curl -fsS https://{GOING}/push\n",
            "dns/example.org.zone": "$ORIGIN example.org.\n@ IN SOA ns root 1 2 3 4 5\nold IN A 10.0.0.1\n",
        },
    )


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main(words)
    except SystemExit as left:
        code = int(left.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.mark.parametrize("command", [[], *([one] for one in COMMANDS), ["inventory", "check"], ["inventory", "schema"]])
def test_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    code, out, err = run(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: auditor")
    if not command:
        assert all(one in out for one in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("auditor ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["checklist"],
        ["checklist", GOING, "--as", "gone"],
        ["checklist", GOING, "--now", "yesterday"],
        ["checklist", GOING, "--format", "xml"],
        ["checklist", GOING, "--estate", "/nonexistent/estate"],
        ["checklist", "no host!"],
        ["checklist", ""],
        ["checklist", "=alias"],
        ["explain", "no-such-rule"],
        ["inventory"],
        ["inventory", "check", "/nonexistent"],
        ["why", "x"],
    ],
)
def test_usage_is_2_and_says_what_to_do(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "auditor" in err
    assert "Traceback" not in err


def test_blocked_is_1(capsys: pytest.CaptureFixture[str], blocked: Path) -> None:
    code, out, err = run(capsys, "checklist", GOING, "--estate", str(blocked), *NOW)
    assert code == 1
    assert "BLOCKED" in out
    assert "hosts/web01.example.org/etc/cron.d/push" in out
    assert err == ""


def test_audit_takes_what_the_inventory_declares(capsys: pytest.CaptureFixture[str], blocked: Path) -> None:
    code, out, _ = run(capsys, "audit", "--estate", str(blocked), "--format", "json", *NOW)
    report = json.loads(out)
    assert code == 1
    assert report["verdict"] == "BLOCKED"
    assert any(GOING in json.dumps(one) for one in report["findings"])


def test_audit_of_an_estate_where_nothing_goes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(tmp_path, {"inventory.yaml": CLEAR.replace("lifecycle: retired, ", "")})
    code, _, err = run(capsys, "audit", "--estate", str(tmp_path))
    assert code == 2
    assert "checklist HOST" in err


def test_clear_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    estate = ROOT / "sample_inventories" / "eventide-after"
    code, out, _ = run(
        capsys,
        "checklist",
        "legacy-cert-01",
        "--estate",
        str(estate),
        "--as",
        "retired",
        "--now",
        "2025-12-15T08:00:00Z",
    )
    assert code == 0, out
    assert "CLEAR" in out


def test_an_unknown_host_is_never_clear(capsys: pytest.CaptureFixture[str], blocked: Path) -> None:
    """A name spelt wrong: nothing names it, and that is no good news."""
    code, out, _ = run(capsys, "checklist", "odl.example.org", "--estate", str(blocked), *NOW)
    assert code == 4
    assert "INCOMPLETE" in out
    assert "named nowhere" in " ".join(out.split())
    assert "Did you mean old.example.org?" in " ".join(out.split())
    code, _, err = run(capsys, "graph", "--focus", "odl.example.org", "--estate", str(blocked), *NOW)
    assert code == 2
    assert "odl.example.org is named nowhere in the estate" in err


def test_a_short_name_of_several_hosts_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hosts = "".join(f"  - {{name: db.{site}.example.org}}\n" for site in ("one", "two"))
    write(tmp_path, {"inventory.yaml": f"version: 1\nhosts:\n{hosts}"})
    code, _, err = run(capsys, "checklist", "db", "--estate", str(tmp_path))
    assert code == 2
    assert "db.one.example.org, db.two.example.org" in err


def test_an_address_of_several_hosts_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hosts = "".join(f"  - {{name: {name}.example.org, addresses: [10.0.0.1]}}\n" for name in ("a", "b"))
    write(tmp_path, {"inventory.yaml": f"version: 1\nhosts:\n{hosts}"})
    code, _, err = run(capsys, "checklist", "10.0.0.1", "--estate", str(tmp_path))
    if code == 2 and "inventory" in err and "address" in err:
        return  # the inventory may refuse it before
    assert code == 2
    assert "a.example.org, b.example.org" in err


@pytest.mark.parametrize("asked", [GOING, "old", "OLD.example.org.", "10.0.0.1", f"{GOING}=also-called,10.9.9.9"])
def test_one_host_in_any_spelling(capsys: pytest.CaptureFixture[str], blocked: Path, asked: str) -> None:
    code, out, _ = run(capsys, "checklist", asked, "--estate", str(blocked), "--format", "json", *NOW)
    assert code == 1
    assert GOING in out


def test_a_crash_is_3_and_says_so(
    capsys: pytest.CaptureFixture[str], blocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boom(*_: object, **__: object) -> None:
        raise RuntimeError("boom\x1b[2J")

    monkeypatch.delenv("AUDITOR_TRACEBACK", raising=False)
    monkeypatch.setattr("auditor.cli.common.run_audit", boom)
    code, out, err = run(capsys, "checklist", GOING, "--estate", str(blocked))
    assert (code, out) == (3, "")
    assert "RuntimeError" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_output_to_a_file(capsys: pytest.CaptureFixture[str], blocked: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "report"
    code, out, _ = run(capsys, "checklist", GOING, "--estate", str(blocked), "--format", form, "-o", str(target), *NOW)
    assert (code, out) == (1, "")
    _, printed, _ = run(capsys, "checklist", GOING, "--estate", str(blocked), "--format", form, *NOW)
    assert target.read_text(encoding="utf-8") == printed
    if form == "json":
        assert json.loads(printed)["findings"]


def test_output_that_cannot_be_written(capsys: pytest.CaptureFixture[str], blocked: Path, tmp_path: Path) -> None:
    code, _, err = run(capsys, "checklist", GOING, "--estate", str(blocked), "-o", str(tmp_path / "no" / "report"))
    assert code == 2
    assert "can't be written" in err


@pytest.mark.parametrize("width", [1, 20, 40, 60, 100, 300])
def test_widths(capsys: pytest.CaptureFixture[str], blocked: Path, width: int) -> None:
    code, out, _ = run(capsys, "checklist", GOING, "--estate", str(blocked), "--width", str(width), *NOW)
    assert code == 1
    assert "BLOCKED" in out
    long = [line for line in out.splitlines() if len(line) > max(width, 40) and " " in line.strip()[:40]]
    # A path or a name is not broken; a sentence is.
    assert all(max(map(len, line.split())) > max(width, 40) // 2 for line in long), long


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("", "")])
def test_no_colour_into_a_pipe(blocked: Path, variable: str, value: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({variable: value} if variable else {})}
    command = [sys.executable, "-m", "auditor.cli.main", "checklist", GOING, "--estate", str(blocked), *NOW]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 1, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_knows_few_characters(blocked: Path, encoding: str) -> None:
    Path(os.fsdecode(os.fsencode(blocked) + b"/sch\xf6n \xe2\x9c\x93.txt")).write_text(f"ssh {GOING}\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    for form in ("text", "markdown", "json"):
        command = [sys.executable, "-m", "auditor.cli.main", "checklist", GOING, "--estate", str(blocked), *NOW]
        done = subprocess.run([*command, "--format", form], capture_output=True, env=environment, check=False)
        assert done.returncode == 1, done.stderr
        assert b"sch" in done.stdout
        if form == "json":
            json.loads(done.stdout.decode(encoding))


def test_a_reader_that_leaves(blocked: Path) -> None:
    write(blocked, {f"notes/{number}.txt": f"ssh {GOING}\n" * 50 for number in range(400)})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = ["checklist", GOING, "--estate", str(blocked), "--format", "json", *NOW]
    with subprocess.Popen(
        [sys.executable, "-m", "auditor.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read()
    assert err == b""


def test_why(capsys: pytest.CaptureFixture[str], blocked: Path) -> None:
    options = ["--estate", str(blocked), *NOW]
    code, out, _ = run(capsys, "why", "cron.d/push", GOING, *options)
    assert code == 0
    assert "hosts/web01.example.org/etc/cron.d/push:1" in out
    code, out, _ = run(capsys, "why", "job:cron.d/push", "old", "--format", "json", *options)
    assert code == 0
    assert json.loads(out)
    # Nothing leads from the web server's job to the web server's neighbour.
    assert run(capsys, "why", f"name:{GOING}", "web01.example.org", *options)[0] == 1
    code, _, err = run(capsys, "why", "nothing-is-called-so", GOING, *options)
    assert code == 2
    assert "nothing in the estate" in err


def test_a_starter_is_a_good_inventory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "init", str(tmp_path / "new"))
    assert code == 0
    assert "inventory.yaml" in out
    code, out, err = run(capsys, "inventory", "check", str(tmp_path / "new"))
    assert (code, err) == (0, "")
    assert "good" in out
    code, _, err = run(capsys, "init", str(tmp_path / "new"))
    assert code == 2
    assert "there already" in err


def test_an_inventory_with_mistakes_is_told_by_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(tmp_path, {"inventory.yaml": CLEAR + "  - {name: x.example.org, lifecylce: retired}\n"})
    code, _, err = run(capsys, "inventory", "check", str(tmp_path))
    assert code == 2
    assert "inventory.yaml:6:" in err
    assert run(capsys, "checklist", GOING, "--estate", str(tmp_path))[0] == 2


def test_schema_rules_and_explain(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inventory", "schema")
    assert code == 0
    assert json.loads(out)["properties"]
    code, out, _ = run(capsys, "rules")
    assert code == 0
    assert "mention" in out
    code, out, _ = run(capsys, "explain", "mention")
    assert code == 0
    assert "can't see" in out.lower()


def test_an_estate_that_is_a_file_system_root_of_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "checklist", GOING, "--estate", str(tmp_path))
    assert code == 4
    assert "INCOMPLETE" in out


def test_a_command_has_the_same_parser_alone(capsys: pytest.CaptureFixture[str]) -> None:
    helps = []
    for whole in (parser(), parser("gate")):
        with pytest.raises(SystemExit):
            whole.parse_args(["gate", "--help"])
        helps.append(capsys.readouterr().out)
    assert helps[0] == helps[1]
    with pytest.raises(SystemExit):
        parser("gate").parse_args(["guard", "--help"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_no_fault_of_the_auditor() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "auditor.cli.main", "rules"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr == "auditor: the output can't be written: No space left on device\n"


def test_a_range_of_hosts(blocked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["checklist", "web[01:03].example.org", GOING, "--estate", str(blocked), *NOW]
    _, out, err = run(capsys, *words, "--format", "json")
    assert err == ""
    going = [one["host"] for one in json.loads(out)["scenario"]["going"]]
    assert going == ["old.example.org", "web01.example.org", "web02.example.org", "web03.example.org"]


@pytest.mark.parametrize(
    ("words", "said", "to_do"),
    [
        (["checklist", "web[03:01].example.org"], "'web[03:01].example.org' is an empty range", "the lower end first"),
        (["checklist", "web[01:20]=www"], "a range of hosts can't have aliases", "one by one: HOST=ALIAS"),
        (["checklist", "web[1:2000000]"], "more than 10,000 hosts", "Ask for them in parts"),
        (["report", "web*"], "'web*' is not a host name", "a range such as web[01:20].example.org"),
        (["why", "push", "web[01:02].example.org"], "a range of 2 hosts", "Name one of them"),
    ],
)
def test_ranges_that_make_no_sense(
    blocked: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str, to_do: str
) -> None:
    code, out, err = run(capsys, *words, "--estate", str(blocked), *NOW)
    assert (code, out) == (2, "")
    assert said in err
    assert to_do in err


WHY = {
    "inventory.yaml": CLEAR.replace("retired,", "retired, names: [files.example.org],"),
    "hosts/web01.example.org/etc/cron.d/push": f"1 1 * * * root curl -fsS https://{GOING}/push\n",
    "hosts/web01.example.org/etc/cron.d/pull": f"2 1 * * * root curl -fsS https://{GOING}/pull\n",
    "hosts/web01.example.org/etc/cron.d/local": "3 1 * * * root /usr/bin/true\n",
    "docs/files.md": f"# Files\n\nThey are on {GOING}.\n",
}


@pytest.mark.parametrize(
    ("consumer", "said", "depends"),
    [
        ("cron.d/pu", ["cron.d/pull", "It is needed by these, too", "cron.d/push"], 0),
        ("web01", ["job /etc/cron.d/pull", "on web01.example.org depends on old.example.org"], 0),
        ("host:web01", ["on web01.example.org depends on old.example.org"], 0),
        ("cron.d/local", ["does not depend on old.example.org", "auditor checklist old.example.org --estate"], 1),
        ("o", ["job /etc/cron.d/p"], 0),
        ("docs/files.md", ["docs/files.md names old.example.org; what reads it is not known", "docs/files.md:3"], 0),
    ],
)
def test_why_names_what_depends_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], consumer: str, said: list[str], depends: int
) -> None:
    place = write(tmp_path / "e", WHY)
    code, out, err = run(capsys, "why", consumer, GOING, "--estate", str(place), *NOW, "--width", "200")
    assert (code, err) == (depends, "")
    assert all(one in out for one in said), out
    _, told, _ = run(capsys, "why", consumer, GOING, "--estate", str(place), *NOW, "--format", "json")
    assert json.loads(told)["depends"] is not bool(depends)


@pytest.mark.parametrize(
    ("words", "said", "to_do"),
    [
        (["why", "push", "odl.example.org"], "odl.example.org is named nowhere", "Did you mean old.example.org?"),
        (["why", " ", GOING], "CONSUMER is empty", "KIND:TEXT"),
        (["why", "puhs", GOING], "'puhs': nothing in the estate is called so", "Did you mean push"),
        (["why", "unit:cron.d/push", GOING], "nothing in the estate is called so", "of another kind"),
        (["why", "kind:push", GOING], "nothing in the estate is called so", "'kind' is no kind: host, "),
        (["checklist", GOING, "--policy", "/nowhere"], "/nowhere: can't be read", "Give the path of a file"),
        (["why", "push", GOING, "more"], "unrecognized arguments: more", "See `auditor why --help`"),
        (["checklist", "verify", "run.jsonl", "--more"], "unrecognized arguments: --more", "`auditor checklist verify"),
        (["inventory", "check", "--more"], "unrecognized arguments: --more", "See `auditor inventory"),
    ],
)
def test_why_says_what_to_write_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str, to_do: str
) -> None:
    place = write(tmp_path / "e", WHY)
    code, out, err = run(capsys, *words, "--estate", str(place), *NOW)
    assert (code, out) == (2, "")
    assert said in err
    assert to_do in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["why", "push", GOING, "--estate", "EMPTY"], "no file in it that can be read"),
        (["graph", "--focus", GOING, "--estate", "EMPTY"], "no file in it that can be read"),
        (["diff", "EMPTY", "ESTATE"], "no file in it that can be read"),
        (["diff", "ESTATE", "EMPTY"], "no file in it that can be read"),
        (["audit", "--estate", "EMPTY"], "`auditor init DIR` begins one"),
        (["diff", "ESTATE", "NOWHERE"], "Give the directory of an estate, or begin one with `auditor init`"),
        (["wave", "web01.example.org"], "`echo web01.example.org | auditor wave -`"),
    ],
)
def test_an_empty_estate_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """What it says of nothing would read as if all were well, or gone."""
    places = {"EMPTY": tmp_path / "empty", "ESTATE": write(tmp_path / "e", WHY), "NOWHERE": tmp_path / "nowhere"}
    places["EMPTY"].mkdir()
    code, out, err = run(capsys, *(str(places.get(word, word)) for word in words), "-q")
    assert (code, out) == (2, "")
    assert said in err


def test_a_host_by_the_beginning_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inventory = CLEAR.replace("web01.example.org", "web01.ams.example.org")
    place = write(tmp_path / "e", {**WHY, "inventory.yaml": inventory})
    _, out, _ = run(capsys, "checklist", "web01.ams", "--estate", str(place), *NOW, "--format", "json")
    assert [one["host"] for one in json.loads(out)["scenario"]["going"]] == ["web01.ams.example.org"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("Mention", ""),
        ("[mention]", ""),
        ("menton", "Did you mean mention?"),
        ("recovery", "Called so in part: recovery-approvals"),
        ("nosuch", "`auditor rules` lists them all"),
    ],
)
def test_explain_understands_what_is_nearly_a_rule(capsys: pytest.CaptureFixture[str], word: str, hint: str) -> None:
    code, out, err = run(capsys, "explain", word)
    assert code == (2 if hint else 0)
    assert ("mention: Other text" in out) is not bool(hint)
    assert hint in err
