"""Stories of the world, each with the calls that are due in it: where, with which input, and the true answer."""

import calendar
import datetime
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from toolformer_ray.miniature.world import ADJECTIVES, NOUNS, World, invent_sentence

PEOPLE = tuple("Mira Tomas Lena Oskar Ana Peter Clara Hugo Ines Jakob Nora Felix Rosa Emil Vera Anton".split())
GOODS = tuple("lamps apples ropes candles books plates nails hats cups sacks eggs bricks chairs shoes knives".split())
HOLDERS = tuple("boxes crates carts shelves baskets rooms".split())
MONTHS = tuple(calendar.month_name[1:])
WEEKDAYS = tuple(calendar.day_name)
FIRST_DAY = datetime.date(1990, 1, 1)
NUM_DAYS = 35 * 365


@dataclass(frozen=True)
class DueCall:
    """A call that a perfect annotator would make; its result predicts `text[char_offset:answer_end]`."""

    tool: str
    call_input: str
    result: str
    """The true answer: the whole result, or for a search, words that the result has to hold."""
    char_offset: int
    answer_end: int


@dataclass(frozen=True)
class Story:
    """One text of the world with everything that is known about it."""

    text: str
    due: tuple[DueCall, ...]
    date: datetime.date | None = None
    struck: tuple[DueCall, ...] = ()
    """Calls with a true answer whose input stands in the text only later, so that the filter has to drop them."""


@dataclass(frozen=True)
class Answer:
    """A part of a story that a tool knows; written with a space before it."""

    tool: str
    call_input: str
    result: str
    text: str
    sees_future: bool = False


Piece = str | Answer
"""A part of a story: plain words, or what a tool knows."""


@dataclass
class Draft:
    """A story that is being written: its pieces in order."""

    pieces: list[Piece] = field(default_factory=list)
    date: datetime.date | None = None

    def finish(self) -> Story:
        """Join the pieces, and record where the answers stand."""
        text = ""
        due: list[DueCall] = []
        struck: list[DueCall] = []
        for piece in self.pieces:
            written = " " + piece.text if isinstance(piece, Answer) else piece
            if isinstance(piece, Answer):
                call = DueCall(piece.tool, piece.call_input, piece.result, len(text), len(text) + len(written))
                (struck if piece.sees_future else due).append(call)
            text += written
        return Story(text, tuple(due), self.date, tuple(struck))


def sum_story(rng: random.Random, _: World) -> list[Piece]:
    """A short calculation in words; its answer has two digits or more."""
    person, goods, holder = rng.choice(PEOPLE), rng.choice(GOODS), rng.choice(HOLDERS)
    kind = rng.choice("+-*/%")
    a, b, value = _draw_numbers(rng, kind)
    sign = "/" if kind == "%" else kind
    result = Answer("Calculator", f"{a} {sign} {b}", value, value)
    match kind:
        case "*":
            return _pick(
                rng,
                [f"{person} packed {a} {holder} with {b} {goods} each, which makes", result, f" {goods}."],
                [f"There are {a} {holder} and each holds {b} {goods}, that is", result, f" {goods} in all."],
                [f"With {a} {goods} for every one of the {b} guests, {person} needs", result, f" {goods}."],
            )
        case "+":
            return _pick(
                rng,
                [f"{person} sold {a} {goods} in spring and {b} in autumn, a total of", result, f" {goods}."],
                [f"To the {a} {goods} came {b} more, so the shop now has", result, f" {goods}."],
                [f"The first ship brought {a} {goods} and the second {b}, together", result, f" {goods}."],
            )
        case "-":
            return _pick(
                rng,
                [f"Of the {a} {goods} {person} lost {b}, so", result, f" {goods} were left."],
                [f"{person} had {a} {goods} and gave away {b}, which leaves", result, f" {goods}."],
                [f"The town ordered {a} {goods}, but {b} never came, and only", result, " arrived."],
            )
        case "/":
            return _pick(
                rng,
                [f"{person} shared {a} {goods} among {b} {holder}, so each got", result, f" {goods}."],
                [f"The {a} {goods} fill {b} {holder} evenly, that is", result, f" {goods} in each."],
            )
    return [f"Out of {b} {goods} {a} were broken, a share of", result, f" of all {goods}."]


def _draw_numbers(rng: random.Random, kind: str) -> tuple[int, int, str]:
    """Two numbers, and what the calculator makes of them."""
    if kind == "*":
        a, b = rng.randint(4, 99), rng.randint(6, 49)
        return a, b, str(a * b)
    if kind == "+":
        a, b = rng.randint(20, 999), rng.randint(20, 999)
        return a, b, str(a + b)
    if kind == "-":
        b, difference = rng.randint(20, 900), rng.randint(12, 900)
        return b + difference, b, str(difference)
    if kind == "/":
        b, quotient = rng.randint(3, 40), rng.randint(11, 99)
        return b * quotient, b, str(quotient)
    b = rng.randint(40, 900)
    a = rng.randint(11, b - 1)
    # With a quotient that ends in half a hundredth, the true answer would depend on the rule of rounding.
    while 200 * a % b == 0 and 200 * a // b % 2 == 1:
        a = rng.randint(11, b - 1)
    return a, b, f"{a / b:.2f}".rstrip("0").rstrip(".")


def date_story(rng: random.Random, today: datetime.date) -> list[Piece]:
    """A sentence that says on which day it was written."""
    weekday = WEEKDAYS[today.weekday()]
    day = f"{MONTHS[today.month - 1]} {today.day}, {today.year}"
    result = f"Today is {weekday}, {day}."
    whole, short = (Answer("Calendar", "", result, text) for text in (f"{weekday}, {day}", day))
    person = rng.choice(PEOPLE)
    return _pick(
        rng,
        ["Today is", whole, f", and {person} opens the shop."],
        [f"{person} writes this letter on", whole, "."],
        ["It is now", whole, f", and the market of {person} begins."],
        ["We print this page on", short, "."],
        [f"{person} keeps a diary, and today,", short, ", it is full."],
    )


def country_story(rng: random.Random, world: World) -> list[Piece]:
    """A sentence with one fact of the encyclopedia."""
    country = rng.choice(world.countries)
    person = rng.choice(PEOPLE)

    def fact(what: str, answer: str) -> Answer:
        return Answer("WikiSearch", f'"{what} of {country.name}"', answer, answer)

    return _pick(
        rng,
        [f"The capital of {country.name} is", fact("capital", country.capital), f", where {person} was born."],
        [f"{person} moved to {country.name} and lives in its capital", fact("capital", country.capital), " now."],
        [f"The longest river of {country.name} is the", fact("river", country.river), "."],
        [f"{person} sailed through {country.name} on its longest river, the", fact("river", country.river), "."],
        [f"The highest mountain of {country.name} is", fact("mountain", country.mountain), "."],
        [f"In {country.name} one pays with a coin, the", fact("coin", country.coin), f", as {person} knows."],
    )


def landmark_story(rng: random.Random, world: World) -> list[Piece]:
    """A sentence with one answer of the question answering system."""
    landmark = rng.choice(world.landmarks)
    person = rng.choice(PEOPLE)
    answer = Answer("QA", f'"{landmark.question()}"', landmark.person, landmark.person)
    participle = {"wrote": "written"}.get(landmark.deed, landmark.deed)
    thing = f"the {landmark.kind} of {landmark.name}"
    return _pick(
        rng,
        [f"{thing.capitalize().replace(landmark.name.lower(), landmark.name)} was {participle} by", answer, "."],
        [f"{person} likes {thing}, which was {participle} by", answer, " long ago."],
        [f"The person who {landmark.deed} {thing} was", answer, f", a friend of {person}."],
    )


def language_story(rng: random.Random, world: World) -> list[Piece]:
    """A saying in the invented language and what it means; in one text of five the meaning comes first."""
    english = invent_sentence(rng)
    foreign = world.translate(english)
    person = rng.choice(PEOPLE)
    is_reversed = rng.random() < 0.2
    meaning = Answer("MT", f'"{foreign}"', english, english, sees_future=is_reversed)
    if is_reversed:
        return [f"{person} likes the saying:", meaning, f'. In {world.language} it is "{foreign}". So it is told.']
    return _pick(
        rng,
        [f'In {world.language} they say "{foreign}", which means', meaning, f". {person} says it often."],
        [f'{person} wrote "{foreign}" on the wall. In English it is:', meaning, ". Nobody knew why."],
        [f'A song in {world.language} begins "{foreign}", that is,', meaning, f". {person} sings it at night."],
    )


def filler(rng: random.Random, _: World) -> str:
    """A sentence in which no tool helps."""
    person, other = rng.sample(PEOPLE, 2)
    adjective, noun, another = rng.choice(ADJECTIVES), rng.choice(NOUNS), rng.choice(NOUNS)
    return rng.choice(
        (
            f"{person} saw a {adjective} {noun} near the {another}.",
            f"The {noun} was {adjective}, and {person} told {other} about it.",
            f"It rained all day, and the {noun} stayed in the {another}.",
            f"{person} and {other} walked to the {adjective} {noun}.",
            f"Nobody had seen the {adjective} {noun} before.",
            f"{person} is {rng.randint(6, 80)} years old and has a {noun}.",
            f"The road to the {noun} is {rng.randint(3, 90)} miles long.",
            f"In {rng.randint(1700, 1989)} the {adjective} {noun} was sold.",
            f"A letter of {MONTHS[rng.randrange(12)]} {rng.randint(1, 28)}, {rng.randint(1900, 1989)} was found.",
            f"{other} asked for a {noun}, but {person} had only a {another}.",
        )
    )


Teller = Callable[[random.Random, World], list[Piece]]
TELLERS: dict[str, Teller] = {
    "Calculator": sum_story,
    "WikiSearch": country_story,
    "QA": landmark_story,
    "MT": language_story,
}
TOOL_NAMES = ("Calculator", "Calendar", "WikiSearch", "QA", "MT")


def tell_story(rng: random.Random, world: World, tools: Sequence[str]) -> Story:
    """A text with one sentence for each of the given tools, between sentences in which no tool helps."""
    is_dated = "Calendar" in tools or rng.random() < 0.15
    today = FIRST_DAY + datetime.timedelta(days=rng.randrange(NUM_DAYS)) if is_dated else None
    draft = Draft(date=today)
    draft.pieces.append(filler(rng, world))
    for tool in tools:
        draft.pieces.append(" ")
        draft.pieces += date_story(rng, today) if today and tool == "Calendar" else TELLERS[tool](rng, world)
    for _ in range(rng.randint(1, 2)):
        draft.pieces += [" ", filler(rng, world)]
    return draft.finish()


def choose_tools(rng: random.Random) -> tuple[str, ...]:
    """Which tools a text needs: mostly one, sometimes two, sometimes none."""
    if rng.random() < 0.1:
        return ()
    return tuple(rng.sample(TOOL_NAMES, 2 if rng.random() < 0.15 else 1))


def _pick(rng: random.Random, *tellings: list[Piece]) -> list[Piece]:
    return rng.choice(tellings)
