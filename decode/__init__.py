"""Floor 2: a model that uses its tools (paper, section 2, inference): a call's result is inserted at its arrow."""
