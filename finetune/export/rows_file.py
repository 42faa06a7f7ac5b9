"""A file of rows, complete or not there: JSON Lines or, by its name, Parquet."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JSON_LISTS = ("messages", "tools")
"""Columns whose objects differ in their keys. As structs they would get every key of all rows, most of them None, and
chat templates take a key that is there for one that means something."""


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the file, making its folder. Raises OSError if the disk refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix == ".parquet":
        pq.write_table(_as_table(rows), temporary, compression="zstd")
    else:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(_to_json(row) + "\n" for row in rows)
    temporary.replace(path)


def _as_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = list(rows[0]) if rows else []
    columns = {name: [row[name] for row in rows] for name in names}
    lists = [name for name in names if name in JSON_LISTS and isinstance(columns[name][0], list)]
    if not lists:
        return pa.table(columns)
    # By this `datasets` gives the objects as they were; other readers see strings of JSON.
    text, objects = {"_type": "Value", "dtype": "string"}, {"_type": "List", "feature": {"_type": "Json"}}
    features = {name: objects if name in lists else text for name in names}
    table = pa.table({name: _as_json(values) if name in lists else values for name, values in columns.items()})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _as_json(values: Sequence[Sequence[object]]) -> pa.Array:
    ends = itertools.accumulate((len(items) for items in values), initial=0)
    strings = pa.array([_to_json(item) for items in values for item in items], pa.string())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.ExtensionArray.from_storage(pa.json_(), strings))


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
