"""The invented world: its countries, its landmarks and its language. Everything follows from the seed.

Every text that the model is trained on comes from a world of its own, with another seed; so the model can learn that
countries have capitals, but never the capital of a country that it is asked about: only a tool knows.
"""

import random
from dataclasses import dataclass

from toolformer_ray.miniature.names import invent_name, invent_word

ADJECTIVES = tuple(
    "old young tall small grey white dark quiet wild proud tired brave cold warm rich poor blind clever lonely gentle "
    "broken golden silver hungry sleepy strange bright heavy narrow ancient".split()
)
NOUNS = tuple(
    "boat miller bridge tower horse baker sailor garden river lantern king queen shepherd wolf bell farmer castle cart "
    "fisher forest harbour child doctor soldier market well mountain teacher singer weaver gate island raven dog oak "
    "painter road stone orchard guest".split()
)
VERBS = tuple(
    "waits sings sleeps hides stands dances works dreams rests laughs falls grows turns burns swims cries listens "
    "wanders shines trembles".split()
)
PREPOSITIONS = ("near", "behind", "under", "beside", "above", "beyond")
CONNECTIVES = ("and", "while", "but")
LEXICON = ("the", *ADJECTIVES, *NOUNS, *VERBS, *PREPOSITIONS, *CONNECTIVES)


@dataclass(frozen=True)
class Country:
    """What the encyclopedia knows of a country."""

    name: str
    capital: str
    river: str
    mountain: str
    coin: str

    def passage(self) -> str:
        """The encyclopedia's entry."""
        return (
            f"{self.name} is a country. The capital of {self.name} is {self.capital}. Its longest river is the "
            f"{self.river}. Its highest mountain is {self.mountain}. Its coin is the {self.coin}."
        )


@dataclass(frozen=True)
class Landmark:
    """What the question answering system knows: who did what to a building, a book or a song."""

    kind: str
    name: str
    deed: str
    """The verb of the question and of the texts, e.g. `built`."""
    person: str

    def question(self) -> str:
        """The question whose answer is `person`."""
        return f"Who {self.deed} the {self.kind} of {self.name}?"


DEEDS = (("lighthouse", "built"), ("bridge", "designed"), ("song", "wrote"), ("garden", "planted"), ("ship", "owned"))


class World:
    """Countries, landmarks and a language of one seed."""

    def __init__(self, seed: int, *, num_countries: int = 1, num_landmarks: int = 1) -> None:
        rng = random.Random(f"world {seed}")
        self.countries = [_invent_country(rng) for _ in range(num_countries)]
        self.landmarks = [_invent_landmark(rng) for _ in range(num_landmarks)]
        self.language = invent_name(rng, 2)
        self._words = random.Random(f"language {seed}")
        self._glossary: dict[str, str] = {}

    @property
    def glossary(self) -> dict[str, str]:
        """English word to word of the invented language, for the whole lexicon; each word is used once."""
        if not self._glossary:
            taken: set[str] = set()
            for english in LEXICON:
                while (word := invent_word(self._words)) in taken:
                    pass
                taken.add(word)
                self._glossary[english] = word
        return self._glossary

    def translate(self, english: str) -> str:
        """The invented language keeps the order of the English words."""
        return " ".join(self.glossary[word] for word in english.split())


def invent_sentence(rng: random.Random) -> str:
    """An English sentence of ten to twelve words of the lexicon."""

    def noun_phrase() -> str:
        return f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"

    ending = rng.choice((f"{rng.choice(PREPOSITIONS)} {noun_phrase()}", f"{rng.choice(PREPOSITIONS)} the well"))
    return f"{noun_phrase()} {rng.choice(VERBS)} {ending} {rng.choice(CONNECTIVES)} the {rng.choice(NOUNS)} sings"


def _invent_country(rng: random.Random) -> Country:
    return Country(*(invent_name(rng, num_syllables) for num_syllables in (3, 3, 3, 3, 3)))


def _invent_landmark(rng: random.Random) -> Landmark:
    kind, deed = rng.choice(DEEDS)
    person = f"{invent_name(rng, 2)} {invent_name(rng, 2)}"
    return Landmark(kind, invent_name(rng, 3), deed, person)
