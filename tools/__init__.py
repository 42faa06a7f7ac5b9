"""Floor 1: text in, text out. Every file here that defines a tool is one, found by `tools.catalog`."""
