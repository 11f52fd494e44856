"""`auditor gate`: what a pull request adds, leaves behind or takes away, judged against the state before it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditor.cli import common
from auditor.errors import UsageError
from auditor.model import Severity

if TYPE_CHECKING:
    from auditor.api import Collector, Rule
    from auditor.capture.git_tree import GitTree
    from auditor.capture.parsed import ParsedFiles
    from auditor.change import GateReport

PASSED, FAILED = 0, 1
FORMATS: Final = ("text", "json", "markdown", "sarif", "github", "gitlab", "junit")
PLAN: Final = "terraform-plan.json"
"""What a plan given with --plan is called among the files of the new side."""

_OF_PLANS: Final = frozenset({"resource_changes", "planned_values", "output_changes", "resource_drift"})
RULES_LIMIT: Final = 16 * 1024 * 1024

_EPILOG = """\
examples:
  auditor gate --base origin/main                       the files on disk against the branch that they go to
  auditor gate --base "$BASE_SHA" --head "$HEAD_SHA" --format github --report sarif=auditor.sarif
  auditor gate --base origin/main --plan plan.json      with `terraform show -json` of a plan
  auditor gate --base HEAD~1 --head HEAD --fail-on warn

It fails a change that refers to a server that is going, or takes one out that something still needs. What was there
before is told, and does not fail. Nothing is checked out, and nothing of the change is executed.

exit codes: 0 passed, 1 failed, 2 usage, 3 crash
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "gate",
        help="judge a pull request: does it leave something pointing at a server that is going?",
        description="Judges a change of a repository: what it leaves, adds or repoints at a server that is going, and "
        "what still needs a server that it takes out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--base", metavar="REV", required=True, help="the commit that the change is to be merged into")
    parser.add_argument(
        "--head", metavar="REV", default="worktree", help="the commit with the change (default: the files on disk)"
    )
    parser.add_argument("--repo", metavar="DIR", type=Path, default=Path(), help="a clone (default: this directory)")
    parser.add_argument(
        "--estate",
        metavar="SNAPSHOT",
        type=Path,
        action="append",
        default=[],
        help="a snapshot of the living estate, read with both sides; may be given several times",
    )
    parser.add_argument(
        "--going",
        metavar="HOST",
        action="append",
        default=[],
        help="judge this host, too, as one that is retired: HOST or HOST=ALIAS,ALIAS; may be given several times",
    )
    parser.add_argument("--plan", metavar="FILE", type=Path, help="`terraform show -json` of a plan of this change")
    parser.add_argument(
        "--fail-on", choices=("block", "warn"), default="block", help="what fails the change (default: block)"
    )
    parser.add_argument("--diff-only", action="store_true", help="only findings on lines that the change wrote")
    parser.add_argument(
        "--trust-head", action="store_true", help="let the change declare hosts active again, and take its policy"
    )
    common.confirm_option(parser)
    common.rule_option(parser, "in the repository, as they are in the base (with --trust-head, in the change)")
    common.cache_option(parser)
    parser.add_argument(
        "--now", metavar="TIME", type=common.moment, help="judge as of this time, ISO 8601 (default: the present)"
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")
    parser.add_argument(
        "--report",
        metavar="FORMAT=FILE",
        type=common.report_file(FORMATS),
        action="append",
        default=[],
        help="also write this format to a file; may be given several times",
    )
    common.output_options(parser, FORMATS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Judges a change; exit code 0 if it passes, else 1."""
    from auditor.report.gate import render

    report = _judge(arguments)
    help_of = _help() if "sarif" in (arguments.format, *(kind for kind, _ in arguments.report)) else {}
    for kind, path in arguments.report:
        common.write_report(path, render(report, kind, help_of=help_of))
    common.write(
        lambda color, width: render(report, arguments.format, help_of=help_of, color=color, width=width), arguments
    )
    return PASSED if report.passed else FAILED


def _judge(arguments: argparse.Namespace) -> GateReport:
    from auditor.audit.gate import Sides, gate
    from auditor.audit.scenario import parse_hosts
    from auditor.capture.estates import MergedTree, open_estate
    from auditor.capture.git import WORKTREE, Repository
    from auditor.capture.git_tree import GitTree, WorktreeTree
    from auditor.capture.reading import Templates
    from auditor.capture.tree import INVENTORY, Tree
    from auditor.cli.progress import Progress
    from auditor.registry import load_collectors, load_rules

    common.fewer_collections()
    repository = Repository(arguments.repo)
    base = repository.commit(arguments.base)
    base_name = f"{arguments.base} ({base[:12]})"
    notes = []
    if arguments.head == WORKTREE:
        head, head_name = WORKTREE, "the files on disk"
        left = repository.merge_base(base, repository.commit("HEAD"))
        after = WorktreeTree.at(repository)
    else:
        head = repository.commit(arguments.head)
        head_name = f"{arguments.head} ({head[:12]})"
        left = repository.merge_base(base, head)
        after = GitTree.of(repository, head, head_name)
    if left is None:
        notes.append(
            f"the clone has no commit that both sides come from, so that {arguments.base} itself was compared: what was"
            " done there since looks undone by this change. A clone with the whole history has that commit"
        )
    base = left or base
    if base == head and arguments.plan is None:
        notes.append(f"{arguments.head} has nothing that {arguments.base} has not: there was no change to judge")
    if arguments.plan is not None:
        after.add(PLAN, _plan(arguments.plan))
    old = GitTree.of(repository, base, base_name)
    living = [open_estate(path) for path in arguments.estate]
    # What the repository has, or had, counts as it has it: the living estate is as it was before the change.
    for tree in living:
        tree.leave_out([*old.entries, *after.entries])

    def without_inventory() -> Tree:
        tree = GitTree.of(repository, base, base_name)
        tree.entries.pop(INVENTORY, None)
        return merged(tree)

    def merged(tree: Tree) -> Tree:
        return MergedTree.of([tree, *living]) if living else tree

    sides = Sides(
        merged(old),
        merged(after),
        without_inventory,
        repository.changes(base, head),
        base_name,
        head_name,
        frozenset(tree.label for tree in living),
    )
    collectors, failures = load_collectors()
    rules, more = load_rules()
    kept = _cache(arguments.cache_dir, collectors, [old, after])
    rules.extend(_own_rules(arguments.rules, after if arguments.trust_head else old, rules))
    with Progress("judging", quiet=arguments.quiet) as bar:
        report = gate(
            sides,
            collectors,
            rules,
            (*failures, *more),
            arguments.now or datetime.now(UTC),
            hosts=parse_hosts(arguments.going),
            fail_on=Severity(arguments.fail_on),
            diff_only=arguments.diff_only,
            trust_head=arguments.trust_head,
            confirmed=arguments.confirm_hosts,
            known=Templates(kept),
            progress=bar.stage,
            notes=notes,
        )
    if kept is not None:
        common.save(kept)
        report = replace(report, counts={**report.counts, "parsed": kept.added, "from_cache": kept.hits})
    return report


def _cache(directory: Path | None, collectors: Sequence[Collector], trees: Sequence[GitTree]) -> ParsedFiles | None:
    """What was parsed before; None if nobody asked for it. Raises UsageError if the change could write to it."""
    if directory is None:
        return None
    for tree in trees:
        try:
            inside = directory.resolve().relative_to(tree.root.resolve()).as_posix()
        except ValueError:
            continue
        if any(path == inside or path.startswith(f"{inside}/") for path in tree.entries):
            raise UsageError(
                f"{directory}: the repository has files there: a change could say what is in the cache",
                hint="Give a directory outside of it, or one that is ignored and empty in each commit.",
            )
    return common.parsed_files(directory, collectors)


def _own_rules(places: Sequence[Path], tree: GitTree, others: Sequence[Rule]) -> Sequence[Rule]:
    """Rules in YAML from a side of the change: a change must not be able to take out the rule that it breaks."""
    if not places:
        return ()
    from auditor.yamlrules.loading import SUFFIXES, rules_of

    files: dict[str, bytes] = {}
    for place in places:
        below = place.as_posix().rstrip("/")
        found = [path for path in tree.entries if path == below or path.startswith(f"{below}/")]
        contents = {path: tree.content(path, RULES_LIMIT) for path in found if path.endswith(SUFFIXES)}
        if not contents:
            raise UsageError(
                f"{below}: no rules in YAML there, in {tree.label}",
                hint="Give a path within the repository, of what is there before the change.",
            )
        files.update((tree.called(path), content) for path, content in contents.items() if content is not None)
    return rules_of(files, others).rules


def _plan(path: Path) -> bytes:
    from auditor.capture.tree import MAX_FILE

    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}", hint="Make it with `terraform show`.") from error
    if len(content) > MAX_FILE:
        raise UsageError(f"{path}: more than {MAX_FILE:,} bytes", hint="Judge the plans of single workspaces.")
    if not content.lstrip().startswith(b"{"):
        raise UsageError(
            f"{path}: is no JSON object", hint="A plan file is binary: `terraform show -json plan.out > plan.json`."
        )
    try:
        plan = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not whole: {error}", hint="Make it anew with `terraform show -json`.") from error
    if not isinstance(plan, dict) or not _OF_PLANS & plan.keys():
        hint = "Without a file it shows the state: `terraform show -json plan.out`, with the file of `terraform plan`."
        raise UsageError(f"{path}: is no plan, for it says of no change", hint=hint)
    if plan.get("errored") is True:
        raise UsageError(
            f"{path}: is of a plan that failed half-way", hint="Mend what `terraform plan` says, and plan again."
        )
    return content


def _help() -> dict[str, str]:
    from auditor.registry import load_rules
    from auditor.report.explain import rule_markdown

    rules, _ = load_rules()
    return {rule.id: rule_markdown(rule) for rule in rules}
