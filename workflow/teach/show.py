"""`toolformer teach`: says what each set of drafts kept, and what was written."""

from dataclasses import replace

from toolformer_ray.records.errors import OptionError
from toolformer_ray.workflow.report.tables import describe_share
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.teach.teach import Taught, TeachOptions, teach_tool
from toolformer_ray.workflow.tool_choice import TaughtTools


def teach(tool: str, *, options: TeachOptions) -> int:
    """Draft the demonstrations of a tool.

    Parameters
    ----------
    tool
        The tool, as it is named behind `--tools` of annotate.
    """
    if options.tools.keys not in (TaughtTools().keys, (tool,)):
        raise OptionError("tools", ",".join(options.tools.keys), f"the tool is {tool}; leave `tools` out")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    options = replace(options, tools=replace(options.tools, keys=(tool,)))
    print(describe(teach_tool(options), options))
    return 0


def describe(taught: Taught, options: TeachOptions) -> str:
    """A line for each set, and the file with its demonstrations."""
    rows = [
        [number, trial.calls, trial.kept, describe_share(trial.false_share), "taken" if trial is taught.best else ""]
        for number, trial in enumerate(taught.trials, 1)
    ]
    table = text_table(["set", "calls", "kept", "false share", ""], rows)
    (key,) = options.tools.keys
    return (
        f"{len(taught.drafts):,} drafts; each set tried on {taught.num_texts:,} texts\n\n{table}\n\n"
        f"{options.out} holds the instruction and {len(taught.best.prompt.demonstrations)} demonstrations; look at "
        f"them, edit them, and give annotate --{key}.demonstrations {options.out}"
    )
