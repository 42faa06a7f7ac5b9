"""Removes the keys that URIs may carry, before locations are printed or written to a file."""

import re

# What stands before the `@` of a URI, including keys with a slash in them, but no host with a port.
_KEYS = re.compile(r"(?<=://)(?:[^/@\s]*@|[^/@\s:]*:(?!\d+(?:[/?#\s]|$))[^@\s]*@)")
_OPTIONS = re.compile(r"(?P<uri>[A-Za-z][\w+.-]*://[^\s?'\"]*)\?[^\s'\"]*")


def without_keys(text: str) -> str:
    """A location, or a message that contains some, without the keys and the options (`?…`) in its URIs.

    >>> without_keys("s3://KEY:SECRET@bucket/runs?region=x cannot be opened")
    's3://bucket/runs cannot be opened'
    """
    return _OPTIONS.sub(r"\g<uri>", _KEYS.sub("", text))
