"""Make the sample of Fashion-MNIST that belongs to the package, from the full data set.

Run ``python -m nnbook.data.make_sample FOLDER`` (Debian's folder by default) and put the sha256
that it prints into fashion.py. The same input gives the same bytes.
"""

from __future__ import annotations

import sys
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from nnbook.data.fashion import DEBIAN, FASHION_NAMES, SAMPLE, fashion_mnist
from nnbook.data.pictures import Images

PER_CLASS = {"train": 500, "test": 100}
"""How many pictures of each class the sample has."""


def first_of_each(y: Int64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " k"]:
    """Return the positions of the first ``count`` of each class, in the order of the file."""
    found = [np.flatnonzero(y == label)[:count] for label in range(len(FASHION_NAMES))]
    return np.sort(np.concatenate(found))


def pack(parts: dict[str, Images]) -> bytes:
    """Return an npz file (a zip of npy files) without dates."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for part, images in parts.items():
            arrays = {"x": images.x, "y": images.y.astype(np.uint8)}
            arrays["index"] = images.index.astype(np.int32)
            for name, array in arrays.items():
                npy = BytesIO()
                np.save(npy, array)
                entry = zipfile.ZipInfo(f"{part}_{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, npy.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def make_sample(folder: Path, target: Path) -> str:
    """Write the sample of the data set in ``folder`` to ``target``; return its sha256."""
    full = fashion_mnist(folder)._asdict()
    chosen = {part: first_of_each(full[part].y, k) for part, k in PER_CLASS.items()}
    packed = pack({part: full[part].take(places) for part, places in chosen.items()})
    target.write_bytes(packed)
    return sha256(packed).hexdigest()


if __name__ == "__main__":
    print(make_sample(Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN, SAMPLE))
