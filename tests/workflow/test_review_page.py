"""`toolformer review RUN --page`: kept calls judged in a browser, and who is let in."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.browser import browser_page
from tests.support.rows import make_row
from tests.support.small_run import write, write_small_run
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Document, Scored
from toolformer_ray.workflow.calls.opened import open_for_looking
from toolformer_ray.workflow.calls.review import Review, ReviewOptions
from toolformer_ray.workflow.calls.review_page import ReviewServer, what_to_show
from toolformer_ray.workflow.report.judgements import read_judgements

SUMS = [(number, number * 7) for number in range(50)]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = write_small_run(str(tmp_path / "run"))
    folder.write_json(
        "run.json", {"settings": {"tools": ["calculator"], "filter": "decoys", "calculator.min-contrast": 1.0}}
    )
    return folder


def add_fifty_calls(run: RunFolder) -> None:
    """Fifty texts of one kept call each: seven times a number."""
    names = [f"s{number}-0" for number, _ in SUMS]
    texts = [f"Seven times <b>{number}</b> is {product}." for number, product in SUMS]
    calls = [
        make_row(
            Scored,
            text_id=name,
            tool="Calculator",
            char_offset=text.index(" is") + 3,
            call_input=f"7 * {number}",
            result=str(product),
            is_kept=True,
            loss_without=3.0,
            loss_in_place=0.5,
            decoys=("1", "2"),
            losses_of_decoys=(2.5, 2.5),
            contrast=2.0,
        )
        for name, text, (number, product) in zip(names, texts, SUMS, strict=True)
    ]
    documents = [make_row(Document, text_id=name, text=text) for name, text in zip(names, texts, strict=True)]
    write(run, "documents", Document, documents, shard="part-00000")
    write(run, "scored", Scored, calls, shard="part-00000")
    write(run, "augmented", Augmented, [], shard="part-00000")


@contextmanager
def served(run: RunFolder, sample: int = 50) -> Iterator[ReviewServer]:
    with ReviewServer(Review(open_for_looking(run.location), ReviewOptions(sample=sample))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()


def test_fifty_calls_are_judged_by_keyboard_in_a_browser(run: RunFolder) -> None:
    add_fifty_calls(run)
    with served(run) as server, browser_page() as page:
        page.open(server.address)
        for number in range(50):
            page.wait_for(f"document.getElementById('where').textContent.startsWith('{number + 1} of 50')")
            # Every tenth answer is called wrong, and what looks like HTML is a text.
            assert "<b>" in page.tell("document.getElementById('text').textContent")
            page.press("w" if number % 10 == 9 else "r")
        page.wait_for("document.getElementById('where').textContent.startsWith('All is judged. 50 of 50')")
        told = page.tell("document.getElementById('precisions').textContent")
        # Wilson's interval for 45 of 50.
        assert told.endswith("Calculator5090%79% to 96%")
        assert page.complaints == []
    verdicts = [one.verdict for one in read_judgements(run)]
    assert (verdicts.count("right"), verdicts.count("wrong")) == (45, 5)


class Asker:
    """Sends requests to a server, by default as its own page would."""

    def __init__(self, server: ReviewServer) -> None:
        self._server = server

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.server_port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def press(self, key: str, at: int) -> dict[str, object]:
        status, body = self("POST", "/key", {"key": key, "at": at}, **{"X-Token": self._server.token})
        assert status == 200
        told: dict[str, object] = json.loads(body)
        return told


def test_a_key_judges_the_call_that_was_shown_once_and_may_be_taken_back(run: RunFolder) -> None:
    with served(run) as server:
        ask = Asker(server)
        assert ask.press("", -1)["at"] == 0
        assert ask.press("r", 0)["at"] == 1
        # The same key again, for a call that is not shown any more.
        assert ask.press("r", 0)["at"] == 1
        assert [one.verdict for one in read_judgements(run)] == ["right"]
        back = ask.press("b", 1)
        assert (back["at"], back["verdict"]) == (0, "right")
        assert ask.press("u", 0)["at"] == 1
        assert [one.verdict for one in read_judgements(run)] == ["useless"]


def test_the_server_ends_when_all_is_judged_or_somebody_stops(run: RunFolder) -> None:
    for keys in ("q", "rw"):
        review = Review(open_for_looking(run.location), ReviewOptions())
        with ReviewServer(review) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            for at, key in enumerate(keys):
                Asker(server).press(key, at)
            serving.join(timeout=30)
            assert not serving.is_alive()
    assert {one.verdict for one in read_judgements(run)} == {"right", "wrong"}


def test_nobody_without_the_token_or_in_the_name_of_another_host_is_let_in(run: RunFolder) -> None:
    with served(run) as server:
        ask, page, key = Asker(server), f"/?token={server.token}", {"key": "r", "at": 0}
        assert ask("GET", page)[0] == 200
        refused = [
            ask("GET", "/"),
            ask("GET", "/?token=guessed"),
            ask("GET", page, Host=f"pages.example:{server.server_port}"),
            ask("POST", "/key", key),
            ask("POST", page, key),
            ask("POST", "/key", key, **{"X-Token": server.token, "Host": "pages.example"}),
        ]
        assert [status for status, _ in refused] == [403] * 6
        assert server.server_address[0] == "127.0.0.1"
        assert ask("POST", "/key", "no object", **{"X-Token": server.token})[0] == 400
        # A length that would be read to the end of the connection.
        assert ask("POST", "/key", **{"X-Token": server.token, "Content-Length": "-1"})[0] == 400
        assert ask("GET", f"/other?token={server.token}")[0] == 404
    assert read_judgements(run) == []


def test_a_call_is_shown_with_its_losses_and_no_character_that_turns_the_text(run: RunFolder) -> None:
    document = make_row(Document, text_id="a-0", text="A \u202e sum of 7 is due.")
    call = make_row(
        Scored, text_id="a-0", tool="Calculator", char_offset=10, call_input="3 + 4", result="7", is_kept=True
    )
    write(run, "documents", Document, [document])
    write(run, "scored", Scored, [call])
    shown = what_to_show(Review(open_for_looking(run.location), ReviewOptions()))
    text = "".join(piece for piece, _ in shown["text"])
    assert "\N{REPLACEMENT CHARACTER} sum" in text and " [Calculator(3 + 4) -> 7]" in text
    assert ("call" in [kind for _, kind in shown["text"]]) and "kept: loss" in shown["losses"]
