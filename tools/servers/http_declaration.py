"""One operation over HTTP as data: where its arguments go. Made by the command, read by the workers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.tools.servers.server_file import HttpOperation
from toolformer_ray.tools.servers.url_template import UrlTemplate


@dataclass(frozen=True, kw_only=True)
class HttpDeclaration:
    """What is sent for a call. Arguments that are no part of the URL go to headers or the body."""

    operation: HttpOperation
    method: str
    url: str
    """A template in which arguments stand in braces."""
    description: str
    schema: Mapping[str, Any]
    """JSON schema of the arguments, as it was given."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Per header, the argument that is its value."""
    body: Mapping[str, str] = field(default_factory=dict)
    """Per field of a JSON body, the argument that is its value."""

    @property
    def version(self) -> str:
        """Identifies what decides the answers, as far as the file and the document tell it."""
        sent = (self.method, self.url, dict(self.headers), dict(self.body), dict(self.schema))
        return fingerprint(sent, self.operation.answer, sorted(self.operation.query), sorted(self.operation.headers))


def of_template(operation: HttpOperation) -> HttpDeclaration:
    """The operation that a URL template tells. Raises UnusableError if parameters and template do not agree."""
    where, url = operation.where, operation.url or ""
    template = UrlTemplate(url, f"{where}.url")
    names = dict.fromkeys((*template.path_names, *template.query_names))
    for name, schema in operation.parameters.items():
        if name not in names:
            raise UnusableError(f"{where}.parameters.{name} is not in the url, which has {', '.join(names) or 'none'}")
        if not isinstance(schema, dict):
            raise UnusableError(f"{where}.parameters.{name} has to be a table, a JSON schema")
    properties = {name: operation.parameters.get(name, {"type": "string"}) for name in names}
    # A part of the query that has a default on the server is left out by the one who leaves out the argument.
    required = [name for name in names if name in template.path_names or "default" not in properties[name]]
    return HttpDeclaration(
        operation=operation,
        method="GET",
        url=url,
        description=operation.description,
        schema={"type": "object", "properties": properties, "required": required},
    )
