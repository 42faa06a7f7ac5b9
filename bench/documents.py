"""Documents for the benches that run the real stages; each follows from its number alone."""

import hashlib
import random

from toolformer_ray.miniature.texts import filler, sum_story, tell_story
from toolformer_ray.miniature.world import World
from toolformer_ray.records.stages import Document


def short_documents(start: int, number: int) -> list[Document]:
    """Documents of two sentences, numbered from `start`, with something to reckon."""
    world = World(0, num_countries=1, num_landmarks=1)
    return [_document(n, _sum_and_filler(random.Random(f"short {n}"), world)) for n in range(start, start + number)]


def stories(number: int) -> list[Document]:
    """Whole stories with something to reckon."""
    world = World(0, num_countries=50, num_landmarks=50)
    return [_document(n, tell_story(random.Random(f"story {n}"), world, ("Calculator",)).text) for n in range(number)]


def _sum_and_filler(rng: random.Random, world: World) -> str:
    pieces = [piece if isinstance(piece, str) else f" {piece.text}" for piece in sum_story(rng, world)]
    return "".join([*pieces, " ", filler(rng, world)])


def _document(number: int, text: str) -> Document:
    digest = hashlib.blake2b(f"{number} {text}".encode(), digest_size=16).hexdigest()
    return Document(
        text_id=f"{digest}-0", doc_id=str(number), part=0, text=text, title=None, url=None, date=None, source="bench"
    )
