"""Steps that repeat are recorded once and replayed: one launch for a whole decode step instead of thousands.

A step is a function of its shape and one tensor of integers, over buffers that stay where they are. What `run` answers
is read before the next `run`: recordings share their memory.
"""

import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

ShapeT = TypeVar("ShapeT")

# A shape that comes once is not worth a recording.
USES_BEFORE_RECORDING = 2
# A recording keeps little of its own, but not nothing.
MAX_RECORDINGS = 64
# Share of the largest number by which a replay may differ from the step as it was just computed.
AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 0.05}
# Libraries and the driver say it in these words, as errors of another kind than the allocator's.
OUT_OF_MEMORY = ("out of memory", "alloc_failed")

logger = logging.getLogger(__name__)


class Recording(Protocol):
    """A step that can be done again on the numbers that its inputs then hold."""

    output: Tensor

    def replay(self) -> None:
        """Writes into `output`."""


Record = Callable[[Callable[[], Tensor]], Recording]
"""Records what a call computes. Raises RuntimeError if it does something that cannot be recorded."""


@dataclass
class StepWatch:
    """What became of the steps while somebody watched."""

    may_record: bool
    """Whether steps may be recorded and replayed; if not, each is computed, once."""
    num_steps: int = 0
    num_replayed: int = 0


_watch: ContextVar[StepWatch | None] = ContextVar("watch", default=None)


@contextlib.contextmanager
def watching_steps(*, may_record: bool = True) -> Iterator[StepWatch]:
    """Count the steps within, and, without `may_record`, have each computed once."""
    watch = StepWatch(may_record)
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


class Recorder:
    """How a model's steps are recorded. When that has failed once, none is recorded any more."""

    def __init__(self, device: torch.device, record: Record | None = None) -> None:
        """`record`: by default CUDA graphs on CUDA, else nothing."""
        self.record = CudaGraphs(device) if record is None and device.type == "cuda" else record

    def give_up(self, reason: str) -> None:
        """Said once."""
        self.record = None
        logger.warning("decode steps are launched one operation at a time, which is slower: %s", reason)


class Steps(Generic[ShapeT]):
    """Steps by their shapes: computed, or replayed where the device can and the shape has come often enough."""

    def __init__(self, device: torch.device, recorder: Recorder) -> None:
        self._device = device
        self._recorder = recorder
        self._num_uses: Counter[ShapeT] = Counter()
        self._recorded: OrderedDict[ShapeT, tuple[Recording, Tensor]] = OrderedDict()

    def run(self, shape: ShapeT, table: Tensor, step: Callable[[ShapeT, Tensor], Tensor]) -> Tensor:
        """What the step computes from a table in the host's memory; it computes the same when it is repeated."""
        watch = _watch.get() or StepWatch(may_record=True)
        watch.num_steps += 1
        if watch.may_record and shape in self._recorded:
            watch.num_replayed += 1
            self._recorded.move_to_end(shape)
            recording, inputs = self._recorded[shape]
            inputs.copy_(table, non_blocking=True)
            recording.replay()
            return recording.output
        inputs = table.to(self._device)
        output = step(shape, inputs)
        self._num_uses[shape] += 1
        record = self._recorder.record
        if watch.may_record and record is not None and self._num_uses[shape] >= USES_BEFORE_RECORDING:
            self._try_to_record(record, shape, inputs, output, step)
        return output

    def forget(self) -> None:
        """The buffers have moved: what is recorded would read the old ones."""
        self._recorded.clear()

    def _try_to_record(
        self,
        record: Record,
        shape: ShapeT,
        inputs: Tensor,
        output: Tensor,
        step: Callable[[ShapeT, Tensor], Tensor],
    ) -> None:
        """Records the step that was just computed, and compares."""
        try:
            recording = record(lambda: step(shape, inputs))
            recording.replay()
            gap = (recording.output - output).abs().max().item() / max(1.0, output.abs().max().item())
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if any(sign in str(error).lower() for sign in OUT_OF_MEMORY):
                raise torch.OutOfMemoryError(str(error)) from error
            self._give_up(str(error).strip().partition("\n")[0])
            return
        if not gap <= AGREEMENT[output.dtype]:
            self._give_up(f"a replay differs by {gap:.2g} of its largest number")
            return
        self._recorded[shape] = recording, inputs
        if len(self._recorded) > MAX_RECORDINGS:
            self._recorded.popitem(last=False)

    def _give_up(self, reason: str) -> None:
        self._recorded.clear()
        self._recorder.give_up(reason)


class CudaGraphs:
    """Records on a CUDA device. Recordings use one pool of memory, since none is replayed beside another."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side: torch.cuda.Stream | None = None
        """Where all are recorded: memory of a pool goes from one to the next on the same stream only."""
        # A pool may be used again only as long as a graph holds it.
        self._recordings: WeakSet[_CudaRecording] = WeakSet()

    def __call__(self, compute: Callable[[], Tensor]) -> Recording:
        """Once on a side stream, where libraries set themselves up, then once into a graph."""
        pool = next((recording.graph.pool() for recording in self._recordings), None)
        with torch.cuda.device(self._device):
            side = self._side = self._side or torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                compute()
            torch.cuda.current_stream().wait_stream(side)
            # What the device keeps at hand cannot serve a recording, which allocates from its own pool.
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.stream(side):
                output = capture(graph, compute, pool)
        recording = _CudaRecording(graph, output)
        self._recordings.add(recording)
        return recording


def capture(graph: Any, compute: Callable[[], Tensor], pool: Any) -> Tensor:
    """What `compute` computes, recorded on the current stream. However it ends, the stream records no longer.

    torch.cuda.graph would leave the thread on the stream if the recording does not end well.
    """
    graph.capture_begin(pool=pool)
    try:
        output = compute()
    except BaseException:
        # A recording that was broken off does not end well; what broke it off says more.
        with contextlib.suppress(RuntimeError):
            graph.capture_end()
        raise
    graph.capture_end()
    return output


class _CudaRecording:
    def __init__(self, graph: torch.cuda.CUDAGraph, output: Tensor) -> None:
        self.graph = graph
        self.output = output

    def replay(self) -> None:
        """On the current stream."""
        self.graph.replay()
