"""Decode steps over shapes that repeat against the steps of today, on a CPU; recording with a stand-in for a GPU."""

from dataclasses import replace

import pytest
import torch
from transformers import GPTJConfig

from tests.support.asking import Asked, draw_samples
from tests.support.models import FAMILIES, build_config_model, build_language_model, build_tokenizer
from tests.support.recording import Repeat
from tests.support.watching import ASKING_THE_HOST, Watched
from toolformer_ray.lm.attention.shared import Segment
from toolformer_ray.lm.graphs.static_slots import StaticSlots
from toolformer_ray.lm.graphs.step_capture import USES_BEFORE_RECORDING
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, Prompt
from toolformer_ray.lm.scoring.prompt_reading import Branch, PromptReader
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.slots import SharedSlots

TEXT = (
    "The mill ground 400 sacks, 120 more than in May, and the town by the river "
    "built a bridge in the year of the flood."
)

two_families = pytest.mark.parametrize("family", ["llama", "gpt2"])
each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def open_branches(model: LanguageModel) -> list[Branch]:
    """Seven places: of two texts behind one beginning, of one behind another, and of one with nothing before it."""
    ids = model.tokenizer.encode(TEXT)
    reader, bos = PromptReader(model._network, model.tokenizer), model.tokenizer.bos_ids
    beginnings = [[*bos, *ids[:9]]] * 2 + [[*bos, *ids[5:30]], bos]
    prompts = [
        Prompt(shared_ids=beginning, own_ids=ids[n : n + 3], text_ids=ids[2 * n : 20 + 3 * n])
        for n, beginning in enumerate(beginnings)
    ]
    branches = []
    for prompt, places in zip(prompts, ([1, 9, 17], [4], [0, 20], [12]), strict=True):
        [read] = reader.read([prompt])
        branches += reader.open([(read, Place(token_index=place, keys=[])) for place in places])
    return branches


class Pair:
    """The same sequences in both kinds of slots."""

    def __init__(self, model: LanguageModel, record=None) -> None:
        network = model._network
        self.usual, self.static = SharedSlots(network, 8, 3), StaticSlots(network, 8, 3, record)
        self.num = 0

    def enter(self, branch: Branch) -> None:
        assert self.usual.enter(branch) == self.static.enter(branch) == self.num
        self.num += 1

    def leave(self, number: int) -> None:
        self.usual.leave(number)
        self.static.leave(number)
        self.num -= 1

    def write(self) -> None:
        """One token each; the hidden states are the same."""
        ids = [7 + 11 * number for number in range(self.num)]
        expected = self.usual.write(ids)
        assert self.static.write(ids) == pytest.approx(expected, abs=1e-5)


def enter_leave_and_write(pair: Pair, branches: list[Branch]) -> None:
    for branch in branches[:3]:
        pair.enter(branch)
    pair.write()
    for branch in [*branches[3:], branches[0]]:
        pair.enter(branch)
    # Own tokens outgrow their room twice.
    for _ in range(4):
        pair.write()
    for number in (2, 0, 5):
        pair.leave(number)
        pair.write()
    pair.enter(branches[5])
    for _ in range(3):
        pair.write()


@each_family
def test_steps_of_repeating_shapes_are_the_usual_steps(family):
    branches = open_branches(build_language_model(family))
    enter_leave_and_write(Pair(build_language_model(family)), branches)


def test_gpt_j_the_papers_model_is_written_in_repeating_shapes_too():
    network = build_config_model(GPTJConfig(n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=512))
    model = LanguageModel(network, TextTokenizer(build_tokenizer(), name="gptj"))
    branches = open_branches(model)
    enter_leave_and_write(Pair(model), branches)


@two_families
def test_samples_are_the_same_in_steps_of_repeating_shapes(family):
    samples = []
    for has_static_steps in (False, True):
        model = build_language_model(family, token_budget=100)
        model._network.has_static_steps = has_static_steps
        ids = model.tokenizer.encode(TEXT)
        asked = [
            Asked(own_ids=[], text_ids=ids[n : n + 12], places=[Place(token_index=3, keys=range(9 * n, 9 * n + 5))])
            for n in range(3)
        ]
        samples.append(draw_samples(model, ids[:6], asked, max_new_tokens=18))
    assert samples[0] == samples[1]


def test_a_step_asks_the_host_for_nothing_and_allocates_by_its_shape_alone(monkeypatch):
    # While a GPU records, transformers leaves out its own question about packed rows.
    monkeypatch.setattr("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: True)
    model = build_language_model("llama")
    branches = open_branches(model)
    slots = StaticSlots(model._network, 8, 16)
    seen = []
    for leaving, entering in ([], [0, 1, 3]), ([0], [2]):
        for number in leaving:
            slots.leave(number)
        for number in entering:
            slots.enter(branches[number])
        shape, table = slots._table(range(3))
        with Watched() as watched:
            slots._step(shape, table)
        seen.append((shape, table.tolist(), watched.operations))
    (shape, table, operations), (other_shape, other_table, other_operations) = seen
    assert not {name for name, _ in operations} & ASKING_THE_HOST
    assert (shape, operations) == (other_shape, other_operations)
    assert table != other_table


@each_family
def test_a_step_touches_nothing_outside_its_device(family, monkeypatch):
    # A GPU refuses to record what it would have to fetch from the host; the device without numbers sees the same.
    monkeypatch.setattr("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: True)
    model = build_language_model(family)
    branches = open_branches(model)
    network, there = model._network, torch.device("meta")
    network.model.to(there)
    slots = StaticSlots(network, 8, 16)
    for branch in branches[:5]:
        chain = tuple((Segment(_moved(segment.layers, there)), end) for segment, end in branch.chain)
        slots.enter(replace(branch, chain=chain, marker=_moved(branch.marker, there)))
    shape, table = slots._table(range(5))
    table = table.to(there)
    with Watched() as watched:
        hidden = slots._step(shape, table)
    assert hidden.shape == (shape.num_sequences, 32)
    assert watched.devices == {"meta"}


def _moved(layers, device):
    return [(keys.to(device), values.to(device)) for keys, values in layers]


@pytest.mark.parametrize(
    "ask", [lambda t: int(t.sum()), lambda t: t[0].item(), lambda t: t.tolist(), lambda t: bool(t[0]), torch.nonzero]
)
def test_the_watch_sees_whoever_asks_the_host(ask):
    with Watched() as watched:
        ask(torch.ones(3))
    assert {name for name, _ in watched.operations} & ASKING_THE_HOST


def recording_pair(model: LanguageModel) -> tuple[Pair, list[Repeat]]:
    recorded = []

    def addresses():
        return [buffer.data_ptr() for buffer in (pair.static._room.own, pair.static._room.arena.entries)]

    def record(compute):
        recorded.append(Repeat(compute, addresses))
        return recorded[-1]

    pair = Pair(model, record)
    return pair, recorded


@two_families
def test_replayed_steps_are_the_usual_steps(family):
    model = build_language_model(family)
    branches = open_branches(model)
    pair, recorded = recording_pair(model)
    enter_leave_and_write(pair, branches)
    for number in (1, 0, 2, 1, 0):
        for _ in range(3):
            pair.leave(number)
            pair.enter(branches[number])
            pair.write()
    assert sum(one.num_replays - 1 for one in recorded) >= 10


def test_a_step_whose_buffers_have_moved_is_not_replayed():
    model = build_language_model()
    branches = open_branches(model)
    pair, recorded = recording_pair(model)

    def write_alone() -> None:
        pair.enter(branches[0])
        pair.write()
        pair.leave(0)

    for _ in range(USES_BEFORE_RECORDING + 1):
        write_alone()
    assert [one.num_replays for one in recorded] == [2]
    # Four pages are there; seven segments, none longer than a page, need more.
    pages = pair.static._room.arena.entries.shape[1]
    for branch in branches:
        pair.enter(branch)
    assert pages == 4 < pair.static._room.arena.entries.shape[1]
    for number in reversed(range(len(branches))):
        pair.leave(number)
    write_alone()
    assert [one.num_replays for one in recorded] == [2, 1]
