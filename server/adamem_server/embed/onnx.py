"""A sentence-transformers style ONNX export in a directory, run by ONNX Runtime on the CPU.

A text longer than the model's window is split into windows that overlap by `OVERLAP_TOKENS`; its vector is the mean of
the windows' vectors weighted by their tokens. Each call runs on the calling thread alone, so throughput comes from
calling from several threads.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from adamem_server.embed.base import EmbedRole, ModelInfo, Window
from adamem_server.errors import ModelError, ModelFileMissingError
from adamem_server.types import FloatVector

OVERLAP_TOKENS: Final = 16
# The first one that exists is taken: the export's own choice, then its quantised variants, the smallest first.
MODEL_FILES: Final = (
    "model.onnx",
    "onnx/model_qint8_avx512_vnni.onnx",
    "onnx/model_quantized.onnx",
    "onnx/model_int8.onnx",
    "onnx/model_O2.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
)
_DEFAULT_WINDOW: Final = 512
_FAMILY_PROMPTS: Final = (
    ("e5", ("query: ", "passage: ")),
    ("bge", ("Represent this sentence for searching relevant passages: ", "")),
)

_Pool = Callable[[NDArray[np.float32], NDArray[np.int64]], FloatVector]


class OnnxEmbedder:
    """A model directory, loaded.

    Args:
        directory: The export.
        name: The name under which the vectors are stamped.

    Raises:
        ModelFileMissingError: A file that is needed is not there.
        ModelError: A file is there and cannot be used.
    """

    def __init__(self, directory: Path, name: str) -> None:
        model_file = _first(directory, MODEL_FILES)
        tokenizer_file = _first(directory, ("tokenizer.json",))
        modules = _json(directory / "modules.json", [])
        pooling = _json(directory / "1_Pooling" / "config.json", {})
        query_prompt, document_prompt = _prompts(directory, name)
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            self._session = ort.InferenceSession(str(model_file), _options(), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"cannot load the model in {directory}: {error}", path=str(directory)) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._head, self._tail = _special_tokens(self._tokenizer)
        self._inputs = {tensor.name for tensor in self._session.get_inputs()}
        kind = _pooling_kind(pooling)
        self._pool = _POOLS[kind]
        max_tokens = _window(directory)
        self._body = max_tokens - len(self._head) - len(self._tail)
        dim = self.run(self._windows(self._tokenizer.encode("a", add_special_tokens=False).ids)).shape[1]
        self.info = ModelInfo(
            name=name,
            fingerprint=_fingerprint(model_file, tokenizer_file, kind, max_tokens, query_prompt, document_prompt),
            dim=dim,
            max_tokens=max_tokens,
            pooling=kind,
            normalized=not modules or any(module.get("type", "").endswith("Normalize") for module in modules),
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )

    def tokenize(self, texts: Sequence[str], role: EmbedRole) -> list[list[Window]]:
        """See `Embedder.tokenize`."""
        prompt = self.info.query_prompt if role is EmbedRole.QUERY else self.info.document_prompt
        encodings = self._tokenizer.encode_batch([prompt + text for text in texts], add_special_tokens=False)
        return [self._windows(encoding.ids) for encoding in encodings]

    def run(self, windows: Sequence[Window]) -> FloatVector:
        """See `Embedder.run`. Cost: one model call over n windows of the longest one's length."""
        length = max(len(window.ids) for window in windows)
        ids = np.zeros((len(windows), length), np.int64)
        mask = np.zeros((len(windows), length), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        feeds: dict[str, NDArray[np.int64]] = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            feeds["token_type_ids"] = np.zeros_like(ids)
        if "position_ids" in self._inputs:
            feeds["position_ids"] = np.broadcast_to(np.arange(length, dtype=np.int64), ids.shape)
        output = self._session.run(None, {name: feeds[name] for name in self._inputs})[0]
        return output if output.ndim == 2 else self._pool(output, mask)

    def _windows(self, ids: list[int]) -> list[Window]:
        step = max(1, self._body - OVERLAP_TOKENS)
        starts = range(0, max(1, len(ids) - OVERLAP_TOKENS), step) if len(ids) > self._body else (0,)
        return [Window(self._with_special(ids[start : start + self._body])) for start in starts]

    def _with_special(self, ids: list[int]) -> NDArray[np.int64]:
        return np.array([*self._head, *ids, *self._tail], np.int64)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """What the tokenizer's template puts before and behind a text."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    at = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    return full[:at], full[at + len(bare) :]


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI, the fast products of uint8 by int8 overflow on x64: take the ones that do not.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _mean(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:
    weights = mask.astype(np.float32)
    total = np.matmul(weights[:, None, :], tokens)[:, 0]
    return np.asarray(total / weights.sum(axis=1, keepdims=True), np.float32)


def _cls(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:  # noqa: ARG001 - one shape for all
    return np.ascontiguousarray(tokens[:, 0])


def _last(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:
    return np.ascontiguousarray(tokens[np.arange(len(tokens)), mask.sum(axis=1) - 1])


_POOLS: Final[dict[str, _Pool]] = {"mean": _mean, "cls": _cls, "lasttoken": _last}


def _pooling_kind(config: dict[str, Any]) -> str:
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if not chosen:
        return "mean"
    kind = chosen[0].removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
    kind = {"mean": "mean", "cls": "cls", "last": "lasttoken", "lasttoken": "lasttoken"}.get(kind, kind)
    if len(chosen) > 1 or kind not in _POOLS:
        raise ModelError(f"pooling {', '.join(chosen)} is not supported; one of {', '.join(_POOLS)} is")
    return kind


def _window(directory: Path) -> int:
    found = [
        _json(directory / "sentence_bert_config.json", {}).get("max_seq_length"),
        _json(directory / "tokenizer_config.json", {}).get("model_max_length"),
        _json(directory / "config.json", {}).get("max_position_embeddings"),
    ]
    # tokenizer_config.json holds 1e30 where nobody said.
    return next((int(size) for size in found if size and 8 <= size <= 1 << 20), _DEFAULT_WINDOW)


def _prompts(directory: Path, name: str) -> tuple[str, str]:
    prompts = _json(directory / "config_sentence_transformers.json", {}).get("prompts") or {}
    if prompts:
        return prompts.get("query", ""), prompts.get("document", prompts.get("passage", ""))
    short = name.rsplit("/", 1)[-1].lower()
    for family, pair in _FAMILY_PROMPTS:
        if family in short.split("-"):
            return pair
    return "", ""


def _first(directory: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise ModelFileMissingError(
        f"the model directory {directory} lacks {names[0]} (looked for {', '.join(names)})",
        path=str(directory),
        missing=names[0],
    )


def _json(path: Path, default: Any) -> Any:
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}", path=str(path)) from error


def _fingerprint(model_file: Path, tokenizer_file: Path, *settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    data = sorted(model_file.parent.glob(f"{model_file.name}*data*"))
    for path in (model_file, tokenizer_file, *data):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
