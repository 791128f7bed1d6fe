"""More answers to week 1, as people write them: unusual right ones are accepted, wrong ones told what they did.

Each wrong answer stands with words of the message that names its mistake.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from sslcourse import models
from sslcourse.check import week01 as check

# --- ConvAutoencoder


class Plain(nn.Module):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__()
        side = -(-image_size // 8)
        self.shape = (4 * base_channels, side, side)
        width = 4 * base_channels * side * side
        self.convolutions = models.conv_encoder(in_channels, base_channels)
        self.to_latent = nn.Linear(width, latent_dim)
        self.from_latent = nn.Linear(latent_dim, width)
        self.transposed = models.conv_decoder(in_channels, image_size, base_channels)

    def encode(self, x):
        return self.to_latent(self.convolutions(x).flatten(1))

    def decode(self, z):
        return self.transposed(self.from_latent(z).unflatten(1, self.shape))

    def forward(self, x):
        return self.decode(self.encode(x))


class Half(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return functools.reduce(lambda x, layer: layer(x), self.layers, x)


class Nested(Plain):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.halves = nn.ModuleDict(
            {
                "in": Half(self.convolutions, nn.Flatten(), self.to_latent),
                "out": Half(self.from_latent, nn.Unflatten(1, self.shape), self.transposed),
            }
        )

    def encode(self, x):
        return self.halves["in"](x)

    def decode(self, z):
        return self.halves["out"](z)


class GroupNormed(Plain):
    """A decoder of one's own, with a normalisation that latent vectors alone cannot drive to black and white."""

    def __init__(self, channels, size, latent, base_channels=16):
        super().__init__(channels, size, latent, base_channels)
        self.transposed = nn.Sequential(
            nn.GroupNorm(1, 4 * base_channels),
            nn.Upsample(size=(size, size), mode="bilinear"),
            nn.Conv2d(4 * base_channels, channels, 3, padding=1),
        )

    def decode(self, z):
        return super().decode(z).sigmoid()


class Tanh(GroupNormed):
    def decode(self, z):
        return (Plain.decode(self, z).tanh() + 1) / 2


class ActivatedInside(Plain):
    def decode(self, z):
        return self.transposed(F.relu(self.from_latent(z)).reshape(len(z), *self.shape))


class MatrixProducts(Plain):
    def encode(self, x):
        maps = self.convolutions(x)
        return torch.einsum("nf,lf->nl", maps.reshape(len(x), -1), self.to_latent.weight) + self.to_latent.bias


@pytest.mark.parametrize("right", [Nested, GroupNormed, Tanh, ActivatedInside, MatrixProducts])
def test_right_autoencoder(right, seeds):
    assert_right(check.ConvAutoencoder, right)


class SecondSigmoid(Plain):
    def decode(self, z):
        return torch.sigmoid(super().decode(z))


class SigmoidInForwardToo(Plain):
    def forward(self, x):
        return super().forward(x).sigmoid()


class SigmoidOfTanh(GroupNormed):
    def decode(self, z):
        return Plain.decode(self, z).tanh().sigmoid()


class Grey(Plain):
    def decode(self, z):
        return 0.5 * super().decode(z)


class NoGradInside(Plain):
    def encode(self, x):
        with torch.no_grad():
            maps = self.convolutions(x)
        return self.to_latent(maps.flatten(1))


class Frozen(Plain):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.convolutions.requires_grad_(False)


class DetachedMaps(Plain):
    def decode(self, z):
        return self.transposed(self.from_latent(z).unflatten(1, self.shape).detach())


class BatchMixed(Plain):
    def decode(self, z):
        maps = self.from_latent(z).T.reshape(len(z), *self.shape)
        return self.transposed(maps)


class BatchMixedEncoder(Plain):
    def encode(self, x):
        maps = self.convolutions(x)
        return self.to_latent(maps.transpose(0, 1).reshape(len(x), -1))


class Ignored(Plain):
    def decode(self, z):
        return super().decode(torch.ones_like(z))


class Floored(Plain):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size, latent_dim, base_channels)
        side = image_size // 8
        self.to_latent = nn.Linear(4 * base_channels * side * side, latent_dim)


class ColourOnly(Plain):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(3, image_size, latent_dim, base_channels)


class WidthOfTheDefault(Plain):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size, latent_dim, base_channels)
        self.to_latent = nn.Linear(64 * self.shape[1] ** 2, latent_dim)


class Noisy(Plain):
    def encode(self, x):
        return super().encode(x) + torch.randn(len(x), 1)


class Both(Plain):
    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z


class Rectified(Plain):
    def encode(self, x):
        return super().encode(x).relu()


class Softplus(Plain):
    def encode(self, x):
        return F.softplus(super().encode(x))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Rectified, "No latent number is below 0"),
        (Softplus, "No latent number is below 0"),
        (SecondSigmoid, "a sigmoid is applied twice"),
        (SigmoidInForwardToo, "forward(x) is not decode(encode(x))"),
        (SigmoidOfTanh, "images hold all of [0, 1]"),
        (Grey, "images hold all of [0, 1]"),
        (NoGradInside, "they are detached or frozen"),
        (Frozen, "they are detached or frozen"),
        (DetachedMaps, "No gradient reaches the weights of the encoder"),
        (BatchMixed, "What decode makes of a vector depends on the others"),
        (BatchMixedEncoder, "What encode makes of an image depends on the other images"),
        (Ignored, "decode gives the same for different latent vectors"),
        (Floored, "Your code raised"),
        (ColourOnly, "Your code raised"),
        (WidthOfTheDefault, "Your code raised"),
        (Noisy, "encode gives other results for the same images"),
        (Both, "something of type tuple"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_wrong_autoencoder(wrong, words):
    assert_wrong(check.ConvAutoencoder, wrong, words)


# --- train_epoch


def by_index(model, images, optimizer, batch_size, generator=None):
    model.train(True)
    order, losses = torch.randperm(len(images), generator=generator).tolist(), []
    while order:
        batch, order = images[order[:batch_size]], order[batch_size:]
        optimizer.zero_grad(set_to_none=False)
        loss = (model(batch) - batch).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(batch)
    return np.mean(losses)


def with_closure(model, images, optimizer, batch_size, generator=None):
    model.train()
    total = torch.zeros((), dtype=torch.float64)
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        x = images[index]

        def closure(x=x):
            optimizer.zero_grad()
            loss = nn.MSELoss()(model(x), x)
            loss.backward()
            return loss

        total += optimizer.step(closure).detach() * len(x)
    return total / len(images)


def functional(loss_of, model, images, optimizer, batch_size, generator=None):
    model.train()
    keys = torch.rand(len(images), generator=generator).argsort()
    total, seen = 0.0, 0
    for start in range(0, len(images), batch_size):
        x = images.index_select(0, keys[start : start + batch_size])
        loss = loss_of(model(x), x)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        total, seen = total + float(loss) * x.shape[0], seen + x.shape[0]
    return total / seen


@pytest.mark.parametrize(
    "right",
    [
        by_index,
        with_closure,
        functools.partial(functional, F.mse_loss),
        functools.partial(functional, lambda y, x: torch.einsum("nchw,nchw->", y - x, y - x) / x.numel()),
        functools.partial(functional, lambda y, x: torch.linalg.vector_norm(y - x) ** 2 / y.numel()),
    ],
)
def test_right_train_epoch(right, seeds):
    assert_right(check.train_epoch, right)


def loop(
    loss_of=F.mse_loss,
    order=lambda n, generator: torch.randperm(n, generator=generator),
    steps=("zero_grad", "backward", "step"),
    result=lambda losses, sizes, batch_size: np.average(losses, weights=sizes),
    mode=lambda model: model.train(),
    limit=10**9,
    optimise=lambda model, optimizer: optimizer,
):
    def train_epoch(model, images, optimizer, batch_size, generator=None):
        mode(model)
        optimizer = optimise(model, optimizer)
        losses, sizes = [], []
        for index in order(len(images), generator).split(min(batch_size, limit)):
            loss = loss_of(model(images[index]), images[index])
            for step in steps:
                (loss if step == "backward" else optimizer).__getattribute__(step)()
            losses.append(loss.item())
            sizes.append(len(index))
        return result(losses, sizes, batch_size)

    return train_epoch


def seeded_by_its_own_seed(n, generator):
    generator = generator or torch.Generator()
    return torch.randperm(n, generator=generator.manual_seed(generator.initial_seed()))


def one_step(model, images, optimizer, batch_size, generator=None):
    model.train()
    optimizer.zero_grad()
    total = 0
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        loss = F.mse_loss(model(images[index]), images[index])
        loss.backward()
        total += loss.item() * len(index)
    optimizer.step()
    return total / len(images)


def flag_only(model):
    model.training = True


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (loop(result=lambda losses, sizes, b: sum(losses) * b / sum(sizes)), "weighted with batch_size"),
        (loop(result=lambda losses, sizes, b: sum(losses) / (sum(sizes) // b or 1)), "number of full batches"),
        (loop(result=lambda losses, sizes, b: sum(losses) / b), "divided by batch_size"),
        (loop(result=lambda losses, sizes, b: losses[0]), "loss of the first batch"),
        (loop(result=lambda losses, sizes, b: np.average(losses, weights=sizes) ** 0.5), "the root of the mean"),
        (loop(result=lambda losses, sizes, b: np.median(losses)), "it should be"),
        (loop(lambda y, x: F.mse_loss(y, x).sqrt()), "root of the mean squared error is minimised"),
        (loop(lambda y, x: F.mse_loss(y, x) / 2), "squared error is halved"),
        (loop(F.huber_loss), "squared error is halved"),
        (loop(F.binary_cross_entropy), "binary cross-entropy"),
        (loop(lambda y, x: (y - x).mean()), "the error is not squared"),
        (loop(lambda y, x: F.mse_loss(y, x) / len(x)), "it is a mean already"),
        (loop(steps=("zero_grad", "step", "backward")), "The weights do not change"),
        (loop(steps=("step", "zero_grad", "backward")), "step comes before the backward pass"),
        (loop(steps=("backward", "zero_grad", "step")), "The weights do not change"),
        (loop(steps=("backward", "step")), "gradients are not reset"),
        (loop(steps=("zero_grad", "backward", "step", "step")), "one step a batch"),
        (loop(steps=("zero_grad", "backward")), "optimizer.step() is never called"),
        (loop(optimise=lambda m, _: torch.optim.Adam(m.parameters(), 1e-3)), "optimizer.step() is never called"),
        (one_step, "one step a batch"),
        (loop(mode=flag_only), "in eval mode while it learns"),
        (loop(mode=lambda model: None), "in eval mode while it learns"),
        (loop(limit=128), "they should have [256, 44]"),
        (loop(order=seeded_by_its_own_seed), "Every epoch has the same order"),
        (loop(order=lambda n, g: torch.randperm(n, generator=torch.manual_seed(0))), "Every epoch has the same order"),
        (loop(order=lambda n, g: torch.randperm(n, generator=g)[: n // 2 * 2 - 1]), "never seen"),
    ],
)
def test_wrong_train_epoch(wrong, words):
    assert_wrong(check.train_epoch, wrong, words)


# --- extract_features


def every_mode_restored(encoder, images, batch_size=256):
    modules = list(encoder.modules()) if isinstance(encoder, nn.Module) else []
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    with torch.inference_mode():
        features = torch.cat([encoder(x) for x in torch.split(images, batch_size)]).clone()
    for module, mode in zip(modules, modes, strict=True):
        module.training = mode
    return features


def of_a_copy(encoder, images, batch_size=256):
    frozen = copy.deepcopy(encoder).eval() if isinstance(encoder, nn.Module) else encoder
    return torch.cat([frozen(images[n : n + batch_size]).detach() for n in range(0, len(images), batch_size)])


def through_numpy(encoder, images, batch_size=256):
    was = getattr(encoder, "training", False)
    if was:
        encoder.eval()
    parts = [encoder(x).detach().numpy() for x in images.split(batch_size)]
    if was:
        encoder.train()
    return torch.from_numpy(np.concatenate(parts).astype(np.float64))


def into_place(encoder, images, batch_size=256):
    module = isinstance(encoder, nn.Module)
    mode = module and encoder.training
    if module:
        encoder.eval()
    features = None
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            part = encoder(images[start : start + batch_size])
            features = images.new_empty(len(images), part.shape[1]) if features is None else features
            features[start : start + len(part)] = part
    if module:
        encoder.train(mode)
    return features


def image_by_image(encoder, images, batch_size=256):
    return into_place(encoder, images, 1)


@pytest.mark.parametrize("right", [every_mode_restored, of_a_copy, through_numpy, into_place, image_by_image])
def test_right_extract_features(right, seeds):
    assert_right(check.extract_features, right)


def extraction(before, after, *, grad=torch.no_grad, batch=lambda size: size, encode=lambda encoder, x: encoder(x)):
    def extract_features(encoder, images, batch_size=256):
        state = before(encoder) if isinstance(encoder, nn.Module) else None
        with grad():
            features = torch.cat([encode(encoder, x) for x in images.split(batch(batch_size))])
        if isinstance(encoder, nn.Module):
            after(encoder, state)
        return features

    return extract_features


def eval_mode(encoder):
    was = encoder.training
    encoder.eval()
    return was


def flag_down(encoder):
    was, encoder.training = encoder.training, False
    return was


def frozen(encoder):
    encoder.requires_grad_(False)
    return eval_mode(encoder)


def flag_back(encoder, was):
    encoder.training = was


def first_batch_only(encoder, images, batch_size=256):
    part = into_place(encoder, images[:batch_size], batch_size)
    return part[torch.arange(len(images)) % batch_size]


restore = nn.Module.train


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (extraction(flag_down, flag_back), "layers inside are still in train mode"),
        (extraction(eval_mode, flag_back), "Layers inside the encoder are left in the other mode"),
        (extraction(frozen, restore, grad=torch.enable_grad), "leaves the weights of the encoder frozen"),
        (extraction(eval_mode, restore, grad=torch.enable_grad), "features carry a graph"),
        (extraction(eval_mode, restore, batch=lambda size: 512), "went through the encoder at once"),
        (extraction(eval_mode, restore, batch=lambda size: max(size, 256)), "went through the encoder at once"),
        (extraction(lambda e: None, lambda e, s: None), "those of train mode"),
        (extraction(eval_mode, lambda e, s: e.train()), "came in eval mode and is left in train mode"),
        (extraction(eval_mode, lambda e, s: None), "came in train mode and is left in eval mode"),
        (extraction(eval_mode, restore, encode=lambda e, x: F.normalize(e(x))), "features are normalised"),
        (extraction(eval_mode, restore, encode=lambda e, x: e(x).flip(0)), "The order is lost"),
        (extraction(eval_mode, restore, encode=lambda e, x: e(x - x.mean())), "not what the encoder gives"),
        (extraction(eval_mode, restore, encode=lambda e, x: e(x).mean(0, keepdim=True)), "returns a tensor of shape"),
        (first_batch_only, "features of the first batch stand"),
    ],
)
def test_wrong_extract_features(wrong, words):
    assert_wrong(check.extract_features, wrong, words)


# --- linear_probe


def probe(*scalers, fit=None, score=None, **settings):
    def linear_probe(train_x, train_y, test_x, test_y):
        model = make_pipeline(*scalers or [StandardScaler()], LogisticRegression(**{"max_iter": 1000} | settings))
        model.fit(train_x.numpy(), train_y.numpy())
        if score:
            return score(test_y.numpy(), model.predict(test_x.numpy()))
        return model.score(test_x.numpy(), test_y.numpy())

    return linear_probe


def classifier(model):
    """Another model in place of the logistic regression."""
    return lambda train_x, train_y, test_x, test_y: (
        make_pipeline(StandardScaler(), model).fit(train_x, train_y).score(test_x, test_y)
    )


def by_torch(train_x, train_y, test_x, test_y):
    """Full-batch L-BFGS in torch on the same objective."""
    mean, std = train_x.double().mean(0), train_x.double().std(0, correction=0)
    x, ids = (train_x - mean) / std, train_y.unique()
    y = torch.searchsorted(ids, train_y)
    w = torch.zeros(x.shape[1] + 1, len(ids), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ w[:-1] + w[-1], y, reduction="sum") + w[:-1].square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    answers = ids[((test_x - mean) / std @ w[:-1] + w[-1]).argmax(1)]
    return (answers == test_y).double().mean().item()


def in_numpy(train_x, train_y, test_x, test_y):
    x, z = train_x.numpy().astype(np.float64), test_x.numpy().astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-12
    model = LogisticRegression(solver="newton-cholesky").fit((x - mean) / std, train_y.numpy())
    return np.float32(np.mean(model.predict((z - mean) / std) == test_y.numpy()))


def by_probabilities(train_x, train_y, test_x, test_y):
    scaler = StandardScaler().fit(train_x)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(train_x), train_y)
    answers = model.classes_[model.predict_proba(scaler.transform(test_x)).argmax(1)]
    return torch.tensor(answers == test_y.numpy()).float().mean()


class WithAccuracy:
    def __init__(self, accuracy):
        self.accuracy = accuracy


@pytest.mark.parametrize(
    "right",
    [
        by_torch,
        in_numpy,
        by_probabilities,
        functools.partial(probe(C=1.0, solver="saga", max_iter=3000, tol=1e-3)),
        lambda *case: WithAccuracy(probe(C=0.5)(*case)),
        lambda *case: classifier(LogisticRegressionCV(Cs=[0.1, 1, 10], max_iter=1000))(*case),
    ],
)
def test_right_linear_probe(right, seeds):
    assert_right(check.linear_probe, right)


def columns_as_labels(train_x, train_y, test_x, test_y):
    scaler = StandardScaler().fit(train_x)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(train_x), train_y)
    return float((model.predict_proba(scaler.transform(test_x)).argmax(1) == test_y.numpy()).mean())


def nearest(train_x, train_y, test_x, test_y):
    return make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(train_x, train_y).score(test_x, test_y)


def rest(train_x, train_y, test_x, test_y):
    model = make_pipeline(MinMaxScaler(), OneVsRestClassifier(LogisticRegression(max_iter=1000)))
    return model.fit(train_x, train_y).score(test_x, test_y)


def scaled_by_variance(train_x, train_y, test_x, test_y):
    scale = lambda x: ((x - train_x.mean(0)) / train_x.var(0)).numpy()  # noqa: E731
    return LogisticRegression(max_iter=1000).fit(scale(train_x), train_y).score(scale(test_x), test_y)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (probe(C=1e6, max_iter=5000), "regularisation is missing or far weaker"),
        (probe(C=np.inf, max_iter=5000), "regularisation is missing or far weaker"),
        (probe(C=1e-4), "regularisation is far stronger"),
        (probe(MinMaxScaler()), "scaled by their extremes"),
        (probe(MaxAbsScaler()), "scaled by their extremes"),
        (probe(Normalizer()), "every row is divided by its length"),
        (scaled_by_variance, "the variance divides"),
        (probe(StandardScaler(with_std=False)), "not standardised"),
        (probe(class_weight="balanced"), "the classes are weighted"),
        (probe(fit_intercept=False), "no intercept"),
        (probe(score=balanced_accuracy_score), "averaged over the classes"),
        (columns_as_labels, "ids may have gaps"),
        (nearest, "it should be"),
        (rest, "it should be"),
    ],
)
def test_wrong_linear_probe(wrong, words):
    assert_wrong(check.linear_probe, wrong, words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (probe(RobustScaler()), "by median and quartiles"),
        (classifier(SVC(kernel="linear")), "the classifier is a support vector machine"),
        (classifier(OneVsRestClassifier(LogisticRegression())), "each class is told from all others alone"),
        (classifier(LinearSVC()), "each class is told from all others alone"),
        (classifier(RidgeClassifier()), "each class is told from all others alone"),
    ],
)
def test_another_classifier_is_no_linear_probe(wrong, words, seeds):
    assert_wrong(check.linear_probe, wrong, words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (classifier(SVC(kernel="linear", C=0.1)), "the classifier is a support vector machine"),
        (classifier(SVC(kernel="linear", C=10)), "the classifier is a support vector machine"),
        (classifier(LinearSVC(loss="hinge")), "the classifier is a support vector machine"),
        (classifier(LinearSVC(C=0.03)), "each class is told from all others alone"),
        (classifier(SVC()), "the classifier is not linear"),
        (classifier(KNeighborsClassifier(5)), "the classifier is not linear"),
        (classifier(GaussianNB()), "the classifier is not linear"),
        (classifier(LinearDiscriminantAnalysis()), "the classes' means and one covariance"),
    ],
)
def test_classifiers_of_a_kind_are_named_whatever_their_settings(wrong, words):
    assert_wrong(check.linear_probe, wrong, words)
