"""Which earlier candidates of its text a candidate needs: those that define what it uses (tools/earlier_calls.py).

Every sample is a candidate, so a name may be defined by several. The one at the nearest place before counts; at one
place the one that was sampled most often, and of these the first by the alphabet. So what a row needs depends on the
candidates of its text and tool alone, which are proposed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from toolformer_ray.records.stages import Candidate
from toolformer_ray.tools.earlier_calls import needed_calls
from toolformer_ray.tools.tool import Tool


def with_needs(candidates: Sequence[Candidate], tools: Mapping[str, Tool]) -> list[Candidate]:
    """The candidates, in their order, with the column `needs`."""
    by_text: dict[tuple[str, str], list[Candidate]] = {}
    for call in candidates:
        by_text.setdefault((call.text_id, call.tool), []).append(call)
    needs = {
        (*key, call.char_offset, call.call_input): found
        for key, calls in by_text.items()
        for call, found in _needs_of(calls, tools[key[1]])
    }
    return [
        replace(call, needs=needs[call.text_id, call.tool, call.char_offset, call.call_input]) for call in candidates
    ]


def _needs_of(calls: Sequence[Candidate], tool: Tool) -> list[tuple[Candidate, tuple[str, ...]]]:
    """The calls of one tool in one text, each with what it needs."""
    found: list[tuple[Candidate, tuple[str, ...]]] = []
    earlier: list[str] = []
    for _, at_place in groupby(sorted(calls, key=lambda call: call.char_offset), key=lambda call: call.char_offset):
        # The one that counts comes last, where the nearest is looked for.
        ranked = sorted(at_place, key=lambda call: call.call_input, reverse=True)
        ranked.sort(key=lambda call: call.num_samples)
        found += [(call, needed_calls(tool, call.call_input, earlier)) for call in ranked]
        earlier += [call.call_input for call in ranked if tool.defines(call.call_input)]
    return found
