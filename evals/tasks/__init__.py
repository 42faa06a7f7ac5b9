"""The benchmarks, one file each; the file's stem is the task's key."""

import importlib
import inspect
import pkgutil
from functools import cache

from toolformer_ray.evals.task import Task


@cache
def find_tasks() -> dict[str, Task]:
    """Every task by its key, in alphabetical order."""
    found = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        own = [value for value in vars(module).values() if _is_task_of(value, module.__name__)]
        if len(own) != 1:
            raise TypeError(f"evals/tasks/{info.name}.py defines {len(own)} tasks; a file holds one")
        found[info.name] = own[0]()
    return found


def _is_task_of(value: object, module_name: str) -> bool:
    is_task = isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)
    return is_task and value.__module__ == module_name
