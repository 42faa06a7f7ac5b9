"""The API key of a server: read from the environment, compared in constant time, and told to nobody.

Only a hash of the key leaves the process that was started with it, so that it is in no argument of another process.
"""

import hashlib
import hmac
import os

from toolformer_ray.jobs.decoding.protocol.errors import BadRequest
from toolformer_ray.records.errors import OptionError


def read_key_hash(variable: str | None) -> str | None:
    """The hash of the key in a variable of the environment; None if no key is asked for.

    Raises OptionError if the variable is not set.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "")
    if not key:
        remedy = (
            "this variable is not set in the environment, or is empty; put the key into it, or leave the option out"
        )
        raise OptionError("api_key_env", variable, remedy)
    return _hash(key.encode())


def check_key(key_hash: str | None, authorization: str | None) -> None:
    """Raise BadRequest, 401, if a key is asked for and this header does not have it."""
    if key_hash is None:
        return
    scheme, _, given = (authorization or "").partition(" ")
    # Hashes have one length, so the time says nothing of the key.
    if not hmac.compare_digest(_hash(given.strip().encode("latin-1", "replace")), key_hash) or scheme != "Bearer":
        message = "no API key was given" if authorization is None else "this API key is not valid"
        raise BadRequest(f"{message}; send it as 'Authorization: Bearer KEY'", status=401, code="invalid_api_key")


def _hash(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()
