"""`toolformer push RUN REPO`: the card and C* of a run, sent to a repository of data sets on the Hugging Face Hub.

Which hub and who asks is huggingface_hub's own business: HF_ENDPOINT, and HF_TOKEN or `hf auth login`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from toolformer_ray.records.errors import OptionError, UnusableError, first_line
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.publish.card import C_STAR, CARD_FILE, CardOptions, render_card

FILES_A_COMMIT = 100
_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Where C* goes, and who may see it."""

    repository: str
    private: bool = False
    card: CardOptions

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise OptionError("repo", self.repository, "give it as OWNER/NAME")


def push_run(location: str, options: PushOptions) -> int:
    """Send the card and C*. What the hub has already is not sent twice, so the same command goes on.

    Raises UnusableError, one line, if there is no run on this machine, no C* in it, or the hub refuses.
    """
    run = open_run(location)
    if "://" in run.location:
        raise UnusableError(
            f"run {run.shown} is in a bucket; copy its {C_STAR} and run.json to this machine and push that"
        )
    root = Path(run.root)
    shards = [f"{C_STAR}/{shard}.parquet" for shard in sorted(run.shards(C_STAR))]
    if not shards:
        raise UnusableError(f"run {run.shown} has no C* yet; annotate until a shard is through all stages")
    card = render_card(run, options.card, [C_STAR]).encode()
    api = HfApi(library_name="toolformer-ray")
    try:
        api.create_repo(options.repository, repo_type="dataset", private=options.private, exist_ok=True)
        files: list[tuple[str, str | bytes]] = [(CARD_FILE, card), *((name, str(root / name)) for name in shards)]
        for first in range(0, len(files), FILES_A_COMMIT):
            part = files[first : first + FILES_A_COMMIT]
            api.create_commit(
                options.repository,
                [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in part],
                commit_message=f"C* of a Toolformer run, files {first + 1:,} to {first + len(part):,}",
                repo_type="dataset",
            )
    except Exception as error:  # the HTTP library's errors and the hub's share no base class
        raise UnusableError(
            f"{options.repository} cannot be sent to {api.endpoint} ({first_line(error)}); see to the connection, to "
            "HF_TOKEN and to the name, and run it again: what is there is not sent twice"
        ) from error
    print(f"the card and {len(shards):,} files of C* are at {api.endpoint}/datasets/{options.repository}")
    return 0
