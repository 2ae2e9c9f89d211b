"""Where a model's weights lie: safetensors in a folder, in the hub's cache or on the hub.

Never pickles, which run code when they are read, and never code of a repository's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memorymark.errors import ModelNotFound, WorkloadError, quoted
from memorymark.records.generation_run import WeightsFrom
from memorymark.workloads.hub import hub_answers, is_folder_name, shipped_model
from memorymark.workloads.naming import HUGGING_FACE, form_of

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_ACCEPTED = f"{SINGLE}, or {INDEX} with the files that it names"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npz", ".gguf")
# Pickles beside the weights hold how a model was trained, and are not read.
_BESIDE = ("training_args.bin", "optimizer.pt", "scheduler.pt", "optimizer.bin", "scaler.pt")
# What is fetched of a repository: weights and plain text.
_FETCHED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")
_NAMED = 3
_MOST_INDEX_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights, with what turns text, images and sounds into its inputs.

    Attributes:
        folder: Where its files lie; None where there are none and weights are random.
        comes_from: A folder of the user's, the hub, or nowhere.
        note: What is to be said of it; empty for nothing.
    """

    folder: Path | None
    comes_from: WeightsFrom
    note: str = ""


def find_checkpoint(
    model: str, *, random_weights: bool = False, from_hub: bool = True
) -> Checkpoint:
    """Return where the weights of a model lie; those of the hub are fetched.

    The built-in names stand for configurations alone.

    Args:
        model: The model, in a form of the interface.
        random_weights: Whether random ones are asked for.
        from_hub: Whether the hub's cache is looked into, and the hub asked.

    Raises:
        WorkloadError: There are weights, in a form that is not read, or damaged.
        ModelNotFound: They cannot be fetched.
    """
    form, name = form_of(model)
    if form != HUGGING_FACE:
        return Checkpoint(None, WeightsFrom.RANDOM)
    if is_folder_name(name):
        folder = Path(os.path.expanduser(name))
        folder = folder.parent if folder.name == "config.json" else folder
        has_weights = check_weights(folder)
        comes_from = WeightsFrom.FOLDER if has_weights else WeightsFrom.RANDOM
        comes_from = WeightsFrom.RANDOM if random_weights else comes_from
        return Checkpoint(folder, comes_from)
    if random_weights or not from_hub:
        return Checkpoint(None, WeightsFrom.RANDOM)
    return _of_the_hub(name)


def check_weights(folder: Path) -> bool:
    """Return whether a folder has weights that can be read.

    Raises:
        WorkloadError: It has some, and they are pickles, or not all are there.
    """
    try:
        names = sorted(each.name for each in folder.iterdir() if each.is_file())
    except OSError as error:
        raise ModelNotFound(f"The folder {quoted(str(folder))} cannot be read: {error}.") from error
    if SINGLE in names:
        return True
    if INDEX in names:
        _check_index(folder, set(names))
        return True
    others = [name for name in names if name.endswith(".safetensors")]
    pickles = [name for name in names if name.endswith(_PICKLES) and name not in _BESIDE]
    if not others and not pickles:
        return False
    why = (
        "which are not read: pickled weights run code when they are loaded"
        if pickles and not others
        else f"and neither {SINGLE} nor {INDEX}"
    )
    raise WorkloadError(
        f"The folder {quoted(str(folder))} has {_listed(others or pickles)}, {why}. Accepted: "
        f"{_ACCEPTED}. `model.save_pretrained(folder)` of transformers writes them."
    )


def _check_index(folder: Path, names: set[str]) -> None:
    """Check that all of the files are there that an index names, and lie beside it."""
    file = folder / INDEX
    try:
        if file.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError("it is too large for one")
        files = set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values())
        if not files or not all(isinstance(each, str) for each in files):
            raise ValueError("it names no files")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WorkloadError(f"{quoted(str(file))} is no index of weights: {error!r}.") from error
    missing = sorted(files - names)
    if missing:
        raise WorkloadError(
            f"The folder {quoted(str(folder))} lacks {_listed(missing)} of the {len(files)} files "
            f"that its {INDEX} names. Copy them beside it."
        )
    if not all(each.endswith(".safetensors") for each in files):
        wrong = [each for each in sorted(files) if not each.endswith(".safetensors")]
        raise WorkloadError(
            f"{quoted(str(file))} names {_listed(wrong)}, which are no safetensors. Accepted: "
            f"{_ACCEPTED}."
        )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(quoted, names[:_NAMED])) + more


def _of_the_hub(name: str) -> Checkpoint:
    """Return the files of a repository, from the cache or fetched."""
    known = shipped_model(name)
    repository = name if known is None else known.name
    try:
        folder = _fetched(repository, local=True)
        if check_weights(folder):
            return Checkpoint(folder, WeightsFrom.HUB)
    except (ModelNotFound, WorkloadError):
        folder = None
    if not hub_answers(repository):
        if known is None:
            raise ModelNotFound(
                f"The weights of {quoted(repository)} are not in the local cache, and the Hugging "
                "Face hub cannot be reached. Put them into a folder and give hf:FOLDER, or take "
                "random ones with --random-weights."
            )
        return Checkpoint(
            None, WeightsFrom.RANDOM,
            f"The weights of {repository} are not in the local cache, and the Hugging Face hub "
            "cannot be reached.",
        )  # fmt: skip
    folder = _fetched(repository, local=False)
    if not check_weights(folder):
        raise WorkloadError(
            f"{quoted(repository)} has no safetensors on the hub. Accepted: {_ACCEPTED}."
        )
    return Checkpoint(folder, WeightsFrom.HUB)


def _fetched(repository: str, *, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, allow_patterns=list(_FETCHED), local_files_only=local)
        )
    except Exception as error:  # the hub's client has many kinds, in modules that moved
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelNotFound(
            f"The weights of {quoted(repository)} cannot be fetched: {reason}"
        ) from error
