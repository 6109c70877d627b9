"""What a namespace has learned, as messages."""

from collections.abc import Sequence
from typing import Final

from adamem.v1 import admin_service_pb2 as pb
from adamem_server.rpc.slots import encode_seconds, encode_time
from adamem_server.types import AdapterStatus, AdapterVersion, TrainingOutcome, TrainingReport

_OUTCOMES: Final = {
    TrainingOutcome.PROMOTED: pb.TRAINING_OUTCOME_PROMOTED,
    TrainingOutcome.NOT_BETTER: pb.TRAINING_OUTCOME_NOT_BETTER,
    TrainingOutcome.WITHDRAWN: pb.TRAINING_OUTCOME_WITHDRAWN,
    TrainingOutcome.TOO_FEW_PAIRS: pb.TRAINING_OUTCOME_TOO_FEW_PAIRS,
    TrainingOutcome.FAILED: pb.TRAINING_OUTCOME_FAILED,
}


def encode_status(status: AdapterStatus) -> pb.AdapterStatus:
    """What a namespace has learned."""
    return pb.AdapterStatus(
        namespace=status.namespace,
        enabled=status.enabled,
        version=status.version,
        n_pairs=status.n_pairs,
        n_new_pairs=status.n_new_pairs,
        training=status.training,
        last_training=None if status.last is None else _encode_report(status.last),
        learned_weights=status.learned_weights,
    )


def encode_versions(versions: Sequence[AdapterVersion], serving: int) -> pb.ListAdapterVersionsResponse:
    """The versions that are kept, and which serves."""
    return pb.ListAdapterVersionsResponse(
        versions=[
            pb.AdapterVersion(
                version=each.version,
                created_at=encode_time(each.created_at),
                n_pairs=each.n_pairs,
                rank=each.rank,
                dense_shift=each.dense_shift,
                n_judged=each.n_judged,
                baseline=each.baseline,
                candidate=each.candidate,
                probability=each.probability,
                n_bytes=each.n_bytes,
                serving=each.version == serving,
            )
            for each in versions
        ]
    )


def _encode_report(report: TrainingReport) -> pb.TrainingReport:
    return pb.TrainingReport(
        outcome=_OUTCOMES[report.outcome],
        finished_at=encode_time(report.finished_at),
        duration=encode_seconds(report.duration_s),
        cpu_time=encode_seconds(report.cpu_s),
        n_pairs=report.n_pairs,
        n_judged=report.n_judged,
        baseline=report.baseline,
        candidate=report.candidate,
        probability=report.probability,
        version=report.version,
    )
