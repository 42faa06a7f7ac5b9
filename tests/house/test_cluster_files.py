"""What is written for clusters holds together: the schemas, the commands, and that the workers fit the machines."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

from toolformer_ray.jobs.cli.commands import app
from toolformer_ray.jobs.driver.cluster import NOT_WHERE_ONLY_DRIVERS_ARE
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.workers import Node, WorkerOptions, pool_sizes

ROOT = Path(__file__).parents[2]
CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text())
RAY_JOB = yaml.safe_load((ROOT / "docs/kuberay-rayjob.yaml").read_text())["spec"]
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
((ROLE, NOT_DRIVER),) = NOT_WHERE_ONLY_DRIVERS_ARE.items()


def annotate_options(entrypoint: list[str]) -> AnnotateOptions:
    """What the real command line makes of an entrypoint; it exits if it finds anything wrong."""
    assert entrypoint[:3] == ["python", "-m", "jobs.annotate_corpus"]
    _, bound, _ = app.parse_args(["annotate", *entrypoint[3:]], exit_on_error=False)
    return bound.arguments["options"]


def test_ray_up_accepts_the_cluster() -> None:
    config = prepare_config(CLUSTER)
    validate_config(config)
    assert config["provider"]["type"] == "aws" and config["max_workers"] == CLUSTER["max_workers"]


def test_workers_of_a_cluster_may_be_lost_and_its_head_not_and_all_run_the_pinned_ray() -> None:
    types = CLUSTER["available_node_types"]
    spot = {name for name, kind in types.items() if "InstanceMarketOptions" in kind["node_config"]}
    assert spot == set(types) - {CLUSTER["head_node_type"]}
    assert sum(kind.get("max_workers", 0) for kind in types.values()) <= CLUSTER["max_workers"]
    images = [CLUSTER["docker"]["image"], types["gpus"]["docker"]["worker_image"]]
    assert all(image.startswith(f"rayproject/ray:{PINNED['ray']}-py311-") for image in images)
    assert RAY_JOB["rayClusterSpec"]["rayVersion"] == PINNED["ray"]


def test_only_the_driver_is_where_the_head_is() -> None:
    assert NOT_DRIVER == "!driver"
    assert CLUSTER["available_node_types"]["head"]["resources"] == {"CPU": 0}
    assert f"--labels={ROLE}=driver" in " ".join(CLUSTER["head_start_ray_commands"])
    assert ROLE not in " ".join(CLUSTER["worker_start_ray_commands"])
    head = RAY_JOB["rayClusterSpec"]["headGroupSpec"]
    assert (head["labels"], head["rayStartParams"]["num-cpus"]) == ({ROLE: "driver"}, "0")


def kuberay_resources() -> dict[str, dict[str, int]]:
    groups = {group["groupName"]: group for group in RAY_JOB["rayClusterSpec"]["workerGroupSpecs"]}
    limits = {name: group["template"]["spec"]["containers"][0]["resources"]["limits"] for name, group in groups.items()}
    return {name: {"CPU": int(asks["cpu"]), "GPU": asks.get("nvidia.com/gpu", 0)} for name, asks in limits.items()}


def ray_up_resources() -> dict[str, dict[str, int]]:
    return {name: {"GPU": 0} | kind["resources"] for name, kind in CLUSTER["available_node_types"].items()}


@pytest.mark.parametrize("nodes", [ray_up_resources(), kuberay_resources()], ids=["ray up", "KubeRay"])
@pytest.mark.parametrize("num_gpu_nodes", [0, 1, 8])
def test_a_worker_with_the_model_fits_a_gpu_node_however_many_there_are(
    nodes: dict[str, dict[str, int]], num_gpu_nodes: int
) -> None:
    there = [nodes["tools"], *num_gpu_nodes * [nodes["gpus"]]]
    sizes = pool_sizes(
        WorkerOptions(), [Node(num_cpus=node["CPU"], num_gpus=node["GPU"]) for node in there], on_gpu=True
    )
    assert 0 < sizes["model"].num_gpus <= nodes["gpus"]["GPU"]
    assert sizes["model"].num_cpus <= nodes["gpus"]["CPU"]
    assert sizes["tools"].num_cpus + sizes["cpu"].num_cpus <= nodes["tools"]["CPU"]


def test_the_entrypoint_on_kubernetes_is_one_that_the_command_line_takes() -> None:
    options = annotate_options(shlex.split(RAY_JOB["entrypoint"]))
    gpus = next(group for group in RAY_JOB["rayClusterSpec"]["workerGroupSpecs"] if group["groupName"] == "gpus")
    assert options.workers.model_workers == gpus["maxReplicas"]
    assert all("://" in path or path.startswith("/") for path in (options.run, *options.ingest.corpus))


STUB = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
    "scontrol show"*) printf 'alpha\\nbeta\\ngamma\\n' ;;
    srun*) while [[ "$1" == --* ]]; do shift; done; exec "$@" ;;
    "ray start"*) exec tail -f /dev/null ;;
    "python -m"*) until [[ $(grep -c "^ray start" "$CALLS") = 2 ]]; do sleep 0.05; done; exit "$EXIT_CODE" ;;
    python*) echo token ;;
esac
"""


@pytest.mark.parametrize(("exit_code", "is_requeued"), [(0, False), (2, False), (143, True)])
def test_on_slurm_head_and_workers_start_then_the_job_and_nothing_is_left(
    exit_code: int,
    is_requeued: bool,
    tmp_path: Path,
) -> None:
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("srun", "scontrol", "ray", "python"):
        (binaries / name).write_text(STUB)
        (binaries / name).chmod(0o755)
    slurm = {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "x",
        "SLURM_GPUS_ON_NODE": "4",
    }
    slurm |= {"SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "16", "CORPUS": "/c", "RUN": "/r", "MODEL": "/m"}
    calls = {"CALLS": str(tmp_path / "calls"), "EXIT_CODE": str(exit_code)}
    environment = {"PATH": f"{binaries}:{os.environ['PATH']}"} | slurm | calls
    # Whatever is left running holds the pipe, and the call would not come back.
    ended = subprocess.run(
        ["bash", str(ROOT / "docs/slurm.sbatch")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == exit_code, ended.stderr
    called = (tmp_path / "calls").read_text().splitlines()
    started = [line for line in called if line.startswith("ray start")]
    assert sorted(started) == [
        "ray start --block --num-cpus=16 --num-gpus=4 --address=alpha:20007",
        "ray start --block --num-cpus=16 --num-gpus=4 --head --port=20007 --include-dashboard=false",
    ]
    assert any(line.startswith("srun --nodes=2 --ntasks=2 --exclude=alpha ray start") for line in called)
    (job,) = [line for line in called if line.startswith("python -m")]
    assert annotate_options(shlex.split(job)).workers.address == "alpha:20007"
    assert ("scontrol requeue 7" in called) == is_requeued
    assert "token" not in " ".join(line for line in called if not line.startswith("python -c"))


def test_what_a_job_sends_to_the_cluster_is_small_and_all_that_it_needs(tmp_path: Path) -> None:
    not_cloned = shutil.ignore_patterns(".git", ".venv", "runs", "build", "*_cache", "__pycache__")
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=not_cloned)
    for name in ("runs/one/scored", ".venv/lib", ".git", ".mypy_cache", "jobs/__pycache__", "build"):
        (checkout / name).mkdir(parents=True)
        (checkout / name / "big.parquet").write_bytes(os.urandom(1 << 20))
    package = tmp_path / "package.zip"
    create_package(str(checkout), package, include_gitignore=True, excludes=get_runtime_env_default_excludes())
    # The model is 5.2 MB of it. What is linked would be as much again if it were sent twice.
    assert package.stat().st_size < 8_000_000
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(package, unpacked)
    assert {path.name for path in unpacked.iterdir() if path.is_dir()} == {"jobs", "miniature", "toolformer_ray"}
    assert (unpacked / "miniature/model/model.safetensors").is_file()
    assert not list(unpacked.rglob("big.parquet"))
    assert "--search.index" in annotate_help(unpacked)


def test_from_a_checkout_that_is_not_installed_the_entry_finds_the_packages_over_the_links() -> None:
    assert "--search.index" in annotate_help(ROOT)


def annotate_help(folder: Path) -> str:
    """Run the entry in a folder as its only source of the packages: -S hides what is installed, third parties aside."""
    script = f"""
import runpy, sys
sys.path.extend({[path for path in sys.path if path.endswith("-packages")]})
sys.argv = ["jobs.annotate_corpus", "--help-all"]
runpy.run_module("jobs.annotate_corpus", run_name="__main__")
"""
    python = [sys.executable, "-S", "-c", script]
    environment = os.environ | {"PYTHONPATH": ""}
    return subprocess.run(python, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
