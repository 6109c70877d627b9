"""What a namespace has learned, as calls of `Client` and `AsyncClient`: parents of both."""

from adamem._adapter_types import AdapterStatus, AdapterVersion
from adamem._codec import adapter_status_from_proto, adapter_version_from_proto
from adamem._connection import AsyncConnection, Connection
from adamem.types import NOT_GIVEN, NotGiven


class AdapterCalls(Connection):
    """Calls of `Client`."""

    def get_adapter(
        self, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> AdapterStatus:
        """Tells what a namespace has learned. None: the client's, else the server's default."""
        request = self._get_adapter_request(namespace)
        response = self._call(self._admin.GetAdapter, request, timeout_s)
        return adapter_status_from_proto(response.adapter)

    def list_adapter_versions(
        self, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> tuple[AdapterVersion, ...]:
        """The versions of a namespace's adapter that are kept, oldest first."""
        request = self._list_adapter_versions_request(namespace)
        response = self._call(self._admin.ListAdapterVersions, request, timeout_s)
        return tuple(map(adapter_version_from_proto, response.versions))

    def train_adapter(
        self, *, namespace: str | None = None, wait: bool = False, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> AdapterStatus:
        """Starts a training now; the new version serves only if it ranks held-out pairs better than none.

        Never retried: it has no request id.

        Args:
            namespace: To train. None: the client's.
            wait: For its end; mind `timeout_s`.
            timeout_s: Limit of the call. None: none. Left out: the client's.

        Returns:
            The status after the training, or at its start.
        """
        request = self._train_adapter_request(namespace, wait)
        response = self._call(self._admin.TrainAdapter, request, timeout_s)
        return adapter_status_from_proto(response.adapter)

    def rollback_adapter(
        self, version: int, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> AdapterStatus:
        """Makes another version of the adapter serve, or none: 0. Never retried: it has no request id.

        A later training may serve a new version; `update_namespace(name, adapter_enabled=False)` keeps all off.

        Raises:
            AdapterVersionNotFoundError: The namespace keeps no such version.
        """
        request = self._rollback_adapter_request(version, namespace)
        response = self._call(self._admin.RollbackAdapter, request, timeout_s)
        return adapter_status_from_proto(response.adapter)


class AsyncAdapterCalls(AsyncConnection):
    """Calls of `AsyncClient`."""

    async def get_adapter(
        self, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> AdapterStatus:
        """Tells what a namespace has learned. None: the client's, else the server's default."""
        request = self._get_adapter_request(namespace)
        response = await self._call(self._admin.GetAdapter, request, timeout_s)
        return adapter_status_from_proto(response.adapter)

    async def list_adapter_versions(
        self, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> tuple[AdapterVersion, ...]:
        """The versions of a namespace's adapter that are kept, oldest first."""
        request = self._list_adapter_versions_request(namespace)
        response = await self._call(self._admin.ListAdapterVersions, request, timeout_s)
        return tuple(map(adapter_version_from_proto, response.versions))

    async def train_adapter(
        self, *, namespace: str | None = None, wait: bool = False, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> AdapterStatus:
        """Starts a training now; the new version serves only if it ranks held-out pairs better than none.

        Never retried: it has no request id.

        Args:
            namespace: To train. None: the client's.
            wait: For its end; mind `timeout_s`.
            timeout_s: Limit of the call. None: none. Left out: the client's.

        Returns:
            The status after the training, or at its start.
        """
        request = self._train_adapter_request(namespace, wait)
        response = await self._call(self._admin.TrainAdapter, request, timeout_s)
        return adapter_status_from_proto(response.adapter)

    async def rollback_adapter(
        self, version: int, *, namespace: str | None = None, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> AdapterStatus:
        """Makes another version of the adapter serve, or none: 0. Never retried: it has no request id.

        A later training may serve a new version; `update_namespace(name, adapter_enabled=False)` keeps all off.

        Raises:
            AdapterVersionNotFoundError: The namespace keeps no such version.
        """
        request = self._rollback_adapter_request(version, namespace)
        response = await self._call(self._admin.RollbackAdapter, request, timeout_s)
        return adapter_status_from_proto(response.adapter)
