"""What is wrong with a request, as OpenAI's clients read it."""

from typing import Any


class BadRequest(ValueError):  # noqa: N818  named for the status
    """The client has to change something; `status` is the HTTP status."""

    def __init__(self, message: str, *, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        return error_body(str(self), kind="invalid_request_error", param=self.param, code=self.code)


def error_body(
    message: str, *, kind: str = "server_error", param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error of any kind; by default one of which the client is innocent."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
