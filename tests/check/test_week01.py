"""The checks of week 1: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, verdict
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sslcourse import evaluate, models
from sslcourse.check import week01 as check
from sslcourse.check.week01 import oracle, probe_oracle

# --- the definitions against peers


@pytest.mark.parametrize("C", [0.1, 1.0])
def test_logistic_regression_definition_equals_scikit_learn(C):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 4)), generator.integers(3, size=60)
    peer = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(x, y)
    weights, intercepts = probe_oracle.logistic_regression(torch.tensor(x), torch.tensor(y), 3, C)
    # The intercepts are free up to a common constant, which changes no probability.
    np.testing.assert_allclose(weights.numpy().T, peer.coef_, atol=1e-4)
    np.testing.assert_allclose(intercepts - intercepts.mean(), peer.intercept_ - peer.intercept_.mean(), atol=1e-4)


def test_train_epoch_definition_equals_torch():
    generator = torch.Generator().manual_seed(0)
    batches = [torch.rand(n, 1, 3, 3, generator=generator, dtype=torch.float64) for n in (4, 4, 1)]
    weights = nn.Parameter(torch.tensor([0.3, 0.4], dtype=torch.float64))
    optimizer, total = torch.optim.SGD([weights], lr=0.2), 0.0
    epoch = oracle.train_epoch(batches, weights.detach().clone(), lr=0.2)
    for x in batches:
        loss = F.mse_loss(weights[0] * x + weights[1], x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    assert epoch.mean == pytest.approx(total / 9, abs=1e-12)
    torch.testing.assert_close(epoch.weights, weights.detach())


# --- ConvAutoencoder


class ConvAutoencoder(nn.Module):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__()
        self.shape = (4 * base_channels, -(-image_size // 8), -(-image_size // 8))
        features = 4 * base_channels * self.shape[1] ** 2
        self.encoder = models.conv_encoder(in_channels, base_channels)
        self.decoder = models.conv_decoder(in_channels, image_size, base_channels)
        self.to_latent = nn.Linear(features, latent_dim)
        self.from_latent = nn.Linear(latent_dim, features)

    def encode(self, x):
        return self.to_latent(self.encoder(x).flatten(1))

    def decode(self, z):
        return self.decoder(self.from_latent(z).view(-1, *self.shape))

    def forward(self, x):
        return self.decode(self.encode(x))


class LazyStacks(nn.Module):
    """As two sequences, sizes found by trying."""

    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__()
        encoder = models.conv_encoder(in_channels, base_channels)
        shape = encoder(torch.zeros(1, in_channels, image_size, image_size)).shape[1:]
        decoder = models.conv_decoder(in_channels, image_size, base_channels)
        self.encode = nn.Sequential(encoder, nn.Flatten(), nn.Linear(shape.numel(), latent_dim))
        self.decode = nn.Sequential(nn.Linear(latent_dim, shape.numel()), nn.Unflatten(1, shape), decoder)

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z)


class OwnLayers(nn.Module):
    """Upsampling and a crop, batch norm, and a sigmoid of its own."""

    def __init__(self, channels, size, latent, base=16):
        super().__init__()
        self.size, side = size, size // 4
        self.down = nn.Sequential(
            nn.Conv2d(channels, base, 3, 2, 1), nn.BatchNorm2d(base), nn.ReLU(), nn.Conv2d(base, base, 3, 2, 1)
        )
        self.inner = nn.Linear(base * side * side, latent)
        self.outer = nn.Sequential(nn.Linear(latent, base * side * side), nn.Unflatten(1, (base, side, side)))
        self.up = nn.Sequential(nn.Upsample(scale_factor=5), nn.Conv2d(base, channels, 3, 1, 1))

    def encode(self, x):
        return self.inner(torch.relu(self.down(2 * x - 1)).reshape(len(x), -1))

    def decode(self, z):
        return torch.sigmoid(self.up(self.outer(z))[:, :, : self.size, : self.size])

    def forward(self, x):
        return self.decode(self.encode(x))


@pytest.mark.parametrize("right", [ConvAutoencoder, LazyStacks, OwnLayers])
def test_right_autoencoder(right, seeds):
    assert_right(check.ConvAutoencoder, right)


class TooLarge(ConvAutoencoder):
    """The last transposed convolution always doubles."""

    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size + image_size % 32 // 28, latent_dim, base_channels)


class Rounded(ConvAutoencoder):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size, latent_dim, base_channels)
        self.decoder = models.conv_decoder(in_channels, 8 * self.shape[1], base_channels)


class AroundTheLinear(ConvAutoencoder):
    def forward(self, x):
        return self.decoder(self.encoder(x))


class Skip(ConvAutoencoder):
    def forward(self, x):
        maps = self.encoder(x)
        inner = self.from_latent(self.to_latent(maps.flatten(1))).view(maps.shape)
        return self.decoder(inner + 0.1 * maps)


class LaidAside(ConvAutoencoder):
    def encode(self, x):
        self.maps = self.encoder(x)
        return self.to_latent(self.maps.flatten(1))

    def decode(self, z):
        inner = self.from_latent(z).view(-1, *self.shape)
        return self.decoder(inner + self.maps if len(self.maps) == len(z) else inner)


class Residual(ConvAutoencoder):
    def forward(self, x):
        return (self.decode(self.encode(x)) + x) / 2


class Logits(ConvAutoencoder):
    def __init__(self, *args):
        super().__init__(*args)
        self.decoder = self.decoder[:-1]


class MapsAsLatent(ConvAutoencoder):
    def encode(self, x):
        return self.encoder(x)


class LatentOfFixedSize(ConvAutoencoder):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size, 6, base_channels)


class FreshLayers(ConvAutoencoder):
    def encode(self, x):
        maps = self.encoder(x).flatten(1)
        return nn.Linear(maps.shape[1], self.to_latent.out_features)(maps)


class Detached(ConvAutoencoder):
    def forward(self, x):
        return self.decode(self.encode(x).detach())


class NoForward(nn.Module):
    def __init__(self, *args):
        super().__init__()
        inner = ConvAutoencoder(*args)
        self.encode, self.decode = inner.encode, inner.decode


class ForgottenReturn(ConvAutoencoder):
    def decode(self, z):
        self.decoder(self.from_latent(z).view(-1, *self.shape))


class Unregistered(ConvAutoencoder):
    def __init__(self, *args):
        super().__init__(*args)
        self.layers = [self.encoder, self.to_latent]
        del self.encoder, self.to_latent

    def encode(self, x):
        return self.layers[1](self.layers[0](x).flatten(1))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (TooLarge, "29 x 29 pixels, 1 pixel too large"),
        (Rounded, "32 x 32 pixels, 4 pixels too large"),
        (AroundTheLinear, "bypass around the bottleneck"),
        (Skip, "bypass around the bottleneck"),
        (LaidAside, "bypass around the bottleneck"),
        (Residual, "bypass around the bottleneck"),
        (Logits, "they should lie in [0, 1]"),
        (MapsAsLatent, "encode returns a tensor of shape (3, 16, 4, 4), it should be (3, 6)"),
        (LatentOfFixedSize, "encode returns a tensor of shape (3, 6), it should be (3, 5)"),
        (FreshLayers, "make the layers in __init__"),
        (Detached, "No gradient reaches the weights of the encoder"),
        (ForgottenReturn, "decode returns None"),
        (Unregistered, "No gradient reaches the weights of the encoder"),
        (NoForward, "NotImplementedError"),
        (lambda *args: ConvAutoencoder(*args), "inherits from nn.Module"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_wrong_autoencoder(wrong, words):
    assert_wrong(check.ConvAutoencoder, wrong, words)


def test_a_blank_autoencoder_is_not_attempted():
    class Blank(nn.Module):
        def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
            super().__init__()
            raise NotImplementedError()

    assert verdict(check.ConvAutoencoder, Blank)[0] == "not attempted"


# --- train_epoch


def train_epoch(model, images, optimizer, batch_size, generator=None):
    model.train()
    total = 0.0
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        batch = images[index]
        loss = F.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(images)


def train_epoch_with_a_loader(model, images, optimizer, batch_size, generator=None):
    model.train()
    losses, sizes = [], []
    for (x,) in DataLoader(TensorDataset(images), batch_size=batch_size, shuffle=True, generator=generator):
        loss = ((model(x) - x) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        sizes.append(len(x))
    return float(np.average(losses, weights=sizes))


def train_epoch_per_image(model, images, optimizer, batch_size, generator=None):
    model.train()
    shuffled, per_image = images[torch.randperm(len(images), generator=generator)], []
    for start in range(0, len(images), batch_size):
        x = shuffled[start : start + batch_size]
        model.zero_grad()
        errors = nn.MSELoss(reduction="none")(model(x), x).flatten(1).mean(1)
        errors.mean().backward()
        optimizer.step()
        per_image += errors.tolist()
    return sum(per_image) / len(per_image)


@pytest.mark.parametrize("right", [train_epoch, train_epoch_with_a_loader, train_epoch_per_image])
def test_right_train_epoch(right, seeds):
    assert_right(check.train_epoch, right)


def epoch(
    *,
    reset=True,
    order=lambda n, g: torch.randperm(n, generator=g),
    criterion=F.mse_loss,
    train=True,
    after=None,
    keep_last=True,
    result=lambda losses, sizes: sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes),
    step=True,
    second_look=False,
    target=lambda images, index, start: images[index],
):
    """A training loop with something wrong in it."""

    def train_epoch(model, images, optimizer, batch_size, generator=None):
        if train:
            model.train()
        losses, sizes, start = [], [], 0
        for index in order(len(images), generator).split(batch_size):
            if not keep_last and len(index) < batch_size:
                continue
            x = images[index]
            loss = criterion(model(x), target(images, index, start))
            if reset:
                optimizer.zero_grad()
            loss.backward()
            if step:
                optimizer.step()
            if second_look:
                loss = criterion(model(x), x)
            losses.append(loss.item())
            sizes.append(len(x))
            start += len(x)
        if after:
            after(model)
        return result(losses, sizes)

    return train_epoch


def blocks(n, generator):
    starts = torch.arange(0, n, 4)[torch.randperm(-(-n // 4), generator=generator)]
    return torch.cat([torch.arange(start, min(start + 4, n)) for start in starts.tolist()])


def generator_of_its_own(n, generator):
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))


def with_graph(model, images, optimizer, batch_size, generator=None):
    return torch.tensor(train_epoch(model, images, optimizer, batch_size, generator), requires_grad=True)


def graph_kept(model, images, optimizer, batch_size, generator=None):
    model.train()
    total = 0
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        loss = F.mse_loss(model(images[index]), images[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total = total + loss * len(index)
    return total / len(images)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (epoch(reset=False), "gradients are not reset"),
        (epoch(result=lambda losses, sizes: np.mean(losses)), "smaller last batch is weighted like a full one"),
        (epoch(result=lambda losses, sizes: np.mean(losses), reset=False), "are not reset"),
        (epoch(result=lambda losses, sizes: np.mean(losses), reset=False), "Also, in the result a smaller last batch"),
        (epoch(keep_last=False), "2 of 10 images were never seen: the last batch is dropped"),
        (epoch(after=lambda model: model.eval()), "leaves the model in eval mode"),
        (epoch(train=False), "in eval mode while it learns"),
        (epoch(order=lambda n, g: torch.arange(n)), "shuffle them anew"),
        (epoch(order=blocks), "Only the order of the batches is shuffled"),
        (epoch(order=lambda n, g: torch.randint(n, (n,), generator=g)), "without replacement"),
        (epoch(order=lambda n, g: torch.randperm(n)), "argument generator is not used"),
        (epoch(order=generator_of_its_own), "Every epoch has the same order"),
        (epoch(order=lambda n, g: torch.randperm(n, generator=g).repeat(2)), "one pass takes each once"),
        (epoch(second_look=True), "runs on every batch twice"),
        (epoch(step=False), "optimizer.step() is never called"),
        (epoch(result=lambda losses, sizes: losses[-1]), "loss of the last batch"),
        (epoch(result=lambda losses, sizes: sum(losses)), "sum over the batches"),
        (epoch(result=lambda losses, sizes: float(np.dot(losses, sizes))), "sum over the images"),
        (epoch(result=lambda losses, sizes: sum(losses) / sum(sizes)), "was summed over batches"),
        (epoch(result=lambda losses, sizes: None), "returns None"),
        (epoch(criterion=lambda y, x: F.mse_loss(y, x, reduction="sum")), "squared errors are summed"),
        (epoch(criterion=lambda y, x: (y - x).square().sum() / len(x)), "squared errors of an image are summed"),
        (epoch(criterion=F.l1_loss), "absolute error"),
        (epoch(target=lambda images, index, start: images[start : start + len(index)]), "other images than went"),
        (epoch(criterion=F.smooth_l1_loss), "squared error is halved"),
        (with_graph, "returns a tensor with its graph"),
        (graph_kept, "returns a tensor with its graph"),
        (lambda model, images, *rest: train_epoch(model, images + 0.1, *rest), "something else than the images"),
    ],
)
def test_wrong_train_epoch(wrong, words):
    assert_wrong(check.train_epoch, wrong, words)


# --- extract_features


def extract_features(encoder, images, batch_size=256):
    is_module = isinstance(encoder, nn.Module)
    training = is_module and encoder.training
    if is_module:
        encoder.eval()
    with torch.no_grad():
        features = torch.cat([encoder(batch) for batch in images.split(batch_size)])
    if is_module:
        encoder.train(training)
    return features


@torch.inference_mode()
def extract_features_into_a_buffer(encoder, images, batch_size=256):
    training = getattr(encoder, "training", None)
    if training:
        encoder.eval()
    try:
        rows = []
        for start in range(0, len(images), batch_size):
            rows.extend(encoder(images[start : start + batch_size]).unbind())
        return torch.stack(rows)
    finally:
        if training:
            encoder.train()


def extract_features_detached(encoder, images, batch_size=256):
    training = getattr(encoder, "training", None)
    if training is not None:
        encoder.eval()
    features = [encoder(x).detach() for (x,) in DataLoader(TensorDataset(images), batch_size=batch_size)]
    if training is not None:
        encoder.train(training)
    return torch.cat(features)


@pytest.mark.parametrize(
    "right",
    [extract_features, extract_features_into_a_buffer, extract_features_detached, evaluate.extract_features],
)
def test_right_extract_features(right, seeds):
    assert_right(check.extract_features, right)


def in_train_mode(encoder, images, batch_size=256):
    with torch.no_grad():
        return torch.cat([encoder(batch) for batch in images.split(batch_size)])


def left_in_eval_mode(encoder, images, batch_size=256):
    encoder.eval()
    return in_train_mode(encoder, images, batch_size)


def always_to_train_mode(encoder, images, batch_size=256):
    encoder.eval()
    features = in_train_mode(encoder, images, batch_size)
    encoder.train()
    return features


def with_gradients(encoder, images, batch_size=256):
    training = encoder.training
    encoder.eval()
    features = torch.cat([encoder(batch) for batch in images.split(batch_size)])
    encoder.train(training)
    return features


def modules_only(encoder, images, batch_size=256):
    training = encoder.training
    encoder.eval()
    features = in_train_mode(encoder, images, batch_size)
    encoder.train(training)
    return features


def drops_the_last(encoder, images, batch_size=256):
    return modules_only(encoder, images[: len(images) // batch_size * batch_size], batch_size)


def shuffled(encoder, images, batch_size=256):
    return modules_only(encoder, images[torch.randperm(len(images))], batch_size)


def all_at_once(encoder, images, batch_size=256):
    return modules_only(encoder, images, len(images))


def squeezed(encoder, images, batch_size=256):
    return modules_only(encoder, images, batch_size).squeeze()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (in_train_mode, "those of train mode"),
        (left_in_eval_mode, "came in train mode and is left in eval mode"),
        (always_to_train_mode, "came in eval mode and is left in train mode"),
        (with_gradients, "features carry a graph"),
        (drops_the_last, "returns 8 rows for 10 images: the last batch is dropped"),
        (shuffled, "The order is lost"),
        (all_at_once, "10 images went through the encoder at once, batch_size is 4"),
        (squeezed, "For one image it returns shape (5,), it should be (1, 5): squeeze"),
        (modules_only, "AttributeError: 'function' object has no attribute 'training'"),
        (lambda *args: modules_only(*args).numpy(), "returns something of type ndarray"),
        (lambda *args: F.normalize(modules_only(*args)), "features are normalised"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_wrong_extract_features(wrong, words):
    assert_wrong(check.extract_features, wrong, words)


# --- linear_probe


def linear_probe(train_x, train_y, test_x, test_y):
    scaler = StandardScaler().fit(train_x)
    probe = LogisticRegression(C=1.0, max_iter=1000).fit(scaler.transform(train_x), train_y)
    return probe.score(scaler.transform(test_x), test_y)


def linear_probe_as_pipeline(train_x, train_y, test_x, test_y):
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(train_x.numpy(), train_y.numpy())
    return float((torch.tensor(probe.predict(test_x.numpy())) == test_y).float().mean())


def linear_probe_by_hand(train_x, train_y, test_x, test_y):
    mean, std = train_x.mean(0), train_x.std(0)
    probe = LogisticRegression(C=1.0, solver="newton-cg", max_iter=1000)
    probe.fit(((train_x - mean) / std).numpy(), train_y.numpy())
    return np.mean(probe.predict(((test_x - mean) / std).numpy()) == test_y.numpy())


@pytest.mark.parametrize("right", [linear_probe, linear_probe_as_pipeline, linear_probe_by_hand, evaluate.linear_probe])
def test_right_linear_probe(right, seeds):
    assert_right(check.linear_probe, right)


def _fit(x, y):
    return LogisticRegression(max_iter=1000).fit(x, y)


def not_standardised(train_x, train_y, test_x, test_y):
    return _fit(train_x, train_y).score(test_x, test_y)


def test_statistics_of_its_own(train_x, train_y, test_x, test_y):
    train, test = StandardScaler().fit_transform(train_x), StandardScaler().fit_transform(test_x)
    return _fit(train, train_y).score(test, test_y)


test_statistics_of_its_own.__test__ = False  # a wrong answer, not a test


def statistics_of_both(train_x, train_y, test_x, test_y):
    scaler = StandardScaler().fit(torch.cat([train_x, test_x]))
    return _fit(scaler.transform(train_x), train_y).score(scaler.transform(test_x), test_y)


def fitted_on_test(train_x, train_y, test_x, test_y):
    scaler = StandardScaler().fit(train_x)
    return _fit(scaler.transform(test_x), test_y).score(scaler.transform(test_x), test_y)


def fitted_on_both(train_x, train_y, test_x, test_y):
    scaler = StandardScaler().fit(train_x)
    x = np.concatenate([scaler.transform(train_x), scaler.transform(test_x)])
    return _fit(x, torch.cat([train_y, test_y])).score(scaler.transform(test_x), test_y)


def scored_on_train(train_x, train_y, test_x, test_y):
    x = StandardScaler().fit_transform(train_x)
    return _fit(x, train_y).score(x, train_y)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (not_standardised, "features are not standardised"),
        (test_statistics_of_its_own, "statistics of the test set"),
        (statistics_of_both, "statistics of the test set"),
        (fitted_on_test, "fitted on the test set"),
        (fitted_on_both, "fitted on the test set"),
        (scored_on_train, "that on the training set"),
        (lambda *case: 100 * linear_probe(*case), "a percentage"),
        (lambda *case: 1 - linear_probe(*case), "error rate"),
        (lambda *case: linear_probe(*case) * len(case[3]), "number of right answers"),
        (lambda *case: 0.5, "Standardise both sets"),
        (lambda *case: LogisticRegression().fit(case[0], case[1]), "returns something of type LogisticRegression"),
    ],
)
def test_wrong_linear_probe(wrong, words):
    assert_wrong(check.linear_probe, wrong, words)
