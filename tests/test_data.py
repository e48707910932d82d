"""The data sets: exact numbers, and files that are broken in every way."""

from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tools import close

from nnbook import data
from nnbook.data import fashion
from nnbook.data._idx import read_idx
from nnbook.data.make_sample import make_sample, pack

DEBIAN = [fashion.DEBIAN] if fashion.DEBIAN.is_dir() else []

# Points.


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_points_are_those_of_sklearn(n: int) -> None:
    from sklearn.datasets import make_circles, make_moons

    for ours, theirs in [
        (data.moons(n, 0.1, seed=3), make_moons(n, noise=0.1, random_state=3)),
        (
            data.circles(n, 0.1, 0.8, seed=3),
            make_circles(n, noise=0.1, factor=0.8, random_state=3),
        ),
    ]:
        assert np.array_equal(ours.x, theirs[0])
        assert np.array_equal(ours.y, theirs[1])
        assert (ours.x.dtype, ours.y.dtype, len(ours)) == (np.float64, np.int64, n)


def test_class_1_is_the_inner_circle_and_class_0_the_upper_moon() -> None:
    points = data.circles(50, noise=0.0, factor=0.5, seed=0)
    close(np.hypot(*points.x.T), np.where(points.y == 1, 0.5, 1.0))
    moons = data.moons(50, noise=0.0, seed=0)
    assert moons.x[moons.y == 0, 1].min() >= -1e-12
    assert moons.x[moons.y == 1, 1].max() <= 0.5


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=4),
    test=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_split_keeps_the_share_of_each_class(counts: list[int], test: float, seed: int) -> None:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    points = data.Points(np.arange(2.0 * len(y)).reshape(-1, 2), y)
    train, held_out = points.split(test, seed)
    for label, count in enumerate(counts):
        inside = int(np.sum(held_out.y == label))
        assert abs(inside - test * count) <= 0.5 or inside in (1, count - 1)
        assert 1 <= inside <= count - 1
    joined = np.concatenate([train.x, held_out.x])
    assert sorted(joined[:, 0]) == points.x[:, 0].tolist()  # nothing lost, nothing twice
    assert (np.diff(train.x[:, 0]) > 0).all()  # in order
    again = points.split(test, seed)
    assert np.array_equal(again[1].x, held_out.x)
    for part in (train, held_out):
        assert np.array_equal(y[(part.x[:, 0] // 2).astype(int)], part.y)


def test_split_depends_on_the_seed() -> None:
    points = data.moons(100, 0.1, seed=0)
    assert not np.array_equal(points.split(0.3, seed=0)[1].x, points.split(0.3, seed=1)[1].x)
    assert [len(part) for part in points.split(0.3)] == [70, 30]


# The Bayes rule on circles, against SciPy's Rice distribution and against counting.


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.8, 0.99])
@pytest.mark.parametrize("noise", [1e-3, 0.05, 0.1, 0.5, 1.0, 10.0])
def test_bayes_accuracy_is_that_of_the_rice_distributions(noise: float, factor: float) -> None:
    cut = data.circles_bayes_radius(noise, factor)
    densities = [stats.rice.logpdf(cut, r / noise, scale=noise) for r in (factor, 1.0)]
    if np.isfinite(densities).all():
        assert densities[0] == pytest.approx(densities[1], abs=1e-6, rel=1e-6)
    inner = stats.rice.cdf(cut, factor / noise, scale=noise)
    outer = stats.rice.sf(cut, 1 / noise, scale=noise)
    got = data.circles_bayes_accuracy(noise, factor)
    assert got == pytest.approx((inner + outer) / 2, abs=1e-10)
    assert 0.5 <= got <= 1.0


def test_bayes_accuracy_of_the_demo() -> None:
    assert data.circles_bayes_radius(0.1, 0.8) == pytest.approx(0.9056, abs=5e-5)
    assert data.circles_bayes_accuracy(0.1, 0.8) == pytest.approx(0.8406, abs=5e-5)
    points = data.circles(200_000, 0.1, 0.8, seed=1)
    hits = np.mean(data.circles_bayes_predict(points.x, 0.1, 0.8) == points.y)
    assert hits == pytest.approx(0.8406, abs=4 * np.sqrt(0.84 * 0.16 / 200_000))


def test_no_other_radius_is_better() -> None:
    best = data.circles_bayes_radius(0.2, 0.5)
    points = data.circles(100_000, 0.2, 0.5, seed=2)
    radius = np.hypot(*points.x.T)
    score = [np.mean((radius < best + step) == points.y) for step in (-0.1, 0.0, 0.1)]
    assert score[1] == max(score)


def test_bayes_without_noise() -> None:
    assert data.circles_bayes_radius(0.0, 0.5) == 0.75
    assert data.circles_bayes_radius(1e-5, 0.5) == pytest.approx(0.75, abs=1e-6)
    assert data.circles_bayes_accuracy(0.0, 0.5) == 1.0
    assert data.circles_bayes_accuracy(1e-5, 0.5) == 1.0
    assert data.circles_bayes_predict(np.array([[0.7, 0.0], [0.0, -0.8]]), 0.0, 0.5).tolist() == [
        1,
        0,
    ]


@pytest.mark.errors
def test_errors_of_points() -> None:
    for call, match in [
        (lambda: data.moons(0, 0.1, seed=0), "moons: n=0 is too small; .* >= 1"),
        (lambda: data.moons(5, -0.1, seed=0), r"moons: noise=-0.1 lies outside \[0, inf\)"),
        (lambda: data.circles(0, 0.1, 0.5, seed=0), "circles: n=0"),
        (lambda: data.circles(5, 0.1, 1.0, seed=0), r"circles: factor=1.0 lies outside \[0, 1\)"),
        (lambda: data.circles_bayes_radius(0.1, -0.1), "circles_bayes_radius: factor=-0.1"),
        (lambda: data.circles_bayes_radius(float("nan"), 0.1), "noise=nan lies outside"),
        (lambda: data.circles_bayes_accuracy(float("inf"), 0.1), "noise=inf lies outside"),
        (lambda: data.moons(9, 0.1, seed=0).split(0.0), r"split: test=0.0 lies outside \(0, 1\)"),
        (lambda: data.moons(9, 0.1, seed=0).split(1.0), r"test=1.0 lies outside \(0, 1\)"),
        (lambda: data.moons(3, 0.1, seed=0).split(0.5), "class 0 has 1 point; both parts need"),
    ]:
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match=r"moons: n=2\.5 is a float; give an int"):
        data.moons(2.5, 0.1, seed=0)


# Houses.


def test_prices_of_the_houses() -> None:
    table = data.houses()
    assert (table.x @ table.weights.T + table.biases).tolist() == [
        [272000, 241750, 212500],
        [219000, 201500, 185000],
        [373000, 318000, 264000],
        [185000, 176250, 167900],
    ]
    assert table.x.shape == (len(table.house_names), len(table.feature_names))
    assert len(table.feature_units) == len(table.feature_names)
    assert table.weights.shape == (len(table.model_names), len(table.feature_names))
    table.x[0, 0] = 0
    assert data.houses().x[0, 0] == 2000


# Pictures.


def some_images(rng: np.random.Generator, n: int = 12) -> data.Images:
    x = rng.integers(0, 256, size=(n, 28, 28)).astype(np.uint8)
    return data.Images(x, rng.integers(0, 10, n), data.FASHION_NAMES, np.arange(n))


def test_mean_and_deviation_are_those_of_numpy(rng) -> None:
    images = some_images(rng)
    mean, std = images.mean_std()
    assert mean == pytest.approx((images.x / 255.0).mean(), rel=1e-12)
    assert std == pytest.approx((images.x / 255.0).std(), rel=1e-12)  # biased
    assert images.scaled().dtype == np.float32
    close(images.scaled(), images.x / 255.0, rtol=1e-6)


def test_statistics_come_from_the_training_pictures(rng) -> None:
    train, test = some_images(rng), some_images(rng, 5)
    test = data.Images(test.x // 4, test.y, test.names, test.index)
    mean, std = train.mean_std()
    got = test.standardized(train)
    close(got, (test.x / 255.0 - mean) / std, rtol=1e-5, atol=1e-6)
    assert abs(got.mean()) > 0.5
    own = train.standardized(train).astype(np.float64)
    assert own.mean() == pytest.approx(0, abs=1e-6)
    assert own.std() == pytest.approx(1, abs=1e-6)
    assert got.dtype == np.float32


def test_take_keeps_picture_class_and_place_together(rng) -> None:
    images = some_images(rng)
    for which in (slice(2, 5), [7, 1], np.array([3, 3])):
        part = images.take(which)
        assert np.array_equal(part.x, images.x[which])
        assert np.array_equal(part.y, images.y[part.index])
        assert len(part) == len(part.index)


@pytest.mark.errors
def test_pictures_of_one_colour_have_no_deviation(rng) -> None:
    images = some_images(rng)
    grey = data.Images(images.x * 0 + 7, images.y, images.names, images.index)
    with pytest.raises(ValueError, match=r"all pixels of train are equal.*give training pictures"):
        images.standardized(grey)


# The sample.


def test_the_sample_is_balanced_and_whole(monkeypatch) -> None:
    monkeypatch.delenv("NNBOOK_DATA", raising=False)
    monkeypatch.delenv("NNBOOK_PROFILE", raising=False)
    split = data.fashion_mnist()
    assert hashlib.sha256(fashion.SAMPLE.read_bytes()).hexdigest() == fashion.SAMPLE_SHA256
    for part, each, last in ((split.train, 500, 60000), (split.test, 100, 10000)):
        assert np.bincount(part.y).tolist() == [each] * 10
        assert (part.x.dtype, part.y.dtype) == (np.uint8, np.int64)
        assert part.x.shape == (10 * each, 28, 28)
        assert (np.diff(part.index) > 0).all()
        assert part.index[-1] < last
        assert part.names == data.FASHION_NAMES
    assert fashion.SAMPLE.stat().st_size < 3_000_000


def test_the_licence_is_beside_the_sample() -> None:
    text = fashion.SAMPLE.with_suffix(".LICENSE.txt").read_text()
    for words in ("MIT License", "Zalando SE", "arXiv:1708.07747", "Han Xiao", "WITHOUT WARRANTY"):
        assert words in text


@pytest.mark.errors
def test_a_damaged_sample_is_refused(monkeypatch, tmp_path) -> None:
    damaged = bytearray(fashion.SAMPLE.read_bytes())
    damaged[1000] ^= 1
    monkeypatch.setattr(fashion, "SAMPLE", tmp_path / "sample.npz")
    fashion.SAMPLE.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match=r"sample.npz has sha256 .* wanted .* install nnbook"):
        data.fashion_mnist("sample")


@pytest.mark.parametrize("folder", DEBIAN)
def test_the_sample_is_part_of_the_full_set(folder: Path, tmp_path: Path) -> None:
    full, sample = data.fashion_mnist("debian"), data.fashion_mnist("sample")
    assert [len(part) for part in full] == [60000, 10000]
    for whole, part in zip(full, sample, strict=True):
        assert np.array_equal(whole.x[part.index], part.x)
        assert np.array_equal(whole.y[part.index], part.y)
        for label in range(10):
            places = np.flatnonzero(whole.y == label)[: np.sum(part.y == label)]
            assert np.array_equal(places, part.index[part.y == label])
    close(full.train.mean_std(), (0.28604, 0.35302), rtol=0, atol=1e-5)  # well known
    make_sample(folder, tmp_path / "made.npz")
    with np.load(tmp_path / "made.npz") as made, np.load(fashion.SAMPLE) as kept:
        assert sorted(made) == sorted(kept)
        assert all(np.array_equal(made[name], kept[name]) for name in made)


def test_the_same_sample_has_the_same_bytes(rng, monkeypatch) -> None:
    images = some_images(rng)
    one = pack({"train": images})
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert pack({"train": images}) == one


@pytest.mark.parametrize("folder", DEBIAN)
def test_the_checksums_are_those_that_the_authors_publish(folder: Path) -> None:
    """The originals are Debian's files with a name and a date in the head of the gzip stream."""
    dates = {"train": 1504176606, "t10k": 1504176627}
    for file in fashion.FILES.values():
        packed = (folder / file.name).read_bytes()
        flags = struct.pack("<BI", 8, dates[file.name.split("-")[0]])
        name = file.name.removesuffix(".gz").encode() + b"\0"
        original = packed[:3] + flags + packed[8:10] + name + packed[10:]
        assert hashlib.md5(original).hexdigest() == file.md5
        assert hashlib.sha256(original).hexdigest() == file.packed
        assert hashlib.sha256(gzip.decompress(original)).hexdigest() == file.content


# A small data set in the same format.

LABELS = {"train": 23, "test": 11}


def write_small(folder: Path, packed: bool = True) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder.mkdir(parents=True, exist_ok=True)
    rng, parts = np.random.default_rng(0), {}
    for part, n in LABELS.items():
        x = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        y = rng.integers(0, 10, n).astype(np.uint8)
        parts[part] = (x, y)
        for kind, array in (("images", x), ("labels", y)):
            raw = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            name = fashion.FILES[f"{part} {kind}"].name
            raw += array.tobytes()
            if packed:
                (folder / name).write_bytes(gzip.compress(raw, mtime=0))
            else:
                (folder / name.removesuffix(".gz")).write_bytes(raw)
    return parts


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_is_read(packed: bool, tmp_path: Path, monkeypatch) -> None:
    wanted = write_small(tmp_path, packed)
    monkeypatch.setenv("NNBOOK_DATA", str(tmp_path))
    for split in (
        data.fashion_mnist(tmp_path, verify=False),
        data.fashion_mnist(str(tmp_path), verify=False),
        data.fashion_mnist(verify=False),
    ):
        for part in ("train", "test"):
            images = getattr(split, part)
            assert np.array_equal(images.x, wanted[part][0])
            assert np.array_equal(images.y, wanted[part][1])
            assert images.x.flags.writeable


def test_where_the_data_come_from(monkeypatch, tmp_path, rng) -> None:
    """None: the environment, then the profile; auto: Debian, then a download."""
    calls: list[object] = []

    def note(call: object) -> data.Split:
        calls.append(call)
        return data.Split(some_images(rng, 1), some_images(rng, 1))

    monkeypatch.setattr(fashion, "_read_sample", lambda: note("sample"))
    monkeypatch.setattr(fashion, "_read_folder", lambda f, verify: note((f, verify)))
    monkeypatch.setattr(fashion, "download_fashion", lambda: "downloaded")
    monkeypatch.delenv("NNBOOK_DATA", raising=False)

    def source(name: str | None = None, **environment: str) -> object:
        for key in ("NNBOOK_DATA", "NNBOOK_PROFILE"):
            monkeypatch.setenv(key, environment.get(key, ""))
        data.fashion_mnist(name)
        return calls.pop()

    monkeypatch.setattr(fashion, "DEBIAN", tmp_path)
    assert source() == "sample"
    assert source(NNBOOK_PROFILE="full") == (tmp_path, True)
    assert source(NNBOOK_PROFILE="full", NNBOOK_DATA="sample") == "sample"
    assert source("auto") == source("debian") == source(NNBOOK_DATA="debian") == (tmp_path, True)
    assert source("download") == source(NNBOOK_DATA="download") == ("downloaded", True)
    assert source("sample", NNBOOK_DATA="download") == "sample"
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "absent")
    assert source("auto") == source(NNBOOK_PROFILE="full") == ("downloaded", True)


@pytest.mark.errors
def test_a_missing_folder_is_named(monkeypatch, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"source='nowhere' is no folder.*one of sample"):
        data.fashion_mnist("nowhere")
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent; install Debian's package"):
        data.fashion_mnist("debian")
    with pytest.raises(FileNotFoundError, match=r"no file .*train-images-idx3-ubyte\.gz; put it"):
        data.fashion_mnist(tmp_path)


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda packed: gzip.compress(change(gzip.decompress(packed)), mtime=0)


def with_bytes(start: int, new: bytes) -> Callable[[bytes], bytes]:
    return repacked(lambda raw: raw[:start] + new + raw[start + len(new) :])


@pytest.mark.errors
@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("train images", lambda b: b"", "it is empty"),
        ("train labels", lambda b: b[: len(b) // 2], "bytes of gzip are cut off or damaged"),
        ("train images", lambda b: b[:-4], "cut off or damaged"),
        ("test images", lambda b: b[:60] + bytes([b[60] ^ 255]) + b[61:], "cut off or damaged"),
        ("train images", lambda b: b[:2] + b"nonsense", "cut off or damaged"),
        ("train labels", lambda b: b[:10] + b"\xff" + b[11:], "cut off or damaged .*invalid block"),
        ("train images", lambda b: b"hello", "it starts with 68 65 6c 6c; wanted 00 00 08 03"),
        ("train labels", with_bytes(2, b"\x0d"), "it starts with 00 00 0d 01; wanted 00 00 08 01"),
        ("train labels", with_bytes(3, b"\x03"), "it starts with 00 00 08 03; wanted 00 00 08 01"),
        ("test images", repacked(lambda b: b[:9]), "its header has 9 bytes; wanted 16"),
        (
            "test images",
            with_bytes(8, bytes([0, 0, 0, 27])),
            r"shape \(27, 28\); wanted \(28, 28\)",
        ),
        ("train images", repacked(lambda b: b[:-1]), "18031 bytes follow the header; .* 18032"),
        ("train images", repacked(lambda b: b + b"x"), "18033 bytes follow the header; .* 18032"),
        ("test labels", with_bytes(4, bytes(4)), "11 bytes follow the header; .* must be 0"),
    ],
)
def test_a_broken_file_is_refused(name, change, match, tmp_path) -> None:
    write_small(tmp_path)
    path = tmp_path / fashion.FILES[name].name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"fashion_mnist: .*{path.name}.*{match}.*Delete it"):
        data.fashion_mnist(tmp_path, verify=False)


@pytest.mark.errors
def test_parts_that_do_not_fit_are_refused(tmp_path) -> None:
    write_small(tmp_path)
    labels = tmp_path / fashion.FILES["train labels"].name
    for n, top, match in [(22, 9, "23 entries and train labels has 22"), (23, 10, "go up to 10")]:
        values = np.resize(np.array([top, 0], np.uint8), n)
        labels.write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", n) + values.tobytes())
        with pytest.raises(ValueError, match=match):
            data.fashion_mnist(tmp_path, verify=False)


@pytest.mark.errors
def test_other_content_is_refused_unless_asked_for(tmp_path) -> None:
    write_small(tmp_path)
    with pytest.raises(
        ValueError, match=r"train-images.*its content has sha256 .*; wanted c59f468"
    ):
        data.fashion_mnist(tmp_path)


def test_read_idx_of_no_entries(tmp_path) -> None:
    path = tmp_path / "none"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 0, 28, 28))
    assert read_idx(path, (28, 28)).shape == (0, 28, 28)


def test_no_torch() -> None:
    code = "import sys; from nnbook import data; data.fashion_mnist('sample'); data.moons(4, 0, 0)"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
