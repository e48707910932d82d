"""Read IDX files, the format of MNIST: a header of big-endian numbers, then the bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

UNSIGNED_BYTE = 0x08
"""The code of the type of the values in the third byte of the header."""


def read_idx(
    path: Path, item: tuple[int, ...], content: str | None = None
) -> UInt8[np.ndarray, "n ..."]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    The header is two zeros, the code of the type, the number of axes, and the length of each axis
    in four bytes.

    Args:
        path: the file.
        item: the shape of one entry: ``()`` for labels, ``(28, 28)`` for pictures.
        content: the sha256 that the unpacked file must have; None means any.

    Returns:
        An array of shape (n, *item).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is empty, cut off, damaged, or not an IDX file of such entries.
    """
    data = _unpacked(path)
    axes = 1 + len(item)
    magic = bytes([0, 0, UNSIGNED_BYTE, axes])
    if data[:4] != magic:
        raise _bad(path, f"it starts with {data[:4].hex(' ')}; wanted {magic.hex(' ')}")
    header = 4 + 4 * axes
    if len(data) < header:
        raise _bad(path, f"its header has {len(data)} bytes; wanted {header}")
    shape = struct.unpack(f">{axes}I", data[4:header])
    if shape[1:] != item:
        raise _bad(path, f"its entries have shape {shape[1:]}; wanted {item}")
    if len(data) != header + math.prod(shape):
        got, wanted = len(data) - header, math.prod(shape)
        raise _bad(path, f"{got} bytes follow the header; for shape {shape} it must be {wanted}")
    if content is not None and sha256(data).hexdigest() != content:
        raise _bad(path, f"its content has sha256 {sha256(data).hexdigest()}; wanted {content}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()


def _unpacked(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"fashion_mnist: there is no file {path}; put it there.")
    data = path.read_bytes()
    if not data:
        raise _bad(path, "it is empty")
    if data[:2] != b"\x1f\x8b":  # the mark of gzip
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = f"its {len(data)} bytes of gzip are cut off or damaged ({error})"
        raise _bad(path, problem) from error


def _bad(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"fashion_mnist: {path} cannot be used: {reason}. "
        "Delete it and get the file again, see nnbook.data.download_fashion."
    )
