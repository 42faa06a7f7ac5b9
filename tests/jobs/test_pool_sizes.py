"""What the pools ask of a cluster is never more than it has."""

import pytest

from jobs.actors import WorkerOptions, pool_sizes, ray_session


@pytest.mark.parametrize(
    ("node_cpus", "num_gpus", "num_models"),
    [([4], 0, 4), ([2], 0, 2), ([16, 16], 0, 8), ([16], 8, 8), ([64, 64], 16, 16), ([2], 4, 4)],
)
def test_all_workers_fit_at_the_same_time_and_every_gpu_has_one(
    node_cpus: list[int], num_gpus: int, num_models: int
) -> None:
    sizes = pool_sizes(WorkerOptions(), on_gpu=num_gpus > 0, node_cpus=node_cpus, num_gpus=num_gpus)
    assert sizes["model"].num_workers == num_models
    asked = sum(size.num_workers * size.num_cpus for size in sizes.values())
    # A GPU worker needs one thread at least, however few CPUs there are.
    assert asked <= max(sum(node_cpus), num_gpus)
    assert sum(size.num_workers * size.num_gpus for size in sizes.values()) == num_gpus


def test_what_the_user_says_counts() -> None:
    options = WorkerOptions(model_workers=3, tool_workers=2, threads_per_worker=5)
    sizes = pool_sizes(options, on_gpu=False, node_cpus=[16], num_gpus=0)
    assert (sizes["model"].num_workers, sizes["model"].num_threads, sizes["tools"].num_workers) == (3, 5, 2)


def test_a_cluster_that_refuses_without_a_word_is_a_line_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    refused = pytest.raises(ValueError, match=r"--address elsewhere cannot be reached \(no message\)")
    with refused, ray_session(WorkerOptions(address="elsewhere"), on_gpu=False):
        pass
