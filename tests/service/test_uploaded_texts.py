"""Uploads: kept by what they hold under no path of a visitor's; tokens files open nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.token_file import new_token_file
from memorymark.errors import NotAllowed, WorkloadError
from memorymark.records.upload_names import told_name
from memorymark.service.uploaded_texts import check_tokens, keep_upload, uploaded_path
from memorymark.settings import Settings

TEXT = b"To be, or not to be."


@given(name=st.text(max_size=90))
def test_no_name_leaves_the_folder(name):
    settings = Settings(home=Path("/home/app"))
    path = uploaded_path(told_name(name, TEXT), settings)
    assert path is not None and path.parent == settings.texts_folder
    assert path.name.startswith("upload-") and ".." not in path.parts


def test_names_of_no_upload_have_no_path():
    settings = Settings(home=Path("/home/app"))
    for name in ("/etc/passwd", "hamlet.txt", "", "x (zz)", "x (e3b0c44298fc)/../../y"):
        assert uploaded_path(name, settings) is None


def test_an_upload_is_found_again_and_never_replaced(tmp_path):
    settings, name = Settings(home=tmp_path), told_name("a.md", TEXT)
    path = keep_upload(name, TEXT, settings)
    assert path.read_bytes() == TEXT and path == uploaded_path(name, settings)
    assert keep_upload(name, TEXT, settings) == path
    with pytest.raises(WorkloadError, match="Another text"):
        keep_upload(name, b"Another one that has the same hash.", settings)
    assert path.read_bytes() == TEXT and list(path.parent.iterdir()) == [path]


class Renamed(ByteTokens):
    """Bytes under another name, as a header can say."""

    name = "/etc"


def tokens_file(path, tokens, ids):
    with new_token_file(path, tokens) as writer:
        writer.append(np.array(ids), len(ids))
    return path


def test_a_tokens_file_names_no_folder_and_holds_what_it_says(tmp_path):
    settings = Settings(home=tmp_path)
    check_tokens(tokens_file(tmp_path / "a.bin", ByteTokens(), [1, 2]), settings)
    forged = tokens_file(tmp_path / "b.bin", Renamed(), [1, 2])
    with pytest.raises(NotAllowed, match="opens no tokenizer"):
        check_tokens(forged, settings)
    check_tokens(forged, replace(settings, workloads=("hf:/etc",)))
    text = tmp_path / "c.txt"
    text.write_bytes(TEXT)
    check_tokens(text, settings)
