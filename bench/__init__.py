"""Benchmarks of the engine: against a plain pipeline, and against the least that the same work could cost.

Read in this order: `workload` (the texts and the prompt), `calls`, `engine_run` (a), `plain_run` (b), `floor` (c),
`meter` and `peak` (what is measured), `compare`, `report`. Two benchmarks stand by themselves: `decoding` (texts that
are written with tools) and `memory` (of a process that annotates many texts).
"""
