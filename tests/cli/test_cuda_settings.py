"""The allocator is set up before CUDA starts, and only where the user has not done it."""

from memorymark.cli import cuda_settings
from memorymark.cli.cuda_settings import ask_for_expandable_segments, may_be_measured_on_cuda


def test_a_command_may_be_measured_on_cuda_where_it_names_it_or_a_driver_is_there(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(cuda_settings, "_DRIVER", tmp_path / "nvidiactl")
    assert may_be_measured_on_cuda(None, "cuda:1") and not may_be_measured_on_cuda(None, "cpu")
    assert not may_be_measured_on_cuda("l4", None) and not may_be_measured_on_cuda(None, None)
    (tmp_path / "nvidiactl").touch()
    assert may_be_measured_on_cuda(None, None) and not may_be_measured_on_cuda("l4", None)


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    monkeypatch.delitem(cuda_settings.sys.modules, "torch", raising=False)
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:128")
    ask_for_expandable_segments()
    assert cuda_settings.os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "max_split_size_mb:128"
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF")
    ask_for_expandable_segments()
    assert cuda_settings.os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


def test_once_torch_is_loaded_nothing_is_set(monkeypatch):
    import torch  # noqa: F401

    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    ask_for_expandable_segments()
    assert "PYTORCH_CUDA_ALLOC_CONF" not in cuda_settings.os.environ
