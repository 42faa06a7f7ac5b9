"""`python -m toolformer_ray.bench`: compares engine, baseline and floor, and writes the tables.

Writes a section of the page between two marker comments, and one JSON file per setting; `--help` has the options.
"""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from toolformer_ray.bench.compare import Outcome, Setting, compare
from toolformer_ray.bench.models import NAMES
from toolformer_ray.bench.peak import num_cores
from toolformer_ray.bench.report import render, render_outcome, write_page
from toolformer_ray.lm.model import DEFAULT_TOKEN_BUDGETS

# Model, tokens per text, number of texts. The baseline would take hours for long texts of a large model on a CPU, so
# their tokens are counted on the small one: token counts hardly depend on the model.
PLANS = {
    "cpu": (("miniature", 150, 8), ("miniature", 1000, 1), ("gpt2-124m", 150, 2)),
    "cuda": (
        ("miniature", 150, 64),
        ("gpt2-124m", 150, 64),
        ("gpt2-124m", 1000, 8),
        ("llama-1b", 150, 64),
        ("llama-1b", 1000, 8),
        ("llama-8b", 150, 32),
        ("llama-8b", 1000, 4),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plan or the one setting that the options name; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.model not in (None, *NAMES) and not Path(options.model).is_dir():
        parser.error(f"--model is {options.model!r}; it must be one of {', '.join(NAMES)}, or the folder of a model")
    kind = "cuda" if options.device.startswith("cuda") else "cpu"
    torch.set_num_threads(options.threads)
    outcomes: list[Outcome] = []
    for setting in _settings(options, kind):
        print(f"{setting.model}, {setting.num_texts} texts of {setting.num_tokens} tokens ...", flush=True)
        outcome = _measure(setting)
        # Free the model of this setting before the next one is loaded.
        gc.collect()
        torch.cuda.empty_cache()
        if outcome is None:
            print(f"{setting.model} does not fit this card and is left out", file=sys.stderr)
            continue
        outcomes.append(outcome)
        print(render_outcome(outcome) + "\n", flush=True)
        name = f"{Path(setting.model).name}-{setting.num_tokens}-{kind}-{setting.dtype}.json"
        options.raw.mkdir(parents=True, exist_ok=True)
        (options.raw / name).write_text(json.dumps(outcome.raw(), indent=1) + "\n", encoding="utf-8")
        # Written after each setting, so that what was measured stays if a later one fails.
        write_page(options.out, kind, render(outcomes))
    return 0 if outcomes else 1


def _measure(setting: Setting) -> Outcome | None:
    """None if memory does not suffice. The caught error, which refers to the model, ends with this call."""
    try:
        return compare(setting)
    except torch.OutOfMemoryError:
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolformer_ray.bench", description=main.__doc__)
    names = f"one model only: {', '.join(NAMES)}, or a folder; without it the whole plan of the device"
    parser.add_argument("--model", help=names)
    parser.add_argument("--tokens", type=int, help="tokens of each text")
    parser.add_argument("--texts", type=int, help="number of texts")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="default: bfloat16 on CUDA, else float32")
    parser.add_argument("--threads", type=int, default=num_cores(), help="CPU threads (default: %(default)s)")
    parser.add_argument("--token-budget", type=int, help="tokens of the engine's batches (default: the device's)")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each, at most (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"), help="page for the tables")
    parser.add_argument("--raw", type=Path, default=Path("runs/bench"), help="folder for the numbers as JSON")
    return parser


def _settings(options: argparse.Namespace, kind: str) -> list[Setting]:
    """The rows of the plan that match the options; a length that is not in the plan makes a row of its own."""
    plan = [row for row in PLANS[kind] if options.model in (None, row[0])]
    if options.tokens:
        plan = [row for row in plan if row[1] == options.tokens] or [
            (name, options.tokens, 2) for name in dict.fromkeys(row[0] for row in plan)
        ]
    if options.model and not plan:
        plan = [(options.model, options.tokens or 150, 1)]
    return [
        Setting(
            model=name,
            device=options.device,
            dtype=options.dtype or ("bfloat16" if kind == "cuda" else "float32"),
            num_texts=options.texts or num_texts,
            num_tokens=num_tokens,
            token_budget=options.token_budget or DEFAULT_TOKEN_BUDGETS[kind],
            max_repeats=max(1, options.repeats),
        )
        for name, num_tokens, num_texts in plan
    ]


if __name__ == "__main__":
    sys.exit(main())
