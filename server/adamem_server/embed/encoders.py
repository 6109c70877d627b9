"""The encoders that a server holds: the one it was started with, and those that namespaces were embedded with before.

Another one is loaded when it is first needed and stays; nothing is downloaded for it.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

import structlog

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.errors import AdaMemError, FailedPreconditionError, ModelError, ModelNotFoundError

# How many are held besides the one that serves, and how long one that could not be loaded is not tried again.
MAX_OTHERS: Final = 4
_TRY_AGAIN_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Encoders:
    """Encoders by name and by fingerprint. Thread-safe.

    Args:
        serving: The server's own; closed by who made it.
        load: Loads an encoder that is on this machine by its name; raises ModelError. None: there are no others.
    """

    def __init__(self, serving: EmbedBatcher, load: Callable[[str], EmbedBatcher] | None = None) -> None:
        self.serving: Final = serving
        self._load = load
        self._lock = Lock()
        self._others: dict[str, EmbedBatcher] = {}
        self._failed_at: dict[str, float] = {}

    def named(self, name: str) -> EmbedBatcher:
        """An encoder by its name; "": the serving one. Cost: some seconds where it has to be loaded.

        Raises:
            ModelNotFoundError, ModelFileMissingError, ModelError: It is not on this machine, or cannot be used.
            FailedPreconditionError: The server holds as many as it can.
        """
        if name in ("", self.serving.info.name):
            return self.serving
        with self._lock:
            found = self._others.get(name)
            if found is not None:
                return found
            if self._load is None:
                raise ModelNotFoundError(f"no model {name!r} on this machine", model=name)
            if len(self._others) >= MAX_OTHERS:
                raise FailedPreconditionError(
                    f"model: the server holds {MAX_OTHERS} encoders besides its own, the limit; start it anew to drop"
                    " those that are not needed any more",
                    limit=str(MAX_OTHERS),
                )
            found = self._others[name] = self._load(name)
            _log.info("encoder_loaded", model=name, dim=found.info.dim)
            return found

    def of(self, name: str, fingerprint: str) -> EmbedBatcher | None:
        """The encoder that made vectors of this stamp; None where it is not on this machine, or was changed."""
        if fingerprint == self.serving.info.fingerprint:
            return self.serving
        found = self._others.get(name)
        if found is None and name not in ("", self.serving.info.name) and self._load is not None:
            found = self._try(name)
        return found if found is not None and found.info.fingerprint == fingerprint else None

    def close(self) -> None:
        """Close those that were loaded here."""
        with self._lock:
            others = list(self._others.values())
        for encoder in others:
            encoder.close()

    def _try(self, name: str) -> EmbedBatcher | None:
        if time.monotonic() - self._failed_at.get(name, -_TRY_AGAIN_S) < _TRY_AGAIN_S:
            return None
        try:
            return self.named(name)
        except AdaMemError as error:
            if isinstance(error, ModelError | FailedPreconditionError):
                _log.warning("encoder_missing", model=name, problem=error.message)
            self._failed_at[name] = time.monotonic()
            return None
