"""The passage index, the search over it, and where a snippet ends."""

import json
import threading
from pathlib import Path

import pytest

from toolformer_ray.tools.backends.passage_index import PassageIndex, build_index, read_description
from toolformer_ray.tools.search import SearchOptions, WikiSearch, cut_at_sentence
from toolformer_ray.tools.tool import BadInput, CallContext

PASSAGES = [
    ("Nile", "The Nile is a river in Africa. It flows through Cairo, the capital of Egypt, and ends in the sea."),
    ("Cairo", "Cairo is the capital of Egypt. It is a large city."),
    ("Zürich", "The largest city of Switzerland has a lake. Its bankers are many."),
    ("Twin", "A pair of equal lamps."),
    ("Twin", "A pair of equal lamps."),
]


def write_passages(path: Path, passages: list[tuple[str, str]]) -> str:
    path.write_text("".join(json.dumps({"title": title, "text": text}) + "\n" for title, text in passages))
    return str(path)


@pytest.fixture
def index(tmp_path: Path) -> str:
    path = str(tmp_path / "index")
    assert build_index(write_passages(tmp_path / "passages.jsonl", PASSAGES), path) == len(PASSAGES)
    return path


def open_search(index: str, **options: int) -> WikiSearch:
    tool = WikiSearch(SearchOptions(index=index, **options))
    tool.open()
    return tool


@pytest.mark.paper("T3")
def test_answers_with_the_beginning_of_the_best_passage(index: str) -> None:
    search = open_search(index)
    assert search.run('"Cairo"', CallContext()) == "Cairo is the capital of Egypt. It is a large city."
    assert search.run("river in Africa", CallContext()).startswith("The Nile is a river")


def test_puts_the_title_before_a_text_that_does_not_begin_with_it(index: str) -> None:
    answer = open_search(index).run("Swiss lake Switzerland", CallContext())
    assert answer == "Zürich: The largest city of Switzerland has a lake. Its bankers are many."


def test_finds_words_without_their_accents_case_and_endings(index: str) -> None:
    search = open_search(index)
    for query in ("ZURICH", "zürich", "banker", "Bankers"):
        assert search.run(query, CallContext()).startswith("Zürich")


def test_cuts_a_snippet_at_the_end_of_a_sentence(index: str) -> None:
    answer = open_search(index, max_snippet_chars=60).run("Nile", CallContext())
    assert answer == "The Nile is a river in Africa."


def test_answers_nothing_where_no_passage_has_a_word_of_the_query(index: str) -> None:
    search = open_search(index)
    assert search.run("Ouagadougou", CallContext()) == ""
    assert search.run("?!", CallContext()) == ""
    with pytest.raises(BadInput):
        search.run('""', CallContext())


@pytest.mark.parametrize(
    "query",
    ['title:Cairo AND (text:"x', "-Cairo", "Cairo~9 ^2 *", "[Cairo TO", "Cairo\0", "+" * 5_000 + "Cairo", "\\Cairo"],
)
def test_takes_query_syntax_for_plain_words(index: str, query: str) -> None:
    assert isinstance(open_search(index).run(query, CallContext()), str)


def test_of_equal_passages_the_first_of_the_file_comes_first(index: str) -> None:
    passages = PassageIndex(index).search("equal lamps", num_passages=2)
    assert [passage.row for passage in passages] == [3, 4]


def test_many_threads_search_at_once(index: str) -> None:
    search, answers = open_search(index), []
    threads = [threading.Thread(target=lambda: answers.append(search.run("Cairo", CallContext()))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert len(set(answers)) == 1


def test_an_index_says_what_is_in_it(index: str, tmp_path: Path) -> None:
    again = str(tmp_path / "again")
    build_index(write_passages(tmp_path / "same.jsonl", PASSAGES), again)
    other = str(tmp_path / "other")
    build_index(write_passages(tmp_path / "other.jsonl", PASSAGES[1:]), other)
    described = [read_description(path) for path in (index, again, other)]
    assert described[0] == described[1] != described[2]
    assert described[0].num_passages == 5
    assert WikiSearch(SearchOptions(index=index)).data_version() == described[0].content_hash


def test_a_new_index_replaces_an_old_one_and_leaves_nothing_else_behind(index: str, tmp_path: Path) -> None:
    assert build_index(write_passages(tmp_path / "passages.jsonl", PASSAGES[:2]), index) == 2
    assert len(PassageIndex(index).search("capital river lamps", num_passages=9)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "passages.jsonl"]


def test_a_file_that_cannot_be_indexed_leaves_the_old_index_as_it_is(index: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"title": "A", "text": "fine"}\n{"title": broken\n')
    with pytest.raises(ValueError, match="after row 1"):
        build_index(str(bad), index)
    assert PassageIndex(index).description.num_passages == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "index", "passages.jsonl"]


def test_columns_can_be_named_and_rows_without_text_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("name\tbody\nNile\tA river.\nEmpty\t\n")
    assert build_index(str(path), str(tmp_path / "index"), title_column="name", text_column="body") == 1
    with pytest.raises(ValueError, match="has no column 'title'; its columns are name, body"):
        build_index(str(path), str(tmp_path / "index"))


def test_refuses_to_overwrite_what_is_no_index(tmp_path: Path) -> None:
    passages = write_passages(tmp_path / "passages.jsonl", PASSAGES)
    with pytest.raises(ValueError, match="exists and is no passage index"):
        build_index(passages, str(tmp_path))
    assert Path(passages).exists()
    with pytest.raises(ValueError, match="exists and is no passage index"):
        build_index(passages, passages)


def test_says_that_an_index_cannot_be_written(tmp_path: Path) -> None:
    passages = write_passages(tmp_path / "passages.jsonl", PASSAGES)
    with pytest.raises(ValueError, match="^cannot write the index .*: Not a directory$"):
        build_index(passages, f"{passages}/index")


def test_refuses_a_file_without_passages(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no passage"):
        build_index(write_passages(tmp_path / "none.jsonl", []), str(tmp_path / "index"))


def test_says_in_one_line_that_a_folder_is_no_index(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        tool = WikiSearch(SearchOptions(index=str(path)))
        for use in (tool.open, tool.data_version):
            with pytest.raises(ValueError, match=f"^search.index is {path}; .*is no passage index; make one") as caught:
                use()
            assert "\n" not in str(caught.value)


def test_says_that_an_index_is_damaged(index: str) -> None:
    for path in (Path(index) / "tantivy").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="damaged"):
        open_search(index)


@pytest.mark.parametrize(
    ("max_chars", "snippet"),
    [
        (99, "Dr. No met J. Doe at 3.5 km. “Really?” He left! Why"),
        (50, "Dr. No met J. Doe at 3.5 km. “Really?” He left!"),
        (47, "Dr. No met J. Doe at 3.5 km. “Really?” He left!"),
        (46, "Dr. No met J. Doe at 3.5 km. “Really?”"),
        (30, "Dr. No met J. Doe at 3.5 km."),
        (27, "Dr. No met J. Doe at 3.5…"),
        (10, "Dr. No…"),
    ],
)
def test_a_snippet_holds_as_many_whole_sentences_as_fit(max_chars: int, snippet: str) -> None:
    assert cut_at_sentence("Dr. No met J. Doe at 3.5 km. “Really?” He left! Why", max_chars) == snippet


def test_a_snippet_of_one_endless_word_is_cut_anyway() -> None:
    assert cut_at_sentence("x" * 500, 20) == "x" * 20 + "…"
