"""How a text begins and ends is read from what lies beside the weights."""

import json

import pytest
from generators import tiny_blip, tiny_whisper
from tiny import tiny_gpt2, tiny_llama

from memorymark.workloads.text_form import TextForm, text_form


def written(folder, **values):
    (folder / "generation_config.json").write_text(json.dumps(values))
    return folder


def test_without_a_file_the_configuration_says_what_ends_a_text():
    assert text_form(tiny_gpt2().hf_config) == TextForm(ends=frozenset({1}))
    assert text_form(tiny_blip().hf_config).ends == {2}


def test_several_tokens_may_end_a_text(tmp_path):
    form = text_form(tiny_llama().hf_config, written(tmp_path, eos_token_id=[5, 7, 99_999]))
    assert form.ends == {5, 7}  # the last one is beyond the vocabulary


def test_whisper_begins_with_language_task_and_no_time_stamps(tmp_path):
    told = {
        "lang_to_id": {"<|en|>": 10, "<|de|>": 11}, "task_to_id": {"transcribe": 12},
        "no_timestamps_token_id": 13, "suppress_tokens": [3, 4], "begin_suppress_tokens": [5],
    }  # fmt: skip
    config = tiny_whisper().hf_config
    form = text_form(config, written(tmp_path, **told))
    assert form.opening == (frozenset({10, 11}), 12, 13)
    assert form.refused == {3, 4} and form.refused_first == {5}
    english = text_form(config, written(tmp_path, **told, is_multilingual=False))
    assert english.opening == (13,)


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"eos_token_id": "x", "suppress_tokens": 3, "lang_to_id": 4}', "[" * 99999]
)
def test_a_damaged_file_says_nothing(tmp_path, text):
    (tmp_path / "generation_config.json").write_text(text)
    for workload in (tiny_gpt2(), tiny_whisper()):
        form = text_form(workload.hf_config, tmp_path)
        assert form.opening == () and form.refused == frozenset()
