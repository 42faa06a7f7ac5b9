"""Reads the rows of one source of a corpus: a file of any kind, or a data set."""
