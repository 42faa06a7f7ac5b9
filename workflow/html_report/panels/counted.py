"""Panels that are counts: the funnel, the health of tools, the yield by kind of text, the most frequent inputs."""

from toolformer_ray.workflow.html_report.panel import Panel, tables

FUNNEL = """
WITH refused AS (
    SELECT tool, sum(count) AS refused FROM dropped WHERE reason IN ('not_offered', 'too_long') GROUP BY tool),
inserted AS (SELECT call.tool AS tool, count(*) AS inserted FROM (SELECT unnest(calls) AS call FROM augmented)
             GROUP BY call.tool)
SELECT tool, ((SELECT count(*) FROM documents) - coalesce(any_value(refused), 0))::BIGINT AS "texts offered",
       count(DISTINCT (text_id, char_offset)) AS "places with a call", count(*) AS calls,
       count(*) FILTER (status = 'ok') AS answered, count(*) FILTER (is_kept) AS kept,
       coalesce(any_value(inserted), 0) AS "in C*"
FROM scored LEFT JOIN refused USING (tool) LEFT JOIN inserted USING (tool) GROUP BY tool ORDER BY tool
"""
VERDICTS = """
SELECT tool, CASE WHEN is_kept THEN 'kept' WHEN status <> 'ok' THEN 'no answer: ' || status
                  WHEN coalesce(contrast, loss_reduction) IS NULL THEN 'nothing to compare with'
                  WHEN coalesce(contrast, loss_reduction) < 0 THEN 'does not help' ELSE 'does not help enough'
             END AS verdict, count(*) AS calls
FROM scored GROUP BY ALL ORDER BY tool, calls DESC, verdict
"""
DROPS = """
SELECT stage, reason, coalesce(tool, '') AS tool, sum(count)::BIGINT AS number
FROM dropped GROUP BY ALL ORDER BY stage, number DESC, reason, tool
"""
HEALTH = """
SELECT tool, status, count(*) AS calls, count(*) FILTER (from_cache) AS "known before",
       quantile_disc(seconds, 0.5) FILTER (NOT from_cache) AS "p50 s",
       quantile_disc(seconds, 0.95) FILTER (NOT from_cache) AS "p95 s",
       quantile_disc(seconds, 0.99) FILTER (NOT from_cache) AS "p99 s"
FROM scored GROUP BY ALL ORDER BY tool, calls DESC, status
"""
BY_KIND = """
WITH texts AS (
    SELECT {kind} AS kind, coalesce(num_calls, 0) AS calls FROM documents LEFT JOIN augmented USING (text_id))
SELECT kind AS "{title}", count(*) AS texts, count(*) FILTER (calls > 0) AS "with calls", sum(calls)::BIGINT AS calls,
       1000 * sum(calls) / count(*) AS "calls per 1,000 texts"
FROM texts GROUP BY kind ORDER BY {order} LIMIT 20
"""
BY_SOURCE = BY_KIND.format(kind="documents.source", title="source", order="texts DESC, kind")
BY_YEAR = BY_KIND.format(kind="coalesce(year(documents.date)::VARCHAR, 'no date')", title="year", order="kind DESC")
BY_LENGTH = BY_KIND.format(
    kind="(2 ** floor(log2(greatest(1, length(documents.text)))))::BIGINT", title="characters from", order="kind"
)
COPIED = """
WITH kept AS (
    SELECT tool, replace(lower(trim(call_input, '"'' ')), ' ', '') AS input, lower(result) AS result,
           lower(left(text, char_offset)) AS before, lower(substr(text, char_offset + 1)) AS after
    FROM scored JOIN documents USING (text_id) WHERE is_kept),
found AS (
    SELECT tool, contains(replace(before, ' ', ''), input) AS input_before, contains(before, result) AS result_before,
           contains(replace(after, ' ', ''), input) AS input_after, contains(after, result) AS result_after FROM kept)
SELECT tool, count(*) AS kept, avg(input_before::INT) AS "input in the text before",
       avg((input_after AND NOT input_before)::INT) AS "input only after",
       avg(result_before::INT) AS "answer before", avg((result_after AND NOT result_before)::INT) AS "answer only after"
FROM found GROUP BY tool ORDER BY tool
"""
FREQUENT = """
SELECT tool, call_input AS input, any_value(result ORDER BY result) AS answer, count(*) AS kept,
       count(DISTINCT text_id) AS texts
FROM scored WHERE is_kept GROUP BY tool, call_input ORDER BY kept DESC, tool, input LIMIT 20
"""

PANELS = {
    "funnel": Panel(
        key="funnel",
        title="From texts to kept calls",
        says="How many calls of each tool survive each step; why others were not kept; what was dropped before. "
        "Kept are the calls that pass the filter, in C* those of them that stand in the texts: one at each place.",
        content=tables(FUNNEL, VERDICTS, DROPS),
    ),
    "inputs": Panel(
        key="inputs",
        title="What is asked, and how much is copied",
        says="The most frequent inputs of kept calls. An input that stands in the text before the call was copied; an "
        "answer that stands there already tells nothing new; one that stands only after is what the call foretells.",
        content=tables(COPIED, FREQUENT),
    ),
    "tools": Panel(
        key="tools",
        title="How the tools did",
        says="Calls by outcome, and the seconds of those that really were asked.",
        content=tables(HEALTH),
    ),
    "kinds": Panel(
        key="kinds",
        title="Which texts keep calls",
        says="Calls in C* by source, year and length of the text.",
        content=tables(BY_SOURCE, BY_YEAR, BY_LENGTH),
    ),
}
