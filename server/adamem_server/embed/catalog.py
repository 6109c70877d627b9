"""Where encoders come from: bundled with the server, a directory, the local cache of hub models, or the hub itself.

Nothing here opens a socket unless a hub model that is not in the cache is asked for.
"""

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adamem_server.embed.export import MODEL_FILES
from adamem_server.embed.onnx import OnnxEmbedder
from adamem_server.errors import AdaMemError, ModelDownloadError, ModelFileMissingError, ModelNotFoundError

BUNDLED: Final = Path(__file__).parents[1] / "models"
_CONFIG_FILES: Final = (
    "tokenizer.json",
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
_HUB_TIMEOUT_S: Final = 10.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """An encoder that can be used without a network."""

    name: str
    path: Path
    bundled: bool


def load(model: str, models_dir: Path) -> OnnxEmbedder:
    """Load an encoder by bundled name, directory or hub id; a hub model that is not in `models_dir` is downloaded.

    Raises:
        ModelNotFoundError: There is none of this name.
        ModelDownloadError: It would have to be downloaded and cannot be.
        ModelFileMissingError: Its directory lacks a file.
        ModelError: Its files cannot be used.
    """
    for entry in list_models(models_dir):
        if entry.name == model:
            return OnnxEmbedder(entry.path, model)
    if (directory := _directory(model)) is not None:
        return OnnxEmbedder(directory, directory.resolve().name)
    if not _is_hub_id(model):
        known = ", ".join(entry.name for entry in list_models(models_dir))
        raise ModelNotFoundError(
            f"no model {model!r}: neither a directory nor one of {known}; a hub id is OWNER/NAME", model=model
        )
    return OnnxEmbedder(pull_model(model, models_dir), model)


def load_local(model: str, models_dir: Path) -> OnnxEmbedder:
    """Load an encoder that is bundled or was pulled: no directory that a caller names, and nothing from the hub.

    Raises:
        ModelNotFoundError: There is none of this name.
        ModelFileMissingError, ModelError: As `load`.
    """
    entries = list_models(models_dir)
    for entry in entries:
        if entry.name == model:
            return OnnxEmbedder(entry.path, model)
    known = ", ".join(entry.name for entry in entries)
    raise ModelNotFoundError(
        f"no model {model!r} on the server's machine, which has {known}; `adamem model pull` gets one there",
        model=model,
    )


def list_models(models_dir: Path) -> list[ModelEntry]:
    """The encoders at hand: bundled ones, then those pulled into `models_dir` where that can be read, by name."""
    bundled = [ModelEntry(path.name, path, True) for path in sorted(BUNDLED.iterdir()) if path.is_dir()]
    try:
        folders = sorted(models_dir.glob("*/*"))
    except OSError:
        folders = []
    return bundled + [ModelEntry(f"{path.parent.name}/{path.name}", path, False) for path in folders if _is_whole(path)]


def pull_model(model: str, models_dir: Path, progress: Progress | None = None) -> Path:
    """Download a hub model's ONNX export into `models_dir`, whole or not at all; returns its directory.

    Args:
        model: Hub id, "organisation/name".
        models_dir: The cache.
        progress: Called with (file, files done, files in all).

    Raises:
        ModelNotFoundError: Not a hub id, no such model, or it has no ONNX export.
        ModelDownloadError: The hub cannot be reached, or the files cannot be stored.
        ModelFileMissingError: The cache holds an incomplete directory of this name.
        ModelError: The files are there and cannot be used.
    """
    if not _is_hub_id(model):
        raise ModelNotFoundError(f"{model!r} is not a hub id such as intfloat/multilingual-e5-base", model=model)
    target = models_dir / model
    if _is_whole(target):
        return target
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        if target.is_dir() and any(target.iterdir()):
            raise ModelFileMissingError(
                f"the model directory {target} lacks tokenizer.json; remove it to download the model",
                path=str(target),
                missing="tokenizer.json",
            )
        models_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=models_dir, ignore_cleanup_errors=True) as folder:
            partial = Path(folder) / "model"
            _download(model, partial, progress)
            OnnxEmbedder(partial, model)
            target.parent.mkdir(exist_ok=True)
            partial.replace(target)
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise ModelNotFoundError(f"the hub has no public model {model!r}", model=model) from error
    except AdaMemError:
        raise
    except Exception as error:
        if _is_whole(target):
            # Another process was faster.
            return target
        raise ModelDownloadError(
            f"cannot download {model!r}: {_cause(error)}. Without a network, run `adamem model pull {model}` on a"
            f" machine that has one and copy the folder it names to {target}",
            model=model,
            path=str(target),
        ) from error
    return target


def _download(model: str, folder: Path, progress: Progress | None) -> None:
    """The files of one revision. The first request is not retried, so that a machine without a network is told soon."""
    from huggingface_hub import HfApi

    api = HfApi(library_name="adamem")
    info = api.model_info(model, timeout=_HUB_TIMEOUT_S)
    files = _needed(model, [file.rfilename for file in info.siblings or ()])
    for done, file in enumerate(files):
        if progress is not None:
            progress(file, done, len(files))
        api.hf_hub_download(model, file, revision=info.sha, local_dir=folder)
    if progress is not None:
        progress("", len(files), len(files))
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _needed(model: str, files: list[str]) -> list[str]:
    graph = next((name for name in MODEL_FILES if name in files), None)
    if graph is None or "tokenizer.json" not in files:
        missing = "ONNX export" if graph is None else "tokenizer.json"
        raise ModelNotFoundError(f"the hub's {model!r} has no {missing}", model=model, missing=missing)
    data = [name for name in files if name.startswith(graph) and name != graph]
    return [graph, *data, *(name for name in _CONFIG_FILES if name in files)]


def _directory(name: str) -> Path | None:
    """The directory of this name; None also for names that cannot be one: too long, or in the home of nobody."""
    try:
        path = Path(name).expanduser()
        return path if path.is_dir() else None
    except (OSError, RuntimeError):
        return None


def _is_whole(folder: Path) -> bool:
    """Whether a pulled model is there, as far as this process may look."""
    try:
        return (folder / "tokenizer.json").is_file()
    except OSError:
        return False


def _is_hub_id(model: str) -> bool:
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model, re.ASCII) is not None


def _cause(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].removesuffix(".") if text else type(error).__name__
