"""What TRL, axolotl and LLaMA-Factory have to be told of an exported file, ready to be used, written beside it.

`dataset_info.json` is LLaMA-Factory's, one for all files of a folder; `NAME.llamafactory.yml`, `NAME.axolotl.yml` and
`NAME.trl.yml` are configurations that lack the model and how it is trained. A consumer that does not read a format is
told nothing of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolformer_ray.finetune.export.options import ExportOptions, Format
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.whole_json import write_json

DATASET_INFO = "dataset_info.json"
# LLaMA-Factory reads messages with tool_calls too, but drops what the model wrote before a call; it reads no ids.
LLAMA_FACTORY: Mapping[Format, Mapping[str, Any]] = {
    "text": {"columns": {"prompt": "text"}},
    "sharegpt": {"formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}},
    "preference": {"ranking": True, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}},
}
# Packed, texts would be cut into blocks of equal length, and the rest left out: of few texts all of them. A pair goes
# on with a text, so no template may make a user's message of its prompt.
LLAMA_FACTORY_TRAINING: Mapping[Format, str] = {
    "text": "stage: pt\npacking: false\n",
    "sharegpt": "stage: sft\n",
    "preference": "stage: dpo\ntemplate: empty\n",
}
AXOLOTL: Mapping[Format, str] = {
    "text": "    type: completion\n    field: text\n",
    "tokens": "    type:\n",
    "chat": "    type: chat_template\n    field_messages: messages\n",
    "preference": (
        "    type:\n      field_prompt: prompt\n      field_chosen: chosen\n      field_rejected: rejected\n"
    ),
}
TRL: Mapping[Format, str] = {
    "text": "[text]",
    "tokens": "[input_ids, labels]",
    "chat": "[messages, tools]",
    "preference": "[prompt, chosen, rejected]",
}
_READER = {".jsonl": "json", ".parquet": "parquet"}


def write_for_consumers(options: ExportOptions) -> list[Path]:
    """Write the files; returns them. Raises OptionError for a `dataset_info.json` in the way that is none."""
    out, written = Path(options.out), []
    if options.format in LLAMA_FACTORY:
        written.append(_tell_llama_factory(options))
    told = {"llamafactory": _for_llama_factory, "axolotl": _for_axolotl, "trl": _for_trl}
    for consumer, tell in told.items():
        if text := tell(options):
            path = out.with_name(f"{out.stem}.{consumer}.yml")
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def read_dataset_info(options: ExportOptions) -> dict[str, Any]:
    """LLaMA-Factory's list of the files in the folder, empty if there is none. Raises OptionError if it is damaged."""
    path = Path(options.out).with_name(DATASET_INFO)
    if options.format not in LLAMA_FACTORY or not path.exists():
        return {}
    try:
        known = json.loads(path.read_bytes())
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise OptionError("out", options.out, f"{path} is no JSON object: mend it, or name another folder")
    return known


def _tell_llama_factory(options: ExportOptions) -> Path:
    """Add the files to what the folder already has: other data sets may be listed there."""
    path, files = Path(options.out).with_name(DATASET_INFO), [Path(options.out)]
    if options.split:
        files.append(options.held_out_file)
    entries = {file.stem: {"file_name": file.name, **LLAMA_FACTORY[options.format]} for file in files}
    write_json(path, {**read_dataset_info(options), **entries})
    return path


def _for_llama_factory(options: ExportOptions) -> str | None:
    if options.format not in LLAMA_FACTORY:
        return None
    held_out = f"eval_dataset: {json.dumps(options.held_out_file.stem)}\n" if options.split else ""
    files = f"dataset_dir: .\ndataset: {json.dumps(Path(options.out).stem)}\n{held_out}"
    return f"# For `llamafactory-cli train`, in this folder.\n{LLAMA_FACTORY_TRAINING[options.format]}{files}"


def _for_axolotl(options: ExportOptions) -> str | None:
    if options.format not in AXOLOTL:
        return None

    def entry(file: Path) -> str:
        kind = f"    ds_type: {_READER[file.suffix]}\n    split: train\n"
        return f"  - path: {json.dumps(file.name)}\n{kind}{AXOLOTL[options.format]}"

    rl = "rl: dpo\n" if options.format == "preference" else ""
    held_out = f"test_datasets:\n{entry(options.held_out_file)}" if options.split else ""
    return f"# For axolotl, in this folder.\n{rl}datasets:\n{entry(Path(options.out))}{held_out}"


def _for_trl(options: ExportOptions) -> str | None:
    if options.format not in TRL:
        return None
    columns = "[messages]" if options.format == "chat" and options.calls == "inline" else TRL[options.format]
    command, out = "dpo" if options.format == "preference" else "sft", Path(options.out)
    return (
        f"# For `trl {command} --config`, in this folder.\ndatasets:\n  - path: {_READER[out.suffix]}\n"
        f"    data_files: {json.dumps(out.name)}\n    columns: {columns}\n"
    )
