"""Adding a tool is adding a file: nothing else knows of it, and the contract tests cover it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.catalog import find_tools, refuse_shared_names
from toolformer_ray.tools.search import WikiSearch

REPOSITORY = Path(__file__).parents[2]

TOOL = '''
from dataclasses import dataclass

from toolformer_ray.tools.options import Teaching, ToolOptions
from toolformer_ray.tools.tool import CallContext, Tool


@dataclass(frozen=True, kw_only=True)
class ReversalOptions(ToolOptions):
    """How texts are reversed."""

    separator: str = ""
    """Text between two characters."""


class Reversal(Tool):
    Options = ReversalOptions
    teaching = Teaching(num_samples=3)
    name = "Reverse"
    description = "Reverses a text."
    instruction = 'Add calls that reverse a text, written as "[Reverse(text)]". Here are some examples:'
    demonstrations = ("Stressed is [Reverse(stressed)] desserts.", "No is [Reverse(no)] on.")

    def wants(self, document):
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        return self.options.separator.join(reversed(call_input))
'''

SCRIPT = """
import sys
from toolformer_ray import tools
tools.__path__.append(sys.argv[1])
import pytest
from toolformer_ray.annotate.prompt import render_demonstrations
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.tools.catalog import find_tools
print(list(find_tools()))
print(render_demonstrations(find_tools()["reversal"]))
main(["annotate", "--help-all"])
sys.exit(pytest.main(["tests/tools/test_contract.py", "-q", "-k", "reversal", "-p", "no:cacheprovider"]))
"""


def test_a_new_file_is_a_tool_with_options_a_prompt_and_the_contract_to_fulfil(tmp_path: Path) -> None:
    (tmp_path / "reversal.py").write_text(TOOL)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=300, cwd=REPOSITORY
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr  # it is 5 if no test of the contract is selected
    assert "reversal" in ast.literal_eval(ended.stdout.partition("\n")[0])
    assert "Input: Stressed is desserts.\nOutput: Stressed is [Reverse(stressed)] desserts." in ended.stdout
    for option in ("--reversal.separator", "--reversal.num-samples", "Text between two characters"):
        assert option in ended.stdout


def test_two_tools_that_are_called_alike_are_refused() -> None:
    class Other(Calculator):
        pass

    with pytest.raises(UnusableError, match=r"^tools/abacus\.py and tools/sums\.py are both called 'Calc"):
        refuse_shared_names({"abacus": Calculator, "search": WikiSearch, "sums": Other})
    refuse_shared_names(find_tools())
