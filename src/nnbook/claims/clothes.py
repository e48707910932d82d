"""Claims of the topic clothes: an MLP on Fashion-MNIST."""

from __future__ import annotations

from ._core import measured


def fashion_accuracy(
    sizes: tuple[int, ...], seed: int, *, epochs: int = 8, images: int = 5000
) -> float:
    """Return the test accuracy of an MLP after training on the sample of Fashion-MNIST.

    Widths (784, 10) make it a logistic regression. Everything else is the same for all widths:
    Adam, batches of 100, and a learning rate that falls from 0.002 to 0 in a straight line.

    Args:
        sizes: the widths.
        seed: of the initial values and the shuffling.
        epochs: how often to go through the pictures; 0 leaves the model as it was drawn.
        images: how many of the training pictures to use.
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
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        training.fit(
            model,
            (x, train.y),
            loss=torch.nn.CrossEntropyLoss(),
            optimizer=optimizer,
            epochs=epochs,
            batch_size=100,
            seed=seed,
            scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 1 - e / epochs),
        )
    metrics = {"accuracy": training.accuracy}
    return training.evaluate(model, (z, test.y), metrics=metrics)["accuracy"]


@measured(
    "clo-untrained",
    says=r"An MLP 784-128-10 that was not trained recognises little of Fashion-MNIST: its "
    r"accuracy on the test sample (one class in ten is right by chance).",
    band=(0.0, 0.3),
    seeds=range(5),
    unit="accuracy",
)
def untrained(seed: int) -> float:
    return fashion_accuracy((784, 128, 10), seed, epochs=0)


@measured(
    "clo-fashion",
    says=r"By how much the test accuracy of an MLP 784-128-10 exceeds that of logistic "
    r"regression, both trained by the same loop on the sample of Fashion-MNIST.",
    band=(0.0, 0.05),
    seeds=range(3),
    unit="difference of accuracies",
)
def fashion(seed: int) -> float:
    return fashion_accuracy((784, 128, 10), seed) - fashion_accuracy((784, 10), seed)
