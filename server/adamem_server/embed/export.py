"""What all ONNX exports in a directory have in common: files, inputs, the window, how a session runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import onnxruntime as ort

from adamem_server.errors import ModelError, ModelFileMissingError

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
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_INPUT_TYPES: Final[dict[str, type[np.signedinteger[Any]]]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_DEFAULT_WINDOW: Final = 512
# Models whose first position is behind that of the padding token.
_SHIFTED_POSITIONS: Final = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"})

_T = TypeVar("_T", dict[str, Any], list[Any])


def first_file(directory: Path, names: Sequence[str]) -> Path:
    """The first of some files that is there.

    Raises:
        ModelFileMissingError: None is.
    """
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise ModelFileMissingError(
        f"the model directory {directory} lacks {names[0]} (looked for {', '.join(names)})",
        path=str(directory),
        missing=names[0],
    )


def read_json(path: Path, default: _T) -> _T:
    """What a file holds, of the type of `default`, which stands for a file that is not there."""
    if not path.is_file():
        return default
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unusable(path, error) from error
    if not isinstance(value, type(default)):
        raise unusable(path, f"it holds JSON, but not a {type(default).__name__}")
    return value


def unusable(path: Path, problem: object) -> ModelError:
    """The error for a file that is there and cannot be used."""
    return ModelError(f"cannot use {path}: {problem}", path=str(path))


def session_inputs(session: ort.InferenceSession, model_file: Path) -> dict[str, type[np.signedinteger[Any]]]:
    """The graph's inputs and their types."""
    inputs = {}
    for tensor in session.get_inputs():
        if tensor.name not in INPUTS or tensor.type not in _INPUT_TYPES:
            raise unusable(model_file, f"it asks for an input {tensor.name!r}, {tensor.type}, which is not known here")
        inputs[tensor.name] = _INPUT_TYPES[tensor.type]
    return inputs


def session_options() -> ort.SessionOptions:
    """A session that runs on the calling thread alone."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI, the fast products of uint8 by int8 overflow on x64: take the ones that do not.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def window_tokens(directory: Path) -> int:
    """Tokens of a window: what the export states, within what the model has positions for."""
    config = read_json(directory / "config.json", {})
    positions = _size(config.get("max_position_embeddings"))
    if positions and config.get("model_type") in _SHIFTED_POSITIONS:
        positions -= (config.get("pad_token_id") or 1) + 1
    stated = _size(read_json(directory / "sentence_bert_config.json", {}).get("max_seq_length"))
    stated = stated or _size(read_json(directory / "tokenizer_config.json", {}).get("model_max_length"))
    return min(filter(None, (stated, positions)), default=_DEFAULT_WINDOW)


def _size(value: object) -> int | None:
    # tokenizer_config.json holds 1e30 where nobody said.
    return int(value) if isinstance(value, int | float) and 8 <= value <= 1 << 20 else None
