"""The functions that a program writes, and which of them are the same: equal but for the names in them.

    price = lambda n: n * 4 + 2         def fare(miles):
                                            return miles * 4 + 2

are one function. Reading is parsing alone; nothing is run.
"""

import ast
import builtins
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.tools.backends.program import Program, needed_names, read_program
from toolformer_ray.tools.tool import BadInput

PYTHONS_OWN = frozenset(dir(builtins))
"""Names that need no definition. Those that the sandbox does not have make a function fail there."""


@dataclass(frozen=True, kw_only=True)
class WrittenFunction:
    """A function that stands in a program outside of others."""

    name: str
    source: str
    """Its statement, written in one way whatever the program's spacing was."""
    parameters: Sequence[str]
    required: Sequence[str]
    """Those without a default."""
    identity: str
    """The same for functions that are equal but for names."""
    fault: str | None
    """Why it cannot be a tool; None if it can."""


def functions_of(program: Program) -> list[WrittenFunction]:
    """The functions of a program in its order; of two with one name the last."""
    found = {}
    for statement in program.tree.body:
        if function := _function(statement):
            found[function.name] = function
    return list(found.values())


def read_function(source: str, name: str) -> WrittenFunction:
    """The one function that a text holds. Raises BadInput if it holds anything else, or one that cannot be a tool."""
    program = read_program(source)
    found = functions_of(program)
    if len(program.tree.body) != 1 or [function.name for function in found] != [name]:
        raise BadInput(f"it is no single function {name}")
    if found[0].fault:
        raise BadInput(found[0].fault)
    return found[0]


def renamed(function: WrittenFunction, name: str) -> WrittenFunction:
    """The same function by another name."""
    tree = _Renamed({function.name: name}).visit(ast.parse(function.source))
    statement = tree.body[0]
    if isinstance(statement, ast.FunctionDef):
        statement.name = name
    return read_function(ast.unparse(tree), name)


def arguments_in_answer(program: Program, function: WrittenFunction) -> Mapping[str, Any] | None:
    """The arguments with which a program ends, if it ends with a call of the function with plain values."""
    answer = program.answer
    if not isinstance(answer, ast.Call) or not isinstance(answer.func, ast.Name) or answer.func.id != function.name:
        return None
    try:
        values = [ast.literal_eval(argument) for argument in answer.args]
        named = {argument.arg or "": ast.literal_eval(argument.value) for argument in answer.keywords}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    arguments = dict(zip(function.parameters, values, strict=False)) | named
    is_whole = set(function.required) <= set(arguments) <= set(function.parameters)
    return arguments if is_whole and len(values) + len(named) == len(arguments) else None


def _function(statement: ast.stmt) -> WrittenFunction | None:
    if isinstance(statement, ast.FunctionDef):
        name, arguments, body = statement.name, statement.args, statement.body
        is_plain = not statement.decorator_list
    elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda) and len(statement.targets) == 1:
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            return None
        name, arguments, is_plain = target.id, statement.value.args, True
        body = [ast.Return(value=statement.value.body)]
    else:
        return None
    try:
        source, identity = ast.unparse(statement), _identity(name, arguments, body)
    except (RecursionError, ValueError):
        return None
    parameters = [argument.arg for argument in arguments.args]
    return WrittenFunction(
        name=name,
        source=source,
        parameters=parameters,
        required=parameters[: len(parameters) - len(arguments.defaults)],
        identity=identity,
        fault=_fault(source, name, arguments, body) if is_plain else "it has decorators",
    )


def _fault(source: str, name: str, arguments: ast.arguments, body: Sequence[ast.stmt]) -> str | None:
    if arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg:
        return "its arguments cannot all be named"
    if foreign := sorted(set(needed_names(read_program(source))) - {name} - PYTHONS_OWN):
        return f"it needs {', '.join(foreign[:3])}"
    used = {node.id for part in body for node in ast.walk(part) if isinstance(node, ast.Name)}
    return None if used & {argument.arg for argument in arguments.args} else "it uses none of its arguments"


def _identity(name: str, arguments: ast.arguments, body: Sequence[ast.stmt]) -> str:
    """The function with its names numbered in the order in which they come up."""
    own = [name, *(argument.arg for argument in ast.walk(arguments) if isinstance(argument, ast.arg))]
    own += [node.id for node in _nodes(body) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    own += [node.arg for node in _nodes(body) if isinstance(node, ast.arg)]
    numbered = {each: f"_{number}" for number, each in enumerate(dict.fromkeys(own))}
    renamed = [_Renamed(numbered).visit(copy.deepcopy(node)) for node in (arguments, *_without_docstring(body))]
    return "\n".join(ast.dump(node) for node in renamed)


def _nodes(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text and len(body) > 1 else body


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg, node.annotation = self._names.get(node.arg, node.arg), None
        return node
