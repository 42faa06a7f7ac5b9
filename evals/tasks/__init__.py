"""The benchmarks, one file each; the file's stem is the task's key."""

import importlib
import inspect
import pkgutil
from functools import cache

from toolformer_ray.evals.task import Task


@cache
def find_tasks() -> dict[str, Task]:
    """Every task by its key, in the order of the alphabet."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        members = inspect.getmembers(importlib.import_module(f"{__name__}.{module.name}"), inspect.isclass)
        tasks = [member for _, member in members if issubclass(member, Task) and not inspect.isabstract(member)]
        [found[module.name]] = [task() for task in tasks if task.__module__ == f"{__name__}.{module.name}"]
    return found
