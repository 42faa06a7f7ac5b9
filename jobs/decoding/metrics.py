"""What a server counts, as Prometheus reads it (text exposition format 0.0.4). Pure: numbers in, text out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from toolformer_ray.decode.completion import Completion

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a number, and its labels."""
Numbers = Mapping[Series, float]

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the histogram of seconds; beyond is `+Inf`."""
SECONDS = "toolformer_request_seconds"
OTHER_TOOL = "other"
"""How a tool is told that is not loaded: the model may invent any number of names."""


@dataclass(frozen=True)
class Metric:
    """How a number is announced."""

    kind: str
    meaning: str


METRICS: Mapping[str, Metric] = {
    "toolformer_requests_total": Metric("counter", "Requests that were answered, by endpoint and HTTP status."),
    "toolformer_prompt_tokens_total": Metric("counter", "Tokens of prompts."),
    "toolformer_completion_tokens_total": Metric("counter", "Tokens behind prompts, those of calls included."),
    "toolformer_tool_calls_total": Metric("counter", "Calls that the model opened, by tool and what became of them."),
    "toolformer_tool_seconds_total": Metric("counter", "Seconds that tools took, by tool."),
    SECONDS: Metric("histogram", "Seconds from a request to the end of its answer, by endpoint."),
}


class Tally:
    """The numbers of one replica; they only grow."""

    def __init__(self, tools: Collection[str]) -> None:
        """`tools`: the names that are told as they are."""
        self._tools = frozenset(tools)
        self.numbers: Counter[Series] = Counter()

    def add_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request whose answer has ended."""
        self._add("toolformer_requests_total", 1, endpoint=endpoint, status=str(status))
        for bound in BUCKETS:
            self._add(f"{SECONDS}_bucket", seconds <= bound, endpoint=endpoint, le=f"{bound:g}")
        self._add(f"{SECONDS}_bucket", 1, endpoint=endpoint, le="+Inf")
        self._add(f"{SECONDS}_sum", seconds, endpoint=endpoint)
        self._add(f"{SECONDS}_count", 1, endpoint=endpoint)

    def add_text(self, answer: Completion, *, counts_prompt: bool) -> None:
        """Count the tokens and calls of a text; a prompt counts once, however many texts go on from it."""
        self._add("toolformer_prompt_tokens_total", answer.num_prompt_tokens if counts_prompt else 0)
        self._add("toolformer_completion_tokens_total", answer.num_new_tokens)
        for call in answer.calls:
            tool = call.tool if call.tool in self._tools else OTHER_TOOL
            self._add("toolformer_tool_calls_total", 1, tool=str(tool), status=call.status)
            self._add("toolformer_tool_seconds_total", call.seconds, tool=str(tool))

    def _add(self, name: str, value: float, **labels: str) -> None:
        self.numbers[name, tuple(sorted(labels.items()))] += value  # type: ignore[assignment]


def add_up(replicas: Iterable[Numbers]) -> Numbers:
    """The numbers of all replicas together."""
    total: Counter[Series] = Counter()
    for numbers in replicas:
        for series, value in numbers.items():
            total[series] += value  # type: ignore[assignment]
    return total


def render(numbers: Numbers) -> str:
    """The page that Prometheus reads."""
    lines = []
    for name, metric in METRICS.items():
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} {metric.kind}"]
        parts = (
            [f"{name}{suffix}" for suffix in ("_bucket", "_sum", "_count")] if metric.kind == "histogram" else [name]
        )
        # In the order in which they were first counted, in which buckets rise.
        lines += [_line(series, value) for part in parts for series, value in numbers.items() if series[0] == part]
    return "\n".join([*lines, ""])


def _line(series: Series, value: float) -> str:
    name, labels = series
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{told}}} {value:.9g}" if told else f"{name} {value:.9g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
