"""Floor 2: the losses of executed calls, which of them are kept, and the texts with the kept ones. Pure stages."""
