"""Question answering: a question in, a short answer out (paper, section 3, which uses Atlas)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from toolformer_ray.records.calls import unquote
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.data_file import hash_file
from toolformer_ray.tools.backends.passage_index import PassageIndex, read_description
from toolformer_ray.tools.backends.qa_endpoint import ChatEndpoint
from toolformer_ray.tools.backends.qa_reader import PassageReader
from toolformer_ray.tools.backends.qa_table import QuestionTable
from toolformer_ray.tools.decoys.draw import distinct
from toolformer_ray.tools.options import Teaching, ToolOptions, naming_option
from toolformer_ray.tools.tool import BadInput, CallContext, Tool
from toolformer_ray.tools.wanted_places import before_names_and_numbers

MAX_QUESTION_CHARS = 1_000
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringOptions(ToolOptions):
    """Who answers: a table, a reader model over an index of passages, or an OpenAI-compatible endpoint."""

    table: str | None = None
    """File with the columns `question` and `answer` (.jsonl, .tsv, .csv, .parquet; .gz, .zst)."""
    min_similarity: float = 0.5
    """With a table: how similar to a known question the asked one has to be, from 0 to 1 (equal)."""
    index: str | None = None
    """With a reader: folder of the passage index, made by `toolformer build-index`."""
    model: str | None = None
    """With a reader: name or folder of a Hugging Face extractive question answering model; with an endpoint: the name
    of the model there."""
    device: str = "cpu"
    """With a reader: where it runs, as torch names it: cpu, cuda, cuda:1."""
    endpoint_url: str | None = None
    """Base URL of an OpenAI-compatible endpoint, e.g. http://localhost:8000/v1."""
    api_key_variable: str | None = None
    """With an endpoint: name of the environment variable that holds the key, if the endpoint needs one."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_similarity <= 1:
            raise OptionError("min_similarity", self.min_similarity, "it must be from 0 to 1")
        if self.endpoint_url is not None and without_keys(self.endpoint_url) != self.endpoint_url:
            # Libraries log the URLs that they request.
            raise UnusableError(
                "`qa.endpoint_url` holds a user name, a key or a query; give the plain URL, and the key in the "
                "environment, by `qa.api_key_variable`"
            )
        if self.api_key_variable is not None and not _VARIABLE.fullmatch(self.api_key_variable):
            # The message does not repeat the value, which may be the key itself.
            raise UnusableError(
                "`qa.api_key_variable` takes the name of a variable, such as OPENAI_API_KEY, not the key"
            )


class Answerer(Protocol):
    """A backend. Called from several threads at once."""

    def answer(self, question: str) -> str:
        """The answer, or an empty string if there is none. Raises Unavailable if the backend cannot be reached."""


class QuestionAnswering(Tool):
    Options = QuestionAnsweringOptions
    options: QuestionAnsweringOptions
    name = "QA"
    description = "Answers a question about a fact."
    parameters = {"question": "The question, in full."}
    teaching = Teaching(min_contrast=0.65)
    wants_by_data = False
    changes_no_answer = frozenset({"device", "api_key_variable"})
    locates_data = frozenset({"table", "index"})
    instruction = (
        "Add calls to a question answering system to the text. A call asks a question whose answer helps to write "
        'what comes next. Write a call as "[QA("question")]". Here are some examples:'
    )
    demonstrations = (
        'The opera Aida was composed by [QA("Who composed the opera Aida?")] Giuseppe Verdi and first sung in '
        '[QA("In which city was Aida first sung?")] Cairo.',
        'The telephone was invented by [QA("Who invented the telephone?")] Alexander Graham Bell.',
    )

    def __init__(self, options: QuestionAnsweringOptions) -> None:
        super().__init__(options)
        backends = (options.table, options.index, options.endpoint_url)
        is_modelled = options.table is None
        if sum(backend is not None for backend in backends) != 1 or is_modelled != (options.model is not None):
            raise UnusableError(
                "QA needs one of: `qa.table` FILE; `qa.index` FOLDER with `qa.model` NAME; "
                "`qa.endpoint_url` URL with `qa.model` NAME"
            )
        self.one_at_a_time = options.index is not None
        self.is_expensive = is_modelled
        self._answerer: Answerer | None = None

    def open(self) -> None:
        options, model = self.options, str(self.options.model)
        if options.table is not None:
            with naming_option("qa.table", options.table):
                self._answerer = QuestionTable(options.table, options.min_similarity)
        elif options.index is not None:
            with naming_option("qa.index", options.index):
                index = PassageIndex(options.index)
            self._answerer = PassageReader(index, model, options.device)
        else:
            url, key_variable = str(options.endpoint_url), options.api_key_variable
            self._answerer = ChatEndpoint(url, model, key_variable, self.asking.timeout)

    def data_version(self) -> str:
        if self.options.table is not None:
            with naming_option("qa.table", self.options.table):
                return hash_file(self.options.table)
        if self.options.index is not None:
            with naming_option("qa.index", self.options.index):
                return read_description(self.options.index).content_hash
        return ""

    def wants(self, document: Document) -> bool:
        return True

    def wanted_places(self, text: str) -> Iterable[int]:
        return before_names_and_numbers(text)

    def run(self, call_input: str, context: CallContext) -> str:
        question = unquote(call_input)
        if not question:
            raise BadInput("an empty question")
        if len(question) > MAX_QUESTION_CHARS:
            raise BadInput(f"a question of {len(question)} characters; at most {MAX_QUESTION_CHARS} are read")
        if self._answerer is None:
            raise RuntimeError("QuestionAnswering.open() has to be called before run()")
        return self._answerer.answer(question)

    def decoys(self, result: str, key: str, num_decoys: int) -> list[str]:
        made = super().decoys(result, key, num_decoys)
        if self.options.table is None:
            return made
        if self._answerer is None:
            self.open()
        known = self._answerer.answers.like(result, key) if isinstance(self._answerer, QuestionTable) else []
        return distinct(result, [*known, *made], num_decoys)
