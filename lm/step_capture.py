"""Steps that repeat are recorded once and replayed: one launch for a whole decode step instead of thousands.

A step is a function of its shape and one tensor of integers, over buffers that stay where they are. What `run` answers
is read before the next `run`: recordings share their memory.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

ShapeT = TypeVar("ShapeT")

# A shape that comes once or twice, as while slots fill, is not worth a recording.
USES_BEFORE_RECORDING = 3
# A recording keeps little of its own, but not nothing.
MAX_RECORDINGS = 32
# Share of the largest number by which a replay may differ from the step as it was just computed.
AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 0.05}

logger = logging.getLogger(__name__)


class Recording(Protocol):
    """A step that can be done again on the numbers that its inputs then hold."""

    output: Tensor

    def replay(self) -> None:
        """Writes into `output`."""


Record = Callable[[Callable[[], Tensor]], Recording]
"""Records what a call computes. Raises RuntimeError if it does something that cannot be recorded."""


class Steps(Generic[ShapeT]):
    """Steps by their shapes: computed, or replayed where the device can and the shape has come often enough."""

    def __init__(self, step: Callable[[ShapeT, Tensor], Tensor], device: torch.device, record: Record | None) -> None:
        """`step` computes the same when it is repeated. `record`: by default CUDA graphs on CUDA, else nothing."""
        self._step = step
        self._device = device
        self._record = CudaGraphs(device) if record is None and device.type == "cuda" else record
        self._num_uses: Counter[ShapeT] = Counter()
        self._recorded: OrderedDict[ShapeT, tuple[Recording, Tensor]] = OrderedDict()

    def run(self, shape: ShapeT, table: Tensor) -> Tensor:
        """What the step computes from a table in the host's memory."""
        if shape in self._recorded:
            self._recorded.move_to_end(shape)
            recording, inputs = self._recorded[shape]
            inputs.copy_(table, non_blocking=True)
            recording.replay()
            return recording.output
        inputs = table.to(self._device)
        output = self._step(shape, inputs)
        self._num_uses[shape] += 1
        if self._record is not None and self._num_uses[shape] >= USES_BEFORE_RECORDING:
            self._try_to_record(self._record, shape, inputs, output)
        return output

    def forget(self) -> None:
        """The buffers have moved: what is recorded would read the old ones."""
        self._recorded.clear()

    def _try_to_record(self, record: Record, shape: ShapeT, inputs: Tensor, output: Tensor) -> None:
        """Records the step that was just computed, and compares. If that fails, none will be recorded any more."""
        try:
            recording = record(lambda: self._step(shape, inputs))
            recording.replay()
            gap = (recording.output - output).abs().max().item() / max(1.0, output.abs().max().item())
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._give_up(str(error).strip().partition("\n")[0])
            return
        if not gap <= AGREEMENT[output.dtype]:
            self._give_up(f"a replay differs by {gap:.2g} of its largest number")
            return
        self._recorded[shape] = recording, inputs
        if len(self._recorded) > MAX_RECORDINGS:
            self._recorded.popitem(last=False)

    def _give_up(self, reason: str) -> None:
        self._record = None
        self._recorded.clear()
        logger.warning("decode steps are launched one operation at a time, which is slower: %s", reason)


class CudaGraphs:
    """Records on a CUDA device. Recordings use one pool of memory, since none is replayed beside another."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # A pool may be used again only as long as a graph holds it.
        self._recordings: WeakSet[_CudaRecording] = WeakSet()

    def __call__(self, compute: Callable[[], Tensor]) -> Recording:
        """Once on a side stream, where libraries set themselves up, then once into a graph."""
        pool = next((recording.graph.pool() for recording in self._recordings), None)
        with torch.cuda.device(self._device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                compute()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                output = compute()
        recording = _CudaRecording(graph, output)
        self._recordings.add(recording)
        return recording


class _CudaRecording:
    def __init__(self, graph: torch.cuda.CUDAGraph, output: Tensor) -> None:
        self.graph = graph
        self.output = output

    def replay(self) -> None:
        """On the current stream."""
        self.graph.replay()
