"""One operation of an OpenAPI document (3.x, as JSON): its arguments, and where each goes.

Parameters of the path, the query and the headers become arguments, and the fields of a JSON body too. References lead
to places in the document only; nothing else is fetched.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2

from toolformer_ray.records.errors import UnusableError, explain
from toolformer_ray.tools.backends.bounded_http import open_client
from toolformer_ray.tools.servers.http_declaration import HttpDeclaration
from toolformer_ray.tools.servers.server_file import HttpOperation
from toolformer_ray.tools.servers.url_template import UrlTemplate

LARGEST_DOCUMENT = 16 * 1024 * 1024
SECONDS_TO_READ = 30.0
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_STEPS = 20
"""References that lead to each other."""
# Parameters of these names are ignored, as OpenAPI has it: they are no matter of the operation.
_NOT_SENT = frozenset({"accept", "content-type", "authorization"})
_NO_WORD = re.compile(r"\W+", re.ASCII)


def of_document(operation: HttpOperation) -> HttpDeclaration:
    """The operation that the file names. Raises UnusableError with the file and the key if it cannot be asked."""
    document = _read(operation)
    return _Operation(operation, document).declaration()


class _Operation:
    def __init__(self, told: HttpOperation, document: Mapping[str, Any]) -> None:
        self._told, self._document = told, document
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []

    def declaration(self) -> HttpDeclaration:
        told = self._told
        path, method, found, shared = self._found()
        if method != "get" and not told.allow_writing:
            raise UnusableError(
                f"{told.where}.operation is a {method.upper()}, which may write; to allow it, set allow_writing = true"
            )
        headers: dict[str, str] = {}
        query: list[str] = []
        by_place = {(one.get("in"), one.get("name")): one for one in (*self._all(shared), *self._all(found))}
        for (place, wire), parameter in by_place.items():
            if place == "path":
                argument = self._add(wire, parameter, is_required=True)
                path = path.replace(f"{{{wire}}}", f"{{{argument}}}")
            elif place == "query":
                query.append(f"{_NO_BRACES.sub('', str(wire))}={{{self._add(wire, parameter)}}}")
            elif place == "header" and str(wire).casefold() not in _NOT_SENT:
                headers[str(wire)] = self._add(wire, parameter)
            elif place == "cookie" and parameter.get("required"):
                raise UnusableError(f"{told.where}.operation needs the cookie {wire!r}, and none is kept")
        body = self._body(found)
        url = self._base_url().rstrip("/") + path + ("?" + "&".join(query) if query else "")
        UrlTemplate(url, f"{told.where}.openapi: the URL of {told.operation}")
        return HttpDeclaration(
            operation=told,
            method=method.upper(),
            url=url,
            description=told.description or str(found.get("description") or found.get("summary") or ""),
            schema=self._schema(),
            headers=headers,
            body=body,
        )

    def _schema(self) -> dict[str, Any]:
        # The schemas of a document refer to its components, and are found there if these stand beside them.
        components = self._document.get("components")
        beside = {"components": components} if isinstance(components, dict) else {}
        return {"type": "object", "properties": self._properties, "required": self._required, **beside}

    def _found(self) -> tuple[str, str, Mapping[str, Any], Mapping[str, Any]]:
        """The path, the method, the operation, and what all operations of the path share."""
        paths = self._document.get("paths")
        known = []
        for path, shared in paths.items() if isinstance(paths, dict) else ():
            for method in METHODS:
                found = shared.get(method) if isinstance(shared, dict) else None
                if isinstance(found, dict) and isinstance(found.get("operationId"), str):
                    if found["operationId"] == self._told.operation:
                        return str(path), method, found, shared
                    known.append(found["operationId"])
        shown = ", ".join(known[:20]) or "none"
        raise UnusableError(f"{self._told.where}.operation is {self._told.operation!r}; the document has {shown}")

    def _all(self, holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        parameters = holder.get("parameters", [])
        return map(self._resolved, parameters if isinstance(parameters, list) else [])

    def _add(self, wire: Any, parameter: Mapping[str, Any], *, is_required: bool = False) -> str:
        """Note an argument; gives its name, which is that of the request made a name of a call."""
        schema = parameter.get("schema")
        if not isinstance(schema, dict):
            raise UnusableError(f"{self._told.where}.operation has the parameter {wire!r}, which has no schema")
        told = {"description": parameter["description"]} if isinstance(parameter.get("description"), str) else {}
        return self._note(wire, {**schema, **told}, is_required=is_required or parameter.get("required") is True)

    def _note(self, wire: Any, schema: Mapping[str, Any], *, is_required: bool) -> str:
        name = _NO_WORD.sub("_", str(wire)).strip("_")
        name = f"_{name}" if name[:1].isdigit() else name
        if not name or name in self._properties:
            raise UnusableError(f"{self._told.where}.operation has two arguments that are called {name!r} in a call")
        self._properties[name] = dict(schema)
        if is_required:
            self._required.append(name)
        return name

    def _body(self, found: Mapping[str, Any]) -> dict[str, str]:
        if not isinstance(found.get("requestBody"), dict):
            return {}
        body = self._resolved(found["requestBody"])
        content = body.get("content")
        told = content.get("application/json") if isinstance(content, dict) else None
        schema = self._resolved(told["schema"]) if isinstance(told, dict) and "schema" in told else None
        properties = schema.get("properties") if schema else None
        if schema is None or not isinstance(properties, dict):
            raise UnusableError(f"{self._told.where}.operation has a body that is no JSON object with named fields")
        required = schema.get("required", []) if body.get("required") is True else []
        return {
            str(wire): self._note(wire, one if isinstance(one, dict) else {}, is_required=wire in required)
            for wire, one in properties.items()
        }

    def _base_url(self) -> str:
        told, servers = self._told, self._document.get("servers")
        first = servers[0] if isinstance(servers, list) and servers else None
        written = str(first.get("url", "/")) if isinstance(first, dict) else "/"
        document = told.openapi or ""
        url: str = told.base_url or urljoin(document if _is_url(document) else "", written)
        if not _is_url(url) or "{" in url:
            raise UnusableError(f"{told.where}.base_url is missing; the document does not say where it is asked")
        return url

    def _resolved(self, part: Any) -> Mapping[str, Any]:
        """The object that a part of the document is, or refers to."""
        for _ in range(MAX_STEPS):
            if not isinstance(part, dict):
                break
            reference = part.get("$ref")
            if reference is None:
                return part
            part = self._document if isinstance(reference, str) and reference.startswith("#/") else None
            for step in str(reference)[2:].split("/"):
                part = part.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(part, dict) else None
        raise UnusableError(f"{self._told.where}.openapi has a reference that leads to nothing in the document")


_NO_BRACES = re.compile(r"[{}&#?=\s]")


def _is_url(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def _read(operation: HttpOperation) -> Mapping[str, Any]:
    where, location = f"{operation.where}.openapi", operation.openapi or ""
    try:
        content = _fetch(location) if _is_url(location) else _read_file(location)
        document = json.loads(content)
    except (OSError, ValueError, RecursionError, httpx2.HTTPError) as error:
        raise UnusableError(f"{where} cannot be read as JSON: {explain(error)}") from None
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise UnusableError(f"{where} is no OpenAPI document of version 3, as JSON")
    return document


def _read_file(location: str) -> bytes:
    with Path(location).open("rb") as file:
        content = file.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise ValueError(f"it has more than {LARGEST_DOCUMENT} bytes")
    return content


def _fetch(url: str) -> bytes:
    with open_client(max_bytes=LARGEST_DOCUMENT, timeout=SECONDS_TO_READ) as client:
        response = client.get(url)
        if response.status_code != 200:
            raise ValueError(f"HTTP status {response.status_code}")
        return response.content
