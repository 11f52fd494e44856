"""What a command line or a shell script calls, connects to, reads and writes. Parsed with tree-sitter, never run.

How identities are written here, for all programs alike:

- a URL is an ENDPOINT (`endpoint_ref`); the part of its path that is known only at run time is cut off;
- a host with an explicit port is an ENDPOINT, `ssh://host:22022` for the SSH family and `host:port` for others;
- a host without a port is a NAME or ADDRESS (`host_ref`);
- loopback hosts and `/dev/…` are no dependencies;
- an ACME client is a CLIENT by its base name, wherever it is installed; other programs and scripts are a PATH if their
  path is absolute (or `cd` is literal), and nothing if they are called by bare name;
- a file whose name is known only at run time is WRITES of the directory above it, confidence medium.

Needs: READ in general; WRITE where something is put on the remote host (scp, rsync, `curl -T`, git push, SQL that
changes data); RUN for a remote command, and for a POST to a webhook. Commands that run on another host or in a
container give CONNECTS and CLIENT only, with confidence medium.

Variables with literal values are resolved inside one script, over branches and loops (each possible value is taken);
anything else stays unresolved, and what depends on it is left out rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from itertools import islice, product
from math import prod
from time import thread_time
from typing import TYPE_CHECKING, Final, Literal

from auditor.model import Fact, Malformed, Parsed, Ref, Relation, Where
from auditor.shell.reports import told
from auditor.shell.sink import HOLE, ScriptLimitError, Sink, Word
from auditor.text import expand_range

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

TEXT_LIMIT: Final = 1 << 20
"""Bytes of one script that are analysed."""
SECONDS: Final = 2.0
DEPTH_LIMIT: Final = 100
NESTING_LIMIT: Final = 8
"""`sh -c` in `sh -c`, and functions that call functions."""
VALUES_LIMIT: Final = 1024
"""Values that one variable may take."""
PIPELINE_LIMIT: Final = 1000
"""Parts of one pipeline."""
COMBINATIONS_LIMIT: Final = 256
"""Combinations of the values of one command's variables that are all tried."""

_CHUNK: Final = 1 << 16
# tree-sitter-bash 0.25 asks isalpha(3) about code points beyond its range, and crashes on some. For the parser, every
# other byte is a character that is part of a word but not of a name; offsets stay, and words come from the source.
_TO_ASCII: Final = bytes(byte if byte < 0x80 else ord("%") for byte in range(256))
_SUBSTITUTIONS: Final = frozenset({"command_substitution", "process_substitution"})
_WORDS: Final = frozenset(
    {
        "word",
        "number",
        "string",
        "raw_string",
        "ansi_c_string",
        "translated_string",
        "concatenation",
        "simple_expansion",
        "expansion",
        "command_substitution",
        "process_substitution",
        "arithmetic_expansion",
        "brace_expression",
        "extglob_pattern",
        "regex",
        "variable_name",
        "special_variable_name",
        "test_operator",
    }
)
_EXPANSIONS: Final = frozenset({"simple_expansion", "expansion", "arithmetic_expansion"}) | _SUBSTITUTIONS
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_QUOTED_ESCAPE: Final = re.compile(r"\\([$`\"\\\n])")
_ANSI_ESCAPE: Final = re.compile(r"\\(?:([abefnrtv\\'\"?])|x([0-9a-fA-F]{1,2})|([0-7]{1,3}))")
_ANSI: Final = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BRACES: Final = re.compile(r"\{([^{}\s]*,[^{}\s]*)\}")
_NUMBERS: Final = re.compile(r"\{(?:-?\d+|[a-zA-Z])\.\.(?:-?\d+|[a-zA-Z])(?:\.\.\d+)?\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*]")


@lru_cache(maxsize=1)
def _parser() -> Parser | None:
    """The one parser of this process; None if tree-sitter is not installed."""
    try:
        import tree_sitter
        import tree_sitter_bash
    except ImportError:
        return None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def _before_long_pipeline(text: str) -> str:
    """The text up to a pipeline of more than PIPELINE_LIMIT parts: the parser's time for one grows with the square
    of its length, and can't be bounded from outside."""
    if text.count("|") <= PIPELINE_LIMIT:
        return text
    start = pipes = 0
    for found in re.finditer(r"\|\s*|[;&\n]", text):
        if found[0][0] != "|":
            start, pipes = found.end(), 0
            continue
        pipes += 1
        if pipes > PIPELINE_LIMIT:
            return text[:start]
    return text


def _syntax_tree(parser: Parser, source: bytes, seconds: float) -> Tree:
    """The syntax tree. Raises ScriptLimitError if the grammar is still undecided after so many seconds of
    this thread's processor time: on a busy machine a script means what it means elsewhere."""
    end = thread_time() + seconds
    ascii_source = source.translate(_TO_ASCII)

    def read(offset: int, _point: object) -> bytes:
        return ascii_source[offset : offset + _CHUNK]

    def out_of_time(_offset: int, _has_error: bool) -> bool:
        return thread_time() > end

    try:
        return parser.parse(read, progress_callback=out_of_time)
    except ValueError:
        parser.reset()
        raise ScriptLimitError("the script takes too long to parse") from None


def analyse_command(
    command: str,
    consumer: Ref,
    where: Where,
    *,
    syntax: Literal["sh", "exec"] = "sh",
    environment: Mapping[str, str] | None = None,
    script: bool = False,
    after_success: bool = False,
) -> Iterator[Fact]:
    """The dependencies of a command line, or with `script` of a whole script whose first line is `where.line`.

    `syntax` is "sh" for sh(1) as cron, hooks and scripts use it (bash included), or "exec" for systemd's words
    (systemd.syntax(7), systemd.service(5)), with no shell and `;` between commands. `environment` holds variables
    that are set for the command. `after_success`: it runs only after other commands that did not fail. See the
    module for how identities are written. Never raises: what can't be parsed is left out; `analyse_script` says what
    that was.
    """
    for fact in _analyse(command, consumer, where, syntax, environment, script, after_success):
        if not isinstance(fact, Malformed):
            yield fact


def analyse_script(
    text: str, consumer: Ref, where: Where | None = None, *, environment: Mapping[str, str] | None = None
) -> Iterator[Parsed]:
    """Like `analyse_command` with `script`, and also Malformed for each place that sh would not parse or we did not.

    At most TEXT_LIMIT characters and SECONDS of work: a Malformed says where it stopped.
    """
    yield from _analyse(text, consumer, where or Where(1), "sh", environment, True)


def _analyse(
    text: str,
    consumer: Ref,
    where: Where,
    syntax: str,
    environment: Mapping[str, str] | None,
    script: bool,
    after_success: bool = False,
) -> Iterator[Fact | Malformed]:
    cut = len(text) > TEXT_LIMIT
    text = text[:TEXT_LIMIT].replace("\x00", " ").replace(HOLE, "?").replace("\r\n", "\n")
    lines = text.split("\n") if script else None
    sink = Sink(consumer, where, lines, SECONDS)
    shell = Shell(sink, environment or {})
    problem = ""
    try:
        if syntax == "exec":
            shell.exec_line(text)
        else:
            shell.run_text(text, 0)
            shell.finish()
    except ScriptLimitError as reached:
        problem = str(reached)
    except RecursionError:
        problem = "the script is nested too deeply"
    yield from told(sink.take(), text, consumer, where, environment or {}, script, after_success)
    for row in shell.broken:
        yield Malformed(sink.place(row), "shell syntax that could not be read", "the rest of the script is used")
    if cut:
        problem = f"the script is longer than {TEXT_LIMIT} characters"
    if problem:
        yield Malformed(where, problem, "only a part of the script was analysed")


class Shell:
    """Walks a script's syntax tree with the values its variables can have."""

    def __init__(self, sink: Sink, environment: Mapping[str, str]) -> None:
        self.sink = sink
        self.variables: dict[str, tuple[str, ...]] = {name: (value,) for name, value in environment.items()}
        self.arrays: dict[str, tuple[str, ...]] = {}
        self.functions: dict[str, Node] = {}
        self.called: set[str] = set()
        self.positional: tuple[str, ...] | None = None
        self.cwd = ""
        self.broken: list[int] = []
        self._nesting = 0
        self._depth = 0
        self._row = 0
        self._source = b""
        self._choice: dict[str, str] = {}
        self._touched: dict[str, tuple[str, ...]] = {}
        self._calls: set[tuple[str, tuple[str, ...]]] = set()
        self._top: tuple[bytes, int] | None = None
        # Standard input of commands by node, and values of variables that the next `read` takes from it.
        self._inputs: dict[int, str] = {}
        self._fed: dict[str, tuple[str, ...]] = {}

    # Texts

    def run_text(self, text: str, row: int) -> None:
        """Analyses shell source that starts on this row."""
        parser = _parser()
        if parser is None:
            raise ScriptLimitError("tree-sitter is not installed, so shell text is not analysed")
        if self._nesting >= NESTING_LIMIT:
            return
        whole, text = text, _before_long_pipeline(text)
        source = text.encode("utf-8", "surrogatepass")
        self.sink.tick()
        tree = _syntax_tree(parser, source, self.sink.remaining())
        saved = self._source, self._row, self._depth
        self._source, self._row, self._depth = source, row, 0
        self._nesting += 1
        try:
            if tree.root_node.has_error and self._nesting == 1:
                self._find_errors(tree.root_node)
            self._walk(tree.root_node)
            if len(whole) > len(text):
                raise ScriptLimitError(f"the script has a pipeline of more than {PIPELINE_LIMIT} parts")
        finally:
            self._nesting -= 1
            self._source, self._row, self._depth = saved

    def finish(self) -> None:
        """Analyses functions that nothing calls: a library's, or called in a way that can't be followed."""
        for name, body in list(self.functions.items()):
            if name not in self.called:
                self.positional = None
                self._walk_function(body)

    def run_inner(self, text: str, row: int, *, remote: bool = False) -> None:
        """Analyses the text of `sh -c`, of a hook option or of a remote command, in a shell of its own."""
        if not text.strip() or self._nesting >= NESTING_LIMIT:
            return
        saved = dict(self.variables), dict(self.arrays), self.cwd, self.positional
        self.positional = None
        if remote:
            self.sink.remote += 1
            self.cwd = ""
        inner = self._choice, self._touched
        self._choice, self._touched = {}, {}
        try:
            self.run_text(text, row)
        finally:
            if remote:
                self.sink.remote -= 1
            self.variables, self.arrays, self.cwd, self.positional = saved
            self._choice, self._touched = inner

    def exec_line(self, text: str) -> None:
        """Analyses systemd's command syntax: quoted words, `;` alone between commands, no shell."""
        command: list[Word] = []
        for word in [*_exec_words(text), ";"]:
            if word != ";":
                command.extend(self._exec_values(word.replace("\\;", ";") if word == "\\;" else word))
                continue
            if command:
                first = command[0].text
                bare = first.lstrip("@-:+!|")
                command[0] = Word(bare)
                if "@" in first[: len(first) - len(bare)] and len(command) > 1:
                    del command[1]
                self._interpret(command, None)
            command = []

    def _exec_values(self, word: str) -> list[Word]:
        text = re.sub(r"%(.)", lambda found: "%" if found[1] == "%" else HOLE, word)
        whole = re.fullmatch(r"\$([A-Za-z_]\w*)", text)
        if whole:
            values = self.variables.get(whole[1])
            return [Word(part) for part in values[0].split()] if values else [Word(HOLE)]

        def value(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            values = self.variables.get(found[1] or found[2])
            return values[0] if values else HOLE

        return [Word(re.sub(r"\$\$|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)", value, text))]

    # Statements

    def _walk(self, node: Node) -> None:
        self.sink.tick()
        if self._depth >= DEPTH_LIMIT:
            raise ScriptLimitError(f"the script is nested deeper than {DEPTH_LIMIT} levels")
        self._depth += 1
        try:
            handler = _HANDLERS.get(node.type)
            if handler is not None:
                handler(self, node)
            elif node.type in _WORDS:
                self._substitutions(node)
            elif node.type != "comment":
                for child in node.named_children:
                    self._walk(child)
        finally:
            self._depth -= 1

    def _command(self, node: Node) -> None:
        self._redirected_command(node, [])

    def _redirected(self, node: Node) -> None:
        """A statement with redirections; a command's here-document belongs to it."""
        body = node.child_by_field_name("body")
        redirects = [c for c in node.named_children if c.type.endswith("_redirect")]
        if body is not None and body.type == "command":
            self._redirected_command(body, redirects)
            return
        text = self._redirects(redirects)
        if body is not None:
            if text is not None and body.type == "while_statement":
                self._feed(body, text)
            last = body
            while last.type in ("pipeline", "list") and last.named_child_count:
                last = last.named_children[-1]
            if text is not None and last.type == "command" and last is not body:
                self._inputs[last.id] = text
            self._walk(body)
        self._after_heredoc(redirects)

    def _feed(self, loop: Node, text: str) -> None:
        """`while read x; do …; done <<EOF`: the lines of the here-document are the variable's values."""
        for child in loop.named_children:
            if child.type == "command":
                words = [self._text(c) for c in child.named_children]
                if words and words[0] == "read":
                    names = [w for w in words[1:] if _NAME.fullmatch(w)]
                    if names:
                        fields = [line.split(None, len(names) - 1) for line in text.splitlines() if line.strip()]
                        for index, name in enumerate(names):
                            values = dict.fromkeys(f[index] for f in fields if len(f) > index)
                            self._fed[name] = tuple(islice(values, VALUES_LIMIT))
            elif child.type == "do_group":
                break

    def _redirected_command(self, node: Node, redirects: list[Node]) -> None:
        own = [c for c in node.named_children if c.type.endswith("_redirect")]
        extra = [a for r in redirects for a in r.children_by_field_name("argument")]
        # The grammar takes words that follow a redirection's target as further targets.
        for redirect in redirects:
            if redirect.type == "file_redirect":
                extra.extend(redirect.children_by_field_name("destination")[1:])
        stdin = self._redirects([*own, *redirects])
        if stdin is None:
            stdin = self._inputs.pop(node.id, None)
        for child in node.children:
            if child.type == "variable_assignment" and node.child_by_field_name("name") is None:
                self._assignment(child)
        for child in [*node.named_children, *extra]:
            if not child.type.endswith("_redirect"):
                self._substitutions(child)
        parts = [*node.children_by_field_name("name"), *node.children_by_field_name("argument")]
        prefix = [c for c in node.named_children if c.type == "variable_assignment"]

        def run(words: list[Word]) -> None:
            kept = dict(self.variables) if prefix else self.variables
            for assignment in prefix:
                self._assignment(assignment)
            if prefix:
                words = self._fields([*parts, *extra])
            try:
                if words:
                    self._simple(words, stdin)
            finally:
                self.variables = kept

        if parts:
            self._each_choice([*parts, *extra], run)
        piped = stdin if parts and self._text(parts[0]) == "cat" else None
        self._after_heredoc(redirects, HOLE if piped is None else piped)

    def _after_heredoc(self, redirects: Sequence[Node], piped: str = HOLE) -> None:
        """What stands on the line of `<<EOF` after it: a pipeline, which gets what was put out, or a list."""
        for redirect in redirects:
            if redirect.type == "heredoc_redirect":
                for child in redirect.named_children:
                    if child.type == "pipeline" and child.named_child_count:
                        self._inputs[child.named_children[0].id] = piped
                    if child.type in ("pipeline", "list", "command", "redirected_statement"):
                        self._walk(child)

    def _redirects(self, redirects: Sequence[Node]) -> str | None:
        """Emits what redirections read and write; returns the text of a here-document, if one is given."""
        text: str | None = None
        queue = list(redirects)
        while queue:
            redirect = queue.pop(0)
            if redirect.type == "heredoc_redirect":
                queue.extend(c for c in redirect.named_children if c.type == "file_redirect")
                body = next((c for c in redirect.named_children if c.type == "heredoc_body"), None)
                start = next((c for c in redirect.named_children if c.type == "heredoc_start"), None)
                if body is not None:
                    quoted = start is not None and self._text(start)[:1] in ("'", '"', "\\")
                    if quoted:
                        text = self._text(body)
                    else:
                        self._substitutions(body)
                        text = self._first_choice(body)
            elif redirect.type == "herestring_redirect":
                for child in redirect.named_children:
                    self._substitutions(child)
                    text = self._first_choice(child)
            elif redirect.type == "file_redirect":
                self._file_redirect(redirect)
        return text

    def _file_redirect(self, redirect: Node) -> None:
        operator = next((c.type for c in redirect.children if c.type[0] in "<>&"), ">")
        targets = redirect.children_by_field_name("destination")
        for child in targets[:1]:
            self._substitutions(child)
            relation = Relation.READS if operator == "<" else Relation.WRITES

            def emit(words: list[Word], relation: Relation = relation) -> None:
                for word in words:
                    if word.text.startswith(("/dev/tcp/", "/dev/udp/")):
                        host, _, port = word.text[9:].partition("/")
                        self.sink.connect(host, word.row, port=port)
                    else:
                        self.sink.path(relation, self._absolute(word.text), word.row)

            self._each_choice([child], emit)

    def _each_choice(self, nodes: Sequence[Node], act: Callable[[list[Word]], None], *, split: bool = True) -> None:
        """Acts on the words of nodes, once for each combination of values that the variables in them can have."""
        outer = self._choice, self._touched
        self._choice, self._touched = dict(self._choice), {}
        try:
            words = self._fields(nodes, split=split)
            touched = self._touched
            if not touched:
                act(words)
                return
            base = dict(self._choice)
            for choice in _choices(touched):
                self.sink.tick()
                self._choice = {**base, **choice}
                act(self._fields(nodes, split=split))
        finally:
            self._choice, self._touched = outer

    def _first_choice(self, node: Node) -> str:
        outer = self._touched
        self._touched = {}
        try:
            return " ".join(w.text for w in self._fields([node], split=False))
        finally:
            self._touched = outer

    def _assignment(self, node: Node) -> None:
        name_node, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name_node is None:
            return
        name = self._text(name_node)
        append = any(c.type == "+=" for c in node.children)
        if name_node.type != "variable_name":
            self.arrays.pop(name.partition("[")[0], None)
            return
        self._choice.pop(name, None)
        if value is None:
            self._set(name, ("",))
            return
        if value.type == "array":
            fields = tuple(w.text for w in islice(self._fields(value.named_children), VALUES_LIMIT))
            self.arrays[name] = ((self.arrays.get(name, ()) if append else ()) + fields)[:VALUES_LIMIT]
            if self.arrays[name]:
                self._set(name, (self.arrays[name][0],))
            return
        values: dict[str, None] = {}

        def take(words: list[Word]) -> None:
            text = "".join(w.text for w in words)
            if append:
                for old in self.variables.get(name, ("",)):
                    values[old + text] = None
            else:
                values[text] = None

        self._each_choice([value], take, split=False)
        self._set(name, tuple(islice(values, VALUES_LIMIT)))

    def _set(self, name: str, values: tuple[str, ...]) -> None:
        if sum(map(len, values)) > TEXT_LIMIT:
            values = (HOLE,)
        self.variables[name] = values

    def _assignment_statement(self, node: Node) -> None:
        self._substitutions(node)
        self._assignment(node)

    def _unset(self, node: Node) -> None:
        for child in node.named_children:
            self.variables.pop(self._text(child), None)
            self.arrays.pop(self._text(child), None)

    # Control flow

    def _branches(self, branches: Sequence[Sequence[Node]], *, fallthrough: bool) -> None:
        """Walks alternatives from the same state; afterwards a variable can have the value of any of them."""
        before = dict(self.variables)
        cwd = self.cwd
        ends = [before] if fallthrough else []
        for branch in branches:
            self.variables = dict(before)
            self.cwd = cwd
            for node in branch:
                self._walk(node)
            ends.append(self.variables)
        merged: dict[str, tuple[str, ...]] = {}
        for end in ends or [before]:
            for name, values in end.items():
                known = merged.get(name)
                if known is None or known is values:
                    merged[name] = values
                elif known != values:
                    merged[name] = tuple(islice(dict.fromkeys(known + values), VALUES_LIMIT))
        self.variables = merged
        self.cwd = cwd

    def _if(self, node: Node) -> None:
        conditions: list[Node] = []
        branches: list[list[Node]] = [[]]
        fallthrough = True
        seen_then = False
        for child in node.children:
            if child.type == "then":
                seen_then = True
            elif child.type in ("elif_clause", "else_clause"):
                branches.append([child])
                fallthrough = fallthrough and child.type != "else_clause"
            elif child.is_named:
                (branches[0] if seen_then else conditions).append(child)
        for condition in conditions:
            self._walk(condition)
        self._branches(branches, fallthrough=fallthrough)

    def _case(self, node: Node) -> None:
        items = [c for c in node.named_children if c.type == "case_item"]
        for child in node.children_by_field_name("value"):
            self._substitutions(child)
        values = [{v.id for v in i.children_by_field_name("value")} for i in items]
        branches = [
            [c for c in item.named_children if c.id not in skip] for item, skip in zip(items, values, strict=True)
        ]
        self._branches(branches, fallthrough=True)

    def _loop(self, node: Node) -> None:
        self._branches([node.named_children], fallthrough=True)

    def _for(self, node: Node) -> None:
        variable = node.child_by_field_name("variable")
        values = node.children_by_field_name("value")
        for value in values:
            self._substitutions(value)
        if variable is not None:
            found: dict[str, None] = {}

            def take(words: list[Word]) -> None:
                found.update(dict.fromkeys(word.text for word in words))

            self._each_choice(values, take)
            name = self._text(variable)
            self._choice.pop(name, None)
            self._set(name, tuple(islice(found, VALUES_LIMIT)) or (HOLE,))
        body = node.child_by_field_name("body")
        if body is not None:
            self._branches([[body]], fallthrough=False)

    def _list(self, node: Node) -> None:
        """`a && b || c`, flattened since the grammar nests it to the left. What comes after `&&` may not happen."""
        chain: list[Node] = []
        while node.type == "list" and node.named_child_count:
            chain.extend(reversed(node.named_children[1:]))
            node = node.named_children[0]
        self._walk(node)
        for part in reversed(chain):
            if part.type == "comment":
                continue
            before = dict(self.variables)
            self._walk(part)
            for name, values in before.items():
                after = self.variables.get(name)
                if after is not None and after is not values and after != values:
                    self.variables[name] = tuple(islice(dict.fromkeys(values + after), VALUES_LIMIT))

    def _subshell(self, node: Node) -> None:
        saved = dict(self.variables), dict(self.arrays), self.cwd
        try:
            for child in node.named_children:
                self._walk(child)
        finally:
            self.variables, self.arrays, self.cwd = saved

    def _pipeline(self, node: Node) -> None:
        """Each part is a subshell; a literal `echo` feeds the next part's standard input."""
        parts = [c for c in node.named_children if c.type != "comment"]
        for index, part in enumerate(parts):
            saved = dict(self.variables), dict(self.arrays), self.cwd
            if index and part.type == "command" and part.id not in self._inputs:
                self._inputs[part.id] = self._echoed(parts[index - 1])
            self._walk(part)
            self.variables, self.arrays, self.cwd = saved

    def _echoed(self, node: Node) -> str:
        """What an `echo` or `printf` of known words puts out; HOLE for any other command."""
        if node.type == "command":
            words = self._fields_quietly(node.children_by_field_name("name") + node.children_by_field_name("argument"))
            if words and words[0] in ("echo", "printf"):
                rest = [w for w in words[1:] if not re.fullmatch("-[neE]+", w)]
                return " ".join(rest).replace("\\n", "\n")
        return HOLE

    def _fields_quietly(self, nodes: Sequence[Node]) -> list[str]:
        outer = self._touched
        self._touched = {}
        try:
            return [w.text for w in self._fields(nodes)]
        finally:
            self._touched = outer

    def _function(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None and self._nesting == 1:
            self.functions[self._text(name)] = body
            self.called.discard(self._text(name))
        elif body is not None:
            self._walk(body)

    def _walk_function(self, body: Node) -> None:
        if self._nesting >= NESTING_LIMIT:
            return
        self._nesting += 1
        saved = self._source, self._row
        if self._top is not None:
            self._source, self._row = self._top
        try:
            self._walk(body)
        finally:
            self._nesting -= 1
            self._source, self._row = saved

    def _program(self, node: Node) -> None:
        if self._nesting == 1:
            self._top = self._source, self._row
        for child in node.named_children:
            self._walk(child)

    def _nothing(self, node: Node) -> None:
        self._substitutions(node)

    # Simple commands

    def _simple(self, words: list[Word], stdin: str | None) -> None:
        name = words[0].text
        if name in self.functions and not self.sink.remote:
            self._call(name, [w.text for w in words[1:]])
            return
        if name == "read":
            for word in words[1:]:
                if _NAME.fullmatch(word.text):
                    self._set(word.text, self._fed.pop(word.text, (HOLE,)))
                    self._choice.pop(word.text, None)
            return
        if name in ("cd", "pushd"):
            target = next((w.text for w in words[1:] if not w.text.startswith("-")), "")
            self.cwd = self._absolute(target) if HOLE not in target else ""
            return
        if name in ("shift", "set") and len(words) > 1 and name == "set" and words[1].text == "--":
            self.positional = tuple(w.text for w in words[2:])
            return
        if name == "shift":
            self.positional = self.positional[1:] if self.positional else None
            return
        self._interpret(words, stdin)

    def _call(self, name: str, arguments: list[str]) -> None:
        key = name, tuple(arguments)
        self.called.add(name)
        if self._nesting >= NESTING_LIMIT or key in self._calls or len(self._calls) > VALUES_LIMIT:
            return
        self._calls.add(key)
        saved = self.positional, self._choice, self._touched
        self.positional, self._choice, self._touched = tuple(arguments), {}, {}
        try:
            self._walk_function(self.functions[name])
        finally:
            self.positional, self._choice, self._touched = saved

    def _interpret(self, words: list[Word], stdin: str | None) -> None:
        from auditor.shell.programs import interpret

        self.sink.tick()
        interpret(words, self, stdin)

    def _absolute(self, path: str) -> str:
        """A path against a literal `cd`; unchanged if there was none."""
        if path.startswith("/") or not path:
            return path
        if path.startswith("~/"):
            home = self.variables.get("HOME", ("",))[0]
            return f"{home}/{path[2:]}" if home.startswith("/") and HOLE not in home else path
        if path.startswith(("~", "$", HOLE)) or not self.cwd.startswith("/") or HOLE in self.cwd:
            return path
        return f"{self.cwd}/{path}"

    absolute = _absolute

    # Words

    def _text(self, node: Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def _gap(self, start: int, end: int) -> str:
        return self._source[start:end].decode("utf-8", "replace")

    def _substitutions(self, node: Node) -> None:
        """Walks the commands inside `$( )`, backquotes and `<( )` of a word, each in a subshell."""
        if node.type in _SUBSTITUTIONS:
            self._subshell(node)
            return
        if node.child_count == 0:
            return
        stack = [node]
        found: list[Node] = []
        while stack:
            here = stack.pop()
            for child in here.named_children:
                if child.type in _SUBSTITUTIONS:
                    found.append(child)
                else:
                    stack.append(child)
        for substitution in found:
            self._walk(substitution)

    def _fields(self, nodes: Sequence[Node], *, split: bool = True) -> list[Word]:
        """The words that nodes expand to, with the values chosen now."""
        words: list[Word] = []
        builder: _Builder | None = None
        end = -1
        row = 0
        for node in nodes:
            if node.type == "command_name":
                node = node.named_children[0] if node.named_child_count else node
            gap = self._gap(end, node.start_byte).replace("\\\n", " ") if 0 <= end <= node.start_byte else " "
            # The grammar ends a word at an escaped blank.
            joined = builder is not None and (gap == "" or gap.startswith("\\"))
            if not joined:
                if builder is not None:
                    words.extend(builder.words(row))
                builder, row = _Builder(split), self._row + node.start_point[0]
            elif builder is not None and gap:
                builder.add(_ESCAPE.sub(r"\1", gap))
            assert builder is not None
            self._part(node, builder, False)
            end = node.end_byte
        if builder is not None:
            words.extend(builder.words(row))
        return words

    def _part(self, node: Node, builder: _Builder, quoted: bool) -> None:
        kind = node.type
        if builder.dollar:
            # The grammar splits `/x/$A/$B` before B: a lone `$`, then a word of its own.
            builder.dollar = False
            text = self._text(node)
            found = _PARAMETER.match(text) if kind in ("word", "number", "variable_name") else None
            if found is None:
                builder.add("$")
            else:
                self._variable(found[0], builder, quoted)
                if found.end() < len(text):
                    builder.add(_ESCAPE.sub(r"\1", text[found.end() :]))
                return
        if kind == "$":
            builder.dollar = True
        elif kind == "raw_string":
            builder.add(self._text(node)[1:-1])
        elif kind == "ansi_c_string":
            builder.add(_ANSI_ESCAPE.sub(_ansi, self._text(node)[2:-1]))
        elif kind in ("string", "translated_string", "heredoc_body"):
            self._quoted(node, builder)
        elif kind == "simple_expansion":
            self._variable(self._text(node)[1:], builder, quoted)
        elif kind == "expansion":
            self._expansion(node, builder, quoted)
        elif kind in _EXPANSIONS:
            builder.add(HOLE)
        elif kind == "concatenation":
            end = node.start_byte
            for child in node.children:
                builder.add(_ESCAPE.sub(r"\1", self._gap(end, child.start_byte)))
                self._part(child, builder, quoted)
                end = child.end_byte
        elif kind == "array":
            builder.add(HOLE)
        else:
            text = self._text(node)
            builder.braces = builder.braces or "{" in text
            builder.add(_ESCAPE.sub(r"\1", text.replace("\\\n", "")) if "\\" in text else text)

    def _quoted(self, node: Node, builder: _Builder) -> None:
        """Double quotes and here-documents: literal text between expansions, which are never split."""
        heredoc = node.type == "heredoc_body"
        start, end = node.start_byte, node.end_byte
        if not heredoc:
            start += 2 if node.type == "translated_string" else 1
            end -= 1
        builder.add("")
        children = node.named_children
        if node.type == "translated_string" and children:
            self._part(children[0], builder, True)
            return
        for child in children:
            if child.type in _EXPANSIONS:
                builder.add(_QUOTED_ESCAPE.sub(_quoted_escape, self._gap(start, child.start_byte)))
                self._part(child, builder, True)
                start = child.end_byte
        builder.add(_QUOTED_ESCAPE.sub(_quoted_escape, self._gap(start, max(start, end))))

    def _variable(self, name: str, builder: _Builder, quoted: bool) -> None:
        if name in ("@", "*"):
            fields = self.positional
            if fields is None:
                builder.add(HOLE)
            else:
                builder.several(fields, separate=name == "@" or not quoted)
            return
        value = self._value(name)
        builder.expand(HOLE if value is None else value, quoted)

    def _value(self, name: str) -> str | None:
        """The value of a variable or parameter, as chosen now; None if unknown."""
        if name.isdecimal():
            index = int(name)
            if index and self.positional is not None:
                return self.positional[index - 1] if index <= len(self.positional) else ""
            return None
        if name in self._choice:
            return self._choice[name]
        values = self.variables.get(name)
        if not values:
            return None
        if len(values) > 1:
            self._touched[name] = values
        return values[0]

    def _expansion(self, node: Node, builder: _Builder, quoted: bool) -> None:
        """`${…}` of sh(1) and bash(1): defaults, alternatives, trimmed ends, case and arrays; else unresolved."""
        inner = self._text(node)[2:-1]
        subscript = next((c for c in node.named_children if c.type == "subscript"), None)
        if subscript is not None:
            found = re.fullmatch(r"([A-Za-z_]\w*)\[([@*]|\d+)\]", inner)
            values = self.arrays.get(found[1]) if found else None
            if found is None or values is None:
                builder.expand(HOLE, quoted)
            elif found[2] in "@*":
                builder.several(values, separate=True)
            else:
                builder.expand(values[int(found[2])] if int(found[2]) < len(values) else "", quoted)
            return
        found = re.match(r"([A-Za-z_]\w*|\d+)", inner)
        if found is None:
            builder.expand(HOLE, quoted)
            return
        name, rest = found[0], inner[found.end() :]
        value = self._value(name)
        if not rest:
            builder.expand(HOLE if value is None else value, quoted)
            return
        operator = rest[:2] if rest[:2] in (":-", ":=", ":+", ":?", "##", "%%", "^^", ",,") else rest[:1]
        if operator in (":-", "-", ":=", "="):
            if value is None or HOLE in value or (not value and operator[0] == ":"):
                value = self._operand(node, rest[len(operator) :])
        elif operator in (":+", "+"):
            value = self._operand(node, rest[len(operator) :]) if value else (HOLE if value is None else "")
        elif operator in ("^^", ",,") and len(rest) == 2 and value is not None:
            value = value.upper() if operator == "^^" else value.lower()
        elif operator in ("#", "##", "%", "%%") and value is not None:
            value = _trim(value, operator, rest[len(operator) :].strip("'\""))
        elif operator not in (":?", "?"):
            value = None
        builder.expand(HOLE if value is None else value, quoted)

    def _operand(self, node: Node, text: str) -> str:
        """The word after an operator inside `${ }`."""
        children = [c for c in node.named_children if c.type not in ("variable_name", "special_variable_name")]
        if not text:
            return ""
        if len(children) == 1 and children[0].type in _WORDS:
            inner = _Builder(False)
            self._part(children[0], inner, True)
            return "".join(w.text for w in inner.words(0))
        return HOLE if re.search(r"[$`\\'\"]", text) else text

    def _find_errors(self, root: Node) -> None:
        """Rows of syntax errors, at most 20; of nested ones the innermost, which is closest to the cause."""
        stack = [root]
        while stack and len(self.broken) < 20:
            node = stack.pop()
            inner = any(c.has_error or c.is_missing for c in node.children)
            if (node.type == "ERROR" and not inner) or node.is_missing:
                row = self._row + node.start_point[0]
                if row not in self.broken:
                    self.broken.append(row)
            elif node.has_error:
                stack.extend(reversed(node.children))


def _choices(touched: Mapping[str, tuple[str, ...]]) -> Iterator[dict[str, str]]:
    """Combinations of the variables' values; where these are too many, each value at least once."""
    total = prod(len(values) for values in touched.values())
    if len(touched) == 1 or total <= COMBINATIONS_LIMIT:
        for values in islice(product(*touched.values()), VALUES_LIMIT):
            yield dict(zip(touched, values, strict=True))
        return
    for index in range(min(max(map(len, touched.values())), VALUES_LIMIT)):
        yield {name: values[index % len(values)] for name, values in touched.items()}


class _Builder:
    """Puts the parts of one shell word together; expansions outside quotes split it at blanks."""

    def __init__(self, split: bool) -> None:
        self._split = split
        self._done: list[str] = []
        self._open: str | None = None
        self.braces = False
        self.dollar = False

    def add(self, text: str) -> None:
        self._open = (self._open or "") + text

    def expand(self, value: str, quoted: bool) -> None:
        if quoted or not self._split or not any(c.isspace() for c in value):
            if value or quoted or self._open is not None:
                self.add(value)
            return
        parts = value.split()
        if value[0].isspace():
            self._close()
        for index, part in enumerate(parts):
            if index:
                self._close()
            self.add(part)
        if value[-1].isspace():
            self._close()

    def several(self, values: Sequence[str], *, separate: bool) -> None:
        if not separate or not self._split:
            self.add(" ".join(values))
            return
        for index, value in enumerate(values):
            if index:
                self._close()
            self.add(value)

    def _close(self) -> None:
        if self._open is not None:
            self._done.append(self._open)
            self._open = None

    def words(self, row: int) -> list[Word]:
        if self.dollar:
            self.add("$")
        self._close()
        if not self.braces or not self._split:
            return [Word(text, row) for text in self._done]
        return [Word(text, row) for word in self._done for text in islice(_braces(word), VALUES_LIMIT)]


def _braces(word: str) -> Iterator[str]:
    """Brace expansion of bash(1): `{a,b}` and `{1..3}`."""
    found = _BRACES.search(word)
    if found is not None and len(word) < 1000:
        for part in found[1].split(","):
            yield from _braces(word[: found.start()] + part + word[found.end() :])
    elif _NUMBERS.search(word):
        try:
            yield from expand_range(word)
        except ValueError:
            yield HOLE
    else:
        yield word


def _quoted_escape(found: re.Match[str]) -> str:
    return "" if found[1] == "\n" else found[1]


def _ansi(found: re.Match[str]) -> str:
    if found[1]:
        return _ANSI.get(found[1], found[1])
    return chr(int(found[2], 16) if found[2] else int(found[3], 8) & 0xFF)


def _trim(value: str, operator: str, pattern: str) -> str | None:
    """`${x%pattern}` and its kin; None if the pattern is not literal."""
    if "$" in pattern or "`" in pattern or len(value) > 256 or len(pattern) > 64 or pattern.count("*") > 3:
        return None
    matcher = re.compile(translate(pattern))
    longest = len(operator) == 2
    lengths = range(len(value), -1, -1) if longest else range(len(value) + 1)
    for length in lengths:
        part = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if matcher.fullmatch(part):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value


def _exec_words(text: str) -> list[str]:
    """Words of systemd.syntax(7): quotes around whole words or inside them, C escapes, blanks between."""
    words: list[str] = []
    current: str | None = None
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            following = text[at + 1]
            if following == ";" and not quote and current is None:
                current = "\\;"
            else:
                found = _ANSI_ESCAPE.match(text, at)
                if following == "s":
                    current = (current or "") + " "
                elif found is not None:
                    current = (current or "") + _ansi(found)
                    at = found.end()
                    continue
                elif following == "\n":
                    pass
                else:
                    current = (current or "") + char + following
            at += 2
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                current = (current or "") + char
        elif char in "'\"":
            quote, current = char, current or ""
        elif char.isspace():
            if current is not None:
                words.append(current)
                current = None
        else:
            current = (current or "") + char
        at += 1
    if current is not None:
        words.append(current)
    return words


_HANDLERS: Final[Mapping[str, Callable[[Shell, Node], None]]] = {
    "program": Shell._program,
    "command": Shell._command,
    "redirected_statement": Shell._redirected,
    "variable_assignment": Shell._assignment_statement,
    "unset_command": Shell._unset,
    "if_statement": Shell._if,
    "case_statement": Shell._case,
    "while_statement": Shell._loop,
    "c_style_for_statement": Shell._loop,
    "for_statement": Shell._for,
    "list": Shell._list,
    "subshell": Shell._subshell,
    "command_substitution": Shell._subshell,
    "process_substitution": Shell._subshell,
    "pipeline": Shell._pipeline,
    "function_definition": Shell._function,
    "test_command": Shell._nothing,
}

__all__ = ["analyse_command", "analyse_script"]
