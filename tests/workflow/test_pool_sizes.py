"""What the pools ask of a cluster is never more than it has."""

import pytest

from toolformer_ray.jobs.driver.cluster import ray_session
from toolformer_ray.workflow.workers import Node, PoolSize, WorkerOptions, pool_sizes


@pytest.mark.parametrize(
    ("nodes", "on_gpu", "num_models", "num_threads"),
    [
        ([Node(num_cpus=4)], False, 4, 1),
        ([Node(num_cpus=2)], False, 2, 1),
        ([Node(num_cpus=16)] * 2, False, 8, 4),
        ([Node(num_cpus=2), Node(num_cpus=64)], False, 4, 16),  # the small one has no room for 16 threads
        ([Node(num_cpus=16, num_gpus=8)], True, 8, 2),
        ([Node(num_cpus=64, num_gpus=8)] * 2, True, 16, 8),
        ([Node(num_cpus=2, num_gpus=4)], True, 4, 1),
        ([Node(num_cpus=8, num_gpus=1), Node(num_cpus=64, num_gpus=1), Node(num_cpus=32)], True, 2, 8),
        ([Node(num_cpus=4)], True, 1, 1),  # waits until a node with a GPU joins
    ],
)
def test_all_workers_fit_at_the_same_time_and_every_gpu_has_one(
    nodes: list[Node], on_gpu: bool, num_models: int, num_threads: int
) -> None:
    size = pool_sizes(WorkerOptions(), nodes, on_gpu=on_gpu)["model"]
    assert (size.num_workers, size.num_threads) == (num_models, num_threads)
    if any(node.num_gpus for node in nodes) or not on_gpu:
        assert num_fitting(size, nodes) == num_models


@pytest.mark.parametrize(("gpus_per_worker", "num_models"), [(0.25, 32), (0.3, 24), (1, 8), (2, 3), (4, 1)])
def test_a_gpu_can_be_shared_and_a_model_can_have_several_of_one_node(gpus_per_worker: float, num_models: int) -> None:
    nodes = [Node(num_cpus=32, num_gpus=5), Node(num_cpus=32, num_gpus=3)]
    size = pool_sizes(WorkerOptions(gpus_per_worker=gpus_per_worker), nodes, on_gpu=True)["model"]
    assert (size.num_workers, size.num_gpus) == (num_models, gpus_per_worker)
    assert num_fitting(size, nodes) == num_models


def num_fitting(size: PoolSize, nodes: list[Node]) -> int:
    """How many such workers the nodes can take at once, as Ray places them: parts of a GPU on one GPU."""
    total = 0
    for node in nodes:
        fits = int(node.num_cpus / size.num_cpus)
        if size.num_gpus:
            one_gpu = int(1 / size.num_gpus)
            fits = min(fits, one_gpu * node.num_gpus if one_gpu else node.num_gpus // int(size.num_gpus))
        total += fits
    return total


@pytest.mark.parametrize("wrong", [0, -1, 1.5])
def test_a_worker_asks_for_part_of_a_gpu_or_for_whole_ones(wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"gpus_per_worker is {wrong}; it must be a part of one GPU"):
        WorkerOptions(gpus_per_worker=wrong)


def test_what_the_user_says_counts() -> None:
    options = WorkerOptions(model_workers=3, tool_workers=2, threads_per_worker=5)
    sizes = pool_sizes(options, [Node(num_cpus=16)], on_gpu=False)
    assert (sizes["model"].num_workers, sizes["model"].num_threads, sizes["tools"].num_workers) == (3, 5, 2)


@pytest.mark.parametrize(
    ("said", "node", "expected"),
    [
        # (scoring, proposing) and what each of them asks for.
        ({}, Node(num_cpus=2), (1, 1, 1.0, 0.0)),
        ({}, Node(num_cpus=16), (2, 2, 4.0, 0.0)),
        ({"proposer_workers": 3}, Node(num_cpus=16), (1, 3, 4.0, 0.0)),
        ({"model_workers": 3, "proposer_workers": 1}, Node(num_cpus=16), (3, 1, 4.0, 0.0)),
        ({}, Node(num_cpus=8, num_gpus=4), (2, 2, 2.0, 1.0)),
        # One GPU, or one CPU, is shared, or the second worker would wait for ever.
        ({}, Node(num_cpus=8, num_gpus=1), (1, 1, 1.0, 0.5)),
        ({}, Node(num_cpus=1), (1, 1, 0.5, 0.0)),
    ],
)
def test_another_proposer_has_half_of_the_workers_that_fit(
    said: dict[str, int], node: Node, expected: tuple[int, int, float, float]
) -> None:
    sizes = pool_sizes(WorkerOptions(**said), [node], on_gpu=node.num_gpus > 0, with_proposer=True)
    scoring, proposing = sizes["model"], sizes["proposer"]
    assert (scoring.num_workers, proposing.num_workers, scoring.num_cpus, scoring.num_gpus) == expected
    assert (proposing.num_cpus, proposing.num_gpus) == expected[2:]


def test_a_cluster_that_refuses_without_a_word_is_a_line_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    refused = pytest.raises(ValueError, match=r"address is elsewhere; it cannot be reached \(no message\)")
    with refused, ray_session(WorkerOptions(address="elsewhere"), on_gpu=False):
        pass
