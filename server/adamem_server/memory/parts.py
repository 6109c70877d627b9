"""What the engine owns and lends to the room above it, which works on the same store through the same writer."""

from collections.abc import Callable
from dataclasses import dataclass

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.encoders import Encoders
from adamem_server.memory.learning import Learner
from adamem_server.memory.maintenance import Maintenance
from adamem_server.memory.pacing import Activity
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.writer import Writer
from adamem_server.store.slot_store import SlotStore


@dataclass(frozen=True, slots=True)
class EngineParts:
    """The parts of an open engine; whoever uses them stops before the engine is closed. `now` in microseconds."""

    store: SlotStore
    writer: Writer
    registry: ShardRegistry
    encoder: EmbedBatcher
    activity: Activity
    maintenance: Maintenance
    learner: Learner
    now: Callable[[], int]
    encoders: Encoders
