"""`toolformer serve`, or `python -m jobs.serve_model`: an OpenAI-compatible server on Ray Serve.

Each replica holds the model, the tools and one thread that writes texts; a request joins the batch while others are
written. A small process beside them answers `GET /health`, also while no replica can.
"""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.jobs.decoding.access import read_key_hash
from toolformer_ray.jobs.decoding.decoder import DecoderOptions, refuse_missing_tools
from toolformer_ray.jobs.driver.interrupts import SECONDS_TO_END, Interrupted, Interrupts
from toolformer_ray.records.errors import OptionError, UnusableError, one_line
from toolformer_ray.workflow.model_files import look_at_model

APP = "toolformer"
SECONDS_BETWEEN_CHECKS = 2.0
_ERROR = re.compile(r"[\w.]*(Error|Exception): ")
# What the user has to change stands for itself, without the name of the exception that says it.
_REFUSAL = re.compile(r"^(ValueError|[\w.]*UnusableError|[\w.]*OptionError): ")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What is served, where, and by how many replicas."""

    decoder: DecoderOptions
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one that this machine has."""
    port: int = 8000
    """The port to listen on; 0 takes a free one."""
    replicas: int = 1
    """Processes that hold the model."""
    barred: tuple[str, ...] = ()
    """Names of tools, as in calls, that no text may ask; requests may bar more."""
    api_key_env: str | None = None
    """The environment variable with the key that every request but `/health` has to bring; by default nobody is asked
    for one."""
    served_name: str | None = None
    """What clients call the model; by default the last part of its path or name."""
    address: str | None = None
    """The Ray cluster to run on, e.g. ray://head:10001; by default RAY_ADDRESS, else a Ray of its own."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise OptionError("port", self.port, "it must be a port, 0 to 65535")
        if self.replicas < 1:
            raise OptionError("replicas", self.replicas, "it must be at least 1")

    @property
    def name(self) -> str:
        """What clients call the model."""
        return self.served_name or Path(self.decoder.model.model).name


def serve(options: ServeOptions) -> int:
    """Serve until Ctrl-C or SIGTERM; returns 130 or 143. Raises ValueError, one line, for what has to be changed."""
    with Interrupts(seconds_to_end=SECONDS_TO_END) as interrupts:
        with contextlib.suppress(Interrupted):
            _serve(options, interrupts)
        return interrupts.exit_code


def _serve(options: ServeOptions, interrupts: Interrupts) -> None:
    decoder = options.decoder
    key_hash = read_key_hash(options.api_key_env)
    look_at_model(decoder.model.model)
    refuse_missing_tools(decoder, DecodeOptions(barred=options.barred))
    # What a replica finds wrong comes back only after Ray has started, so it is looked for here first.
    _look_at_weights(decoder.model.model)
    for tool in decoder.tools.make().values():
        tool.open()
    port = _free_port(options)
    with _serving(options, port, key_hash, interrupts):
        print(f"{options.name} is served at http://{options.host}:{port}/v1; end with Ctrl-C", flush=True)
        threading.Event().wait()


@contextlib.contextmanager
def _serving(options: ServeOptions, port: int, key_hash: str | None, interrupts: Interrupts) -> Iterator[None]:
    # Ray takes seconds to import, and most that can be wrong is found without it.
    from ray import serve as ray_serve

    from toolformer_ray.jobs.decoding.monitor import HEALTH_PATH, MONITOR_APP, Monitor
    from toolformer_ray.jobs.decoding.replica import Replica, Served
    from toolformer_ray.jobs.driver.cluster import ray_session
    from toolformer_ray.workflow.workers import WorkerOptions

    decoder = options.decoder
    workers = WorkerOptions(model_workers=options.replicas, address=options.address)
    with contextlib.ExitStack() as stack:
        # Ray has handlers of its own, which would end the process with a stack trace: they are replaced afterwards.
        with interrupts.deferred():
            count_pools = stack.enter_context(ray_session(workers, on_gpu=decoder.model.on_gpu))
        size = count_pools()["model"]
        deployment = ray_serve.deployment(
            num_replicas=options.replicas,
            # What a replica finds wrong as it starts, it would find again.
            max_constructor_retry_count=1,
            max_ongoing_requests=max(100, 4 * decoder.batch_size),
            # The monitor knows of a replica that has died when Ray Serve does.
            health_check_period_s=SECONDS_BETWEEN_CHECKS,
            ray_actor_options={
                "num_cpus": size.num_cpus,
                "num_gpus": size.num_gpus,
                "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(size.num_threads)}},
            },
        )(Replica)
        ray_serve.start(http_options={"host": options.host, "port": port})
        served = Served(name=options.name, barred=options.barred, folder=str(Path.cwd()), key_hash=key_hash)
        watching = ray_serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0})(Monitor).bind(APP)
        try:
            try:
                monitor = ray_serve.run(watching, name=MONITOR_APP, route_prefix=HEALTH_PATH)
                ray_serve.run(deployment.bind(decoder, served, monitor), name=APP, route_prefix="/")
            except RuntimeError as error:
                raise UnusableError(f"no replica can be started: {_find_cause(error)}") from error
            yield
        finally:
            ray_serve.shutdown()


def _find_cause(error: RuntimeError) -> str:
    """One line: the last error of the traceback in which Ray Serve says why replicas do not start."""
    from ray import serve as ray_serve

    app = ray_serve.status().applications.get(APP)
    messages = [str(error), *(one.message for one in app.deployments.values())] if app else [str(error)]
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return _REFUSAL.sub("", errors[-1]) if errors else lines[0]


def _look_at_weights(name_or_path: str) -> None:
    """Raise OptionError if the weights are not there or damaged, as far as the beginnings of their files tell."""
    from safetensors import SafetensorError, safe_open

    from toolformer_ray.lm.adapters import base_model
    from toolformer_ray.lm.sources import find_folder

    if (folder := find_folder(base_model(name_or_path))) is None:
        return
    if not any(folder.glob("*.safetensors")):
        remedy = "give a folder that has, or save them with save_pretrained"
        raise OptionError("model", name_or_path, f"it has no weights in safetensors files; {remedy}")
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            damage = f"its {path.name} is damaged ({one_line(error)})"
            raise OptionError("model", name_or_path, f"{damage}; copy it again") from error


def _free_port(options: ServeOptions) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as error:
            refusal = f"it cannot be listened on at {options.host} ({error.strerror})"
            raise OptionError("port", options.port, f"{refusal}; use another, or 0 for a free one") from error
        return int(probe.getsockname()[1])
