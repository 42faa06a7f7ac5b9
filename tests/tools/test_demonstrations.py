from pathlib import Path

import pytest

from toolformer_ray.records.errors import OptionError
from toolformer_ray.tools.catalog import find_tools, make_tool
from toolformer_ray.tools.demonstrations import read_demonstrations
from toolformer_ray.tools.options import Teaching


def read(folder: Path, text: str) -> tuple[str | None, tuple[str, ...]]:
    path = folder / "demonstrations.txt"
    path.write_text(text)
    return read_demonstrations(str(path), "Calculator")


def test_each_line_is_a_demonstration(tmp_path: Path) -> None:
    lines = ("2 and 2 is [Calculator(2 + 2)] 4.", "Half of 8 is [Calculator(8 / 2)] 4.")
    assert read(tmp_path, "\n".join(lines)) == (None, lines)


def test_a_first_line_without_a_call_is_the_instruction(tmp_path: Path) -> None:
    assert read(tmp_path, "Calculate.\nIt is [Calculator(1)] 1.\n") == ("Calculate.", ("It is [Calculator(1)] 1.",))


def test_with_blank_lines_each_block_is_a_demonstration(tmp_path: Path) -> None:
    text = "Calculate.\n\nIt has 3 rows of 4.\nThat is [Calculator(3 * 4)] 12.\n\n\nIt is [Calculator(1)] 1.\n"
    blocks = ("It has 3 rows of 4.\nThat is [Calculator(3 * 4)] 12.", "It is [Calculator(1)] 1.")
    assert read(tmp_path, text) == ("Calculate.", blocks)


@pytest.mark.parametrize(
    "text, line, fault",
    [
        ("A [Calculator(1)] 1.\nNothing.\n", 2, "has no call"),
        ("A [Calculator(1)] 1.\n\nB\n[Calculator(1) -> 1] 1.\n\nC [Calculator(1)]", 3, "has a call with a result"),
        ("A [QA(who)] B.\n", 1, "calls QA, and these demonstrations are for Calculator"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, line: int, fault: str) -> None:
    with pytest.raises(OptionError, match=f"demonstrations.txt; line {line} {fault}"):
        read(tmp_path, text)


def test_a_file_without_demonstrations_or_without_text_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"Only an instruction.", b"\xff\xfe\x00"):
        (tmp_path / "bad.txt").write_bytes(content)
        with pytest.raises(OptionError, match=r"demonstrations is .*bad.txt; it"):
            read_demonstrations(str(tmp_path / "bad.txt"), "Calculator")
    with pytest.raises(OptionError, match="cannot be read"):
        read_demonstrations(str(tmp_path / "missing.txt"), "Calculator")


def test_a_tool_is_taught_by_the_users_demonstrations(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("It is [Calculator(1)] 1.\n")
    tool = make_tool(find_tools()["calculator"], teaching=Teaching(demonstrations=str(tmp_path / "own.txt")))
    assert tool.demonstrations == ("It is [Calculator(1)] 1.",)
    assert tool.instruction == find_tools()["calculator"].instruction
    assert len(make_tool(find_tools()["calculator"]).demonstrations) == 5
