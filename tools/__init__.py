"""Floor 1: text in, text out. One file per tool; a tool is found by its file being here (see `tools.catalog`)."""
