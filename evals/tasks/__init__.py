"""The benchmarks, one file each; the file's stem is the task's key. A user's own is named by the place of its file."""

import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path

from toolformer_ray.evals.task import Task
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.brought.source_file import read_source


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


def load_task(place: str) -> tuple[str, Task]:
    """The key and the task of a user's file, such as ./my_task.py. Raises UnusableError, one line."""
    source = read_source(place)
    module = source.load()
    own = [value for value in vars(module).values() if _is_task_of(value, module.__name__)]
    if len(own) != 1:
        raise UnusableError(f"{place}: it defines {len(own)} tasks; a file holds one subclass of Task")
    if lacking := [name for name in ("describes", "path", "rule") if not hasattr(own[0], name)]:
        raise UnusableError(f"{place}: {own[0].__name__} has no {lacking[0]}; give the class one")
    key = Path(place).stem
    if key in find_tasks():
        raise UnusableError(f"{place}: there is a task {key} already; give the file another name")
    return key, own[0]()


def _is_task_of(value: object, module_name: str) -> bool:
    is_task = isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)
    return is_task and value.__module__ == module_name
