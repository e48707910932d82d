"""Fashion-MNIST: 28 x 28 grey pictures of ten kinds of clothes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np

from nnbook._check.values import check_same_length
from nnbook._device import profile
from nnbook.data._download import PATIENT, Patience, fetch
from nnbook.data._idx import read_idx
from nnbook.data.pictures import Images, Split

FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The names of the ten classes, in the order of their numbers."""

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the files."""
SAMPLE = Path(__file__).with_name("fashion_sample.npz")
"""The part of the data that belongs to this package, see make_sample.py."""
SAMPLE_SHA256 = "e4106beceafc5d3d78e150a9969c417a5fa76f19bc383472f1b751020822731a"
URLS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)
"""Where the authors publish the files."""


class File(NamedTuple):
    """A file of the data set, and how it is known.

    ``md5`` is what the authors publish for the gzipped file, ``packed`` the sha256 of the same
    file, ``content`` the sha256 of what is in it, however it is packed.
    """

    name: str
    md5: str
    packed: str
    content: str


FILES = {
    "train images": File(
        "train-images-idx3-ubyte.gz",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train labels": File(
        "train-labels-idx1-ubyte.gz",
        "25c81989df183df01b3e8a0aad5dffbe",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "test images": File(
        "t10k-images-idx3-ubyte.gz",
        "bef4ecab320f06d8554ea6380940ec79",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "test labels": File(
        "t10k-labels-idx1-ubyte.gz",
        "bb300cfdad3c16e7a12a480ee83cd310",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


def fashion_mnist(source: str | Path | None = None, *, verify: bool = True) -> Split:
    """Load Fashion-MNIST.

    Args:
        source: where the pictures come from:

            - ``"sample"``: 5000 training and 1000 test pictures that are part of this package, the
              first 500 and 100 of each class in the original files;
            - ``"debian"``: all 60000 + 10000, from Debian's package ``dataset-fashion-mnist``;
            - ``"download"``: all, from the cache of `download_fashion`, downloaded if need be;
            - ``"auto"``: all, from Debian's files if they are there, else as ``"download"``;
            - a folder: all, from the four IDX files in it, gzipped (``.gz``) or not.

            None means the environment variable ``NNBOOK_DATA``, and where it is not set
            ``"sample"`` for the profile quick and ``"auto"`` for the profile full.
        verify: compare the content of the files in a folder with the original. Switch it off for
            other data in the same format, such as MNIST.

    Returns:
        The pair ``(train, test)`` of `Images`.

    Raises:
        FileNotFoundError: if the folder or one of its files is missing.
        ValueError: if a file is empty, cut off, damaged, not an IDX file of such pictures, or
            (with verify) not the original.
        ConnectionError: if a download fails.

    Source:
        Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a Novel Image Dataset for Benchmarking
        Machine Learning Algorithms", arXiv:1708.07747; Zalando SE, MIT licence.

    Examples:
        >>> from nnbook import data
        >>> train, test = data.fashion_mnist("sample")
        >>> train.x.shape, test.x.shape, train.names[int(train.y[0])]
        ((5000, 28, 28), (1000, 28, 28), 'Ankle boot')
    """
    fallback = "auto" if profile() == "full" else "sample"
    source = source or os.environ.get("NNBOOK_DATA") or fallback
    if source == "sample":
        return _read_sample()
    if source == "download" or (source == "auto" and not DEBIAN.is_dir()):
        return _read_folder(download_fashion(), verify=True)
    if source in ("debian", "auto"):
        if not DEBIAN.is_dir():
            raise FileNotFoundError(
                f"fashion_mnist: there is no folder {DEBIAN}; install Debian's package "
                'dataset-fashion-mnist, or use source="download" or a folder with the files.'
            )
        return _read_folder(DEBIAN, verify=True)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"fashion_mnist: source={str(source)!r} is no folder; wanted a folder with the four "
            f"IDX files ({', '.join(file.name for file in FILES.values())}), or one of sample, "
            "debian, download, auto."
        )
    return _read_folder(folder, verify=verify)


def download_fashion(
    folder: str | Path | None = None,
    *,
    urls: Sequence[str] = URLS,
    patience: Patience = PATIENT,
    progress: bool | Literal["auto"] = "auto",
) -> Path:
    """Download the four files of Fashion-MNIST; go on where an earlier try broke off.

    Files that are there and right are not touched.

    Args:
        folder: where the files go; None means the cache folder of the user.
        urls: addresses of folders that hold the files; the next is tried when one fails.
        patience: how long to try.
        progress: whether to show bars; ``"auto"`` means only on a terminal.

    Returns:
        The folder, with the four files whole and of the right checksum.

    Raises:
        ConnectionError: if no server sends a file.
        ValueError: if a server sends another file.
    """
    with catch_warnings():  # in a notebook pooch imports tqdm.auto, which warns of missing widgets
        simplefilter("ignore")
        import pooch

    target = Path(pooch.os_cache("nnbook") if folder is None else folder)
    target = target / "fashion-mnist" if folder is None else target.expanduser()
    for file in FILES.values():
        addresses = [f"{url.rstrip('/')}/{file.name}" for url in urls]
        fetch(addresses, target / file.name, file.packed, patience=patience, progress=progress)
    return target


def _read_folder(folder: Path, *, verify: bool) -> Split:
    return Split(*(_read_part(folder, part, verify) for part in ("train", "test")))


def _read_part(folder: Path, part: str, verify: bool) -> Images:
    arrays = []
    for kind, item in (("images", (28, 28)), ("labels", ())):
        file = FILES[f"{part} {kind}"]
        plain = folder / file.name.removesuffix(".gz")
        path = plain if plain.is_file() else folder / file.name
        arrays.append(read_idx(path, item, file.content if verify else None))
    x, y = arrays
    check_same_length("fashion_mnist", f"{part} images", x, f"{part} labels", y)
    if y.size and y.max() >= len(FASHION_NAMES):
        raise ValueError(
            f"fashion_mnist: the {part} labels in {folder} go up to {y.max()}; wanted 0 ... 9. "
            "Give a folder with a data set of ten classes."
        )
    return Images(x, y.astype(np.int64), FASHION_NAMES, np.arange(len(y)))


def _read_sample() -> Split:
    packed = SAMPLE.read_bytes()
    if sha256(packed).hexdigest() != SAMPLE_SHA256:
        raise ValueError(
            f"fashion_mnist: {SAMPLE} has sha256 {sha256(packed).hexdigest()}; "
            f"wanted {SAMPLE_SHA256}. The file is damaged: install nnbook again."
        )
    with np.load(BytesIO(packed)) as arrays:
        parts = [
            Images(
                arrays[f"{part}_x"],
                arrays[f"{part}_y"].astype(np.int64),
                FASHION_NAMES,
                arrays[f"{part}_index"].astype(np.int64),
            )
            for part in ("train", "test")
        ]
    return Split(*parts)
