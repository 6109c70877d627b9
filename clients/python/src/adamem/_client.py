"""The client for code that waits for each answer."""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from adamem._adapters import AdapterCalls
from adamem._archive import Archive
from adamem._archive_types import ArchivedSlots, ArchivePolicyLike
from adamem._backups import Backups
from adamem._bulk import Batch, BulkLoad
from adamem._codec import (
    SlotInputLike,
    batch_result_from_proto,
    delete_result_from_proto,
    namespace_from_proto,
    query_result_from_proto,
    receipt_from_proto,
    server_info_from_proto,
    slot_from_proto,
    slot_with_absorbed,
    update_result_from_proto,
)
from adamem._consolidation_types import ConsolidationPolicyLike
from adamem._duplicate_types import DuplicatePolicyLike
from adamem._duplicates import Duplicates
from adamem._history import History
from adamem._jobs import Jobs
from adamem._lifecycle import Lifecycle
from adamem._packages import Packages
from adamem._retry import Attempts
from adamem._snapshots import Snapshots
from adamem.frames import FrameLike
from adamem.receipts import DeleteNamespaceResult, DeleteResult
from adamem.types import (
    NOT_GIVEN,
    BatchUpdateResult,
    BulkResult,
    FeedbackResult,
    FilterLike,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    NamespacePage,
    NotGiven,
    QueryMode,
    QueryResult,
    ServerInfo,
    Slot,
    SlotInput,
    SlotKind,
    SlotPage,
    TouchResult,
    UpdateResult,
    VectorLike,
    VectorType,
)
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import memory_service_pb2 as memory_pb

ItemT = TypeVar("ItemT", bound=SlotInputLike)
RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Client(AdapterCalls):
    """A connection to an AdaMem server. Threads may share one; processes that fork may not.

        with adamem.Client(namespace="alice") as memory:
            memory.update("Prefers tea without sugar", kind="preference", user_id="alice")
            for hit in memory.query("What does she drink?"):
                print(hit)

    Reads are retried while the server is UNAVAILABLE, and so are mutations, which carry a request id for it.

    Attributes:
        jobs: Long work of the server: `get`, `list`, `cancel`, `watch`, `wait`.
        duplicates: Of a namespace: `merge`, `undo`, `pairs`, `absorbed`.
        lifecycle: What starts it: `verify`, `compact`, `compact_data`, `reembed`, `consolidate`, `report`.
        backups: Backups of the whole server: `save`.
        packages: A namespace as one file, and back: `export_namespace`, `import_namespace`.
        history: Former versions of slots: `list`, `restore`.
        snapshots: Named states of a namespace: `create`, `list`, `diff`, `restore`, `delete`; `clone`.
        archive: What a namespace keeps found: `run`, `restore`, `pin`, `unpin`.
    """

    def _open(self) -> None:
        super()._open()
        self.jobs = Jobs(self)
        self.lifecycle = Lifecycle(self)
        self.duplicates = Duplicates(self)
        self.backups = Backups(self)
        self.packages = Packages(self)
        self.history = History(self)
        self.snapshots = Snapshots(self)
        self.archive = Archive(self)

    def _stream(self, load: BulkLoad[ItemT], batches: Iterator[Batch], attempts: Attempts) -> None:
        """Sends the batches over one stream; first, one by one, those that a broken stream left unanswered."""
        outgoing: SimpleQueue[memory_pb.BulkUpdateRequest | None] = SimpleQueue()
        answers = self._memory.BulkUpdate(
            iter(partial(outgoing.get), None), timeout=attempts.remaining_s(), metadata=self._metadata
        )
        try:
            for batch in tuple(load.unanswered):
                outgoing.put(batch.request)
                load.receive(next(answers, None))
                attempts.succeed()
            while not load.is_done():
                while load.has_room() and (fresh := next(batches, None)) is not None:
                    load.unanswered.append(fresh)
                    outgoing.put(fresh.request)
                if load.unanswered:
                    load.receive(next(answers, None))
                    attempts.succeed()
        finally:
            outgoing.put(None)
            answers.cancel()

    def query(
        self,
        text: str | None = None,
        *,
        vector: VectorLike | None = None,
        top_k: int | None = None,
        namespace: str | Sequence[str] | None = None,
        filter: FilterLike | None = None,  # noqa: A002
        min_score: float | None = None,
        include_vectors: bool = False,
        ef_search: int | None = None,
        mode: QueryMode | str | None = None,
        language: str = "",
        ranking: Mapping[str, float] | None = None,
        diversity: float | None = None,
        asked_at: datetime | str | None = None,
        use_adapter: bool | None = None,
        rerank: int = 0,
        as_of: datetime | str | None = None,
        include_archived: bool = False,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> QueryResult:
        """Finds the slots that matter most for a text or a vector.

        Args:
            text: The question, in words. Exactly one of `text` and `vector` is given.
            vector: A vector to compare with the slots' vectors as it is.
            top_k: The number of hits wanted, over all namespaces. None: 4.
            namespace: One name, or several to search together. None: the client's.
            filter: A condition that every hit meets; see `adamem.filters`. None or empty: none.
            min_score: Drops hits of a lower score.
            include_vectors: Return the slots' vectors too.
            ef_search: How many candidates the graph search keeps; more is slower and finds more.
            mode: "hybrid" (by meaning and words), "dense" (meaning alone) or "lexical" (words alone). None: hybrid for
                a text, dense for a vector.
            language: Of `text`, as two letters, for its word forms. Empty: told by its letters and words.
            ranking: Weights of hybrid ranking that override the namespace's, such as {"recency": 1}; `Ranking` in the
                protocol lists them.
            diversity: How much hits shall differ from each other, 0 to 1. None: not at all.
            asked_at: The time that "yesterday" in `text` is relative to. None: now.
            use_adapter: Whether `text` passes through what the namespace has learned. None: as the namespace says.
            rerank: How many of the best hits the server's cross-encoder reads, at some milliseconds each. 0: none.
            as_of: Answers from what was valid at this time, changed or superseded since or not. None: now.
            include_archived: Look at archived slots too, at some 0.1 ms each; 10,000 of a namespace at most.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Returns:
            At most `top_k` hits, best first, and where the server's time went.
        """
        request = self._query_request(
            text=text,
            vector=vector,
            top_k=top_k,
            namespace=namespace,
            filter=filter,
            min_score=min_score,
            include_vectors=include_vectors,
            ef_search=ef_search,
            mode=mode,
            language=language,
            ranking=ranking,
            diversity=diversity,
            asked_at=asked_at,
            use_adapter=use_adapter,
            rerank=rerank,
            as_of=as_of,
            include_archived=include_archived,
        )
        return query_result_from_proto(self._call(self._memory.Query, request, timeout_s))

    def update(
        self,
        content: str,
        *,
        cue: str = "",
        id: str = "",  # noqa: A002
        kind: SlotKind | str | None = None,
        user_id: str = "",
        agent_id: str = "",
        conversation_id: str = "",
        role: str = "",
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        importance: float | None = None,
        vector: VectorLike | None = None,
        created_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl_s: float | None = None,
        language: str = "",
        pinned: bool = False,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> UpdateResult:
        """Stores one slot. When it returns, the slot is on disk and can be found.

        What an agent learned as a question and its answer is `update(answer, cue=question)`. The other fields are
        described at `SlotInput`.

        Args:
            content: The memory: the text that queries find.
            cue: The question that content answers.
            id: The id of a stored slot, to replace it as a whole. Empty: a new slot.
            kind: The sort of memory. None: a fact.
            user_id: The person the memory is about.
            agent_id: The agent that learned it.
            conversation_id: The conversation that it comes from.
            role: Who said it.
            tags: Labels.
            metadata: A JSON object of yours.
            importance: 0 to 1. None: 0.5.
            vector: Used instead of embedding content.
            created_at: When the memory was made. None: now.
            expires_at: When the slot stops being returned.
            ttl_s: Seconds from now after which it does.
            language: Of content, as two letters, for its word forms. Empty: told by its letters and words.
            pinned: It is never archived.
            namespace: Written to; created when missing, unless the server is set not to. None: the client's.
            request_id: Makes the call idempotent for 24 hours. None: a random one, which makes retries safe. Empty:
                none, and no retry.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.
        """
        slot = SlotInput(
            content=content,
            cue=cue,
            id=id,
            kind=kind,
            user_id=user_id,
            agent_id=agent_id,
            conversation_id=conversation_id,
            role=role,
            tags=tags,
            metadata=metadata,
            importance=importance,
            vector=vector,
            created_at=created_at,
            expires_at=expires_at,
            ttl_s=ttl_s,
            language=language,
            pinned=pinned,
        )
        request = self._update_request(slot, namespace, request_id)
        response = self._call(self._memory.Update, request, timeout_s)
        return update_result_from_proto(response.result, response.sequence)

    def batch_update(
        self,
        items: Iterable[SlotInputLike] | FrameLike,
        *,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> BatchUpdateResult:
        """Stores many slots in one call and one transaction; each item succeeds or fails by itself.

        Args:
            items: Texts, dictionaries of SlotInput's fields, SlotInput, or a DataFrame whose rows become slots; see
                `adamem.frames`. For more than some hundred use `bulk_update`.
            namespace: Written to. None: the client's.
            request_id: As in `update`.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Returns:
            One result for each item, in order; `result.failures` are those that were not stored.

        Raises:
            InvalidArgumentError: An item cannot be sent at all, such as one of an unknown kind; nothing was stored.
        """
        request = self._batch_update_request(items, namespace, request_id)
        response = self._call(self._memory.BatchUpdate, request, timeout_s)
        return batch_result_from_proto(response)

    def bulk_update(
        self,
        items: Iterable[ItemT] | FrameLike,
        *,
        namespace: str | None = None,
        batch_size: int = 256,
        batch_key: Callable[[ItemT], Hashable] | None = None,
        repeatable: bool = False,
        on_progress: Callable[[BulkResult], None] | None = None,
        timeout_s: float | None = None,
    ) -> BulkResult:
        """Stores any number of slots over one stream, reading the items only as fast as the server stores them.

        At most 8 batches are unanswered at a time, so memory stays flat. When the connection breaks, the unanswered
        batches are sent again on a new stream; their request ids keep them from being stored twice.

        Args:
            items: As in `batch_update`; read lazily, in the caller's thread.
            namespace: Written to. None: the client's.
            batch_size: Most items of one batch.
            batch_key: Items for which it differs never share a batch. None: all may.
            repeatable: Derive the batches' request ids from their content, so that the same load, with the same
                batches, carried out again within 24 hours stores nothing twice.
            on_progress: Called with the state after each batch.
            timeout_s: Limit of the whole load. None: none.

        Returns:
            Counts, and the first 1,000 failures with the index of their item. An item that cannot be sent, or that the
            server refuses, is such a failure and does not stop the load.

        Raises:
            AdaMemError: A whole batch failed. What was reported to `on_progress` stays stored.
        """
        load = BulkLoad[ItemT](
            namespace=self._namespace_or_own(namespace),
            batch_size=batch_size,
            batch_key=batch_key,
            repeatable=repeatable,
            on_progress=on_progress,
        )
        batches = load.batches(items)
        attempts = self._bulk_attempts(timeout_s)
        while not load.is_done():
            try:
                self._stream(load, batches, attempts)
            except grpc.RpcError as error:
                if error is load.callers_error:
                    raise
                time.sleep(attempts.delay_s(error))
        return load.result()

    def get_slot(
        self,
        slot_id: str,
        *,
        namespace: str | None = None,
        include_vector: bool = False,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Slot:
        """Reads one slot.

        Raises:
            SlotNotFoundError: The namespace has no slot of this id.
            NamespaceNotFoundError: There is no such namespace.
        """
        request = self._get_slot_request(slot_id, namespace, include_vector)
        return slot_with_absorbed(self._call(self._memory.GetSlot, request, timeout_s))

    def list_slots_page(
        self,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        include_vectors: bool = False,
        archived: ArchivedSlots | str = ArchivedSlots.EXCLUDE,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> SlotPage:
        """Reads one page of slots, in the order in which they were first stored.

        Args:
            filter: A condition that every slot meets; see `adamem.filters`.
            namespace: Read from. None: the client's.
            page_size: Most slots of the page, up to 1000. None: 100.
            page_token: `next_page_token` of the page before; the other arguments stay the same.
            include_vectors: Return the slots' vectors too.
            archived: "exclude", "include" or "only": whether archived slots are meant too, or they alone.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.
        """
        request = self._list_slots_request(filter, namespace, page_size, page_token, include_vectors, archived)
        response = self._call(self._memory.ListSlots, request, timeout_s)
        return SlotPage(tuple(slot_from_proto(each) for each in response.slots), response.next_page_token)

    def list_slots(
        self,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        page_size: int | None = None,
        include_vectors: bool = False,
        archived: ArchivedSlots | str = ArchivedSlots.EXCLUDE,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[Slot]:
        """All slots, in the order in which they were first stored, fetched page by page.

        Arguments are those of `list_slots_page`; `timeout_s` limits each page.
        """
        token = ""
        while True:
            page = self.list_slots_page(
                filter=filter,
                namespace=namespace,
                page_size=page_size,
                page_token=token,
                include_vectors=include_vectors,
                archived=archived,
                timeout_s=timeout_s,
            )
            yield from page.slots
            if not (token := page.next_page_token):
                return

    def delete_slots(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        namespace: str | None = None,
        keep_history: bool = False,
        request_id: str | None = None,
        erase: bool = False,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> DeleteResult:
        """Deletes slots by id, or all that pass a filter.

        Args:
            slot_ids: One id or several. Exactly one of `slot_ids` and `filter` is given.
            filter: As in `query`; an empty one is refused, for it would delete everything.
            namespace: Deleted from. None: the client's.
            keep_history: Keep them for `history.restore`, until they expire; not with `erase`. Else their history goes
                too, but for what snapshots hold.
            request_id: As in `update`.
            erase: Wait until no byte of the slots is left in the files of the data directory: a pass over all of it,
                some seconds for a gigabyte. The server forgets the requests that stored the slots, so that one that
                is sent again stores them again.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.
        """
        request = self._delete_slots_request(slot_ids, filter, namespace, request_id, erase, keep_history)
        response = self._call(self._memory.DeleteSlots, request, timeout_s)
        return delete_result_from_proto(response)

    def touch_slots(
        self,
        slot_ids: str | Iterable[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        expires_at: datetime | str | None = None,
        ttl_s: float | None = None,
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> TouchResult:
        """Changes when slots expire, by id or all that pass a filter, and nothing else of them.

        With neither `expires_at` nor `ttl_s` each slot that expires does so again after the time to live that it was
        given, else after the namespace's. What has expired stays so. `expires_at` is a datetime with a time zone or RFC
        3339 text, `ttl_s` seconds from now, `math.inf`: never. The other arguments are those of `delete_slots`.
        """
        request = self._touch_slots_request(
            slot_ids, filter=filter, expires_at=expires_at, ttl_s=ttl_s, namespace=namespace, request_id=request_id
        )
        response = self._call(self._memory.TouchSlots, request, timeout_s)
        return TouchResult(response.n_touched, response.n_unchanged, response.n_not_found, response.sequence)

    def feedback(
        self,
        text: str,
        *,
        helped: str | Iterable[str] = (),
        unhelpful: str | Iterable[str] = (),
        namespace: str | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> FeedbackResult:
        """Tells which slots helped with a question and which did not; the namespace learns from it in the background.

        Args:
            text: The question, as it was or would be asked.
            helped: Ids of slots that answer it.
            unhelpful: Ids of slots that were found and do not. At least one id is given in all.
            namespace: Of the slots. None: the client's.
            request_id: As in `update`.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.
        """
        request = self._feedback_request(text, helped, unhelpful, namespace, request_id)
        response = self._call(self._memory.Feedback, request, timeout_s)
        return FeedbackResult(response.n_taught, response.n_not_found)

    def create_namespace(
        self,
        name: str,
        *,
        description: str = "",
        dim: int | None = None,
        metric: Metric | str | None = None,
        index_kind: IndexKind | str | None = None,
        index_params: IndexParams | None = None,
        vector_type: VectorType | str | None = None,
        external_vectors: bool = False,
        duplicates: DuplicatePolicyLike | None = None,
        default_ttl_s: float | None = None,
        history_versions: int | None = None,
        supersede: bool = False,
        consolidation: ConsolidationPolicyLike | None = None,
        archive: ArchivePolicyLike | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Namespace:
        """Creates an empty namespace.

        Args:
            name: 1 to 128 characters of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit.
            description: Free text.
            dim: Dimension of its vectors. None: the encoder's. Another one means that clients supply all vectors.
            metric: How its vectors are compared. None: cosine.
            index_kind: Its vector index: `hnsw`, `qg` (a quantised graph, faster), `qg-compact` (the same in little
                memory), `pq` (product quantisation, smaller), `spiral` (research) or `flat` (exact). None: hnsw.
            index_params: Parameters of the index. None: its defaults.
            vector_type: How its vectors are stored. None: float32.
            external_vectors: Clients supply all vectors, so that text cannot be embedded for it.
            duplicates: What it does with duplicates. None: it stores all.
            default_ttl_s: Seconds after which slots expire that are written without an expiry. None or 0: they do not.
            history_versions: How many former versions of each slot it keeps, 0 to 1000. None: 10.
            supersede: A newer fact or preference takes over from older ones with the same cue, user and agent.
            consolidation: When and how its slots are summed up. None: not by itself.
            archive: Limits of what it keeps found. None: it archives nothing.
            request_id: As in `update`.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            NamespaceExistsError: There is one of this name.
        """
        request = self._create_namespace_request(
            name,
            description=description,
            dim=dim,
            metric=metric,
            index_kind=index_kind,
            index_params=index_params,
            vector_type=vector_type,
            external_vectors=external_vectors,
            duplicates=duplicates,
            default_ttl_s=default_ttl_s,
            history_versions=history_versions,
            supersede=supersede,
            consolidation=consolidation,
            archive=archive,
            request_id=request_id,
        )
        response = self._call(self._admin.CreateNamespace, request, timeout_s)
        return namespace_from_proto(response.namespace)

    def get_namespace(self, name: str | None = None, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> Namespace:
        """Describes one namespace. None: the client's, else the server's default.

        Raises:
            NamespaceNotFoundError: There is no such namespace.
        """
        request = self._get_namespace_request(name)
        response = self._call(self._admin.GetNamespace, request, timeout_s)
        return namespace_from_proto(response.namespace)

    def list_namespaces_page(
        self,
        *,
        prefix: str = "",
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> NamespacePage:
        """Reads one page of namespaces, in the order of their names; at most 1000, 100 by default."""
        request = self._list_namespaces_request(prefix, page_size, page_token)
        response = self._call(self._admin.ListNamespaces, request, timeout_s)
        return NamespacePage(
            tuple(namespace_from_proto(each) for each in response.namespaces), response.next_page_token
        )

    def list_namespaces(
        self,
        *,
        prefix: str = "",
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[Namespace]:
        """All namespaces whose names start with `prefix`, in the order of their names, fetched page by page."""
        token = ""
        while True:
            page = self.list_namespaces_page(prefix=prefix, page_size=page_size, page_token=token, timeout_s=timeout_s)
            yield from page.namespaces
            if not (token := page.next_page_token):
                return

    def update_namespace(
        self,
        name: str,
        *,
        description: str | None = None,
        ef_search: int | None = None,
        ranking: Mapping[str, float] | None = None,
        adapter_enabled: bool | None = None,
        duplicates: DuplicatePolicyLike | None = None,
        default_ttl_s: float | None = None,
        history_versions: int | None = None,
        supersede: bool | None = None,
        consolidation: ConsolidationPolicyLike | None = None,
        archive: ArchivePolicyLike | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Namespace:
        """Changes what is given and leaves the rest. Never retried: the call has no request id.

        Args:
            name: The namespace.
            description: Replaces the description.
            ef_search: Replaces the candidates that a search keeps.
            ranking: Replaces all weights of hybrid ranking; an empty one sets them to the server's.
            adapter_enabled: Turns its adapter and learning on or off.
            duplicates: Changes what it does with duplicates; takes some 0.1 ms a slot when it begins to find them.
            default_ttl_s: Seconds after which slots expire that are written from now on without an expiry; 0: none do.
            history_versions: Replaces how many former versions of each slot it keeps, 0 to 1000.
            supersede: Whether newer facts take over from older ones with the same cue, user and agent.
            consolidation: Changes when and how its slots are summed up.
            archive: Changes its limits of what it keeps found.
            timeout_s: Limit of the call. None: none. Left out: the client's.
        """
        past = (history_versions, supersede, consolidation, archive)
        request = self._update_namespace_request(
            name, description, ef_search, ranking, adapter_enabled, duplicates, default_ttl_s, *past
        )
        response = self._call(self._admin.UpdateNamespace, request, timeout_s)
        return namespace_from_proto(response.namespace)

    def delete_namespace(
        self, name: str, *, erase: bool = False, timeout_s: float | NotGiven | None = NOT_GIVEN
    ) -> DeleteNamespaceResult:
        """Deletes a namespace with all its slots. Never retried: the call has no request id.

        Args:
            name: The namespace.
            erase: Wait until no byte of it is left in the files of the data directory; see `delete_slots`. Else its
                records are removed in the background, and the receipt counts those that are still there.
            timeout_s: Limit of the call. None: none. Left out: the client's.

        Raises:
            NamespaceNotFoundError: There is no such namespace.
        """
        request = self._delete_namespace_request(name, erase)
        response = self._call(self._admin.DeleteNamespace, request, timeout_s)
        return DeleteNamespaceResult(response.n_slots, receipt_from_proto(response.receipt))

    def server_info(self, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> ServerInfo:
        """Describes the server, its encoder and its limits."""
        request = admin_pb.GetServerInfoRequest()
        return server_info_from_proto(self._call(self._admin.GetServerInfo, request, timeout_s))
