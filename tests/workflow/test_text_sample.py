"""A stratified sample: every source and length in its share, the same for the same seed whatever the order."""

import itertools
import random
from dataclasses import replace

from tests.support.rows import make_row
from tests.support.small_world import make_document
from toolformer_ray.records.stages import Document, Dropped
from toolformer_ray.workflow.estimate.sample import choose_files, draw_sample


def make_corpus() -> list[Document]:
    """100 texts of 1 to 100 words from one source, then 300 from another."""
    texts = [
        make_document(f"{source} {'word ' * (1 + n % 100)}{n}")
        for source, num in (("a", 100), ("b", 300))
        for n in range(num)
    ]
    return [replace(text, source=text.text[0]) for text in texts]


def test_sources_and_lengths_have_their_share() -> None:
    sample = draw_sample(iter([(make_corpus(), [])]), 40, seed=0)
    assert (sample.num_texts, len(sample.texts), len(sample.strata)) == (400, 40, 10)
    assert [(stratum.num_texts, len(stratum.texts)) for stratum in sample.strata] == [(40, 4)] * 10
    sources = [text.source for text in sample.texts]
    # 100 texts are two and a half strata of forty.
    assert 8 <= sources.count("a") <= 12
    by_length = [[len(text.text) for text in stratum.texts] for stratum in sample.strata[3:]]
    assert all(max(short) <= min(long) for short, long in itertools.pairwise(by_length))


def test_the_sample_depends_on_texts_and_seed_alone() -> None:
    corpus = make_corpus()
    shuffled = random.Random(1).sample(corpus[:100], 100) + corpus[100:]

    def drawn(texts: list[Document], seed: int) -> set[str]:
        return {text.text_id for text in draw_sample(iter([(texts[:150], []), (texts[150:], [])]), 40, seed).texts}

    assert drawn(corpus, 0) == drawn(shuffled, 0)
    assert drawn(corpus, 0) != drawn(corpus, 1)


def test_every_text_has_the_same_chance() -> None:
    corpus = make_corpus()[:40]
    seen = [text.text_id for seed in range(200) for text in draw_sample(iter([(corpus, [])]), 8, seed).texts]
    # Each of 40 texts is drawn 40 times of 200 on average; 5 standard deviations are 28.
    assert all(12 <= seen.count(text.text_id) <= 68 for text in corpus)


def test_a_small_corpus_is_taken_whole_and_its_drops_are_counted() -> None:
    drop = make_row(Dropped, stage="ingest", reason="duplicate", count=3)
    sample = draw_sample(iter([(make_corpus()[:7], [drop]), ([], [drop])]), 200, seed=0)
    assert (sample.num_texts, len(sample.texts), sample.dropped) == (7, 7, {"duplicate": 6})
    assert draw_sample(iter([]), 5, seed=0).texts == []


def test_of_a_large_corpus_whole_files_are_chosen_and_bytes_say_what_they_stand_for() -> None:
    files = [[f"{n}.jsonl", 100, 0] for n in range(50)]
    reading = choose_files(files, 1_050, seed=0)
    assert reading.only is not None and len(reading.only) == 10
    assert reading.factor == 5.0
    assert "10 of 50 files, 1,000 of 5,000 bytes" in reading.description
    assert choose_files(files, 1_050, seed=1).only != reading.only
    assert choose_files(files, 5_000, seed=0).only is None
    # One file is read however large it is; so is a data set, whose size nobody knows.
    assert choose_files([["a", 9_999, 0], ["b", 9_999, 0]], 10, seed=0).factor == 2.0
    assert choose_files([["a", 9_999, 0], ["hf:b", None, None]], 10, seed=0).only is None
