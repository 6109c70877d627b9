"""What all commands share: where the server is, how results are printed, and how errors become exit codes.

Exit codes: 0 done, 1 the server refused or was not reached, 2 the command or a value of it is wrong.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from adamem_server.cli.field_names import with_connection_options, with_option

if TYPE_CHECKING:
    from adamem import Client

EXIT_FAILED = 1
EXIT_USAGE = 2
# Of the client's constructor.
_CONNECTION_FIELDS = ("endpoint", "tls", "api_key", "ca_cert", "client_cert", "client_key")


class Told(Protocol):
    """What an error of the client and one of the server have in common."""

    @property
    def message(self) -> str:
        """One sentence."""
        ...

    @property
    def reason(self) -> str:
        """The stable name of the cause."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """The variables of the message."""
        ...


def told(error: Told) -> str:
    """The message of an error, about options rather than about fields of the protocol and of the Python client."""
    context, field = click.get_current_context(silent=True), error.metadata.get("field", "")
    message = error.message if context is None else with_option(error.message, field, context)
    of_connection = error.reason == "UNAVAILABLE" or field in _CONNECTION_FIELDS
    return with_connection_options(message) if of_connection else message


class Failure(click.ClickException):
    """An error as it is told to the user."""

    def __init__(self, error: Told, *, as_json: bool, exit_code: int) -> None:
        super().__init__(error.message)
        self.exit_code = exit_code  # type: ignore[misc]
        self._reason = error.reason
        self._metadata = error.metadata
        self._as_json = as_json
        self._told = told(error)

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints it to stderr; with --json as an object."""
        if self._as_json:
            told = {"reason": self._reason, "message": self.message, "metadata": self._metadata}
            text = json.dumps({"error": told}, ensure_ascii=False)
        else:
            text = f"Error: {self._told or self._reason}{self._hint()} [{self._reason}]"
        click.echo(text, file=file or sys.stderr)

    def _hint(self) -> str:
        """What to do, where the message knows no command line."""
        if self._reason == "UNAUTHENTICATED":
            return "; here with --api-key or MEMORY_API_KEY"
        if self._reason == "DEADLINE_EXCEEDED":
            return "; --timeout-s sets the limit of each call"
        return ""


@dataclass
class Session:
    """The options before the command; a command's own --json and --namespace replace them."""

    endpoint: str | None = None
    namespace: str | None = None
    api_key: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout_s: float = 60.0
    as_json: bool = False

    def connection(self) -> dict[str, Any]:
        """How a client reaches the server, but for its address."""
        names = ("api_key", "ca_cert", "client_cert", "client_key", "timeout_s")
        return {name: getattr(self, name) for name in names}

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """A client; what it raises ends the command with a message and the right exit code."""
        # gRPC writes lines of its own to stderr, such as those of a handshake that failed; the error says it too.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 - for gRPC, which is imported next
        import adamem

        try:
            with adamem.Client(self.endpoint, namespace=self.namespace, **self.connection()) as client:
                yield client
        except adamem.InvalidArgumentError as error:
            raise Failure(error, as_json=self.as_json, exit_code=EXIT_USAGE) from error
        except adamem.AdaMemError as error:
            raise Failure(error, as_json=self.as_json, exit_code=EXIT_FAILED) from error


pass_session = click.make_pass_decorator(Session)
