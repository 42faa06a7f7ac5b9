"""The commands of `toolformer`, by name: where the function is, and what `toolformer --help` says of it.

A command is a function of one options record, whose fields are the options and whose docstrings are the help. It
returns the exit code and raises ValueError, one line, for what the user has to change. Its module is imported when the
command is run, so that `toolformer --help` needs neither Ray nor torch.
"""

import importlib.metadata

from cyclopts import App, Parameter

COMMANDS = {
    "annotate": (
        "jobs.driver.annotate:annotate",
        "Annotate a corpus with the tool calls that its own model finds useful. Run it again to resume.",
    ),
    "finetune": (
        "jobs.training.finetune:finetune",
        "Fine-tune a model on C*, with DeepSpeed on Ray Train. Run it again on the same folder to resume.",
    ),
    "export": (
        "jobs.training.export:export",
        "Write C* as one file for another trainer: text, token ids, chat messages, ShareGPT turns, preference pairs.",
    ),
    "generate": ("jobs.decoding.generate:generate", "Go on from prompts with a model that uses its tools."),
    "serve": (
        "jobs.decoding.serve:serve",
        "Serve a model that uses its tools, with an OpenAI-compatible completions endpoint.",
    ),
    "evaluate": (
        "jobs.decoding.evaluate:evaluate",
        "Ask a model the paper's benchmarks, with its tools and with calls disabled.",
    ),
    "compare-results": (
        "jobs.decoding.compare:compare",
        "Compare two results of evaluate on the questions that they share: difference, interval, test.",
    ),
    "tasks": ("jobs.decoding.evaluate:list_tasks", "List the benchmarks."),
    "estimate": (
        "workflow.estimate.show:estimate",
        "What annotating a corpus will yield and cost, from a sample of its texts: kept calls per tool, tokens, "
        "hours.\n\nThe chosen tools are asked for the sample's calls, also those that cost money.",
    ),
    "scout": (
        "workflow.scout.show:scout",
        "Which tools pay on a corpus, from a sample of its texts: nats saved net of chance, kept calls, cost.\n\nThe "
        "chosen tools are asked for the sample's calls, also those that cost money.",
    ),
    "teach": (
        "workflow.teach.show:teach",
        "Draft the demonstrations of a tool that comes with a description and a schema alone, try them on a sample of "
        "the corpus, and write the best to a file for annotate.",
    ),
    "promote": (
        "workflow.promote.show:promote",
        "Make tools of the functions that the calls of a run wrote, those that spare other texts more than they cost.",
    ),
    "status": (
        "jobs.cli.run_commands:status",
        "How far a run is: shards per stage, speed, time left, failures, yield per tool and its speed, drops.",
    ),
    "query": ("jobs.cli.run_commands:query", "Ask a run's tables in SQL; `SHOW TABLES` lists them."),
    "report": (
        "jobs.cli.look_commands:report",
        "Write one HTML file about a run: funnel, yield, thresholds, texts with calls, doubtful calls, cost, settings.",
    ),
    "show": (
        "jobs.cli.look_commands:show",
        "Show calls of a run in their texts, with the losses by which they were kept or not.",
    ),
    "review": (
        "jobs.cli.look_commands:review",
        "Judge kept calls one by one by keyboard; `status` and `report` then tell each tool's precision.",
    ),
    "card": (
        "jobs.cli.look_commands:card",
        "Write the data card of a run: what it is, how it was made, what was kept and how far to trust it.",
    ),
    "push": (
        "jobs.cli.look_commands:push",
        "Send C* and its data card to the Hugging Face Hub; HF_ENDPOINT and HF_TOKEN say which and who.",
    ),
    "verify": (
        "jobs.cli.run_commands:verify",
        "Check every file of a run that has ended: its columns, its rows, that every text and call is accounted for.",
    ),
    "check-tool": (
        "jobs.cli.check_tool:check_tool",
        "Check a tool of your own: what it declares, how it is taught, what it does with odd inputs, its examples.",
    ),
    "build-index": (
        "jobs.cli.run_commands:build_index",
        "Make the index that WikiSearch and QA look things up in, from a file of passages.",
    ),
}

app = App(
    name="toolformer",
    help="A language model teaches itself to use tools: annotate a corpus, look at the result.",
    version=lambda: importlib.metadata.version("toolformer-ray"),
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
for _name, (_function, _help) in COMMANDS.items():
    app.command(f"toolformer_ray.{_function}", name=_name, help=_help)
