"""A small invented world, its corpus with known right calls, and the small language model trained on such texts.

A demonstration and a test fixture: the model knows nothing of the real world. Read in this order: `names`, `world`
(facts), `texts` (stories that need them), `pretraining_texts` (what the model reads), `tokenizer`, `pretrain`,
`demo_corpus` (the files of `make demo`), `report` (kept calls against the truth).
"""
