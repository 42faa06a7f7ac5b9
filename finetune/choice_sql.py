"""The SQL by which `finetune.choose` chooses, over the views `documents` and `calls` of all runs.

`ORDER` and then `CHOOSE` make the tables `texts` and `chosen`, `WITHOUT_NEEDS` takes calls out of the second until none
is left to be taken out; the other statements read these.
"""

ORDER = """
CREATE TABLE texts AS
WITH firsts AS (SELECT text_id, min(run) AS run FROM documents GROUP BY text_id),
ranked AS (SELECT *, row_number() OVER (ORDER BY md5(text_id || $seed), text_id) AS place, count(*) OVER () AS total
           FROM firsts)
SELECT text_id, run, place, place <= least($num_held_out, total // 10) AS is_held_out FROM ranked
"""
# Of several calls at one place the one that is worth most to the filter is chosen, as by filter.interleave.
CHOOSE = """
CREATE TABLE chosen AS
WITH placed AS (
    SELECT calls.*, place, row_number() OVER (
        PARTITION BY text_id, char_offset ORDER BY value DESC, tool, call_input) AS rank
    FROM calls JOIN texts USING (text_id, run) WHERE is_chosen AND NOT is_held_out),
best_at_place AS (
    SELECT *, row_number() OVER (
        PARTITION BY text_id, tool, call_input ORDER BY value DESC, char_offset) AS rank_of_call
    FROM placed WHERE rank = 1),
capped AS (
    SELECT *, dense_rank() OVER (PARTITION BY tool ORDER BY place) AS text_of_tool FROM best_at_place
    WHERE rank_of_call = 1 OR NOT ($all_once OR list_contains($once::VARCHAR[], tool)))
SELECT run, text_id, place, char_offset, {'tool': tool, 'call_input': call_input, 'result': result,
       'char_offset': char_offset, 'loss_reduction': value} AS call, needs
FROM capped WHERE text_of_tool <= $most
"""
# A call that was asked behind others goes where one of these does not stand before it; then those that need it go.
WITHOUT_NEEDS = """
DELETE FROM chosen WHERE (run, text_id, char_offset) IN (
    SELECT (asking.run, asking.text_id, asking.char_offset)
    FROM (SELECT *, unnest(needs) AS need FROM chosen) asking LEFT JOIN chosen defining ON defining.run = asking.run
        AND defining.text_id = asking.text_id AND defining.char_offset < asking.char_offset
        AND defining.call.tool = asking.call.tool AND defining.call.call_input = asking.need
    WHERE defining.text_id IS NULL)
"""
WITH_CALLS = """
SELECT text_id, any_value(text), any_value(title), list(call ORDER BY char_offset)
FROM chosen JOIN documents USING (text_id, run) GROUP BY text_id, place ORDER BY place
"""
PLAIN = """
SELECT text_id, text, title FROM texts JOIN documents USING (text_id, run)
WHERE NOT is_held_out AND text_id NOT IN (SELECT text_id FROM chosen) ORDER BY place LIMIT $most
"""
HELD_OUT = """
SELECT text_id, text, title FROM texts JOIN documents USING (text_id, run) WHERE is_held_out ORDER BY place
"""
# What stands before the place is shown without calls, so a call that needs one of these is in no pair.
# A call that was pruned has no value; it counts with the largest loss reduction that its other losses allow.
PAIRS = """
WITH worst AS (
    SELECT run, text_id, char_offset, {'tool': tool, 'call_input': call_input, 'result': result,
           'char_offset': char_offset, 'loss_reduction': largest_value} AS call, row_number() OVER (
        PARTITION BY run, text_id, char_offset ORDER BY largest_value, tool, call_input) AS rank
    FROM calls WHERE NOT is_chosen AND largest_value IS NOT NULL)
SELECT text_id, text, chosen.call, worst.call FROM chosen JOIN worst USING (text_id, run, char_offset)
JOIN documents USING (text_id, run) WHERE rank = 1 AND coalesce(len(needs), 0) = 0 ORDER BY place, char_offset
"""
