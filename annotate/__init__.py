"""Floor 2: from a corpus to executed candidate calls. Pure stages, rows in, rows out."""
