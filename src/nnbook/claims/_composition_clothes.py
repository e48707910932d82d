"""Claims of the topic composition that are measured on Fashion-MNIST."""

from __future__ import annotations

from ._core import measured


def fashion_accuracy(sizes: tuple[int, ...], seed: int, *, epochs: int, images: int) -> float:
    """Return the test accuracy of an MLP after training on some pictures of Fashion-MNIST.

    Widths (784, 10) make it a logistic regression. Everything else is the same for all widths.
    """
    import torch

    from nnbook import data, nn, training

    train, test = data.fashion_mnist("sample")
    train = train.take(slice(0, images))
    x, z = (part.standardized(train).reshape(len(part), -1) for part in (train, test))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.MLP(sizes)
    if epochs:
        training.fit(
            model,
            (x, train.y),
            loss=torch.nn.CrossEntropyLoss(),
            optimizer=torch.optim.Adam(model.parameters(), 1e-3),
            epochs=epochs,
            batch_size=64,
            seed=seed,
        )
    metrics = {"accuracy": training.accuracy}
    return training.evaluate(model, (z, test.y), metrics=metrics)["accuracy"]


@measured(
    "cmp-untrained",
    says=r"An MLP 784-64-10 that was not trained recognises little of Fashion-MNIST: its "
    r"accuracy on the test sample (guessing gives $0.1$).",
    band=(0.0, 0.3),
    seeds=range(5),
    unit="accuracy",
)
def untrained(seed: int) -> float:
    return fashion_accuracy((784, 64, 10), seed, epochs=0, images=2500)


@measured(
    "cmp-fashion",
    says=r"By how much the test accuracy of an MLP 784-64-10 exceeds that of logistic regression, "
    r"both trained by the same loop on 2500 pictures of Fashion-MNIST.",
    band=(0.0, 0.06),
    seeds=range(3),
    unit="difference of accuracies",
)
def fashion(seed: int) -> float:
    deep, flat = ((784, 64, 10), (784, 10))
    one, other = (fashion_accuracy(s, seed, epochs=8, images=2500) for s in (deep, flat))
    return one - other
