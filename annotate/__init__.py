"""The stages from a corpus to executed candidate calls: pure functions, rows in, rows out."""
