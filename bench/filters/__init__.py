"""How well the filters tell right calls from others, on texts whose due calls are known, and what they cost."""
