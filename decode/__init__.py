"""Floor 2: the model using its tools (paper, section 2, inference). A call is stopped for, its result forced in."""
