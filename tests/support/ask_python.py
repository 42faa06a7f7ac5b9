"""Asks the tool Python programs in a process that does nothing else, so that its memory can be told: JSON in, JSON out.

`python -m tests.support.ask_python < {"options": {...}, "programs": [...]}`
"""

import json
import resource
import sys
import time

from toolformer_ray.tools.asking.call import Call, ask
from toolformer_ray.tools.python import Python


def main() -> None:
    given = json.load(sys.stdin)
    tool = Python(Python.Options(**given["options"]))
    tool.open()
    outcomes = []
    for program in given["programs"]:
        started = time.perf_counter()
        outcome, _ = ask(tool, Call(tool.name, program))
        outcomes.append([outcome.status, outcome.result, time.perf_counter() - started])
    # Linux counts in kilobytes. Of children it is the largest one, and no less than this process when it began them.
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    json.dump({"outcomes": outcomes, "megabytes": peaks}, sys.stdout)


if __name__ == "__main__":
    main()
