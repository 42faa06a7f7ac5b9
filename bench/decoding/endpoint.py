"""`python -m toolformer_ray.bench.decoding.endpoint URL`: requests a second of a running completions endpoint.

Start one first, such as `toolformer serve --model miniature/model --tools calculator`. Prompts are stories of the
miniature's world up to where a sum is due, so that tools are asked; every client waits for its answer before it asks
again. The speed is the median over the turns, and a warm-up is left out.
"""

import argparse
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from toolformer_ray.bench.decoding.__main__ import story_beginnings


def ask(url: str, model: str, prompt: str) -> dict[str, Any]:
    """One completion."""
    body = {"model": model, "prompt": prompt, "max_tokens": 24, "temperature": 0, "seed": 1}
    # The address is what the user typed, and a proxy of the environment would be measured with it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(  # noqa: S310
        f"{url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with opener.open(request, timeout=300) as answer:
        return dict(json.load(answer))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Requests a second of a running completions endpoint.")
    parser.add_argument("url", help="such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="model", help="what it is served as")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args(arguments)
    prompts = story_beginnings(options.requests)
    speeds, num_tokens = [], 0
    with ThreadPoolExecutor(options.clients) as clients:
        for turn in range(options.turns + 1):
            started = time.monotonic()
            answers = list(clients.map(lambda prompt: ask(options.url, options.model, prompt), prompts))
            if turn:
                speeds.append(options.requests / (time.monotonic() - started))
            num_tokens = sum(answer["usage"]["completion_tokens"] for answer in answers)
    print(f"{statistics.median(speeds):.1f} requests a second ({min(speeds):.1f} to {max(speeds):.1f})")
    print(f"{num_tokens} tokens in {options.requests} texts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
