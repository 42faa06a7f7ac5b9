"""A small run of `toolformer annotate` on a model with random weights that writes calls, and how runs are compared."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.outputs import tables_of

NUM_TEXTS = 12
DIFFERS_BY_LUCK = {"seconds", "from_cache"}
"""How long a tool took, and whether an equal call of the same shard came first."""


def write_corpus(path: Path) -> Path:
    """Texts with numbers, look-alikes of calls, odd characters, and one line that is no UTF-8."""
    texts = [f"Mill {n} ground {400 + n} sacks \U0001f33e, [Calculator(1+1) -> 2] more." for n in range(NUM_TEXTS - 3)]
    texts += ["7", "NUL \0 is 0", "\u05e9\u05dc\u05d5\u05dd 12 \u202e34 e\u0301"]
    lines = [json.dumps({"text": text}).encode() for text in texts]
    path.write_bytes(b"\n".join([*lines, b'{"text": "\xff"}', b""]))
    return path


def arguments(
    run: Path | str, corpus: Path, model: str, *more: str, shard_size: int = 5, model_workers: int = 1
) -> list[str]:
    return [
        *("annotate", "--run", str(run), "--corpus", str(corpus), "--model", model, "--tools", "calculator"),
        # The model writes its calls from their start, with any name.
        "--as-in-paper",
        *("--shard-size", str(shard_size), "--max-call-tokens", "10", "--calculator.max-places", "8"),
        *("--calculator.num-samples", "40", "--calculator.min-loss-reduction=-1", "--retry-delay", "0"),
        *("--model-workers", str(model_workers), *more),
    ]


def read_all(run: Path | str, table: str, record: type[Record]) -> list[Record]:
    folder = RunFolder(str(run))
    return [row for shard in folder.shards(table) for row in folder.read_shard(table, shard, record)]


def assert_same_rows(run: Path, other: Path | str) -> None:
    for table, record in tables_of(PIPELINE).items():
        rows, others = read_all(run, table, record), read_all(other, table, record)
        assert len(rows) == len(others), table
        for row, its_other in zip(rows, others, strict=True):
            assert comparable(row) == pytest.approx(comparable(its_other), abs=1e-4), table


def comparable(row: Record) -> dict[str, object]:
    flat: dict[str, Any] = {
        name: value for name, value in vars(row).items() if name not in DIFFERS_BY_LUCK and name != "calls"
    }
    for name in ("needs", "decoys", "losses_of_decoys", "token_ends", "token_contrasts"):
        flat |= {f"{name}.{n}": value for n, value in enumerate(flat.pop(name, ()))}
    calls: Sequence[Record] = getattr(row, "calls", ())
    return flat | {f"{n}.{name}": value for n, call in enumerate(calls) for name, value in vars(call).items()}
