import json

import pytest
import torch

from memorymark.errors import WorkloadError
from memorymark.trainer.checkpoint_files import (
    STATE,
    drop_older,
    newest_checkpoint,
    steps_in,
    write_checkpoint,
)

PARTS = {"weights": {"a": torch.arange(6.0).view(2, 3)}, "training": {"b": torch.tensor(3)}}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    write_checkpoint(tmp_path, 12, PARTS, {"loss": 1.5})
    found = newest_checkpoint(tmp_path)
    assert found.folder.name == "step-00000012" and found.state == {"loss": 1.5}
    assert torch.equal(found.tensors("weights")["a"], PARTS["weights"]["a"])
    assert found.tensors("training")["b"].item() == 3 and found.damaged == ()


def test_views_and_transposed_tensors_are_written_by_themselves(tmp_path):
    whole = torch.arange(12.0)
    parts = {"weights": {"a": whole[:4], "b": whole[4:], "c": whole.view(3, 4).t()}}
    write_checkpoint(tmp_path, 1, parts, {})
    found = newest_checkpoint(tmp_path).tensors("weights")
    assert all(torch.equal(found[name], each) for name, each in parts["weights"].items())


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "no-json", "other-step"])
def test_of_several_the_newest_whole_one_is_taken(tmp_path, harm):
    write_checkpoint(tmp_path, 1, PARTS, {"loss": 1})
    newest = write_checkpoint(tmp_path, 2, PARTS, {"loss": 2})
    file = newest / "weights.safetensors"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    elif harm == "gone":
        file.unlink()
    elif harm == "no-json":
        (newest / STATE).write_text("{")
    else:
        written = json.loads((newest / STATE).read_text())
        (newest / STATE).write_text(json.dumps({**written, "step": 7}))
    found = newest_checkpoint(tmp_path)
    assert found.state == {"loss": 1} and "step-00000002" in found.damaged[0]


def test_none_that_is_whole_is_an_error_and_none_at_all_is_none(tmp_path):
    assert newest_checkpoint(tmp_path) is None and newest_checkpoint(tmp_path / "no") is None
    (write_checkpoint(tmp_path, 1, PARTS, {}) / STATE).unlink()
    with pytest.raises(WorkloadError, match="No checkpoint"):
        newest_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_older_ones_and_nothing_else(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, 1, PARTS, {"loss": 1})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path, 2, PARTS, {"loss": 2})
    assert [each.name for each in tmp_path.iterdir()] == ["step-00000001"]


def test_the_newest_are_kept_and_what_the_dead_left_is_deleted(tmp_path):
    for step in (1, 2, 10):
        write_checkpoint(tmp_path, step, PARTS, {})
    (tmp_path / ".writing-999999999-3").mkdir()
    drop_older(tmp_path, 2)
    assert steps_in(tmp_path) == [2, 10]
    assert not list(tmp_path.glob(".writing*"))
