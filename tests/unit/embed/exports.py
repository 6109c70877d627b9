"""Small model directories that ONNX Runtime and tokenizers really run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

CLS, SEP, UNKNOWN = 1, 2, 3
N_WORDS = 1000
FIRST_WORD = 4
DIM = 4
TABLE = np.random.default_rng(0).standard_normal((FIRST_WORD + N_WORDS, DIM)).astype(np.float32)
SEGMENTS = np.array([[8, 0, 0, 0], [0, 8, 0, 0]], np.float32)
POSITIONS = np.random.default_rng(1).standard_normal((64, DIM)).astype(np.float32)
PLAIN = ("input_ids", "attention_mask")


def text(*words: int) -> str:
    """The text of these words, whose ids are FIRST_WORD + word."""
    return " ".join(f"w{word}" for word in words)


def write_export(
    directory: Path,
    *,
    graph: str = "model.onnx",
    inputs: Sequence[str] = PLAIN,
    outputs: Sequence[str] = ("token_embeddings",),
    input_type: int = TensorProto.INT64,
    output_type: int = TensorProto.FLOAT,
    tokenizer: Tokenizer | None = None,
    files: Mapping[str, Any] | None = None,
) -> Path:
    """An export whose token vectors are rows of TABLE, plus SEGMENTS and POSITIONS where these are inputs.

    sentence_embedding is twice the largest token vector, pooler_output its negative. `files` are written as JSON.
    """
    for name, content in (files or {}).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    (directory / graph).parent.mkdir(parents=True, exist_ok=True)
    (directory / graph).write_bytes(_graph(inputs, outputs, input_type, output_type).SerializeToString())
    (tokenizer or words_tokenizer()).save(str(directory / "tokenizer.json"))
    return directory


def words_tokenizer(template: str | None = "[CLS] $A [SEP]") -> Tokenizer:
    """Words as tokens, control characters as none; `template` says which special tokens are added."""
    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(N_WORDS))]
    tokenizer = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, "[UNK]"))
    return _prepared(tokenizer, template)


def letters_tokenizer() -> Tokenizer:
    """The letters x and y as tokens 4 and 5; everything else is none."""
    return _prepared(Tokenizer(BPE({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "x": 4, "y": 5}, [])), "[CLS] $A [SEP]")


def _prepared(tokenizer: Tokenizer, template: str | None) -> Tokenizer:
    tokenizer.normalizer = BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    if template:
        tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)])
    return tokenizer


def _graph(inputs: Sequence[str], outputs: Sequence[str], input_type: int, output_type: int) -> onnx.ModelProto:
    tables = {"input_ids": TABLE, "token_type_ids": SEGMENTS, "position_ids": POSITIONS}
    nodes, constants, summed = [], [], ""
    for name in (name for name in inputs if name in tables):
        constants.append(numpy_helper.from_array(tables[name], f"{name}.table"))
        nodes.append(helper.make_node("Gather", [f"{name}.table", name], [f"{name}.rows"]))
        if summed:
            nodes.append(helper.make_node("Add", [summed, f"{name}.rows"], [f"{name}.sum"]))
        summed = f"{name}.sum" if summed else f"{name}.rows"
    nodes.append(helper.make_node("ReduceMax", [summed], ["largest"], axes=[1], keepdims=0))
    nodes.append(helper.make_node("Add", ["largest", "largest"], ["double"]))
    nodes.append(helper.make_node("Neg", ["double"], ["negative"]))
    nodes.append(helper.make_node("ReduceMax", ["largest"], ["single"], axes=[1], keepdims=0))
    sources = {"sentence_embedding": "double", "pooler_output": "negative", "one_axis": "single"}
    axes = {"sentence_embedding": 2, "pooler_output": 2, "one_axis": 1}
    for name in outputs:
        nodes.append(helper.make_node("Cast", [sources.get(name, summed)], [name], to=output_type))
    shape = ["texts", "tokens", DIM]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info(name, input_type, shape[:2]) for name in inputs],
            [helper.make_tensor_value_info(name, output_type, [None] * axes.get(name, 3)) for name in outputs],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
