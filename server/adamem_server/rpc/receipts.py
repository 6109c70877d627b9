"""What a deletion left, as it is sent."""

from adamem.v1 import types_pb2
from adamem_server.receipt_types import DeletionReceipt
from adamem_server.rpc.slots import encode_time


def encode_receipt(receipt: DeletionReceipt) -> types_pb2.DeletionReceipt:
    """A receipt; `erased_at` is left out where bytes may remain."""
    return types_pb2.DeletionReceipt(
        structures=[
            types_pb2.StructureCount(name=each.name, n_before=each.n_before, n_after=each.n_after)
            for each in receipt.structures
        ],
        erased_at=encode_time(receipt.erased_at),
        n_bytes_erased=receipt.n_bytes_erased,
    )
