"""A cross-encoder's ONNX export in a directory: how well a text answers a query, read together.

Source: Nogueira and Cho, "Passage Re-ranking with BERT" (2019). It runs on the calling thread.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from adamem_server.embed.export import (
    INPUTS,
    MODEL_FILES,
    first_file,
    session_inputs,
    session_options,
    unusable,
    window_tokens,
)

_BATCH: Final = 8


class CrossEncoder:
    """A model directory, loaded. Thread-safe.

    Args:
        directory: The export: a graph that gives one number a pair, or two of which the second is for "relevant".

    Raises:
        ModelFileMissingError: A file that is needed is not there.
        ModelError: A file is there and cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        model_file = first_file(directory, MODEL_FILES)
        tokenizer_file = first_file(directory, ("tokenizer.json",))
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            self._tokenizer.no_padding()
            # A query of more than half of the window would leave no room for what it asks for.
            self._tokenizer.enable_truncation(window_tokens(directory), strategy="longest_first")
        except Exception as error:
            raise unusable(tokenizer_file, error) from error
        try:
            self._session = ort.InferenceSession(str(model_file), session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise unusable(model_file, error) from error
        self._inputs = session_inputs(self._session, model_file)
        self._output = self._session.get_outputs()[0].name
        try:
            self._logits(self._tokenizer.encode_batch([("a", "b"), ("a", "b c")]))
        except Exception as error:
            raise unusable(model_file, error) from error

    def score(self, query: str, texts: Sequence[str], deadline_s: float | None = None) -> NDArray[np.float32] | None:
        """How well each text answers, larger is better, unbounded, float32 [n].

        Args:
            query: The question.
            texts: What may answer it; cut where both together do not fit into the window.
            deadline_s: A time.monotonic() value; None for none.

        Returns:
            None when the deadline came first. Cost: a model call for each eight texts.
        """
        encodings = self._tokenizer.encode_batch([(query, text) for text in texts])
        scores = np.zeros(len(texts), np.float32)
        # Texts of like length together, so that little of a call is padding.
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        for start in range(0, len(order), _BATCH):
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None
            batch = order[start : start + _BATCH]
            scores[batch] = self._logits([encodings[i] for i in batch])
        return scores

    def _logits(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        length = max(len(encoding.ids) for encoding in encodings)
        ids, mask, types = (np.zeros((len(encodings), length), np.int64) for _ in range(3))
        for row, encoding in enumerate(encodings):
            n = len(encoding.ids)
            ids[row, :n], mask[row, :n], types[row, :n] = encoding.ids, 1, encoding.type_ids
        positions = np.broadcast_to(np.arange(length, dtype=np.int64), ids.shape)
        feeds = dict(zip(INPUTS, (ids, mask, types, positions), strict=True))
        inputs = {name: feeds[name].astype(kind, copy=False) for name, kind in self._inputs.items()}
        logits = np.asarray(self._session.run([self._output], inputs)[0], np.float32)
        columns = logits.reshape(len(encodings), -1)
        n = columns.shape[1]
        if n not in {1, 2}:
            raise ValueError(f"its output {self._output} has {n} numbers a pair, not one or two")
        return columns[:, 0] if n == 1 else columns[:, 1] - columns[:, 0]
