"""What torch is asked to do, and of which sizes, while somebody watches."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# What asks the device for a number, or for how many there are, under the names that torch gives it.
ASKING_THE_HOST = {"item", "tolist", "_local_scalar_dense", "nonzero", "is_nonzero", "equal"}


class Watched(TorchDispatchMode):
    """Which operations ran, on which sizes. Lists that are made of tensors go past torch's dispatch."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = []
        self.devices = set()
        self._functions = _WatchedFunctions(self.operations)

    def __enter__(self):
        self._functions.__enter__()
        return super().__enter__()

    def __exit__(self, *args):
        super().__exit__(*args)
        self._functions.__exit__(*args)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.devices |= {arg.device.type for arg in torch.utils._pytree.tree_leaves(args) if hasattr(arg, "device")}
        sizes = [tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)]
        self.operations.append((func.overloadpacket.__name__, sizes))
        return func(*args, **(kwargs or {}))


class _WatchedFunctions(TorchFunctionMode):
    def __init__(self, operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ == "tolist":
            self._operations.append(("tolist", [tuple(args[0].shape)]))
        return func(*args, **(kwargs or {}))
