"""What the model is to learn from: the texts of C*, chosen in SQL from the tables of one or several runs; no GPU.

Reads `documents` and `scored`. A threshold may be set here, for all tools or one, as low as the run pruned; a cap per
tool keeps a tool with many calls from crowding out the others (paper, appendix B: at most 25k examples per tool).
Texts are ordered, and left out, by a hash of their ids: a random order that is the same every time.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pyarrow.dataset

from toolformer_ray.finetune.choice_sql import CHOOSE, HELD_OUT, ORDER, PAIRS, PLAIN, WITH_CALLS, WITHOUT_NEEDS
from toolformer_ray.finetune.thresholds import AnnotatedRun, AskedThresholds, Contrasts, condition
from toolformer_ray.losses.criteria import LARGEST_VALUE_SQL, VALUE_SQL
from toolformer_ray.records.errors import OptionError, UnusableError, one_line
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.records.schema import arrow_schema
from toolformer_ray.records.stages import Document, KeptCall, Scored
from toolformer_ray.tools.brought.declared import tools_known_to, tools_of_runs
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.tool import Tool


@dataclass(frozen=True, kw_only=True)
class ChooseOptions:
    """Which texts and calls the model learns from."""

    run: tuple[str, ...]
    """Run folders that `toolformer annotate` has made; of a text that is in several, the first counts."""
    min_loss_reduction: dict[str, float] = field(default_factory=dict)
    """Another tau_f for a tool, in nats, such as `--min-loss-reduction.search 2`, of a run whose filter was paper or
    both; by default what the run kept."""
    min_contrast: dict[str, float] = field(default_factory=dict)
    """Another tau_d for a tool, in nats, of a run whose filter was decoys or both."""
    max_false_share: float | None = None
    """For each tool without another threshold the lowest tau_d, no lower than the run pruned, at which an estimated
    share of at most so many kept calls is kept by chance, such as 0.05."""
    max_texts_per_tool: int = 25_000
    """Texts with calls of one tool, at most; its calls in other texts are left out."""
    once_per_text: tuple[str, ...] | None = None
    """Tools of which a text shows equal calls only once, where the call lowers the loss most; by default all tools."""
    as_in_paper: bool = False
    """Whether equal calls of a text stay at all places where they were kept."""
    plain_share: float = 0.0
    """Texts without calls that are mixed in, as a share of all."""
    plain_copies: float = 0.0
    """Share of the texts with calls that are repeated without them. They teach the model to go on without a call, as it
    has to where calls are disabled or used up."""
    num_held_out: int = 1000
    """Texts that are held out to measure the perplexity; at most a tenth of the documents."""
    without_calls: bool = False
    """Whether the calls are left out of all texts: the control, fine-tuned on C."""
    choice_seed: int = 0
    """Another seed, another choice of texts where a cap leaves some out."""

    def __post_init__(self) -> None:
        if not self.run:
            raise OptionError("run", "empty", "name at least one run folder")
        checks = {
            "max_texts_per_tool": (self.max_texts_per_tool >= 1, "it must be at least 1 text"),
            "plain_share": (0 <= self.plain_share < 1, "it must be at least 0 and less than 1"),
            "plain_copies": (0 <= self.plain_copies <= 1, "it must be a share, from 0 to 1"),
            "num_held_out": (self.num_held_out >= 0, "it must be at least 0 texts"),
        }
        for name, (is_valid, remedy) in checks.items():
            if not is_valid:
                raise OptionError(name, getattr(self, name), remedy)
        if self.as_in_paper and self.once_per_text:
            remedy = "with `as_in_paper` equal calls stay everywhere: give one of the two"
            raise OptionError("once_per_text", ", ".join(self.once_per_text), remedy)
        for key in self.once_per_text or ():
            if key not in self.tools:
                raise OptionError("once_per_text", key, f"there is no such tool, only {', '.join(self.tools)}")
        self.thresholds.check(self.tools)

    @property
    def tools(self) -> Mapping[str, type[Tool]]:
        """By key the tools of this package and, if the options name others, those that the runs declare."""
        named = {*(self.once_per_text or ()), *self.min_loss_reduction, *self.min_contrast}
        return tools_of_runs(self.run) if named - find_tools().keys() else find_tools()

    @property
    def tools_once_per_text(self) -> tuple[str, ...] | None:
        """Names in calls of the tools whose equal calls a text shows once; None for all tools."""
        if self.as_in_paper:
            return ()
        return None if self.once_per_text is None else tuple(self.tools[key].name for key in self.once_per_text)

    @property
    def thresholds(self) -> AskedThresholds:
        """Those other than the runs'."""
        by_name = {"min_loss_reduction": self.min_loss_reduction, "min_contrast": self.min_contrast}
        return AskedThresholds(by_name=by_name, max_false_share=self.max_false_share)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One text to learn from."""

    text_id: str
    text: str
    """Without its calls."""
    calls: tuple[KeptCall, ...] = ()
    """In the order of the text; empty for a text without calls."""
    title: str | None = None
    """The document's title; None where it has none."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The texts to learn from, and those held out."""

    examples: Sequence[Example]
    held_out: Sequence[Example]
    """None of the examples; without calls."""

    @property
    def num_calls(self) -> dict[str, int]:
        """Calls of each tool in the examples, by its name."""
        return dict(sorted(Counter(call.tool for example in self.examples for call in example.calls).items()))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A call that was kept and one at the same place that was not, the least useful one there."""

    text_id: str
    text: str
    kept: KeptCall
    rejected: KeptCall


def choose(options: ChooseOptions) -> Choice:
    """Choose. Raises ValueError, one line, if a run has no kept call, or a threshold lies below what it pruned."""
    with _tables(options) as connection:
        rows = list(_rows(connection, WITH_CALLS))
        num_plain = round(len(rows) * options.plain_share / (1 - options.plain_share))
        plain = [_without_calls(row) for row in _rows(connection, PLAIN, {"most": num_plain})]
        held_out = [_without_calls(row) for row in _rows(connection, HELD_OUT)]
    examples = [replace(_without_calls(row), calls=tuple(KeptCall(**call) for call in calls)) for *row, calls in rows]
    if options.without_calls:
        examples = [replace(example, calls=()) for example in examples]
    copies = [replace(example, calls=()) for example in examples[: round(len(examples) * options.plain_copies)]]
    return Choice(examples=[*examples, *copies, *plain], held_out=held_out)


def _without_calls(row: Sequence[str | None]) -> Example:
    text_id, text, title = row
    return Example(text_id=text_id or "", text=text or "", title=title)


def choose_pairs(options: ChooseOptions) -> list[Pair]:
    """Of the calls that `choose` chooses, those that won against another at their place. Raises as `choose` does."""
    with _tables(options) as connection:
        return [
            Pair(text_id=text_id, text=text, kept=KeptCall(**kept), rejected=KeptCall(**rejected))
            for text_id, text, kept, rejected in _rows(connection, PAIRS)
        ]


@contextlib.contextmanager
def _tables(options: ChooseOptions) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the runs' documents, their calls, and which of these are chosen."""
    with duckdb.connect() as connection:
        for number, location in enumerate(options.run):
            _open_run(connection, number, location, options)
        for view in ("documents", "calls"):
            selects = (f"SELECT * FROM {view}_{number}" for number in range(len(options.run)))  # noqa: S608 - ours
            connection.execute(f"CREATE VIEW {view} AS {' UNION ALL '.join(selects)}")
        shown = ", ".join(options.run)
        try:
            connection.execute(ORDER, {"seed": str(options.choice_seed), "num_held_out": options.num_held_out})
            once = options.tools_once_per_text
            parameters = {"most": options.max_texts_per_tool, "once": once or (), "all_once": once is None}
            connection.execute(CHOOSE, parameters)
            while connection.execute(WITHOUT_NEEDS).fetchall() != [(0,)]:
                pass
            [(num_chosen,)] = connection.execute("SELECT count(*) FROM chosen").fetchall()
            if not num_chosen:
                raise UnusableError(
                    f"no call was kept in {shown}, so there is nothing to learn from; `toolformer status` "
                    "says what came closest and which threshold would keep it"
                )
            yield connection
        except duckdb.Error as error:
            raise UnusableError(
                f"the tables of {shown} cannot be read ({one_line(error)}); `toolformer verify` names what is damaged, "
                "and annotate makes it again"
            ) from error


def _open_run(connection: duckdb.DuckDBPyConnection, number: int, location: str, options: ChooseOptions) -> None:
    """Make the views `documents_<number>` and `calls_<number>` of a run."""
    run = RunFolder(location)
    described = run.read_json(RUN_FILE)
    settings = described.get("settings") if isinstance(described, dict) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("tools"), list):
        raise OptionError("run", run.shown, "no run folder is there: `toolformer annotate` makes one")
    for table, record in (("documents", Document), ("scored", Scored)):
        schema, paths = arrow_schema(record), run.paths(table)
        dataset = pyarrow.dataset.dataset(paths, schema=schema, filesystem=run.filesystem, format="parquet")
        connection.register(f"{table}_of_run_{number}", dataset)

    def contrasts(tool: str, is_struck: bool) -> Contrasts:  # noqa: FBT001 - called in one place
        where = "contrast IS NOT NULL AND tool = $tool AND NOT ($is_struck AND input_sees_future)"
        sql = f"SELECT loss_without, contrast, losses_of_decoys FROM scored_of_run_{number} WHERE {where}"  # noqa: S608
        return connection.execute(sql, {"tool": tool, "is_struck": is_struck}).fetchall()

    tools = tools_known_to(described)
    annotated = AnnotatedRun(shown=run.shown, settings=settings, tools=tools, contrasts=contrasts)
    kept = condition(annotated, options.thresholds)
    # The statements hold numbers and names of our tools, nothing that a user writes.
    connection.execute(f"CREATE VIEW documents_{number} AS SELECT {number} AS run, * FROM documents_of_run_{number}")  # noqa: S608
    connection.execute(
        f"CREATE VIEW calls_{number} AS SELECT {number} AS run, (({kept}) IS TRUE) AS is_chosen, "  # noqa: S608
        f"{VALUE_SQL} AS value, {LARGEST_VALUE_SQL} AS largest_value, * "
        f"FROM scored_of_run_{number} WHERE result IS NOT NULL"
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | None = None
) -> Iterator[tuple[Any, ...]]:
    result = connection.execute(sql, parameters)
    while rows := result.fetchmany(10_000):
        yield from rows
