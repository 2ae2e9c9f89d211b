"""What an older stack printed of an M4 is near to what is simulated for one."""

import apple_figures
import pytest

PRINTED = {"BLIP base, fp32": 1e9, "Whisper base, fp32": 0.5e9}


@pytest.mark.parametrize("name", PRINTED)
def test_small_models_need_what_was_printed(name):
    (model,) = [model for model in apple_figures.MODELS if model.name == name]
    found = apple_figures.simulated(model)
    assert found.peak_reserved_bytes == pytest.approx(PRINTED[name], rel=0.15)
    assert found.peak_reserved_bytes > found.weights_bytes
    low, high = found.band(found.next_token_seconds)
    assert low < found.next_token_seconds < high
