"""A sentence-transformers style ONNX export in a directory, run by ONNX Runtime on the CPU.

A text longer than the model's window is split into windows that overlap by `OVERLAP_TOKENS`; its vector is the mean of
the windows' vectors weighted by their tokens. Each call runs on the calling thread alone, so throughput comes from
calling from several threads.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from adamem_server.embed.base import EmbedRole, ModelInfo, Window
from adamem_server.embed.export import (
    INPUTS,
    MODEL_FILES,
    first_file,
    read_json,
    session_inputs,
    session_options,
    unusable,
    window_tokens,
)
from adamem_server.types import FloatVector

OVERLAP_TOKENS: Final = 16
# Of several outputs the first of these is taken, else the export's first: the one before them all is pooled by the
# graph, which then also holds what follows pooling; pooler_output is what a model was pre-trained with, not for search.
_OUTPUTS: Final = ("sentence_embedding", "token_embeddings", "last_hidden_state")
_GRAPH_POOLS: Final = "none"
# Layers behind the encoder that only a graph with a pooled output holds.
_LAYERS: Final = frozenset({"CNN", "Dense", "LSTM", "LayerNorm"})
_DOCUMENT_PROMPTS: Final = ("document", "passage", "corpus")
# From the model cards, for exports that state none: words of the name, prompts. BGE-M3 takes none.
_FAMILY_PROMPTS: Final = (
    (
        {"e5", "instruct"},
        ("Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ", ""),
    ),
    ({"e5"}, ("query: ", "passage: ")),
    ({"bge", "en"}, ("Represent this sentence for searching relevant passages: ", "")),
    ({"bge", "zh"}, ("为这个句子生成表示以用于检索相关文章：", "")),  # noqa: RUF001 - as it was trained
)

# An id that no vocabulary has.
_NO_TOKEN: Final = (1 << 32) - 1

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
        model_file = first_file(directory, MODEL_FILES)
        tokenizer_file = first_file(directory, ("tokenizer.json",))
        query_prompt, document_prompt = _prompts(directory, name)
        max_tokens = window_tokens(directory)
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:
            raise unusable(tokenizer_file, error) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._head, self._tail = _special_tokens(self._tokenizer)
        self._body = max_tokens - len(self._head) - len(self._tail)
        if self._body < 1:
            raise unusable(tokenizer_file, f"its special tokens alone fill the window of {max_tokens}")
        try:
            self._session = ort.InferenceSession(str(model_file), session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise unusable(model_file, error) from error
        self._inputs = session_inputs(self._session, model_file)
        outputs = [tensor.name for tensor in self._session.get_outputs()]
        self._output = next((output for output in _OUTPUTS if output in outputs), outputs[0])
        try:
            output, _ = self._call(self._windows([]))
        except Exception as error:
            raise unusable(model_file, error) from error
        if output.ndim not in {2, 3}:
            raise unusable(model_file, f"its output {self._output} has {output.ndim} axes, not 2 or 3")
        kind = _GRAPH_POOLS if output.ndim == 2 else _pooling(directory)
        self._pool = _POOLS.get(kind, _pooled)
        self.info = ModelInfo(
            name=name,
            fingerprint=_fingerprint(model_file, tokenizer_file, kind, max_tokens, query_prompt, document_prompt),
            dim=output.shape[-1],
            max_tokens=max_tokens,
            pooling=kind,
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
        return self._pool(*self._call(windows))

    def _call(self, windows: Sequence[Window]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The graph's output for windows, and their attention mask, int64 [n, length]."""
        length = max(len(window.ids) for window in windows)
        ids = np.zeros((len(windows), length), np.int64)
        mask = np.zeros((len(windows), length), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        positions = np.broadcast_to(np.arange(length, dtype=np.int64), ids.shape)
        feeds = dict(zip(INPUTS, (ids, mask, np.zeros_like(ids), positions), strict=True))
        inputs = {name: feeds[name].astype(kind, copy=False) for name, kind in self._inputs.items()}
        return np.asarray(self._session.run([self._output], inputs)[0], np.float32), mask

    def _windows(self, ids: list[int]) -> list[Window]:
        if not (ids or self._head or self._tail):
            # A text without any token, as padding: models take no window of length zero.
            ids = [0]
        overlap = min(OVERLAP_TOKENS, self._body // 2)
        starts = range(0, len(ids) - overlap, self._body - overlap) if len(ids) > self._body else (0,)
        return [Window(self._with_special(ids[start : start + self._body])) for start in starts]

    def _with_special(self, ids: list[int]) -> NDArray[np.int64]:
        return np.array([*self._head, *ids, *self._tail], np.int64)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """What the tokenizer's template puts before and behind a text, whatever its vocabulary."""
    text = Tokenizer(WordLevel({"text": _NO_TOKEN}, "text")).encode("text")
    ids = tokenizer.post_process(text).ids
    at = ids.index(_NO_TOKEN)
    return ids[:at], ids[at + 1 :]


def _mean(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:
    weights = mask.astype(np.float32)
    total = np.matmul(weights[:, None, :], tokens)[:, 0]
    return np.asarray(total / weights.sum(axis=1, keepdims=True), np.float32)


def _cls(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:  # noqa: ARG001 - one shape for all
    return np.ascontiguousarray(tokens[:, 0])


def _last(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:
    return np.ascontiguousarray(tokens[np.arange(len(tokens)), mask.sum(axis=1) - 1])


def _pooled(texts: NDArray[np.float32], mask: NDArray[np.int64]) -> FloatVector:  # noqa: ARG001 - one shape for all
    return texts


_POOLS: Final[dict[str, _Pool]] = {"mean": _mean, "cls": _cls, "lasttoken": _last}


def _pooling(directory: Path) -> str:
    """How a text's vector is made of those of its tokens: a key of `_POOLS`."""
    modules = read_json(directory / "modules.json", [])
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
        if kind in _LAYERS:
            raise unusable(directory / "modules.json", f"the export leaves out the layer {kind}")
    path = directory / "1_Pooling" / "config.json"
    config = read_json(path, {})
    keys = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    flags = [key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for key in keys]
    # Sentence Transformers 5.4 replaced the flags by one name or a list of names.
    named = config.get("pooling_mode", flags or "mean")
    modes = [str(mode) for mode in (named if isinstance(named, list) else [named])]
    if len(modes) != 1 or modes[0] not in _POOLS:
        raise unusable(path, f"pooling {', '.join(modes)} is not supported; one of {', '.join(_POOLS)} is")
    return modes[0]


def _prompts(directory: Path, name: str) -> tuple[str, str]:
    """What is put before a query and before a document."""
    path = directory / "config_sentence_transformers.json"
    config = read_json(path, {})
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise unusable(path, "prompts is not an object of strings")
    default = str(prompts.get(config.get("default_prompt_name"), ""))
    query = str(prompts.get("query", default))
    documents = [str(prompts[key]) for key in _DOCUMENT_PROMPTS if key in prompts] or [default]
    document = next(filter(None, documents), "")
    if query or document:
        return query, document
    words = set(re.split(r"[^a-z0-9]+", name.rpartition("/")[2].lower()))
    return next((pair for family, pair in _FAMILY_PROMPTS if family <= words), ("", ""))


def _fingerprint(model_file: Path, tokenizer_file: Path, *settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    data = sorted(model_file.parent.glob(f"{model_file.name}*data*"))
    for path in (model_file, tokenizer_file, *data):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
