"""Evaluates arithmetic expressions as people write them: the four operations and percent, in exact fractions.

    18 * 24     18 x 24     (1,240 − 40) ÷ 8     15% of 80     200 + 10%     $320 + $415 =

`50%` is 0.5, except after plus and minus, where people mean a percentage of the left side: `200 + 10%` = 220. If the
left side is a percentage too, the two are added: `10% + 20%` = 0.3. `of` multiplies. A currency sign before a number,
quotes around everything and a final `=` are ignored. There are no powers, no modulo, no names and no functions; any
other word or unit makes the expression invalid.
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from simpleeval import InvalidExpression, SimpleEval  # type: ignore[import-untyped]

from toolformer_ray.records.calls import unquote
from toolformer_ray.tools.tool import BadInput

MAX_EXPRESSION_CHARS = 200
MAX_DIGITS = 15
"""Of one number: as many as a float represents exactly, so that its shortest spelling is the number as written."""
MAX_MAGNITUDE = 10**15

_TOKEN = re.compile(
    r"\s*+(?:"
    r"[$€£¥]?\s*+(?P<number>[0-9]{1,3}(?:,[0-9]{3})++(?:\.[0-9]++)?(?![0-9,])|[0-9]++(?:\.[0-9]++)?|\.[0-9]++)"
    r"|(?P<percent>%|per ?cent\b)"
    r"|(?P<sign>[-+*/()−–×·⋅÷x]|of\b)"
    r")\s*+",
    re.IGNORECASE,
)
# Percent signs become a Python operator that binds tighter than all others and that no expression can contain.
_PERCENT = "** 1"
_SPELLINGS = {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "x": "*", "of": "*", "÷": "/"}


class Percentage(Fraction):
    """A number that was written with a percent sign; `10%` is 1/10."""


def evaluate(expression: str) -> Fraction:
    """The exact value. Raises BadInput for an invalid expression, a division by zero and numbers that are too large.

    >>> evaluate("15% of 80")
    Fraction(12, 1)
    """
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise BadInput(f"an expression of {len(expression)} characters; at most {MAX_EXPRESSION_CHARS} are read")
    try:
        value = _EVALUATOR.eval(_to_python(expression))
    except (SyntaxError, InvalidExpression, ZeroDivisionError, RecursionError) as error:
        raise BadInput(f"no arithmetic expression: {expression!r}") from error
    if abs(value) >= MAX_MAGNITUDE:
        raise BadInput(f"the result of {expression!r} is {MAX_MAGNITUDE:.0e} or more")
    return Fraction(value)


def format_rounded(value: Fraction) -> str:
    """At most two decimals, halves away from zero, no trailing zeros: 432, 2.5, 0.29, -0.13 for -1/8."""
    cents = int(abs(value) * 100 + Fraction(1, 2))
    whole, rest = divmod(cents, 100)
    digits = f"{whole}.{rest:02}".rstrip("0").rstrip(".")
    return f"-{digits}" if value < 0 and cents else digits


def _to_python(expression: str) -> str:
    """The expression in Python's syntax. Raises BadInput for anything that `_TOKEN` does not list."""
    text = unquote(expression).removesuffix("=")
    words: list[str] = []
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise BadInput(f"{text[offset : offset + 20]!r} is not arithmetic")
        words.append(_translate(match, words))
        offset = match.end()
    return " ".join(words)


def _translate(match: re.Match[str], before: list[str]) -> str:
    if number := match["number"]:
        digits = number.replace(",", "")
        if sum(map(str.isdigit, digits)) > MAX_DIGITS:
            raise BadInput(f"{number} has more than {MAX_DIGITS} digits")
        return digits.lstrip("0") or "0"
    if match["percent"]:
        if before and before[-1] == _PERCENT:
            raise BadInput("two percent signs in a row")
        return _PERCENT
    sign = match["sign"].lower()
    return _SPELLINGS.get(sign, sign)


class _ExactEvaluator(SimpleEval):
    """Evaluates numbers and the operations below; no names, functions, strings or comparisons."""

    def __init__(self) -> None:
        super().__init__(operators=_OPERATIONS, functions={}, names={})
        self.nodes: dict[type[ast.AST], Callable[..., Fraction]] = {
            **{kind: self.nodes[kind] for kind in (ast.Expr, ast.BinOp, ast.UnaryOp)},
            ast.Constant: lambda node: Fraction(str(node.value)),
        }


def _add(left: Fraction, right: Fraction) -> Fraction:
    return _add_percentage(left, right) if isinstance(right, Percentage) else left + right


def _subtract(left: Fraction, right: Fraction) -> Fraction:
    return _add_percentage(left, -right) if isinstance(right, Percentage) else left - right


def _add_percentage(left: Fraction, percentage: Fraction) -> Fraction:
    return Percentage(left + percentage) if isinstance(left, Percentage) else left * (1 + percentage)


def _negate(value: Fraction) -> Fraction:
    return Percentage(-value) if isinstance(value, Percentage) else -value


_OPERATIONS = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: _negate,
    ast.UAdd: lambda value: value,
    ast.Pow: lambda value, _: Percentage(value / 100),
}
_EVALUATOR = _ExactEvaluator()
