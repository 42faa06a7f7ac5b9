"""How well steps of repeating shapes use what they reserve, and who holds that memory for how long."""

import gc
import random
import weakref
from itertools import islice

import numpy as np
import pytest
import torch

from tests.support.asking import Asked, draw_samples
from tests.support.models import build_language_model
from tests.support.recording import Repeat
from toolformer_ray.lm.attention.shared import Segment
from toolformer_ray.lm.graphs.static_attention import PAGE, ROWS, make_blocks, rounded
from toolformer_ray.lm.graphs.static_slots import StaticSlots
from toolformer_ray.lm.graphs.step_capture import Recorder, watching_steps
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place
from toolformer_ray.lm.scoring.prompt_reading import Branch

NUM_SLOTS = 1024
DEMONSTRATIONS = 363
LONGEST_SAMPLE, MEAN_SAMPLE = 64, 14


class Hollow:
    """A network of one head of width 1 that computes nothing."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.num_tokens_read = 0
        self.room = None
        self.recorder = Recorder(self.device, Repeat)

    def read(self, ids_BT, position_BT, layout):
        return torch.zeros(*ids_BT.shape, 1)


def segment(length: int) -> Segment:
    return Segment([(torch.zeros(1, length, 1), torch.zeros(1, length, 1))])


def small_branch(length: int = 10) -> Branch:
    marker = [(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))]
    return Branch(range(length + 2), torch.zeros(1), ((segment(length), length),), marker)


def workload(num_texts: int, num_samples: range, tools: list[tuple[int, int]]) -> list[tuple[Branch, int]]:
    """Samples and their numbers of tokens. `tools`: k and m of each tool, in turns; of a text so many samples stay."""
    rng = random.Random(0)
    demonstrations = [segment(DEMONSTRATIONS) for _ in tools]
    marker = [(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))]
    samples = []
    for text in range(num_texts):
        (num_places, num_each), before = tools[text % len(tools)], demonstrations[text % len(tools)]
        own = segment(312)
        places = sorted(rng.sample(range(160, 312), num_places)) * num_each
        for end in sorted(places[: rng.choice(num_samples)]):
            chain = ((before, DEMONSTRATIONS), (own, end))
            length = min(LONGEST_SAMPLE, 1 + int(rng.expovariate(1 / (MEAN_SAMPLE - 1))))
            samples.append((Branch(range(DEMONSTRATIONS + end + 2), torch.zeros(1), chain, marker), length))
    return samples


class Measured(StaticSlots):
    """Counts entries that sequences see, and those that are attended to because of it."""

    num_seen = num_attended = 0

    def _table(self, ids):
        shape, table = super()._table(ids)
        self.num_seen += int(self._visible[: len(self)].sum())
        self.num_attended += shape.num_blocks * ROWS * PAGE
        return shape, table


def write_all(network: Hollow, samples: list[tuple[Branch, int]]) -> Measured:
    """As the sampler does it: whatever slot is free is taken at once."""
    slots, waiting, left = Measured(network, NUM_SLOTS, 16), iter(samples), []
    while True:
        for branch, length in islice(waiting, NUM_SLOTS - len(left)):
            slots.enter(branch)
            left.append(length)
        if not left:
            return slots
        slots.write([0] * len(left))
        left = [length - 1 for length in left]
        for number in reversed(range(len(left))):
            if not left[number]:
                slots.leave(number)
                left[number] = left[-1]
                del left[-1]


@pytest.mark.parametrize(
    "samples",
    [
        workload(64, range(25, 26), [(5, 5)]),
        workload(256, range(5, 26), [(5, 5)]),
        workload(32, range(1, 201), [(20, 10), (5, 5)]),
    ],
    ids=["64 texts, 25 samples of each", "256 texts, 5 to 25", "two tools, 200 samples and 25"],
)
def test_little_is_attended_to_in_vain_and_most_steps_are_replayed(samples):
    network, shares = Hollow(), []
    for _ in range(3):
        with watching_steps() as watch:
            slots = write_all(network, samples)
        # Blocks are half empty for want of samples, or for being rounded up to a power of two; that few entries more.
        assert slots.num_attended < 2.5 * slots.num_seen
        shares.append(watch.num_replayed / watch.num_steps)
    # In the first stream shapes are met for the first time, and the samples' own room still grows; then they are known.
    assert shares[1] > 0.7 and shares[2] > 0.95


def test_one_text_with_many_samples_makes_nobody_elses_block_larger():
    pages, visible = np.array([[1]] * 100 + [[n] for n in range(2, 12)]), np.full((110, 1), 9)
    blocks = make_blocks(pages, visible)
    assert len(blocks.pages) == -(-100 // ROWS) + 10
    assert blocks.pages[blocks.where.ravel() // ROWS].tolist() == pages.ravel().tolist()
    assert blocks.rows.ravel()[blocks.where.ravel()].tolist() == list(range(110))


def test_one_long_text_takes_no_room_from_others():
    network = Hollow()
    slots = StaticSlots(network, 4, 16)
    for length in (1000, 10, 10):
        slots.enter(small_branch(length))
    arena = network.room.arena
    assert arena.entries.shape[1] - len(arena._free) == 16 + 1 + 1
    # Room for another as long as the longest may not be there, and when nobody is left there is.
    assert slots.is_full
    slots.leave(0)
    assert not slots.is_full


def test_sizes_are_rounded_up_by_half_at_most():
    for number in range(2, 3000):
        assert number <= rounded(number) < 1.5 * number
    assert len({rounded(number) for number in range(1, 3000)}) == 23


def sampling_model() -> LanguageModel:
    model = build_language_model(token_budget=64)
    model._network.has_static_steps = True
    return model


def draw(model: LanguageModel, number: int = 0):
    asked = [Asked(own_ids=[5 + number], text_ids=[6, 7, 8], places=[Place(token_index=1, keys=range(3))])]
    return draw_samples(model, [0, 9], asked, max_new_tokens=6)


def test_a_model_keeps_its_room_from_one_stream_to_the_next():
    model = sampling_model()
    draw(model)
    room = model._network.room
    draw(model, 1)
    assert model._network.room is room


def test_who_finds_the_room_taken_gets_another():
    network = Hollow()
    first, second = StaticSlots(network, 4, 16), StaticSlots(network, 4, 16)
    first.enter(small_branch())
    second.enter(small_branch())
    assert first._room is not second._room
    first.leave(0)
    first.enter(small_branch())
    assert first._room is not second._room


def test_what_was_left_in_the_room_by_who_is_gone_is_forgotten():
    network = Hollow()
    slots = StaticSlots(network, 4, 16)
    slots.enter(small_branch())
    before, room = len(network.room.arena._free), network.room
    del slots
    StaticSlots(network, 4, 16).enter(small_branch())
    assert network.room is room
    assert len(network.room.arena._free) == before


def test_slots_of_another_size_and_memory_that_runs_out_give_the_room_up(monkeypatch):
    model = sampling_model()
    network = model._network
    draw(model)
    room = weakref.ref(network.room)
    StaticSlots(network, 9, 16)
    assert network.room is None and room() is None
    draw(model)

    def fail(**kwargs):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(network, "_base", fail)
    with pytest.raises(torch.OutOfMemoryError):
        network.read_whole([[1, 2]])
    assert network.room is None


def test_slots_that_nobody_uses_leave_the_memory_at_once():
    network = sampling_model()._network
    slots = StaticSlots(network, 2, 16)
    marker = [(torch.zeros(2, 2, 8), torch.zeros(2, 2, 8))] * 2
    layers = [(torch.zeros(2, 5, 8), torch.zeros(2, 5, 8))] * 2
    slots.enter(Branch(range(7), torch.zeros(32), ((Segment(layers), 5),), marker))
    with torch.inference_mode():
        slots.write([3])
    gone = [weakref.ref(slots), weakref.ref(slots._room), weakref.ref(slots._room.arena)]
    gc.disable()
    try:
        network.room = None
        del slots
        assert [one() for one in gone] == [None] * 3
    finally:
        gc.enable()


def test_rows_that_fill_a_step_up_count_as_read():
    network = Hollow()
    slots = StaticSlots(network, 8, 16)
    for _ in range(3):
        slots.enter(small_branch())
    slots.write([1, 2, 3])
    assert network.num_tokens_read == 4
