"""A tool that is one operation over HTTP."""

import json
import logging
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import httpx2

from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.bounded_http import open_client
from toolformer_ray.tools.named import NamedArgumentsTool
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.schema_check import check_schema, clean_description
from toolformer_ray.tools.servers import from_environment
from toolformer_ray.tools.servers.http_answers import MAX_ANSWER_BYTES, read_answer
from toolformer_ray.tools.servers.http_declaration import HttpDeclaration
from toolformer_ray.tools.servers.url_template import UrlTemplate, as_text
from toolformer_ray.tools.tool import BadInput, CallContext, Tool, Unavailable


class HttpTool(NamedArgumentsTool):
    """What the tools that are made of declarations have in common. Requests go where the file says, and nowhere else:
    redirects are not followed, and no argument changes the host or the steps of the path."""

    declared: ClassVar[HttpDeclaration]
    is_expensive = True

    def open(self) -> None:
        """Raises UnusableError if a variable that the requests need is not set in this process."""
        operation = self.declared.operation
        self._template = UrlTemplate(self.declared.url, f"{operation.where}.url")
        headers = from_environment.resolve_all(operation.headers, f"{operation.where}.headers")
        keys = from_environment.resolve_all(operation.query, f"{operation.where}.query")
        self._more_query = "&".join(f"{quote(name, safe='')}={quote(key, safe='')}" for name, key in keys.items())
        self._secrets = from_environment.secrets([*operation.headers.values(), *operation.query.values()])
        if keys:
            # The library logs each URL, which holds the key.
            logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._client = open_client(max_bytes=MAX_ANSWER_BYTES, timeout=self.asking.timeout)
        self._client.headers.update({"Accept": "application/json, text/plain;q=0.9, */*;q=0.1", **headers})

    def data_version(self) -> str:
        """What the file and the document say that decides requests and answers."""
        return self.declared.version

    def wants(self, document: Document) -> bool:
        """Every text."""
        return True

    def call(self, arguments: Mapping[str, Any], context: CallContext) -> str:
        """The part of the answer that is the result."""
        try:
            response = self._client.send(self._request(arguments))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # Not `from` it: the message may hold the URL, and that a key.
            raise Unavailable(f"http:{self.declared.operation.name}: {type(error).__name__}") from None
        answer = read_answer(response, self.declared.operation.answer)
        return from_environment.without(answer, self._secrets)

    def _request(self, arguments: Mapping[str, Any]) -> httpx2.Request:
        declared = self.declared
        url = self._template.fill(arguments)
        if self._more_query:
            url += ("&" if "?" in url else "?") + self._more_query
        headers = {name: _header(arguments[one], one) for name, one in declared.headers.items() if one in arguments}
        if not declared.body:
            return self._client.build_request(declared.method, url, headers=headers)
        body = {name: arguments[argument] for name, argument in declared.body.items() if argument in arguments}
        content = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        return self._client.build_request(declared.method, url, headers=headers, content=content)


def make_http_tool(declared: HttpDeclaration, name: str) -> type[Tool]:
    """The tool of a declaration. Raises UnusableError for a schema that cannot be used."""
    operation = declared.operation
    made = {
        "declared": declared,
        "name": name,
        "description": clean_description(declared.description) or f"{name}, an operation over HTTP.",
        "schema": check_schema(dict(declared.schema), operation.where),
        **({"asking": Asking(timeout=operation.timeout)} if operation.timeout else {}),
    }
    return type(name, (HttpTool,), made)


def _header(value: Any, name: str) -> str:
    text = as_text(value, name)
    if not text.isascii() or not text.isprintable():
        raise BadInput("it has a character that no header can have", argument=name)
    return text
