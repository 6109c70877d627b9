"""A small cross-encoder that ONNX Runtime and tokenizers really run."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tests.unit.embed.exports import CLS, FIRST_WORD, N_WORDS, SEP, words_tokenizer


def write_cross_encoder(directory: Path, *, n_columns: int = 1) -> Path:
    """An export that gives a pair the sum of its second text's word numbers: `text(3, 4)` has 7.

    With two columns the first is 100; with three it is no cross-encoder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    table = np.zeros((FIRST_WORD + N_WORDS, 1), np.float32)
    table[FIRST_WORD:, 0] = np.arange(N_WORDS)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["values"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["types", "last"], ["second"]),
        helper.make_node("Mul", ["values", "second"], ["of_second"]),
        helper.make_node("ReduceSum", ["of_second", "tokens"], ["sums"], keepdims=0),
        helper.make_node("Mul", ["sums", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "hundred"], ["hundreds"]),
        helper.make_node("Concat", [*["hundreds"] * (n_columns - 1), "sums"], ["logits"], axis=1),
    ]
    constants = {
        "table": table,
        "last": np.array([-1], np.int64),
        "tokens": np.array([1], np.int64),
        "none": np.zeros(1, np.float32),
        "hundred": np.full(1, 100, np.float32),
    }
    names = ("input_ids", "attention_mask", "token_type_ids")
    graph = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "length"]) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pairs", n_columns])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    tokenizer: Tokenizer = words_tokenizer(None)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory
