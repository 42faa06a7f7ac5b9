"""What the engine costs, against a plain pipeline and against the least that the same work could cost.

`python -m bench` needs torch and transformers and nothing else, so that the folder can be taken, with `lm/`,
`records/` and `miniature/`, to any machine with a GPU. `bench.memory` and `bench.budgets` run the real stages and need
the whole installation. Read in this order: `workload` (texts and prompt), `calls`, `engine_run` (a), `plain_run` (b),
`floor` (c), `meter`, `peak`, `compare`, `report`.
"""
