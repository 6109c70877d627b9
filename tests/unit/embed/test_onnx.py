"""What is read from an export, and that its vectors are those of its graph."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from adamem_server.embed.base import EmbedRole
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.export import MODEL_FILES
from adamem_server.embed.onnx import OVERLAP_TOKENS, OnnxEmbedder
from adamem_server.errors import ModelError, ModelFileMissingError
from adamem_server.types import FloatVector
from tests.unit.embed.exports import (
    CLS,
    DIM,
    FIRST_WORD,
    PLAIN,
    POSITIONS,
    SEGMENTS,
    SEP,
    TABLE,
    letters_tokenizer,
    text,
    words_tokenizer,
    write_export,
)

POOLING = "1_Pooling/config.json"
PROMPTS = "config_sentence_transformers.json"
BGE_EN = "Represent this sentence for searching relevant passages: "
BGE_ZH = "为这个句子生成表示以用于检索相关文章："
E5_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


def load(directory: Path, name: str = "model") -> OnnxEmbedder:
    return OnnxEmbedder(directory, name)


def ids(*words: int) -> list[int]:
    return [CLS, *(FIRST_WORD + word for word in words), SEP]


def rows(*words: int) -> FloatVector:
    return TABLE[ids(*words)]


def embed(embedder: OnnxEmbedder, *texts: str) -> FloatVector:
    windows = [window for parts in embedder.tokenize(texts, EmbedRole.DOCUMENT) for window in parts]
    assert len(windows) == len(texts)
    return embedder.run(windows)


# --- pooling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (None, "mean"),
        ({}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "include_prompt": True}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_cls_token": False}, "lasttoken"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["lasttoken"]}, "lasttoken"),
    ],
)
def test_pooling_is_read_and_done(folder: Path, config: dict[str, Any] | None, kind: str) -> None:
    embedder = load(write_export(folder, files={} if config is None else {POOLING: config}))
    assert (embedder.info.pooling, embedder.info.dim) == (kind, DIM)
    vectors = embed(embedder, text(1, 2, 3), text(4))
    pool = {"mean": lambda tokens: tokens.mean(axis=0), "cls": lambda tokens: tokens[0], "lasttoken": lambda t: t[-1]}
    expected = np.stack([pool[kind](rows(1, 2, 3)), pool[kind](rows(4))])
    assert np.allclose(vectors, expected, atol=1e-6)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_sqrt_len_tokens": True},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode": "max"},
        {"pooling_mode": "none"},
        {"pooling_mode": ["cls", "mean"]},
    ],
)
def test_other_pooling_is_refused(folder: Path, config: dict[str, Any]) -> None:
    write_export(folder, files={POOLING: config})
    with pytest.raises(ModelError, match=r"1_Pooling/config\.json: pooling .* is not supported; one of mean, cls"):
        load(folder)


def test_layers_behind_pooling_must_be_in_the_graph(folder: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Dense")]
    write_export(folder, files={"modules.json": modules})
    with pytest.raises(ModelError, match=r"modules\.json: the export leaves out the layer Dense"):
        load(folder)
    write_export(folder, outputs=["token_embeddings", "sentence_embedding"])
    assert load(folder).info.pooling == "none"


# --- the graph -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inputs", [["input_ids"], PLAIN, [*PLAIN, "token_type_ids"], [*PLAIN, "position_ids", "token_type_ids"]]
)
@pytest.mark.parametrize("input_type", [TensorProto.INT64, TensorProto.INT32])
def test_inputs(folder: Path, inputs: list[str], input_type: int) -> None:
    embedder = load(write_export(folder, inputs=inputs, input_type=input_type))
    tokens = rows(5, 6, 7)
    if "token_type_ids" in inputs:
        tokens = tokens + SEGMENTS[0]
    if "position_ids" in inputs:
        tokens = tokens + POSITIONS[: len(tokens)]
    assert np.allclose(embed(embedder, text(5, 6, 7), text(8)), [tokens.mean(axis=0), embed(embedder, text(8))[0]])


def test_unknown_inputs_are_refused(folder: Path) -> None:
    write_export(folder, inputs=[*PLAIN, "pixels"])
    with pytest.raises(ModelError, match=r"model\.onnx: it asks for an input 'pixels'"):
        load(folder)


@pytest.mark.parametrize(
    ("outputs", "pooled"),
    [
        (["last_hidden_state"], False),
        (["any_name"], False),
        (["last_hidden_state", "pooler_output"], False),
        (["pooler_output", "last_hidden_state"], False),
        (["token_embeddings", "sentence_embedding"], True),
        (["sentence_embedding"], True),
    ],
)
def test_the_right_output_is_taken(folder: Path, outputs: list[str], pooled: bool) -> None:
    embedder = load(write_export(folder, outputs=outputs))
    tokens = rows(1, 2)
    assert embedder.info.pooling == ("none" if pooled else "mean")
    assert embedder.info.dim == DIM
    assert np.allclose(embed(embedder, text(1, 2)), [2 * tokens.max(axis=0) if pooled else tokens.mean(axis=0)])


def test_half_precision_comes_out_as_single(folder: Path) -> None:
    vectors = embed(load(write_export(folder, output_type=TensorProto.FLOAT16)), text(1, 2))
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, [rows(1, 2).mean(axis=0)], atol=1e-2)


def test_an_output_of_another_shape_is_refused(folder: Path) -> None:
    write_export(folder, outputs=["one_axis"])
    with pytest.raises(ModelError, match=r"model\.onnx: its output one_axis has 1 axes"):
        load(folder)


@pytest.mark.parametrize("graph", MODEL_FILES)
def test_graph_files(folder: Path, graph: str) -> None:
    """Each name is found, and taken before those behind it."""
    for name in MODEL_FILES[MODEL_FILES.index(graph) + 1 :]:
        write_export(folder, graph=name, outputs=["sentence_embedding"])
    embedder = load(write_export(folder, graph=graph))
    assert embedder.info.pooling == "mean"


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "query", "document"),
    [
        ({"prompts": {"query": "q: ", "document": "d: "}}, "q: ", "d: "),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, "q: ", "p: "),
        ({"prompts": {"query": "q: ", "document": "", "passage": "p: "}}, "q: ", "p: "),
        ({"prompts": {"query": "q: ", "corpus": "c: "}, "default_prompt_name": None}, "q: ", "c: "),
        ({"prompts": {"query": "q: "}}, "q: ", ""),
        ({"prompts": {"query": "q: ", "other": "o: "}, "default_prompt_name": "other"}, "q: ", "o: "),
        ({"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": "query"}, "q: ", ""),
        ({"prompts": {"any": "a: "}, "default_prompt_name": "any"}, "a: ", "a: "),
        ({"prompts": {}}, "query: ", "passage: "),
        ({"prompts": {"query": "", "document": ""}, "default_prompt_name": None}, "query: ", "passage: "),
        ({"__version__": {}}, "query: ", "passage: "),
    ],
)
def test_prompts_of_the_export(folder: Path, config: dict[str, Any], query: str, document: str) -> None:
    """Those of the family hold only where the export states none."""
    info = load(write_export(folder, files={PROMPTS: config}), "intfloat/e5-small").info
    assert (info.query_prompt, info.document_prompt) == (query, document)


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("intfloat/multilingual-e5-base", "query: ", "passage: "),
        ("e5-small", "query: ", "passage: "),
        ("Xenova/E5-base-v2", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", E5_INSTRUCT, ""),
        ("bge-small-en-v1.5", BGE_EN, ""),
        ("BAAI/bge-base-en", BGE_EN, ""),
        ("BAAI/bge-large-zh-v1.5", BGE_ZH, ""),
        ("BAAI/bge-m3", "", ""),
        ("all-MiniLM-L6-v2", "", ""),
        ("e5/other", "", ""),
    ],
)
def test_prompts_of_the_family(folder: Path, name: str, query: str, document: str) -> None:
    info = load(write_export(folder), name).info
    assert (info.name, info.query_prompt, info.document_prompt) == (name, query, document)


def test_prompts_stand_before_the_text(folder: Path) -> None:
    embedder = load(write_export(folder, files={PROMPTS: {"prompts": {"query": "w7 ", "document": "w8 w9 "}}}))
    ((query,),) = embedder.tokenize([text(1)], EmbedRole.QUERY)
    ((document,),) = embedder.tokenize([text(1)], EmbedRole.DOCUMENT)
    assert query.ids.tolist() == ids(7, 1)
    assert document.ids.tolist() == ids(8, 9, 1)


# --- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "max_tokens"),
    [
        ({}, 512),
        (
            {"sentence_bert_config.json": {"max_seq_length": 128}, "tokenizer_config.json": {"model_max_length": 64}},
            128,
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": None}, "tokenizer_config.json": {"model_max_length": 64}},
            64,
        ),
        ({"sentence_bert_config.json": {"max_seq_length": 512}, "config.json": {"max_position_embeddings": 256}}, 256),
        ({"tokenizer_config.json": {"model_max_length": 10**30}, "config.json": {"max_position_embeddings": 384}}, 384),
        ({"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        ({"config.json": {"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1}}, 512),
        ({"config.json": {"max_position_embeddings": 514, "model_type": "mpnet"}}, 512),
        ({"config.json": {"max_position_embeddings": 514, "model_type": "bert", "pad_token_id": 0}}, 514),
        ({"sentence_bert_config.json": {"max_seq_length": "many"}}, 512),
    ],
)
def test_window(folder: Path, files: dict[str, Any], max_tokens: int) -> None:
    assert load(write_export(folder, files=files)).info.max_tokens == max_tokens


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, OnnxEmbedder]:
    folder = tmp_path_factory.mktemp("windowed")
    files = {size: {"sentence_bert_config.json": {"max_seq_length": size}} for size in (8, 17, 18, 19, 40)}
    return {size: load(write_export(folder / str(size), files=files[size])) for size in files}


@given(size=st.sampled_from([8, 17, 18, 19, 40]), n_words=st.integers(0, 200) | st.integers(0, 1000))
def test_windows_cover_every_token(windowed: dict[int, OnnxEmbedder], size: int, n_words: int) -> None:
    (windows,) = windowed[size].tokenize([text(*range(n_words))], EmbedRole.DOCUMENT)
    end = 0
    for window in windows:
        assert window.ids.dtype == np.int64
        assert 2 <= len(window.ids) <= size
        words = window.ids[1:-1].tolist()
        start = words[0] - FIRST_WORD if words else 0
        assert window.ids.tolist() == ids(*range(start, start + len(words)))
        assert start <= end
        assert start + len(words) > end or n_words == 0
        end = start + len(words)
    assert end == n_words


@pytest.mark.parametrize(
    ("n_words", "lengths"), [(37, [39]), (38, [40]), (39, [40, 19]), (60, [40, 40]), (61, [40, 40, 19])]
)
def test_where_windows_end(windowed: dict[int, OnnxEmbedder], n_words: int, lengths: list[int]) -> None:
    (windows,) = windowed[40].tokenize([text(*range(n_words))], EmbedRole.DOCUMENT)
    assert [len(window.ids) for window in windows] == lengths
    for before, after in pairwise(windows):
        assert before.ids[-1 - OVERLAP_TOKENS : -1].tolist() == after.ids[1 : 1 + OVERLAP_TOKENS].tolist()


@pytest.mark.parametrize("template", ["[CLS] $A [SEP]", "[CLS] $A", None])
@pytest.mark.parametrize("blank", ["", " \n\t ", "\x00\x01\x7f"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_a_text_without_tokens_has_a_vector(folder: Path, template: str | None, blank: str, pooling: str) -> None:
    write_export(folder, tokenizer=words_tokenizer(template), files={POOLING: {"pooling_mode": pooling}})
    batcher = EmbedBatcher(load(folder), threads=1, cache_size=0)
    try:
        vectors = np.stack([batcher.embed_query(blank), *batcher.embed_documents([blank, text(1)])])
    finally:
        batcher.close()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0], vectors[1])


def test_special_tokens_are_found_whatever_the_vocabulary(folder: Path) -> None:
    """Guards against asking the tokenizer for a letter that it may not know."""
    embedder = load(write_export(folder, tokenizer=letters_tokenizer()))
    windows = embedder.tokenize(["xy", "a", "x a y"], EmbedRole.DOCUMENT)
    assert [window.ids.tolist() for (window,) in windows] == [[CLS, 4, 5, SEP], [CLS, SEP], [CLS, 4, 5, SEP]]


def test_limits_stored_in_the_tokenizer_do_not_count(folder: Path) -> None:
    tokenizer = words_tokenizer()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    ((window,),) = load(write_export(folder, tokenizer=tokenizer)).tokenize([text(*range(9))], EmbedRole.DOCUMENT)
    assert window.ids.tolist() == ids(*range(9))


def test_special_tokens_must_leave_room(folder: Path) -> None:
    tokenizer = words_tokenizer("[CLS] " * 8 + "$A")
    write_export(folder, tokenizer=tokenizer, files={"sentence_bert_config.json": {"max_seq_length": 8}})
    with pytest.raises(ModelError, match=r"tokenizer\.json: its special tokens alone fill the window of 8"):
        load(folder)


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_missing_files_are_named(folder: Path, missing: str) -> None:
    write_export(folder)
    (folder / missing).unlink()
    with pytest.raises(ModelFileMissingError, match=f"{folder} lacks {missing}") as caught:
        load(folder)
    assert caught.value.metadata == {"path": str(folder), "missing": missing}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"7", b'"text"', b"\xff\xfe", b"\x00" * 100])
@pytest.mark.parametrize(
    "file",
    [
        "model.onnx",
        "tokenizer.json",
        "modules.json",
        "config.json",
        "sentence_bert_config.json",
        "tokenizer_config.json",
        PROMPTS,
        POOLING,
    ],
)
def test_damaged_files_are_named(folder: Path, file: str, content: bytes) -> None:
    write_export(folder, files={POOLING: {}})
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(folder / file) in caught.value.message
    assert caught.value.metadata["path"] == str(folder / file)


@pytest.mark.parametrize("prompts", [["query"], {"query": None}, "query: "])
def test_damaged_prompts_are_named(folder: Path, prompts: object) -> None:
    write_export(folder, files={PROMPTS: {"prompts": prompts}})
    with pytest.raises(ModelError, match=rf"{PROMPTS}: prompts is not an object of strings"):
        load(folder)


def test_a_cut_off_graph_is_named(folder: Path) -> None:
    file = write_export(folder) / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=str(file)):
        load(folder)


# --- fingerprint -----------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_that_of_what_decides_vectors(tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return load(write_export(folder, **options), options.get("name", "model")).info.fingerprint

    alike = {fingerprint(), fingerprint(files={"README.json": {}}), fingerprint(files={POOLING: {}})}
    others = [
        fingerprint(outputs=["last_hidden_state"]),
        fingerprint(tokenizer=letters_tokenizer()),
        fingerprint(files={POOLING: {"pooling_mode": "cls"}}),
        fingerprint(files={PROMPTS: {"prompts": {"query": "q: "}}}),
        fingerprint(files={"sentence_bert_config.json": {"max_seq_length": 64}}),
        fingerprint(files={"model.onnx_data": "weights beside the graph"}),
    ]
    assert len(alike) == 1
    assert len({*alike, *others}) == 1 + len(others)
