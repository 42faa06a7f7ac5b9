"""A BM25 index over a file of passages, built once by `toolformer build-index` and opened by every worker.

    INDEX/
      index.json     what is in it: format, number of passages, hash of titles and texts in order
      tantivy/       the index, which stores the passages' titles and texts

It is written under a temporary name beside INDEX and renamed when complete.
"""

import functools
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolformer_ray.tools.backends.bm25 import NUM_TIED_HITS, TOKENIZER_NAME, WRITER_BYTES, Terms, any_of
from toolformer_ray.tools.backends.data_file import read_columns
from toolformer_ray.tools.decoys.draw import draw, numbered

if TYPE_CHECKING:
    import tantivy

FORMAT = "passages-1"
DESCRIPTION_FILE = "index.json"
TANTIVY_FOLDER = "tantivy"
NUM_DRAWN_FROM = 10_000


@dataclass(frozen=True)
class Passage:
    """One passage of the file that was indexed; `row` counts from 0."""

    row: int
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class IndexDescription:
    """What `index.json` holds."""

    format: str
    num_passages: int
    content_hash: str
    """Hash of titles and texts in order, which identifies the answers that the index gives."""


def build_index(passages_path: str, index_path: str, *, title_column: str = "title", text_column: str = "text") -> int:
    """Index a file of passages (formats: `tools.backends.data_file`), skipping rows without text; returns their number.

    An old index at `index_path` is replaced once the new one is complete. Raises ValueError if something else is there
    or the folder cannot be written, and for a file that cannot be read or has no passages.
    """
    target = Path(index_path)
    if target.exists() and not (target / DESCRIPTION_FILE).is_file() and (target.is_file() or any(target.iterdir())):
        raise ValueError(f"{index_path} exists and is no passage index; choose another path or remove it")
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        description = _write_index(passages_path, (title_column, text_column), unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    except OSError as error:
        raise ValueError(f"cannot write the index {index_path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return description.num_passages


def read_description(index_path: str) -> IndexDescription:
    """The description of an index, without opening it. Raises ValueError if there is none."""
    path = Path(index_path) / DESCRIPTION_FILE
    try:
        description = IndexDescription(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{index_path} is no passage index; make one with `toolformer build-index`") from error
    if description.format != FORMAT:
        raise ValueError(f"{index_path} has the format {description.format!r}, not {FORMAT!r}; build it again")
    return description


class PassageIndex:
    """An index that is open for reading. Any number of threads may search at once."""

    def __init__(self, index_path: str) -> None:
        import tantivy

        self.description = read_description(index_path)
        self._terms = Terms()
        self._schema = _schema()
        try:
            index = tantivy.Index.open(str(Path(index_path) / TANTIVY_FOLDER))
        except (OSError, ValueError) as error:
            raise ValueError(f"the index {index_path} is damaged ({error}); build it again") from error
        index.register_tokenizer(TOKENIZER_NAME, self._terms.analyzer)
        self._searcher = index.searcher()

    def search(self, query: str, num_passages: int = 1) -> list[Passage]:
        """The best passages for a query in plain words, best first; equal scores in the order of the file."""
        terms = self._terms.of_query(query)
        if not terms:
            return []
        limit = max(num_passages, NUM_TIED_HITS)
        hits = self._searcher.search(any_of(terms, ("title", "text"), self._schema), limit=limit, count=False).hits
        found = [(-score, self._passage(address)) for score, address in hits]
        found.sort(key=lambda hit: (hit[0], hit[1].row))
        return [passage for _, passage in found[:num_passages]]

    @functools.cached_property
    def _first(self) -> "list[tantivy.DocAddress]":
        import tantivy

        hits = self._searcher.search(tantivy.Query.all_query(), limit=NUM_DRAWN_FROM, count=False).hits
        return [address for _, address in hits]

    def others(self, key: str) -> Iterator[Passage]:
        """Passages drawn by a key, one after the other, from the first NUM_DRAWN_FROM of the index."""
        return (self._passage(self._first[draw(len(self._first), name)]) for name in numbered(key))

    def _passage(self, address: "tantivy.DocAddress") -> Passage:
        document = self._searcher.doc(address)
        return Passage(document["row"][0], document["title"][0], document["text"][0])


def _schema() -> "tantivy.Schema":
    import tantivy

    builder = tantivy.SchemaBuilder()
    for field in ("title", "text"):
        builder = builder.add_text_field(field, stored=True, tokenizer_name=TOKENIZER_NAME, index_option="freq")
    return builder.add_integer_field("row", stored=True).build()


def _write_index(passages_path: str, columns: Sequence[str], folder: Path) -> IndexDescription:
    import tantivy

    (folder / TANTIVY_FOLDER).mkdir(parents=True)
    index = tantivy.Index(_schema(), path=str(folder / TANTIVY_FOLDER))
    index.register_tokenizer(TOKENIZER_NAME, Terms().analyzer)
    # One thread, so that equal files give equal indexes.
    writer = index.writer(heap_size=WRITER_BYTES, num_threads=1)
    content, num_passages = hashlib.sha256(), 0
    try:
        for row, (title, text) in enumerate(read_columns(passages_path, columns)):
            if text.strip():
                writer.add_document(tantivy.Document(title=title, text=text, row=row))
                content.update(json.dumps([title, text]).encode())
                num_passages += 1
        if not num_passages:
            raise ValueError(f"{passages_path} holds no passage")
        writer.commit()
    finally:
        writer.wait_merging_threads()  # otherwise its threads would still write while the folder is removed
    description = IndexDescription(format=FORMAT, num_passages=num_passages, content_hash=content.hexdigest())
    (folder / DESCRIPTION_FILE).write_text(json.dumps(asdict(description), indent=2) + "\n", encoding="utf-8")
    return description
