"""Panels that show calls and texts themselves: annotated texts, calls at the edges, where calls are proposed."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from toolformer_ray.records.calls import insert_calls, render_call
from toolformer_ray.records.stages import KeptCall
from toolformer_ray.workflow.calls.choose import ChosenCall, choose_calls, losses
from toolformer_ray.workflow.calls.opened import OpenedRun
from toolformer_ray.workflow.calls.token_gains import token_gains
from toolformer_ray.workflow.html_report.charts import number_map
from toolformer_ray.workflow.html_report.markup import answer_table, element, folded, join, table, text
from toolformer_ray.workflow.html_report.panel import Panel, paragraph

TEXTS_SHOWN, CALLS_SHOWN, MAX_CHARS = 30, 20, 4_000
STRONG_NATS = 3.0
"""A token that a call spares so much is coloured in full."""
EDGES = ("just missed", "rejected", "input only occurs later", "suspicious")
IN_C_STAR = 'SELECT count(*) AS "texts in C*", coalesce(sum(num_calls), 0)::BIGINT AS calls FROM augmented'
TEXTS = """
WITH first AS (SELECT text_id, calls FROM augmented ORDER BY md5(text_id), text_id LIMIT $number)
SELECT text_id, documents.text, calls FROM first JOIN documents USING (text_id) ORDER BY md5(text_id), text_id
"""
TOKENS = """
SELECT text_id, tool, call_input, char_offset, token_ends, token_contrasts FROM scored
WHERE is_kept AND len(token_ends) > 0 AND text_id IN (SELECT unnest($texts))
"""
PLACES = """
WITH places AS (
    SELECT tool, text_id, char_offset, any_value(open_probability) AS p, any_value(loss_without) AS loss,
           bool_or(is_kept) AS is_kept
    FROM scored GROUP BY ALL)
SELECT floor(2 * log10(greatest(p, 1e-12))) / 2 AS "log10 p from", least(floor(2 * loss) / 2, 10) AS "L from",
       count(*) AS places, count(*) FILTER (is_kept) AS "with a kept call"
FROM places GROUP BY ALL ORDER BY ALL
"""

Tokens = Mapping[tuple[object, ...], tuple[Sequence[int], Sequence[float]]]
"""By text, tool, input and place of a call: where each token behind it ends in the text, and what it is spared."""


def show_texts(opened: OpenedRun) -> Markup:
    """Some texts of C*, chosen by a hash of their names."""
    rows = opened.ask(TEXTS, number=TEXTS_SHOWN).rows
    told_of_tokens = opened.ask(TOKENS, texts=[text_id for text_id, *_ in rows]).rows
    tokens: Tokens = {tuple(call): (ends, gains) for *call, ends, gains in told_of_tokens}
    total = opened.ask(IN_C_STAR)
    told = f"{len(rows):,} of {total.rows[0][0]:,} texts are shown, chosen by chance; long ones are cut."
    return join(
        [
            answer_table(total),
            paragraph(told),
            *(_text(name, original, calls, tokens) for name, original, calls in rows),
        ]
    )


def _text(text_id: str, original: str, calls: list[dict[str, object]], tokens: Tokens) -> Markup:
    """A text with its calls, and each token behind a call coloured by what the call spares it."""
    kept = [KeptCall(**call) for call in calls]  # type: ignore[arg-type]
    insert_calls(original, kept)  # Raises if an offset is not of this text.
    pieces, done = [], 0
    for number, call in enumerate(kept):
        end = kept[number + 1].char_offset if number + 1 < len(kept) else len(original)
        pieces += [text(original[done : call.char_offset]), _call(call)]
        ends, gains = tokens.get((text_id, call.tool, call.call_input, call.char_offset), ((), ()))
        within = [place - call.char_offset for place in ends]
        coloured = list(token_gains(original[call.char_offset : end], call.loss_reduction, within, gains))
        pieces += [_token(*token) for token in coloured]
        done = call.char_offset + sum(len(token) for token, _ in coloured)
    whole = join([*pieces, text(original[done:][: max(0, MAX_CHARS - done)])])
    return element("article", element("h4", text(text_id)), element("p", whole, class_="text"))


def _token(token: str, gain: float) -> Markup:
    shade = f"--gain:{min(1.0, abs(gain) / STRONG_NATS):.2f}"
    side = "after" if gain >= 0 else "after worse"
    return element("span", text(token), class_=side, style=shade, title=f"{gain:+.2f} nats")


def _call(call: KeptCall) -> Markup:
    told = f"{call.tool}: the loss of the next tokens is {call.loss_reduction:.3f} nats lower"
    return element(
        "mark",
        text(render_call(call.tool, call.call_input, call.result)),
        title=told,
        class_="call",
        data_tool=call.tool,
    )


def show_edges(opened: OpenedRun) -> Markup:
    """Calls of each kind that is worth a look, a table each."""
    return join(_calls(name, choose_calls(opened, name, CALLS_SHOWN)) for name in EDGES)


def _calls(name: str, calls: list[ChosenCall]) -> Markup:
    if not calls:
        return join([element("h3", name), paragraph("There is none.", kind="none")])
    # A call without decoys stands in the same columns as the others.
    by_decoys = any(call.contrast is not None for call in calls)
    named = [title for title, _ in losses(calls[0], by_decoys=by_decoys)]
    columns = ["tool", "input", "answer", "in its text", *named, "gain"]
    rows = [
        [
            *(call.tool, call.call_input, call.result, _context(call)),
            *(value for _, value in losses(call, by_decoys=by_decoys)),
            call.gain,
        ]
        for call in calls
    ]
    return join([element("h3", name), table(columns, rows, kind="edges")])


def _context(call: ChosenCall) -> Markup:
    shown = element("mark", text(f" {call.written}"), class_="call", data_tool=call.tool)
    return element("span", text(f"…{call.before}"), shown, text(f"{call.after}…"), class_="text", title=call.text_id)


def show_places(opened: OpenedRun) -> Markup:
    """A map of places by p and L(epsilon), and the same as numbers."""
    answer = opened.ask(PLACES)
    cells = [(p, loss, places) for p, loss, places, _ in answer.rows]
    chart = number_map(cells, (0.5, 0.5), axis="log10 of the probability that a call opens here", up="L(ε), nats")
    return join([chart, folded("as numbers", answer_table(answer))])


PANELS = {
    "texts": Panel(
        key="texts",
        title="Texts with their calls",
        says="Behind each call the tokens whose loss the filter measures: the darker the green, the likelier the "
        f"answer makes the token, against other answers (in full from {STRONG_NATS:g} nats on), and the darker "
        "the red, the less likely. Where a run has kept the loss of five tokens and not of each (without decoys, or by "
        "an earlier version), words and signs stand for the tokens, and all have the gain of the call. "
        "C* has equal calls of a text at each of their places; fine-tuning and exports take the best place alone.",
        content=show_texts,
    ),
    "edges": Panel(
        key="edges",
        title="Calls at the edges",
        says="Of calls that were not kept. Just missed: those that came closest to the threshold with the lower one of "
        "contrast and loss without a call. Rejected: some of all that were answered and not kept. Input "
        "only occurs later: struck, since it could not be known. Suspicious: the text became much likelier than "
        "without a call, but other answers of the kind did the same. Numbers are losses of the next tokens in nats; "
        "contrast is how much lower the call's answer makes it than other answers do, gain how much lower than no "
        "call. A model that has not learned to read calls is disturbed by any, so a gain may be below 0.",
        content=show_edges,
    ),
    "places": Panel(
        key="places",
        title="Where calls are proposed",
        says="Places with a call by how likely the model opens one there and how hard the text goes on: a useful call "
        "needs a place where the loss without it is high.",
        content=show_places,
    ),
}
