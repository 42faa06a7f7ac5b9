"""One call of a tool and its outcome, and the only place where whatever a tool does becomes an outcome."""

import datetime
import re
import time
from dataclasses import dataclass
from typing import NamedTuple

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.stages import ARGUMENT_NOTE, MAX_NOTE_CHARS
from toolformer_ray.tools.tool import BadInput, CallContext, TimedOut, Tool, Unavailable

MAX_CHARS_READ = 64_000
"""How much of an answer is read: more than any result keeps, and little enough to be cleaned in a millisecond."""
FACTS = frozenset({"ok", "empty", "bad_input"})
"""The statuses that depend on the call alone and not on the moment: asked again, the outcome would be the same."""
# White space aside, which becomes a space in any result.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")


class Call(NamedTuple):
    """What a tool is asked. Equal calls have equal answers."""

    tool: str
    call_input: str
    today: datetime.date | None = None
    """None if the tool does not read the date."""
    earlier: tuple[str, ...] = ()
    """Inputs of the calls before it in its text that define what it uses (`tools.earlier_calls`)."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a call, or why there is none."""

    status: str
    """One of records.stages.STATUSES."""
    result: str | None = None
    """The text that may stand in a call; None unless the status is `ok`."""
    note: str | None = None
    """See records.stages.NOTES; None for most."""
    seconds: float = 0.0
    from_cache: bool = False


def ask(tool: Tool, call: Call) -> tuple[Outcome, Exception | None]:
    """Ask the tool once. The exception is given if the tool could not be reached, crashed, or gave the call up."""
    started, result = time.monotonic(), ""
    note: str | None = None
    failure: Exception | None = None
    try:
        result, note = _as_result(tool.run(call.call_input, CallContext(today=call.today, earlier=call.earlier)))
        status = "ok" if result else "empty"
    except BadInput as error:
        status = "bad_input"
        note = f"{ARGUMENT_NOTE}{clean_result(error.argument)}"[:MAX_NOTE_CHARS] if error.argument else None
    except Unavailable as error:
        status, failure = "unavailable", error
    except TimedOut as error:
        status, failure = "timeout", error
    except Exception as error:  # noqa: BLE001  the one broad except: a tool that crashes is a row, not the end of a run
        status, failure = "crashed", error
    return Outcome(status=status, result=result or None, note=note, seconds=time.monotonic() - started), failure


def _as_result(answer: str) -> tuple[str, str | None]:
    """The answer as it may stand in a call, and a note if it had to be cut or cleaned for that."""
    beginning = answer[:MAX_CHARS_READ]
    one_line = clean_result(beginning, max_chars=MAX_CHARS_READ)
    result = clean_result(one_line)
    if len(result) < len(one_line) or len(beginning) < len(answer):
        return result, "cut"
    return result, "cleaned" if _CONTROL.search(beginning) else None
