"""A call in its text on a terminal: colours where there is one, and no character that would steer it.

Texts, inputs and answers are anybody's: what would move the cursor, set a title or turn the direction of what follows
is shown as a replacement character.
"""

from rich.console import Console
from rich.text import Text

from toolformer_ray.workflow.calls.choose import ChosenCall, losses
from toolformer_ray.workflow.calls.token_gains import token_gains

_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
# A line break stays; every other control character goes, the escape among them.
_STEERING = dict.fromkeys((*range(10), *range(11, 32), *range(127, 160), *_TURNING), "\N{REPLACEMENT CHARACTER}")
LEAST_NATS = 0.1
"""A token that a call changes by less is not coloured."""
CALL, AFTER, QUIET = "bold green", "underline", "dim"
VERDICT = {True: ("kept", "green"), False: ("not kept", "red")}


def make_console() -> Console:
    """A console that colours on a terminal only, and takes nothing in a text for markup."""
    return Console(highlight=False, markup=False, emoji=False)


def harmless(text: str) -> str:
    """The text as it may be printed.

    >>> harmless("a\\x1b[2Jb")
    'a\N{REPLACEMENT CHARACTER}[2Jb'
    """
    return text.translate(_STEERING | {9: " "})


def in_its_text(call: ChosenCall) -> Text:
    """The call between the words around it, on one line.

    The tokens that judged it are underlined; what the call made likelier is green, what it made less likely red.
    """
    tokens = list(token_gains(call.after, call.gain or 0.0, call.token_ends, call.token_contrasts))
    shown = Text()
    shown.append("… " + _folded(call.before))
    shown.append(f" {harmless(call.written)} ", CALL)
    for number, (token, gain) in enumerate(tokens):
        colour = "" if abs(gain) < LEAST_NATS else " green" if gain > 0 else " red"
        shown.append(_folded(token).lstrip() if not number else _folded(token), AFTER + colour)
    shown.append(_folded(call.after[sum(len(token) for token, _ in tokens) :]) + " …")
    return shown


def verdict_line(call: ChosenCall) -> Text:
    """Whether the call was kept, and the losses by which that was decided."""
    word, colour = VERDICT[call.is_kept]
    line = Text("  ").append(word, colour)
    if call.result is None:
        return line.append(f": no answer ({call.status})", QUIET)
    told = [f"{name} {value:.2f}" for name, value in losses(call) if value is not None]
    least = "" if call.threshold is None else f"; kept from {call.threshold:.2f} on"
    return line.append(f": loss {', '.join(told)}{least}  ({call.tool}, text {harmless(call.text_id)})", QUIET)


def _folded(text: str) -> str:
    """On one line, white space at the ends kept as one space."""
    return " ".join(harmless(part) for part in text.split("\n"))
