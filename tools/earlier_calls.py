"""Which earlier calls of a text a call is asked behind: those that define what it uses (`Tool.defines`, `Tool.uses`).

    f = lambda n: n * rate; f(1)      uses rate
    rate = 3; rate                    defines rate
    f(5)                              uses f, which uses rate: of the two above both, in the order of the text

Of several that define a name the nearest counts, as if all had run in the order of the text.
"""

from collections.abc import Sequence

from toolformer_ray.tools.tool import Tool

MAX_NEEDED = 16
"""A call is asked behind so many others at most; it then lacks what further ones define."""


def needed_calls(tool: Tool, call_input: str, earlier: Sequence[str]) -> tuple[str, ...]:
    """The inputs, out of those of the tool's earlier calls in the order of the text, that a call is asked behind."""
    needed: set[int] = set()
    waiting = [(len(earlier), name) for name in sorted(tool.uses(call_input))]
    while waiting and len(needed) < MAX_NEEDED:
        end, name = waiting.pop(0)
        number = next((n for n in reversed(range(end)) if name in tool.defines(earlier[n])), None)
        if number is not None and number not in needed:
            needed.add(number)
            waiting += [(number, used) for used in sorted(tool.uses(earlier[number]))]
    return tuple(earlier[number] for number in sorted(needed))
