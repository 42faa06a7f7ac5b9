"""When steps are recorded and replayed, and what becomes of a recording that fails; with a stand-in for a GPU."""

import pytest
import torch

from tests.support.recording import Repeat
from toolformer_ray.lm.graphs.step_capture import USES_BEFORE_RECORDING, Recorder, Steps, capture, watching_steps


def doubled(factor: int, table: torch.Tensor) -> torch.Tensor:
    return (table * factor).float()


def steps_of(record) -> Steps:
    device = torch.device("cpu")
    return Steps(device, Recorder(device, record))


def test_a_step_is_recorded_once_its_shape_has_come_often_enough():
    recorded = []

    def record(compute):
        recorded.append(compute)
        return Repeat(compute)

    steps = steps_of(record)
    for number in range(USES_BEFORE_RECORDING - 1):
        assert steps.run(2, torch.tensor([number]), doubled).tolist() == [2 * number]
    assert not recorded
    for number in range(5):
        assert steps.run(2, torch.tensor([number]), doubled).tolist() == [2 * number]
        assert steps.run(3, torch.tensor([number]), doubled).tolist() == [3 * number]
    assert len(recorded) == 2


def test_after_buffers_have_moved_steps_are_recorded_again():
    recorded = []

    def record(compute):
        recorded.append(compute)
        return Repeat(compute)

    steps = steps_of(record)
    for _ in range(5):
        steps.run(2, torch.tensor([1]), doubled)
    steps.forget()
    assert steps.run(2, torch.tensor([4]), doubled).tolist() == [8]
    assert len(recorded) == 2


class Wrong(Repeat):
    """A replay that does something else."""

    def replay(self) -> None:
        self.output.fill_(7)


def refuse(compute):
    raise RuntimeError("operation not permitted when stream is capturing\nlong explanation")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (refuse, "operation not permitted when stream is capturing"),
        (Wrong, "a replay differs by 2.5 of its largest number"),
    ],
    ids=["refused", "wrong"],
)
def test_a_recording_that_fails_is_done_without_and_that_is_said_once(record, reason, caplog):
    steps = steps_of(record)
    for number in (1, 1, 1, 2, 3):
        assert steps.run(2, torch.tensor([number]), doubled).tolist() == [2 * number]
    for _ in range(5):
        assert steps.run(3, torch.tensor([1]), doubled).tolist() == [3]
    [said] = [record.getMessage() for record in caplog.records]
    assert said.endswith(reason)


def test_memory_that_runs_out_while_recording_is_the_budgets_business():
    def record(compute):
        raise torch.OutOfMemoryError("CUDA out of memory")

    steps = steps_of(record)
    with pytest.raises(torch.OutOfMemoryError):
        for _ in range(USES_BEFORE_RECORDING):
            steps.run(2, torch.tensor([1]), doubled)


def test_a_cpu_records_nothing(caplog):
    steps = steps_of(None)
    assert [steps.run(2, torch.tensor([n]), doubled).item() for n in range(9)] == [2 * n for n in range(9)]
    assert not caplog.records


@pytest.mark.parametrize("words", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"])
def test_a_library_that_runs_out_of_memory_while_recording_is_not_taken_for_one_that_cannot(words, caplog):
    def record(compute):
        raise RuntimeError(words)

    steps = steps_of(record)
    with pytest.raises(torch.OutOfMemoryError, match=words):
        for _ in range(USES_BEFORE_RECORDING):
            steps.run(2, torch.tensor([1]), doubled)
    assert not caplog.records


def test_what_cannot_be_recorded_is_not_tried_again_by_whoever_comes_next(caplog):
    device, tried = torch.device("cpu"), []

    def record(compute):
        tried.append(compute)
        refuse(compute)

    recorder = Recorder(device, record)
    for _ in range(3):
        steps = Steps(device, recorder)
        for _ in range(USES_BEFORE_RECORDING + 1):
            steps.run(2, torch.tensor([1]), doubled)
    assert len(tried) == len(caplog.records) == 1


def test_steps_that_must_not_be_recorded_are_computed_once_each():
    computed = []

    def step(factor, table):
        computed.append(factor)
        return doubled(factor, table)

    steps = steps_of(Repeat)
    with watching_steps(may_record=False) as watch:
        for _ in range(4):
            steps.run(2, torch.tensor([1]), step)
    assert (len(computed), watch.num_steps, watch.num_replayed) == (4, 4, 0)
    with watching_steps() as watch:
        for _ in range(4):
            steps.run(2, torch.tensor([1]), step)
    # The first of them is recorded.
    assert (watch.num_steps, watch.num_replayed) == (4, 3)
    with watching_steps(may_record=False) as watch:
        assert steps.run(2, torch.tensor([4]), step).tolist() == [8]
    assert watch.num_replayed == 0


class Graph:
    """As torch.cuda.CUDAGraph, whose recording was broken off by what the call did."""

    def __init__(self) -> None:
        self.calls = []

    def capture_begin(self, pool):
        self.calls.append(("begin", pool))

    def capture_end(self):
        self.calls.append("end")
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no room"), RuntimeError("not permitted"), KeyboardInterrupt()]
)
def test_a_recording_is_ended_whatever_breaks_it_off_and_that_is_what_one_hears_of(error):
    def compute():
        raise error

    graph = Graph()
    with pytest.raises(type(error)) as raised:
        capture(graph, compute, (1, 2))
    assert raised.value is error
    assert graph.calls == [("begin", (1, 2)), "end"]


def test_a_recording_that_does_not_end_well_is_an_error():
    with pytest.raises(RuntimeError, match="previous error"):
        capture(Graph(), lambda: torch.ones(1), None)
