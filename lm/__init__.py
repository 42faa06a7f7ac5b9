"""The engine: token ids in, log-probabilities or token ids out. It knows no tools."""
