"""Images and sounds are decoded within bounds, which their headers are held to beforehand."""

import io
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from generators import image_bytes, wav_bytes

from memorymark import bounds
from memorymark.errors import InvalidValue, MissingPackage, ModelNotFound
from memorymark.workloads import media
from memorymark.workloads.media import decode_image, decode_sound, read_media


def bomb(width, height):
    """A PNG of a few bytes whose header says that it has so many pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_is_read_in_rgb(kind):
    image = decode_image(image_bytes(kind=kind))
    assert image.mode == "RGB" and image.size == (40, 30)


@pytest.mark.parametrize("size", [(8_000, 8_000), (30_000, 30_000), (2_000_000, 2_000_000)])
def test_a_decompression_bomb_is_refused_by_its_header(size):
    with pytest.raises(InvalidValue, match=r"bomb.*40,000,000 pixels"):
        decode_image(bomb(*size), "bomb.png")


@pytest.mark.parametrize("data", [b"", b"not an image", b"%PDF-1.7", wav_bytes()])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(InvalidValue, match=r"image is 'x.png'; accepted: an image .* it is none"):
        decode_image(data, "x.png")


def test_an_image_that_breaks_off_is_refused():
    whole = image_bytes(200, 200)
    with pytest.raises(InvalidValue, match="breaks off"):
        decode_image(whole[: len(whole) // 2], "half.png")


def test_a_file_is_read_up_to_the_bound(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    file.write_bytes(b"12345")
    assert read_media("image", str(file)) == b"12345"
    monkeypatch.setattr(media, "MEDIA", bounds.MediaBounds(file_bytes=4))
    with pytest.raises(InvalidValue, match="it has 5 bytes"):
        read_media("image", str(file))
    with pytest.raises(InvalidValue, match="it has 5 bytes"):
        read_media("image", b"12345")
    for other in (str(tmp_path / "missing.png"), ""):
        with pytest.raises(ModelNotFound, match="there is no such file"):
            read_media("image", other)


def test_a_sound_without_soundfile_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingPackage, match="pip install soundfile"):
        decode_sound(wav_bytes())


class Sound:
    """A sound whose header says what it is; as soundfile.SoundFile."""

    extra_info = ""

    def __init__(self, frames, samplerate=16_000, channels=1, given=None):
        self.frames, self.samplerate, self.channels = frames, samplerate, channels
        self._given = frames if given is None else given

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, frames=-1, dtype="float64", always_2d=False):
        assert frames <= self.frames and dtype == "float32" and always_2d
        return np.ones((min(frames, self._given), self.channels), np.float32)


def standing_in(monkeypatch, sound):
    monkeypatch.setitem(
        sys.modules, "soundfile", types.SimpleNamespace(SoundFile=lambda file: sound)
    )


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (Sound(10 * 3600 * 16_000), "up to 600 s; it has 36,000 s"),
        (Sound(500 * 192_000, 192_000), "up to 64,000,000 samples; it has 96,000,000"),
        (Sound(16_000, 16_000, channels=9_000), "up to 64,000,000 samples"),
        (Sound(100, 1), "samples a second; it has 1"),
        (Sound(0), "it is empty"),
        (Sound(100, given=50), "breaks off"),
    ],
)
def test_a_sound_is_refused_by_its_header(monkeypatch, sound, said):
    standing_in(monkeypatch, sound)
    with pytest.raises(InvalidValue, match=f"audio is 'long.wav'; accepted: .*{said}"):
        decode_sound(b"", "long.wav")


def test_a_sound_is_brought_to_one_channel_and_the_rate_of_models(monkeypatch):
    standing_in(monkeypatch, Sound(44_100, 44_100, channels=2))
    heard = decode_sound(b"")
    assert heard.dtype == np.float32 and heard.shape == (16_000,)
    assert heard[8_000] == pytest.approx(1, abs=0.01)


class TestSoundfile:
    """With the package itself."""

    @pytest.fixture(autouse=True)
    def _package(self):
        self.soundfile = pytest.importorskip("soundfile")

    def test_a_wav_is_read(self):
        assert decode_sound(wav_bytes(0.5, 8_000)).shape == (8_000,)

    def test_a_wav_without_samples_is_told_so(self):
        with pytest.raises(InvalidValue, match="it is empty"):
            decode_sound(wav_bytes(0))
        with pytest.raises(InvalidValue, match="it breaks off"):
            decode_sound(wav_bytes(0.5)[:44])

    @pytest.mark.parametrize("data", [b"", b"no sound", image_bytes()])
    def test_what_is_no_sound_is_refused(self, data):
        with pytest.raises(InvalidValue, match="it is none"):
            decode_sound(data)

    @pytest.mark.parametrize("kind", ["WAV", "FLAC"])
    def test_a_sound_that_breaks_off_is_refused(self, kind):
        file = io.BytesIO()
        noise = np.random.default_rng(0).random(32_000, np.float32) - 0.5
        self.soundfile.write(file, noise, 16_000, format=kind)
        with pytest.raises(InvalidValue, match=r"breaks off|damaged"):
            decode_sound(file.getvalue()[: len(file.getvalue()) // 2])

    def test_ten_hours_are_refused_by_the_header_of_a_flac(self):
        file = io.BytesIO()
        self.soundfile.write(file, np.zeros(16_000, np.float32), 16_000, format="FLAC")
        data = bytearray(file.getvalue())
        data[21:26] = bytes([data[21] & 0xF0]) + (36_000 * 16_000).to_bytes(4, "big")
        with pytest.raises(InvalidValue, match="it has 36,000 s"):
            decode_sound(bytes(data))


def test_what_is_no_regular_file_is_told_so(tmp_path):
    for other in (str(tmp_path), "/dev/zero"):
        with pytest.raises(ModelNotFound, match="cannot be read: it is no regular file"):
            read_media("audio", other)
