"""What a slot's cue teaches: the question that stands beside an answer is a pair to learn from."""

from adamem_server.memory.columns import SlotChange
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.teaching import pairs_of, read_pair, teach, unteach
from adamem_server.types import TaughtPair


def teach_cue(batch: WriteBatch, number: int, change: SlotChange, now: int) -> None:
    """Keep the pairs of a namespace up to a stored slot's cue; the pair gets its vector later, in the background."""
    before = "" if change.before is None else change.before.cue
    after = "" if change.after is None else change.after.cue
    if before == after:
        return
    for pair in pairs_of(batch, number, change.row) if before else ():
        stored = read_pair(batch, number, pair)
        if stored is not None and stored.is_cue:
            unteach(batch, number, pair)
    if after.strip():
        teach(batch, number, TaughtPair(query=after, helped=(change.row,), unhelpful=(), time=now, is_cue=True))
