"""Images and sounds that users give, decoded in memory and within bounds.

How large one is stands in its header, which is read first: what is too large is never decoded. A
header may lie, so a decoder is stopped where it gives more than that.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from typing import Any

import numpy as np

from memorymark.bounds import MEDIA
from memorymark.errors import InvalidValue, MissingPackage, ModelNotFound, quoted
from memorymark.units import mib_or_gib

HEARD_HZ = 16_000
# Of Pillow's many formats those that cameras, browsers and editors write.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_IMAGES = "an image as PNG, JPEG, WebP, GIF, BMP or TIFF"
_SOUNDS = "a sound as WAV, FLAC, OGG or MP3"
_LOWEST_HZ, _HIGHEST_HZ = 4_000, 384_000
_WITHOUT_END = 2**31 - 2**16


def read_media(what: str, given: str | bytes) -> bytes:
    """Return the bytes of a file that a user names; bytes are handed back.

    Args:
        what: What it is, as in "image".
        given: The file's path, or what it holds.

    Raises:
        ModelNotFound: There is no such file, or no regular one, as a folder is.
        InvalidValue: It is larger than what is taken.
    """
    if isinstance(given, bytes):
        _check_size(what, f"{what} of {len(given):,} bytes", len(given))
        return given
    path = os.path.expanduser(given)
    try:
        if not os.path.exists(path):
            raise FileNotFoundError(2, "there is no such file")
        if not os.path.isfile(path):
            raise OSError("it is no regular file")
        _check_size(what, given, os.path.getsize(path))
        with open(path, "rb") as file:
            data = file.read(MEDIA.file_bytes + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelNotFound(f"The {what} {quoted(given)} cannot be read: {reason}.") from error
    _check_size(what, given, len(data))
    return data


def _check_size(what: str, given: str, size_bytes: int) -> None:
    if size_bytes > MEDIA.file_bytes:
        accepted = f"a file of up to {mib_or_gib(MEDIA.file_bytes)}; it has {size_bytes:,} bytes"
        raise InvalidValue(what, given, accepted)


def decode_image(data: bytes, name: str = "image") -> Any:
    """Return an image in RGB, as Pillow has it; of several the first.

    Args:
        data: What its file holds.
        name: What a sentence calls it.

    Raises:
        InvalidValue: It is none, larger than what is taken, or breaks off.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # counted below
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise InvalidValue("image", name, f"{_IMAGES} of up to {MEDIA.pixels:,} pixels") from error
    except Exception as error:  # decoders of damaged files raise of any kind
        raise InvalidValue("image", name, f"{_IMAGES}; it is none") from error
    width, height = image.size
    if width * height > MEDIA.pixels or not width * height:
        accepted = f"up to {MEDIA.pixels:,} pixels; it has {width:,} times {height:,}"
        raise InvalidValue("image", name, accepted)
    try:
        image.load()
        return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:
        raise InvalidValue("image", name, f"{_IMAGES}; it is damaged or breaks off") from error


def decode_sound(data: bytes, name: str = "audio") -> np.ndarray:
    """Return a sound as one channel of 16,000 samples a second, in fp32.

    Args:
        data: What its file holds.
        name: What a sentence calls it.

    Raises:
        InvalidValue: It is none, longer than what is taken, empty, or breaks off.
        MissingPackage: soundfile is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its library is not there
        raise MissingPackage("soundfile", "Reading a sound") from error
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except Exception as error:
        raise InvalidValue("audio", name, f"{_SOUNDS}; it is none") from error
    with file:
        _check_sound(file, name)
        try:
            samples = file.read(frames=_most_frames(file), dtype="float32", always_2d=True)
        except Exception as error:
            raise InvalidValue("audio", name, f"{_SOUNDS}; it is damaged") from error
        if len(samples) < file.frames or _breaks_off(file):
            raise InvalidValue("audio", name, f"{_SOUNDS}; it breaks off")
        if not len(samples):
            raise InvalidValue("audio", name, f"{_SOUNDS}; it is empty")
        return _heard(samples.mean(axis=1), file.samplerate)


def _check_sound(file: Any, name: str) -> None:
    """Look at what a sound's header says of its length."""
    rate = file.samplerate
    if not _LOWEST_HZ <= rate <= _HIGHEST_HZ:
        accepted = f"{_LOWEST_HZ:,} to {_HIGHEST_HZ:,} samples a second; it has {rate:,}"
        raise InvalidValue("audio", name, accepted)
    seconds = file.frames / rate
    if seconds > MEDIA.seconds:
        accepted = f"a sound of up to {MEDIA.seconds:,.0f} s; it has {seconds:,.0f} s"
        raise InvalidValue("audio", name, accepted)
    if file.frames * file.channels > MEDIA.samples:
        accepted = f"up to {MEDIA.samples:,} samples; it has {file.frames * file.channels:,}"
        raise InvalidValue("audio", name, accepted)


def _breaks_off(file: Any) -> bool:
    """Return whether a WAV holds less than its header says, as libsndfile found and tells.

    A stream that was written without an end says the largest number there is.
    """
    found = re.search(r"^data : (\d+) \(should be", file.extra_info, re.MULTILINE)
    return found is not None and 0 < int(found[1]) < _WITHOUT_END


def _most_frames(file: Any) -> int:
    return int(min(file.frames, MEDIA.seconds * file.samplerate, MEDIA.samples // file.channels))


def _heard(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return samples at the rate at which models hear."""
    samples = np.nan_to_num(samples.astype(np.float32))
    if rate == HEARD_HZ:
        return samples
    from scipy.signal import resample_poly

    shared = math.gcd(rate, HEARD_HZ)
    return resample_poly(samples, HEARD_HZ // shared, rate // shared).astype(np.float32)
