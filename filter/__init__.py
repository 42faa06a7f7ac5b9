"""The stages from executed calls to C*: their losses and verdicts, and the texts with the kept ones. Pure functions."""
