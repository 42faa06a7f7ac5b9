"""How the model is trained: the paper's preset (appendix B), and what may differ."""

from dataclasses import dataclass
from typing import Any, Literal

from toolformer_ray.records.errors import OptionError

Decay = Literal["none", "linear"]
Offload = Literal["none", "optimizer", "all"]


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """One fine-tuning. The defaults are the paper's."""

    model: str
    """The model to train, best the one that annotated: a folder, or a name on the Hugging Face Hub."""
    out: str
    """The folder for the trained model, on a disk that all machines share; checkpoints and logs lie in it too, and a
    second call resumes from them."""
    max_steps: int = 2000
    """Optimizer steps."""
    batch_size: int = 128
    """Rows of `max_length` tokens in one optimizer step, over all workers."""
    rows_at_once: int = 8
    """Micro batch size: rows in one forward and backward pass of a worker; less needs less memory."""
    max_length: int = 1024
    """Tokens of a row. Shorter texts are packed into shared rows if the model keeps them apart; longer ones are cut."""
    learning_rate: float = 1e-5
    """The peak learning rate, after the warm-up."""
    warmup_share: float = 0.1
    """Share of the steps in which the learning rate rises."""
    decay: Decay = "none"
    """Learning rate schedule after the warm-up: none, constant, or linear, down to 0; the paper names none."""
    evaluate_every: int = 500
    """Steps between evaluations of the held-out perplexity, each with a checkpoint; the best one is the result."""
    masks_results: bool = False
    """Whether the results of tools are masked out of the loss; the paper trains on them like on any other token."""
    dtype: str = "bfloat16"
    """The type of the forward and backward pass, bfloat16 or float32; the weights that are updated are float32."""
    zero_stage: int = 3
    """DeepSpeed's ZeRO stage, 0 to 3: whether optimizer states, gradients and weights are sharded over the workers."""
    without_deepspeed: bool = False
    """Whether plain PyTorch trains, with all states replicated in each worker."""
    offload: Offload = "none"
    """What ZeRO offloads to the CPU's memory: none, optimizer (stages 1 to 3), or all, the weights too (stage 3)."""
    recomputes: bool = False
    """Activation checkpointing: recompute activations in the backward pass; less memory, about a third more time."""
    seed: int = 0
    """Decides the order of the rows, and dropout if the model has it."""

    def __post_init__(self) -> None:
        least_stage = {"none": 0, "optimizer": 1, "all": 3}[self.offload]
        checks = {
            **{
                name: (getattr(self, name) >= 1, "it must be at least 1")
                for name in ("max_steps", "batch_size", "rows_at_once", "evaluate_every")
            },
            "max_length": (self.max_length >= 2, "it must be at least 2 tokens"),
            "learning_rate": (self.learning_rate > 0, "it must be more than 0"),
            "warmup_share": (0 <= self.warmup_share <= 1, "it must be between 0 and 1"),
            "dtype": (self.dtype in ("bfloat16", "float32"), "it must be bfloat16 or float32"),
            "zero_stage": (self.zero_stage in (0, 1, 2, 3), "it must be 0, 1, 2 or 3"),
            "offload": (self.zero_stage >= least_stage, f"it needs `zero_stage` {least_stage} or more"),
        }
        for name, (is_valid, remedy) in checks.items():
            if not is_valid:
                raise OptionError(name, getattr(self, name), remedy)

    def check_window(self, window: int) -> None:
        """Raise OptionError if a row is longer than the model's window of so many tokens."""
        if self.max_length > window:
            remedy = f"{self.model} reads {window} tokens at most: give `max_length` {window} or less"
            raise OptionError("max_length", self.max_length, remedy)

    def gradient_accumulation_steps(self, num_workers: int) -> int:
        """Passes of each worker in one optimizer step. Raises OptionError if the batch cannot be shared out evenly."""
        at_once = self.rows_at_once * num_workers
        if self.batch_size % at_once:
            remedy = (
                f"it must be a multiple of {at_once}, {num_workers} workers with `rows_at_once` {self.rows_at_once}"
            )
            raise OptionError("batch_size", self.batch_size, remedy)
        return self.batch_size // at_once

    def deepspeed_config(self) -> dict[str, Any] | None:
        """DeepSpeed's configuration; batch, clipping and types are left to the Trainer. None without DeepSpeed."""
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
            # So that training uses the same AdamW with and without DeepSpeed.
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "gradient_accumulation_steps": "auto",
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_clipping": "auto",
        }
