"""Calls that a model behind an OpenAI-compatible endpoint proposes: its client, its answers, what it is asked."""
