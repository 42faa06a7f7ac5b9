"""A function of a run as an entry of the file of functions: how it is told, and how it is taught.

Its demonstrations are the sentences of some texts that wrote it, with the call as it would be written now; where there
is none, they are drafted from its arguments alone (`tools.brought.drafted_prompt`).
"""

import ast
from collections.abc import Iterable
from dataclasses import replace

from toolformer_ray.records.calls import render_call
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.arguments import render_arguments
from toolformer_ray.tools.backends.functions import WrittenFunction
from toolformer_ray.tools.brought.function_file import PromotedFunction
from toolformer_ray.tools.servers.call_names import name_in_calls
from toolformer_ray.workflow.promote.collect import Collected
from toolformer_ray.workflow.teach.drafts import find_drafts

MOST_SHOWN = 5


def make_entry(one: Collected, function: WrittenFunction, documents: Iterable[Document]) -> PromotedFunction:
    """The entry; `function` is the one that was collected, by the name that it has as a tool."""
    name = name_in_calls(function.name, function.name)
    rows = list(_as_calls(one, name, function))
    written = {row.text_id for row in rows}
    drafts = find_drafts(rows, [document for document in documents if document.text_id in written])
    description = describe(function)
    shown = render_call(name, rows[0].call_input).strip() if rows else ""
    instruction = f'Add calls of {name} to the text. {description} Write a call as "{shown}". Here are some examples:'
    examples = dict.fromkeys((row.call_input, row.result or "") for row in rows)
    return PromotedFunction(
        name=function.name,
        source=function.source,
        description=description,
        instruction=instruction if drafts else "",
        demonstrations=tuple(draft.text for draft in drafts[:MOST_SHOWN]),
        examples=tuple(list(examples)[:MOST_SHOWN]),
    )


def describe(function: WrittenFunction) -> str:
    """What it gives, in one line.

    >>> from toolformer_ray.tools.backends.functions import read_function
    >>> describe(read_function("price = lambda n: n * 4 + 2", "price"))
    'Gives n * 4 + 2 for n.'
    """
    given = ", ".join(function.parameters)
    statement = ast.parse(function.source).body[0]
    expression: ast.expr | None = None
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
        expression = statement.value.body
    elif isinstance(statement, ast.FunctionDef) and isinstance(statement.body[-1], ast.Return):
        expression = statement.body[-1].value if len(statement.body) == 1 else None
    what = ast.unparse(expression) if expression is not None else f"the {function.name}"
    return f"Gives {what} for {given}."


def _as_calls(one: Collected, name: str, function: WrittenFunction) -> Iterable[Scored]:
    """The calls of its teachers that wrote the function and ended by calling it, as calls of the tool that it is."""
    ranked = sorted(one.writings, key=lambda writing: (not writing.row.is_kept, writing.row.text_id))
    for writing in ranked:
        if writing.arguments is None or writing.row.text_id not in one.teachers:
            continue
        # Another writing of it may have other names for its arguments.
        values = dict(zip(function.parameters, _in_order(writing.arguments, writing.function), strict=False))
        try:
            call_input = render_arguments(values)
        except ValueError:
            continue  # A value that no call can hold, such as a set.
        yield replace(writing.row, tool=name, call_input=call_input, is_kept=True)


def _in_order(arguments: object, function: WrittenFunction) -> list[object]:
    given = dict(arguments)  # type: ignore[call-overload]
    return [given[parameter] for parameter in function.parameters if parameter in given]
