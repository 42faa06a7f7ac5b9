"""Locations as they may be printed and written down: without the keys that a URI may carry."""

import re

# What stands before the `@` of a URI, a key with a slash in it too unless it is the port of a host; and its options.
_KEYS = re.compile(r"(?<=://)(?:[^/@\s]*@|[^/@\s:]*:(?!\d+(?:[/?#\s]|$))[^@\s]*@)")
_OPTIONS = re.compile(r"(?P<uri>[A-Za-z][\w+.-]*://[^\s?'\"]*)\?[^\s'\"]*")


def without_keys(text: str) -> str:
    """A text, be it a location or a message that names some, without the keys in its URIs and without their options.

    >>> without_keys("s3://KEY:SECRET@bucket/runs?region=x cannot be opened")
    's3://bucket/runs cannot be opened'
    """
    return _OPTIONS.sub(r"\g<uri>", _KEYS.sub("", text))
