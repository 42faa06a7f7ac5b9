"""Reads a short Python program without running it: what it answers, which names it defines and which it needs.

Reading is Python's own parser, on a text of limited length. Nothing of a program is ever run in this process.
"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from toolformer_ray.tools.tool import BadInput

ANSWER = "_answer_"
"""The name that a program's answer is bound to, inside the sandbox."""
NO_FILE = "/dev/null/program"
"""The parser looks for the file of a program to quote from it in its error messages: there can be none of this name."""
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A text that is Python."""

    text: str
    tree: ast.Module

    @property
    def answer(self) -> ast.expr | None:
        """The last expression, whose value is the answer; None for a program that ends otherwise."""
        last = self.tree.body[-1] if self.tree.body else None
        return last.value if isinstance(last, ast.Expr) else None

    @property
    def with_bound_answer(self) -> str:
        """The program with its last expression bound to ANSWER, so that its value need not leave the sandbox.

        >>> read_program("n = 3; n * 2  # six").with_bound_answer
        'n = 3; _answer_ = (n * 2)  # six'
        """
        if self.answer is None:
            return self.text
        start, end = _span(self.text, self.tree.body[-1])
        return f"{self.text[:start]}{ANSWER} = ({self.text[start:end]}){self.text[end:]}"


def read_program(text: str) -> Program:
    """Read a program. Raises BadInput for what is none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        return Program(text=text, tree=ast.parse(text, NO_FILE))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadInput(f"no Python program: {str(error)[:100]}") from error


def defined_names(program: Program) -> Collection[str]:
    """What a program binds outside of functions: functions, variables, imports."""
    return _bound_in(program.tree.body)


def needed_names(program: Program) -> Collection[str]:
    """What a program reads and does not bind itself, names of Python's own such as `len` included."""
    read = {node.id for node in ast.walk(program.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = set(_bound_in(program.tree.body))
    for node in ast.walk(program.tree):
        if isinstance(node, _SCOPES):
            bound |= {argument.arg for argument in _arguments(node.args)}
            bound |= set(_bound_in(node.body)) if isinstance(node.body, list) else set()
        elif isinstance(node, ast.comprehension):
            bound |= _stored(node.target)
    return read - bound


def _bound_in(body: Collection[ast.stmt]) -> Collection[str]:
    """Names that statements bind in their own scope."""
    bound: set[str] = set()
    for node in _walk_scope(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return bound


def _walk_scope(body: Collection[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of statements, without the insides of functions, classes and comprehensions."""
    waiting: list[ast.AST] = list(body)
    inner = (*_SCOPES, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, inner):
            waiting.extend(ast.iter_child_nodes(node))


def _stored(target: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (argument for argument in (arguments.vararg, arguments.kwarg) if argument)


def _span(text: str, node: ast.stmt) -> tuple[int, int]:
    """Where a statement begins and ends, in code points; Python's parser counts UTF-8 bytes of a line."""
    lines = text.encode().split(b"\n")

    def offset(line: int, column: int) -> int:
        before = b"\n".join([*lines[: line - 1], lines[line - 1][:column]])
        return len(before.decode())

    return offset(node.lineno, node.col_offset), offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
