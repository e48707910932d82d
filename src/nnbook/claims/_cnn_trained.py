"""Claims of the topic cnn that are measured: LeNet against an MLP with as many parameters."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import measured

if TYPE_CHECKING:
    import torch

Array = np.ndarray
HIDDEN = 35  # units of the MLP 784-h-h-10 with about as many parameters as the small LeNet
IMAGES, EPOCHS, BATCH = 4000, 4, 32


def lenet() -> torch.nn.Module:
    """Return a small LeNet: two convolutions with pooling, then two affine maps."""
    from nnbook import nn

    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def dense() -> torch.nn.Module:
    """Return an MLP with about as many parameters."""
    from nnbook import nn

    return nn.Sequential(nn.Flatten(), nn.MLP([784, HIDDEN, HIDDEN, 10]))


def parameters(model: torch.nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def pictures(order: Array | None = None, images: int = IMAGES) -> tuple[Array, Array, Array, Array]:
    """Return training and test pictures of shape (n, 1, 28, 28), and their classes.

    Args:
        order: a permutation of the 784 pixels, the same for all pictures.
        images: how many training pictures.
    """
    from nnbook import data

    train, test = data.fashion_mnist("sample")
    few = train.take(slice(0, images))
    x, z = (part.standardized(few).reshape(len(part), 784) for part in (few, test))
    if order is not None:
        x, z = x[:, order], z[:, order]
    return x.reshape(-1, 1, 28, 28), few.y, z.reshape(-1, 1, 28, 28), test.y


def moved(x: Array, pixels: int, *, background: float | None = None) -> list[Array]:
    """Return the pictures shifted by some pixels up, down, left and right.

    What leaves is lost; what comes in is the background, the smallest number of the pictures.
    """
    if pixels == 0:
        return [x]
    fill = float(x.min()) if background is None else background
    wide = np.pad(x, [(0, 0), (0, 0), (pixels, pixels), (pixels, pixels)], constant_values=fill)
    h, w = x.shape[2:]
    places = [(2 * pixels, pixels), (0, pixels), (pixels, 2 * pixels), (pixels, 0)]
    return [wide[:, :, a : a + h, b : b + w] for a, b in places]


@cache
def trained(kind: str, seed: int) -> torch.nn.Module:
    """Train a network on the sample of Fashion-MNIST, with the fused convolution."""
    import torch

    from nnbook import nn, training

    x, y, _, _ = pictures()
    with torch.random.fork_rng(devices=[]), nn.fused_convolution():
        torch.manual_seed(seed)
        model = lenet() if kind == "lenet" else dense()
        optimizer = torch.optim.Adam(model.parameters(), 4e-3)
        training.fit(
            model,
            (x, y),
            loss=torch.nn.CrossEntropyLoss(),
            optimizer=optimizer,
            epochs=EPOCHS,
            batch_size=BATCH,
            seed=seed,
            scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 1 - e / EPOCHS),
        )
    return model


@cache
def accuracy(kind: str, seed: int, pixels: int = 0) -> float:
    """Return the share of test pictures that are right after a shift, in four directions."""
    from nnbook import nn, training

    _, _, z, classes = pictures()
    model = trained(kind, seed)
    with nn.fused_convolution():
        right = [training.predict(model, part) == classes for part in moved(z, pixels)]
    return float(np.mean(right))


def random_features(x: Array, seed: int) -> Array:
    """Return what 16 random kernels answer: ReLU, then means of 6 by 6 places, as rows."""
    import torch

    from nnbook import nn

    draw = torch.Generator().manual_seed(seed)
    kernels = torch.randn(16, 1, 5, 5, generator=draw)
    kernels -= kernels.mean((2, 3), keepdim=True)
    with torch.no_grad(), nn.fused_convolution():
        maps = torch.relu(nn.conv2d(torch.tensor(x), kernels))
        return nn.avg_pool2d(maps, 6).flatten(1).numpy().astype(np.float64)


def ridge_accuracy(seed: int, order: Array | None = None) -> float:
    """Fit a linear classifier to the random features by least squares; return its accuracy."""
    x, y, z, classes = pictures(order, images=2000)
    A, B = random_features(x, seed), random_features(z, seed)
    mean, size = A.mean(0), A.std()
    A, B = (A - mean) / size, (B - mean) / size
    Y = np.eye(10)[y] - 0.1
    W = np.linalg.solve(A.T @ A + 100 * np.eye(A.shape[1]), A.T @ Y)
    return float(np.mean((B @ W).argmax(1) == classes))


@measured(
    "cnn-accuracy",
    says="By how much the test accuracy of LeNet exceeds that of an MLP with as many parameters, "
    "within one per cent, both trained by the same loop on 4000 pictures of Fashion-MNIST for four "
    "epochs: little, in one direction or the other.",
    band=(-0.06, 0.06),
    unit="difference of accuracies",
)
def advantage(seed: int) -> float:
    ratio = parameters(lenet()) / parameters(dense())
    if not 0.99 < ratio < 1.01:
        raise AssertionError(f"LeNet has {ratio:.3f} times the parameters of the MLP")
    return accuracy("lenet", seed) - accuracy("dense", seed)


@measured(
    "cnn-shift",
    says="What LeNet loses in test accuracy when the test pictures are shifted by 2 pixels: it is "
    "not invariant.",
    band=(0.02, 0.35),
    unit="loss of accuracy",
)
def shifted(seed: int) -> float:
    return accuracy("lenet", seed) - accuracy("lenet", seed, 2)


@measured(
    "cnn-robust",
    says="By how much more the accuracy of the MLP falls than that of LeNet when the test pictures "
    "are shifted by 2 pixels.",
    band=(0.02, 0.5),
    unit="difference of the losses of accuracy",
)
def robust(seed: int) -> float:
    lost = accuracy("dense", seed) - accuracy("dense", seed, 2)
    return lost - (accuracy("lenet", seed) - accuracy("lenet", seed, 2))


@measured(
    "cnn-pixels",
    says="What a linear classifier on the maps of 16 random $5 \\times 5$ kernels, with ReLU and "
    "average pooling, loses in test accuracy when the pixels of all pictures, training and test, "
    "are put in another order, the same for all.",
    band=(0.01, 0.12),
    unit="loss of accuracy",
)
def pixels(seed: int) -> float:
    order = np.random.default_rng(seed).permutation(784)
    return ridge_accuracy(seed) - ridge_accuracy(seed, order)
