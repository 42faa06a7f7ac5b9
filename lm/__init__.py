"""Floor 1: the engine. Token ids in, numbers or ids out; it knows no tool and no prompt."""
