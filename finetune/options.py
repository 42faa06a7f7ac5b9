"""How the model is trained: the paper's preset (appendix B), and what may differ; and what C* is exported as."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Decay = Literal["none", "linear"]
Offload = Literal["none", "optimizer", "all"]
Format = Literal["text", "tokens", "chat", "sharegpt", "preference"]


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """One fine-tuning. The defaults are the paper's."""

    model: str
    """The model to train, best the one that annotated: a folder, or a name on the Hugging Face Hub."""
    out: str
    """The folder for the trained model, on a disk that all machines share; checkpoints and logs lie in it too, and a
    second call resumes from them."""
    max_steps: int = 2000
    """Updates of the weights."""
    batch_size: int = 128
    """Rows of `max_length` tokens for one update, over all workers."""
    rows_at_once: int = 8
    """Rows that go through the model of one worker at once; less needs less memory."""
    max_length: int = 1024
    """Tokens of a row. Shorter texts share one if the model keeps them apart there; longer texts are cut."""
    learning_rate: float = 1e-5
    """Its highest value."""
    warmup_share: float = 0.1
    """Share of the steps in which the learning rate rises."""
    decay: Decay = "none"
    """Whether it then stays, none, or falls to 0 by the last step, linear; the paper names none."""
    evaluate_every: int = 500
    """Steps from one perplexity on the held-out texts, and one checkpoint, to the next; the best one is the result."""
    masks_results: bool = False
    """Whether the loss leaves out what tools said; the paper learns it like any other word."""
    dtype: str = "bfloat16"
    """The type in which the passes are computed, bfloat16 or float32; the weights that are updated are float32."""
    zero_stage: int = 3
    """DeepSpeed's ZeRO stage, 0 to 3: what is spread over the workers."""
    without_deepspeed: bool = False
    """Whether plain PyTorch trains, with a whole copy of everything in each worker."""
    offload: Offload = "none"
    """What ZeRO keeps in the memory of the CPU: none, optimizer (stages 1 to 3), or all, the weights too (stage 3)."""
    recomputes: bool = False
    """Whether activations are computed again for the way back: less memory, a third more time."""
    seed: int = 0
    """Of the order of the rows, and of dropout if the model has it."""

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "rows_at_once", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.max_length < 2:
            raise ValueError(f"max_length is {self.max_length}; it must be at least 2 tokens")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be more than 0")
        if not 0 <= self.warmup_share <= 1:
            raise ValueError(f"warmup_share is {self.warmup_share}; it must be between 0 and 1")
        if self.dtype not in ("bfloat16", "float32"):
            raise ValueError(f"dtype is {self.dtype}; it must be bfloat16 or float32")
        if self.zero_stage not in (0, 1, 2, 3):
            raise ValueError(f"zero_stage is {self.zero_stage}; it must be 0, 1, 2 or 3")
        least = {"none": 0, "optimizer": 1, "all": 3}[self.offload]
        if self.zero_stage < least:
            raise ValueError(f"offload is {self.offload}; it needs --zero-stage {least} or more")

    def check_window(self, window: int) -> None:
        """Raise ValueError if the model, which reads `window` tokens, cannot read a whole row."""
        if self.max_length > window:
            raise ValueError(
                f"max_length is {self.max_length}; {self.model} reads {window} tokens at most: give --max-length "
                f"{window} or less"
            )

    def accumulation(self, num_workers: int) -> int:
        """Passes of each worker for one update. Raises ValueError if the batch cannot be shared out evenly."""
        at_once = self.rows_at_once * num_workers
        if self.batch_size % at_once:
            raise ValueError(
                f"batch_size is {self.batch_size}; it must be a multiple of {at_once}, {num_workers} workers with "
                f"--rows-at-once {self.rows_at_once} each"
            )
        return self.batch_size // at_once

    def deepspeed_config(self) -> dict[str, Any] | None:
        """What DeepSpeed is told; batch, clipping and types are the Trainer's. None without it."""
        if self.without_deepspeed:
            return None
        zero: dict[str, Any] = {"stage": self.zero_stage, "stage3_gather_16bit_weights_on_model_save": True}
        if self.offload != "none":
            zero["offload_optimizer"] = {"device": "cpu"}
        if self.offload == "all":
            zero["offload_param"] = {"device": "cpu"}
        return {
            "zero_optimization": zero,
            "bf16": {"enabled": self.dtype == "bfloat16"},
            # The same AdamW with and without DeepSpeed.
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "gradient_accumulation_steps": "auto",
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_clipping": "auto",
        }


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written, and as what."""

    out: str
    """The file to write: .jsonl or .parquet."""
    format: Format = "text"
    """text: C* as it reads. tokens: ids, labels and a mask of the results. chat: messages with tools and tool_calls, as
    TRL reads them. sharegpt: turns whose texts join to C*, for axolotl. preference: kept calls against others at
    their places, as prompt, chosen and rejected."""
    model: str | None = None
    """The model whose tokenizer makes the ids of `tokens`: a folder, or a name on the Hugging Face Hub."""

    def __post_init__(self) -> None:
        if Path(self.out).suffix not in (".jsonl", ".parquet"):
            raise ValueError(f"out is {self.out}; its name must end in .jsonl or .parquet")
        if self.format == "tokens" and self.model is None:
            raise ValueError("model is None; --format tokens needs --model, whose tokenizer makes the ids")
