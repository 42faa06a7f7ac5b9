"""Writes what an evaluation found: a Parquet file with a row for each question, and the figures as JSON beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.evals.evaluate import Result
from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.records.whole_json import write_json


class ResultFiles:
    """The two files; each write replaces them as a whole."""

    def __init__(self, out: Path) -> None:
        """`out`: the Parquet file, whose folder is made. Raises OptionError where none can be written."""
        self._out, self._figures = out, out.with_suffix(".json")
        self._temporary = out.with_name(f".{out.name}.tmp")
        try:
            for path in (self._out, self._figures):
                if path.is_dir():
                    raise IsADirectoryError(f"{path} is a folder")
            out.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.write_bytes(b"")
            self._temporary.unlink()
        except OSError as error:
            raise OptionError("out", out, f"it cannot be written ({one_line(error)}), give another place") from error

    def write(self, results: Sequence[Result], figures: Mapping[str, Any]) -> None:
        """Write all results so far. Raises OSError if the disk refuses."""
        rows = [{name: _plain(value) for name, value in asdict(result).items()} for result in results]
        pq.write_table(pa.Table.from_pylist(rows), self._temporary, compression="zstd")
        self._temporary.replace(self._out)
        write_json(self._figures, figures)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
