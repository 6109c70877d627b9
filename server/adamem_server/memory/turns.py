# ruff: noqa: RUF001 - an apostrophe of names
"""What the ranking must know of each slot besides words and vector.

That is: where it stands in which conversation, when it was made, who said it, whether it asks, and how it looks. Arrays
by place, in the order of rows, built by one pass over the slots when a hybrid query first needs them and kept by the
writer after that. Cost: some 40 bytes a slot; a query pays for its candidates alone.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adamem_server.memory.columns import SlotChange
from adamem_server.memory.ranking import NO_CONVERSATION, Bools, Floats, Ints
from adamem_server.memory.traits import traits_of
from adamem_server.types import Slot

Rows: TypeAlias = NDArray[np.uint64]

_NOBODY: Final = -1
# Whom a query names in a conversation where it names nobody, or several.
_UNNAMED: Final = -2
_FIRST: Final = 16
# What a table takes before it holds a row: its own objects and those of its arrays.
_TABLE_BYTES: Final = 2_000
# Roles that say what somebody is, not who.
_ROLES: Final = frozenset({"user", "assistant", "system", "tool", "human", "ai", "bot", "agent", "model", "function"})
_SPEAKER: Final = re.compile(r"\s*([^\W\d_][\w .'’-]{0,39}):\s")
# A caption or a greeting may follow the question.
_QUESTION_END: Final = 60


def speaker_of(slot: Slot) -> str:
    """Who said it, or whom it is about; "" for nobody.

    The role where it is a name; else the name that a turn begins with ("Ann: ..."), outside of conversations the user.
    """
    if slot.role and slot.role.casefold() not in _ROLES:
        return slot.role.casefold()
    if not slot.scope.conversation_id:
        return slot.scope.user_id.casefold()
    found = _SPEAKER.match(slot.content)
    return found[1].strip().casefold() if found else ""


def is_question(text: str) -> bool:
    """Whether a text ends with a question, up to a few words."""
    return "?" in text[-_QUESTION_END:]


def distinct(rows: Rows) -> Rows:
    """Each row once, in order; as np.unique, which takes ten times as long for thousands of them."""
    ordered = np.sort(rows)
    if len(ordered) == 0:
        return ordered
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]


@dataclass(frozen=True, slots=True)
class Turns:
    """What is known of some rows, as `ranking.Candidates` wants it; arrays of one length."""

    conversation: Ints
    position: Ints
    created_at_us: Ints
    importance: Floats
    speaker: Bools
    question: Bools
    traits: NDArray[np.uint16]

    @classmethod
    def nothing(cls, n: int) -> "Turns":
        """Of rows of which nothing is to be known."""
        none, never = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        no_traits = np.zeros(n, np.uint16)
        return cls(np.full(n, NO_CONVERSATION, np.int64), none, none, np.zeros(n, np.float32), never, never, no_traits)


class _Conversation:
    """Its places in order, and who speaks in it; both are put right before they are read, see `_Table.settle`."""

    __slots__ = ("places", "speakers")

    def __init__(self) -> None:
        self.places = array("I")
        self.speakers: set[int] = set()


class _Table:
    """The arrays; not thread-safe. `terms` are the words of a speaker's name as queries have them."""

    def __init__(self, terms: Callable[[str], Iterable[str]]) -> None:
        self.terms = terms
        self.n = 0
        self.n_live = 0
        self.rows = np.empty(0, np.uint64)
        self.live = np.empty(0, np.bool_)
        self.conversation = np.empty(0, np.int64)
        self.position = np.empty(0, np.int64)
        self.created_at_us = np.empty(0, np.int64)
        self.importance = np.empty(0, np.float32)
        self.speaker = np.empty(0, np.int64)
        self.question = np.empty(0, np.bool_)
        self.traits = np.empty(0, np.uint16)
        self.conversations: list[_Conversation] = []
        self._codes: dict[tuple[str, str, str], int] = {}
        self.speakers: dict[str, int] = {}
        self.speakers_by_term: dict[str, set[int]] = {}
        # Conversations that lost a turn or a speaker, or got a turn out of order.
        self._unsettled: set[int] = set()

    def put(self, row: int, slot: Slot) -> None:
        place = self._place(row)
        before = int(self.conversation[place])
        conversation = self._conversation(slot)
        speaker = self._speaker(speaker_of(slot))
        if before != NO_CONVERSATION and (before, self.speaker[place]) != (conversation, speaker):
            self._unsettled.add(before)
        self.n_live += not self.live[place]
        self.live[place] = True
        self.created_at_us[place] = slot.created_at
        self.importance[place] = slot.importance
        self.speaker[place] = speaker
        self.question[place] = is_question(slot.content)
        self.traits[place] = traits_of(slot.content)
        if conversation != before:
            self._join(conversation, place)
        if conversation != NO_CONVERSATION and speaker != _NOBODY:
            self.conversations[conversation].speakers.add(speaker)

    def remove(self, row: int) -> None:
        place = self.find(np.array([row], np.uint64))[0]
        if place >= 0:
            self.live[place] = False
            self.n_live -= 1
            if (code := int(self.conversation[place])) != NO_CONVERSATION:
                self.conversation[place] = NO_CONVERSATION
                self._unsettled.add(code)

    def settle(self) -> None:
        """Puts conversations right after changes: what is gone leaves no gap, as if it had never been there.

        Cost: O(turns) of those conversations, vectorised; nothing for turns that were only appended.
        """
        for code in self._unsettled:
            conversation = self.conversations[code]
            places = np.array(conversation.places, np.int64)
            places = places[self.conversation[places] == code]
            if (np.diff(places) <= 0).any():
                # Sorted by hand: np.unique takes many times as long, and turns mostly come in order.
                places = np.sort(places)
                places = places[np.diff(places, prepend=-1) > 0]
            conversation.places = array("I", places.astype(np.uint32).tobytes())
            conversation.speakers = set(np.unique(self.speaker[places]).tolist()) - {_NOBODY}
            self.position[places] = np.arange(len(places))
        self._unsettled.clear()

    def find(self, rows: Rows) -> Ints:
        """The places of rows, -1 for those that are not there."""
        places = np.searchsorted(self.rows[: self.n], rows)
        inside = np.minimum(places, max(self.n - 1, 0))
        if self.n == 0:
            return np.full(len(rows), -1, np.int64)
        known = (self.rows[inside] == rows) & self.live[inside]
        return np.where(known, inside, -1).astype(np.int64)

    def _place(self, row: int) -> int:
        if self.n and row <= int(self.rows[self.n - 1]):
            place = int(np.searchsorted(self.rows[: self.n], row))
            if int(self.rows[place]) == row:
                return place
            self._insert(place)
        else:
            place = self.n
            if self.n == len(self.rows):
                self._grow()
        self.n += 1
        self.rows[place] = row
        self.live[place] = False
        self.conversation[place] = NO_CONVERSATION
        return place

    def _arrays(self) -> Iterable[str]:
        return (
            "rows",
            "live",
            "conversation",
            "position",
            "created_at_us",
            "importance",
            "speaker",
            "question",
            "traits",
        )

    def _grow(self) -> None:
        size = max(_FIRST, self.n + self.n // 2)
        for name in self._arrays():
            grown = np.empty(size, getattr(self, name).dtype)
            grown[: self.n] = getattr(self, name)[: self.n]
            setattr(self, name, grown)

    def _insert(self, place: int) -> None:
        """Makes room before a place: for a row that was left out because it was gone, and is there again."""
        if self.n == len(self.rows):
            self._grow()
        for name in self._arrays():
            values = getattr(self, name)
            values[place + 1 : self.n + 1] = values[place : self.n].copy()
        for conversation in self.conversations:
            moved = (other + (other >= place) for other in conversation.places)
            conversation.places = array("I", moved)

    def _speaker(self, name: str) -> int:
        if not name:
            return _NOBODY
        code = self.speakers.setdefault(name, len(self.speakers))
        if code == len(self.speakers) - 1:
            for term in self.terms(name):
                self.speakers_by_term.setdefault(term, set()).add(code)
        return code

    def _conversation(self, slot: Slot) -> int:
        scope = slot.scope
        # A summary of turns is none itself.
        if not scope.conversation_id or slot.sources:
            return NO_CONVERSATION
        key = (scope.conversation_id, scope.user_id, scope.agent_id)
        code = self._codes.setdefault(key, len(self.conversations))
        if code == len(self.conversations):
            self.conversations.append(_Conversation())
        return code

    def _join(self, code: int, place: int) -> None:
        self.conversation[place] = code
        self.position[place] = 0
        if code == NO_CONVERSATION:
            return
        places = self.conversations[code].places
        if places and places[-1] >= place:
            self._unsettled.add(code)
        self.position[place] = len(places)
        places.append(place)


class TurnTable:
    """The turns of one shard. Thread-safe; the writer calls `apply`, queries the others.

    Args:
        scan: Gives all (row, slot) of the namespace as stored now, in the order of rows.
        terms: The words of a name, as queries have them.
    """

    def __init__(self, scan: Callable[[], Iterable[tuple[int, Slot]]], terms: Callable[[str], Iterable[str]]) -> None:
        self._scan = scan
        self._terms = terms
        self._lock = Condition()
        self._table: _Table | None = None
        self._building = False
        self._wanted = False
        self._missed: list[SlotChange] = []

    def is_ready(self) -> bool:
        """Whether the slots were read; if not, `prepare` will do that, unless another question comes first."""
        with self._lock:
            self._wanted = True
            return self._table is not None

    def prepare(self) -> None:
        """Read the slots if somebody has asked whether that was done. Cost: some 15 microseconds a turn."""
        with self._lock:
            if self._wanted and self._table is None:
                self._built()

    def apply(self, changes: Sequence[SlotChange]) -> None:
        """Bring the table up to a write."""
        with self._lock:
            if self._building:
                self._missed.extend(changes)
            elif self._table is not None:
                self._table = _applied(self._table, changes)

    def around(self, rows: Rows, reach: int) -> Rows:
        """The live rows up to `reach` places before and after some rows in their conversations, and those rows."""
        with self._lock:
            table = self._built()
            found: set[int] = set()
            places = table.find(rows)
            for place in places[places >= 0].tolist():
                code = table.conversation[place]
                if code == NO_CONVERSATION:
                    found.add(place)
                else:
                    position = int(table.position[place])
                    found.update(table.conversations[code].places[max(position - reach, 0) : position + reach + 1])
            near = np.fromiter(found, np.int64, len(found))
            return np.sort(table.rows[near[table.live[near]]])

    def describe(self, rows: Rows, query_terms: Iterable[str]) -> Turns:
        """What is known of rows, zeros for one that is gone.

        A speaker counts as named where the query names exactly one of those who speak in the conversation, outside of
        conversations exactly one of all.
        """
        with self._lock:
            table = self._built()
            if table.n == 0:
                return Turns.nothing(len(rows))
            places = table.find(rows)
            gone = places < 0
            conversation = np.where(gone, NO_CONVERSATION, table.conversation[places])
            speaker = np.where(gone, _NOBODY, table.speaker[places])
            named = {code for term in query_terms for code in table.speakers_by_term.get(term, ())}
            is_named = np.zeros(len(rows), np.bool_)
            if named:
                codes, inverse = np.unique(conversation, return_inverse=True)
                who = np.full(len(codes), _UNNAMED, np.int64)
                for i, code in enumerate(codes.tolist()):
                    spoken = named if code == NO_CONVERSATION else named & table.conversations[code].speakers
                    if len(spoken) == 1:
                        (who[i],) = spoken
                is_named = speaker == who[inverse]
            return Turns(
                conversation,
                np.where(gone, 0, table.position[places]),
                np.where(gone, 0, table.created_at_us[places]),
                np.where(gone, 0, table.importance[places]).astype(np.float32),
                is_named,
                np.where(gone, False, table.question[places]),
                np.where(gone, 0, table.traits[places]).astype(np.uint16),
            )

    def created_within(self, ranges: Sequence[tuple[int, int]]) -> Rows:
        """The live rows created in one of the ranges [start, end), microseconds. Cost: O(n) vectorised."""
        with self._lock:
            table = self._built()
            created = table.created_at_us[: table.n]
            inside = np.zeros(table.n, np.bool_)
            for start, end in ranges:
                inside |= (created >= start) & (created < end)
            return table.rows[: table.n][inside & table.live[: table.n]]

    def memory_bytes(self) -> int:
        """An estimate of the memory that the table holds."""
        with self._lock:
            table = self._table
            if table is None:
                return 0
            # The arrays, a place in its conversation, and the objects of conversations and speakers, as measured.
            return _TABLE_BYTES + 48 * len(table.rows) + 500 * len(table.conversations) + 600 * len(table.speakers)

    def _built(self) -> _Table:
        """The table; the caller holds the lock, which is given up while the slots are read."""
        while self._building:
            self._lock.wait()
        if self._table is None:
            self._building = True
            try:
                self._lock.release()
                try:
                    table = _Table(self._terms)
                    for row, slot in self._scan():
                        table.put(row, slot)
                finally:
                    self._lock.acquire()
                # Changes made during the scan may or may not be in it: each row's last one settles it.
                self._table = _applied(table, self._missed)
            finally:
                self._building = False
                self._missed = []
                self._lock.notify_all()
        self._table.settle()
        return self._table


def _applied(table: _Table, changes: Sequence[SlotChange]) -> _Table:
    """The table after some changes; a new one where most places were dead."""
    for change in changes:
        if change.after is None:
            table.remove(change.row)
        else:
            table.put(change.row, change.after)
    return _compacted(table) if table.n > 2 * table.n_live + _FIRST else table


def _compacted(table: _Table) -> _Table:
    """The same without the dead places and the conversations that are over."""
    table.settle()
    kept = np.flatnonzero(table.live[: table.n])
    compact = _Table(table.terms)
    for name in table._arrays():
        setattr(compact, name, getattr(table, name)[kept])
    compact.n = compact.n_live = len(kept)
    compact.speakers, compact.speakers_by_term = table.speakers, table.speakers_by_term
    new_place = np.zeros(table.n, np.uint32)
    new_place[kept] = np.arange(len(kept))
    for key, code in table._codes.items():
        conversation = table.conversations[code]
        if conversation.places:
            places = new_place[np.array(conversation.places, np.int64)]
            conversation.places = array("I", places.tobytes())
            compact.conversation[places] = compact._codes[key] = len(compact.conversations)
            compact.conversations.append(conversation)
    return compact
