"""Weights are safetensors in a folder or on the hub; pickles are refused by name."""

import json

import pytest
from generators import saved
from tiny import tiny_llama

from memorymark.errors import ModelNotFound, WorkloadError
from memorymark.records.generation_run import WeightsFrom
from memorymark.workloads import checkpoint
from memorymark.workloads.checkpoint import INDEX, SINGLE, check_weights, find_checkpoint


def with_files(folder, *names):
    for name in ("config.json", *names):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["gpt2", "torchvision:vgg16", "mine:factory"])
def test_a_name_of_a_configuration_alone_has_random_weights(name):
    found = find_checkpoint(name)
    assert (found.folder, found.comes_from) == (None, WeightsFrom.RANDOM)


def test_a_folder_has_weights_or_random_ones(tmp_path):
    assert find_checkpoint(f"hf:{with_files(tmp_path)}").comes_from is WeightsFrom.RANDOM
    (tmp_path / SINGLE).touch()
    found = find_checkpoint(f"hf:{tmp_path}")
    assert (found.folder, found.comes_from) == (tmp_path, WeightsFrom.FOLDER)
    asked = find_checkpoint(f"hf:{tmp_path / 'config.json'}", random_weights=True)
    assert (asked.folder, asked.comes_from) == (tmp_path, WeightsFrom.RANDOM)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["pytorch_model.bin"], r"'pytorch_model.bin', which are not read: pickled weights run"),
        (["a.pt", "b.pth", "c.ckpt", "d.pkl"], r"'a.pt', 'b.pth', 'c.ckpt' and 1 more"),
        (["other.safetensors"], f"'other.safetensors', and neither {SINGLE}"),
    ],
)
def test_what_is_not_read_is_named_with_what_is(tmp_path, names, said):
    with pytest.raises(WorkloadError, match=said) as caught:
        find_checkpoint(f"hf:{with_files(tmp_path, *names)}")
    assert f"Accepted: {SINGLE}, or {INDEX}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_beside_weights_are_left_alone(tmp_path):
    assert not check_weights(with_files(tmp_path, "training_args.bin"))
    assert check_weights(with_files(tmp_path, SINGLE, "pytorch_model.bin"))


def test_a_folder_in_shards_is_whole(tmp_path):
    with_files(tmp_path, "a-1.safetensors")
    file = tmp_path / INDEX
    file.write_text(json.dumps({"weight_map": {"x": "a-1.safetensors", "y": "a-2.safetensors"}}))
    with pytest.raises(WorkloadError, match=r"lacks 'a-2.safetensors' of the 2 files"):
        check_weights(tmp_path)
    (tmp_path / "a-2.safetensors").touch()
    assert check_weights(tmp_path)
    file.write_text(json.dumps({"weight_map": {"x": "../../etc/passwd"}}))
    with pytest.raises(WorkloadError, match="lacks"):
        check_weights(tmp_path)
    (tmp_path / "x.bin").touch()
    file.write_text(json.dumps({"weight_map": {"x": "x.bin"}}))
    with pytest.raises(WorkloadError, match=r"'x\.bin', which are no safetensors"):
        check_weights(tmp_path)
    for damaged in ("", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'):
        file.write_text(damaged)
        with pytest.raises(WorkloadError, match="no index of weights"):
            check_weights(tmp_path)


class TestHub:
    @pytest.fixture(autouse=True)
    def _hub(self, monkeypatch, tmp_path):
        self.asked, self.cached, self.answers = [], False, False

        def fetched(repository, *, local):
            self.asked.append((repository, local))
            if local and not self.cached:
                raise ModelNotFound("not in the cache")
            return tmp_path

        monkeypatch.setattr(checkpoint, "_fetched", fetched)
        monkeypatch.setattr(checkpoint, "hub_answers", lambda ref: self.answers)
        self.folder = tmp_path

    def test_the_cache_comes_first(self):
        self.cached = True
        (self.folder / SINGLE).touch()
        assert find_checkpoint("org/model").comes_from is WeightsFrom.HUB
        assert self.asked == [("org/model", True)]

    def test_the_hub_is_asked_where_it_answers(self):
        self.answers = True
        (self.folder / SINGLE).touch()
        assert find_checkpoint("smollm2-135m").comes_from is WeightsFrom.HUB
        assert self.asked[-1] == ("HuggingFaceTB/SmolLM2-135M", False)

    def test_without_a_network_a_shipped_model_is_random_and_says_so(self):
        found = find_checkpoint("smollm2-135m")
        assert found.comes_from is WeightsFrom.RANDOM and "cannot be reached" in found.note
        with pytest.raises(ModelNotFound, match="--random-weights"):
            find_checkpoint("org/model")

    def test_a_repository_of_pickles_is_refused(self):
        self.answers = True
        with pytest.raises(WorkloadError, match="no safetensors on the hub"):
            find_checkpoint("org/model")

    def test_the_hub_is_left_alone_where_it_may_not_be_asked(self):
        assert find_checkpoint("org/model", from_hub=False).comes_from is WeightsFrom.RANDOM
        assert find_checkpoint("org/model", random_weights=True).folder is None
        assert not self.asked


def test_what_transformers_saves_is_found(tmp_path):
    saved(tiny_llama(), tmp_path)
    assert find_checkpoint(f"hf:{tmp_path}").comes_from is WeightsFrom.FOLDER
