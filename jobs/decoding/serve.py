"""`toolformer serve`, or `python -m jobs.serve_model`: an OpenAI-compatible endpoint on Ray Serve.

Each replica holds the model, the tools and one thread that writes texts; a request joins the batch while others are
written. `POST /v1/completions`, streamed or not, and `GET /v1/models`.
"""

import contextlib
import dataclasses
import re
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.jobs.decoding.decoder import DecoderOptions, refuse_missing_tools
from toolformer_ray.workflow.model_files import look_at_model

APP = "toolformer"
_ERROR = re.compile(r"[\w.]*(Error|Exception): ")


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Where it is served, and by how many."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one that this machine has. Nobody is asked for a key."""
    port: int = 8000
    """The port to listen on; 0 takes a free one."""
    replicas: int = 1
    """Processes that hold the model."""
    barred: tuple[str, ...] = ()
    """Names of tools, as in calls, that no text may ask; requests may bar more."""
    served_name: str | None = None
    """What clients call the model; by default the last part of its path or name."""
    address: str | None = None
    """The Ray cluster to run on, e.g. ray://head:10001; by default RAY_ADDRESS, else a Ray of its own."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"port is {self.port}; it must be a port, 0 to 65535")
        if self.replicas < 1:
            raise ValueError(f"replicas is {self.replicas}; it must be at least 1")


def serve_model(decoder: DecoderOptions, options: ServeOptions) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code. Raises ValueError, one line, for what has to be changed."""
    look_at_model(decoder.model.model)
    refuse_missing_tools(decoder, DecodeOptions(barred=options.barred))
    # Tried here first: what a replica finds wrong comes back only after Ray has started.
    _look_at_weights(decoder.model.model)
    for tool in decoder.make_tools().values():
        tool.open()
    port = _free_port(options)
    name = options.served_name or Path(decoder.model.model).name
    stopped = threading.Event()

    def stop(number: int, _: object) -> None:
        # A second one ends the process at once.
        signal.signal(number, signal.SIG_DFL)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with _serving(dataclasses.replace(decoder, barred=options.barred), options, name, port):
        print(f"{name} is served at http://{options.host}:{port}/v1; end with Ctrl-C", flush=True)
        stopped.wait()
    return 0


@contextlib.contextmanager
def _serving(decoder: DecoderOptions, options: ServeOptions, name: str, port: int) -> Iterator[None]:
    # Ray takes seconds to import; `toolformer --help` does without.
    from ray import serve

    from toolformer_ray.jobs.decoding.replica import Replica
    from toolformer_ray.jobs.driver.cluster import ray_session
    from toolformer_ray.records.errors import UnusableError
    from toolformer_ray.workflow.workers import WorkerOptions

    workers = WorkerOptions(model_workers=options.replicas, address=options.address)
    with ray_session(workers, on_gpu=decoder.model.on_gpu) as count_pools:
        size = count_pools()["model"]
        deployment = serve.deployment(
            num_replicas=options.replicas,
            # What a replica finds wrong as it starts, it would find again.
            max_constructor_retry_count=1,
            max_ongoing_requests=max(100, 4 * decoder.batch_size),
            ray_actor_options={
                "num_cpus": size.num_cpus,
                "num_gpus": size.num_gpus,
                "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(size.num_threads)}},
            },
        )(Replica)
        serve.start(http_options={"host": options.host, "port": port})
        try:
            try:
                serve.run(deployment.bind(decoder, name, str(Path.cwd())), name=APP, route_prefix="/")
            except RuntimeError as error:
                raise UnusableError(f"no replica can be started: {_find_cause(error)}") from error
            yield
        finally:
            serve.shutdown()


def _find_cause(error: RuntimeError) -> str:
    """One line: the last error of the traceback in which Ray Serve says why replicas do not start."""
    from ray import serve

    app = serve.status().applications.get(APP)
    messages = [str(error), *(one.message for one in app.deployments.values())] if app else [str(error)]
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return errors[-1].removeprefix("ValueError: ") if errors else lines[0]


def _look_at_weights(name_or_path: str) -> None:
    """Raise ValueError if the weights are not there or damaged, as far as the beginnings of their files tell."""
    from safetensors import SafetensorError, safe_open

    from toolformer_ray.lm.files import find_folder

    if (folder := find_folder(name_or_path)) is None:
        return
    if not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"--model {name_or_path} has no weights in safetensors files; give a folder that has, or save them with "
            "save_pretrained"
        )
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"--model {name_or_path}: {path.name} is damaged ({' '.join(str(error).split())}); copy it again"
            ) from error


def _free_port(options: ServeOptions) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as error:
            raise ValueError(
                f"--port {options.port} of {options.host} cannot be listened on ({error.strerror}); use another, "
                "or 0 for a free one"
            ) from error
        return int(probe.getsockname()[1])
