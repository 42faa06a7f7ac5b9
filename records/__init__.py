"""Floor 0: the tables of a run, the call syntax, and reading and writing one shard. Imports nothing of the project."""
