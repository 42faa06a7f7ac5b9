"""XQuAD (Artetxe et al. 2020): English paragraphs with questions in other languages; in place of the paper's MLQA.

The paragraph and the answer are English, the question is not, so the model may translate it (paper, section 4.2.4).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolformer_ray.evals.rows import read_rows
from toolformer_ray.evals.rules import is_among_first_words
from toolformer_ray.evals.task import Question, Task

PROMPT = (
    "Your task is to answer a question based on the following paragraph: {} "
    "Now answer the following question in English: {}"
)
"""The paper's for MLQA, appendix C.4."""


class XQuAD(Task):
    """Read from a folder of xquad.<language>.json, of which `en` has the paragraphs and the answers."""

    describes = "XQuAD: questions in other languages on English paragraphs; the first ten words count"
    path = "xquad"
    rule = staticmethod(is_among_first_words(10))
    max_new_tokens = 32

    def rows(self, location: str) -> Iterator[Mapping[str, Any]]:
        """The paragraphs of every other language, with what the English ones say on the same questions."""
        folder = Path(location)
        english = {
            qa["id"]: (row["context"], tuple(answer["text"] for answer in qa["answers"]))
            for row in read_rows(str(folder / "xquad.en.json"))
            for qa in row["qas"]
        }
        for file in sorted(folder.glob("xquad.*.json")):
            language = file.name.split(".")[1]
            if language != "en":
                yield from ({**row, "language": language, "english": english} for row in read_rows(str(file)))

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """The questions on one paragraph."""
        for qa in row["qas"]:
            if qa["id"] not in row["english"]:
                raise ValueError(
                    f"xquad.en.json has no question {qa['id']!r}, which xquad.{row['language']}.json asks; "
                    "give the files of one release"
                )
            context, answers = row["english"][qa["id"]]
            prompt = PROMPT.format(context.strip(), qa["question"].strip())
            yield Question(prompt=prompt, answers=answers, about={"language": row["language"]})
