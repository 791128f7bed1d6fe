"""Checks of week 1, autoencoders and linear probing. Definitions and named mistakes are in oracle.py.

Most of these exercises are about how things are done, not about one number: small spy networks keep what passes
through them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number, shown, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week01 import oracle
from sslcourse.check.week01.probe import linear_probe

__all__ = ["ConvAutoencoder", "extract_features", "linear_probe", "report", "sweep", "train_epoch"]


# --- ConvAutoencoder


@exercise("week01")
def ConvAutoencoder(student: Student) -> str:
    """ConvAutoencoder(in_channels, image_size, latent_dim, base_channels=16) with encode, decode and forward."""
    if not (isinstance(student.submission, type) and issubclass(student.submission, nn.Module)):
        raise Wrong("It should be a class that inherits from nn.Module.")
    latents = []
    for channels, size, latent_dim in ((3, 32, 6), (1, 28, 5), (3, 64, 7), (3, 96, 8)):
        model = student(channels, size, latent_dim, 4)
        images = student.uniform(3, channels, size, size)
        latents.append(_latent(student, model, images, latent_dim).flatten())
        _decoded(student, model, images, latent_dim)
        _whole_range(student, model, latent_dim)
        _no_bypass(student, model, images)
        _rows_apart(student, model, images)
    _latent(student, student(3, 32, 6), student.uniform(1, 3, 32, 32), 6)  # the default width, a single image
    if (torch.cat(latents) >= 0).all():  # 26 coordinates of four fresh networks, any sign by chance
        raise Wrong(
            "No latent number is below 0, at any size: it looks as if a ReLU, or another activation that knows no "
            "negative numbers, stands behind the last layer of the encoder. It ends in a linear layer, so that the "
            "latent vector can lie anywhere."
        )

    _everything_learns(student, model, images)
    return (
        "Exact sizes at 28, 32, 64 and 96 pixels; results in [0, 1] that know of the image only what the latent vector "
        "holds; gradients reach encoder and decoder."
    )


def _latent(student: Student, model: nn.Module, images: Tensor, latent_dim: int) -> Tensor:
    model.eval()
    what = f"At {images.shape[-1]} pixels encode returns"
    z = tensor(student.run(model.encode, images), (len(images), latent_dim), what)
    if not close(student.run(model.encode, images), z, 1e-5):
        raise Wrong("encode gives other results for the same images: make the layers in __init__, so that they last.")
    if len(z) > 1 and close(z, z[:1].expand_as(z), 1e-7):
        raise Wrong("encode gives the same for different images.")
    return z.detach()


def _decoded(student: Student, model: nn.Module, images: Tensor, latent_dim: int) -> None:
    """Size and range of what the decoder makes of any latent vector."""
    side, wanted = images.shape[-1], tuple(images.shape)
    decoded = student.run(model.decode, student.normal(len(images), latent_dim))
    if isinstance(decoded, Tensor) and decoded.ndim == 4 and (more := decoded.shape[-1] - side):
        large = f"{abs(more)} pixel{'s' * (abs(more) > 1)} too {'large' if more > 0 else 'small'}"
        raise Wrong(
            f"At {side} pixels decode gives {decoded.shape[-2]} x {decoded.shape[-1]} pixels, {large}: the sides "
            "halve to ceil(size / 8), and the decoder needs the image size to undo the rounding."
        )
    tensor(decoded, wanted, f"At {side} pixels decode returns")
    far = student.run(model.decode, 100 * student.normal(len(images), latent_dim)).detach()
    low, high = float(far.min()), float(far.max())
    if not (0 <= low and high <= 1):
        raise Wrong(f"decode gives values from {low:.3g} to {high:.3g}: they should lie in [0, 1], as a sigmoid's do.")
    if close(far, far[:1].expand_as(far), 1e-7):
        raise Wrong("decode gives the same for different latent vectors.")


def _whole_range(student: Student, model: nn.Module, latent_dim: int) -> None:
    """With large weights, black and white are within reach; what is squashed twice keeps away from them.

    All weights grow for a moment, since latent vectors alone cannot drive a decoder with a normalisation inside.
    """
    before = [weights.detach().clone() for weights in model.parameters()]
    with torch.no_grad():
        for weights in model.parameters():
            weights *= 30
        far = student.run(model.decode, 100 * student.normal(16, latent_dim))
        for weights, value in zip(model.parameters(), before, strict=True):
            weights.copy_(value)
    low, high = float(far.min()), float(far.max())
    if 0.49 < low and high < 0.7311:  # the sigmoid of 0 and of 1
        raise Wrong(
            f"However large the weights, decode gives values from {low:.3f} to {high:.3f}: it looks as if a sigmoid is "
            "applied twice; the given decoder ends in one."
        )
    if low > 0.1 or high < 0.9:
        raise Wrong(
            f"However large the weights, decode gives values from {low:.3f} to {high:.3f}: images hold all of [0, 1], "
            "from black to white."
        )


def _no_bypass(student: Student, model: nn.Module, images: Tensor) -> None:
    """What comes out depends on the images only through the latent vector."""
    what = f"At {images.shape[-1]} pixels forward returns"
    reconstruction = tensor(student.run(model, images), tuple(images.shape), what)
    latent = student.run(model.encode, images)
    # Something that encode lays aside for decode would by now be that of other images.
    student.run(model.encode, images.flip(0))
    if not close(student.run(model.decode, latent), reconstruction, 1e-5):
        raise Wrong(
            "forward(x) is not decode(encode(x)): there is a bypass around the bottleneck, on which the decoder learns "
            "more of the image than the latent vector holds."
        )


def _rows_apart(student: Student, model: nn.Module, images: Tensor) -> None:
    """An image has the same latent vector, and a vector the same image, whatever stands beside it in the batch."""
    latent = student.run(model.encode, images)
    if not close(student.run(model.encode, images[:1]), latent[:1]):
        raise Wrong("What encode makes of an image depends on the other images of the batch: flatten each, flatten(1).")
    if not close(student.run(model.decode, latent[:1]), student.run(model.decode, latent)[:1]):
        raise Wrong("What decode makes of a vector depends on the others: give each its own maps, unflatten(1, ...).")


def _everything_learns(student: Student, model: nn.Module, images: Tensor) -> None:
    """Gradients of the reconstruction error reach the weights that encode uses, and others: the decoder's."""
    model.train()
    encoder = _reached(model, student.run(model.encode, images).square().sum())
    everything = _reached(model, (student.run(model, images) - images).square().mean())
    for half, learns in (("encoder", encoder and encoder <= everything), ("decoder", everything - encoder)):
        if not learns:
            raise Wrong(
                f"No gradient reaches the weights of the {half}: something is detached on the way, or the layers are "
                "not on self (a list of layers is an nn.ModuleList)."
            )
    if name := _used_without_gradient(student, model, images):
        raise Wrong(f"The weights {name} shape the result, but no gradient reaches them: they are detached or frozen.")


def _used_without_gradient(student: Student, model: nn.Module, images: Tensor) -> str | None:
    """The name of weights that change the result when they change, and yet get no gradient."""
    model.eval()
    reached = _reached(model, (student.run(model, images) - images).square().mean())
    with torch.no_grad():
        before = student.run(model, images)
        for name, weights in model.named_parameters():
            if name not in reached:
                value = weights.clone()
                weights += 1
                changed = not close(student.run(model, images), before, 1e-6)
                weights.copy_(value)
                if changed:
                    return name
    return None


def _reached(model: nn.Module, loss: Tensor) -> set[str]:
    """Names of the weights that a loss has a gradient for."""
    model.zero_grad()
    if loss.requires_grad:
        loss.backward()
    return {name for name, weights in model.named_parameters() if weights.grad is not None and weights.grad.any()}


# --- train_epoch


class _Line(nn.Module):
    """The model y = gain * x + offset; keeps the batches that went through it and the mode that all of it was in."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.ParameterList([torch.tensor([0.3, 0.4])]))
        self.batches: list[Tensor] = []
        self.modes: list[bool] = []

    @property
    def weights(self) -> Tensor:
        return self.inner[0][0]

    def all_training(self) -> bool:
        return all(module.training for module in self.modules())

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(images.detach().clone())
        self.modes.append(self.all_training())
        return self.weights[0] * images + self.weights[1]


class _CountedSGD(torch.optim.SGD):
    """Keeps how many steps were taken."""

    steps = 0

    def step(self, *args, **kwargs):
        self.steps += 1
        return super().step(*args, **kwargs)


@exercise("week01")
def train_epoch(student: Student) -> str:
    """train_epoch(model, images, optimizer, batch_size, generator=None) -> the mean loss per image, a float."""
    images = student.uniform(10, 1, 4, 4)
    first = _one_epoch(student, images, 4, torch.Generator().manual_seed(1))
    if first == list(range(10)):
        raise Wrong("The images come in their own order: shuffle them anew in every epoch (torch.randperm).")
    if sum(after == before + 1 for before, after in pairwise(first)) >= 6:  # about one of nine by chance
        raise Wrong("Only the order of the batches is shuffled: shuffle the images, so that batches are mixed anew.")

    # The same generator state must give the same order, and the next epoch another, with and without a generator.
    generator = torch.Generator().manual_seed(1)
    if _one_epoch(student, images, 4, generator) != first:
        raise Wrong("The argument generator is not used: the same generator should give the same order.")
    without = [_one_epoch(student, images, 4) for _ in range(2)]
    if _one_epoch(student, images, 4, generator) == first or without[0] == without[1]:
        raise Wrong("Every epoch has the same order: draw a new one each time, without seeding.")
    for n, batch_size in ((8, 4), (3, 8), (9, 4)):
        _one_epoch(student, images[:n], batch_size)
    _one_epoch(student, student.uniform(300, 1, 2, 2), 256)  # nobody has a limit of their own
    return (
        "One shuffled pass of plain steps, every image once, also in a smaller last batch; the mean loss per image; "
        "the model is left in train mode."
    )


def _one_epoch(
    student: Student, images: Tensor, batch_size: int, generator: torch.Generator | None = None
) -> list[int]:
    """Run one epoch and compare everything about it; returns the order in which the images were seen."""
    model = _Line().eval()
    optimizer, lr = _CountedSGD(model.parameters(), lr=0.4), 0.4
    start = model.weights.detach().clone()
    result = student(model, images, optimizer, batch_size, generator)
    value = number(result)
    if isinstance(result, Tensor) and result.requires_grad:
        raise Wrong("It returns a tensor with its graph: return a float, such as loss.item() gives.")
    if not all(model.modes):
        raise Wrong("The model is in eval mode while it learns: it may come from an evaluation, call model.train().")
    if not model.all_training():
        raise Wrong("It leaves the model in eval mode: the contract is train mode at the end.")

    order = _order(model.batches, images, batch_size)
    if not optimizer.steps:
        raise Wrong("optimizer.step() is never called: the weights are changed by the argument optimizer alone.")
    if torch.equal(model.weights.detach(), start):
        raise Wrong("The weights do not change: each batch needs zero_grad, backward and step, in this order.")
    if optimizer.steps != len(model.batches):
        raise Wrong(
            f"optimizer.step() is called {optimizer.steps} time{'s' * (optimizer.steps > 1)} for {len(model.batches)} "
            "batches: one step a batch."
        )

    # The pass as it should have been, and as it would be with mistakes in the steps, in the result, or in both.
    plain = oracle.train_epoch(model.batches, start, lr)
    if close(value, plain.mean) and close(model.weights, plain.weights):
        return order
    found = f"On {len(images)} images in batches of {batch_size} {gives(value, plain.mean)}"
    if not close(model.weights, plain.weights):
        found += f" The weights after it are {shown(model.weights)}, they should be {shown(plain.weights)}."
    steps = {"": {}, **oracle.STEP_MISTAKES, **_other_targets(images, model.batches)}
    results = {"": lambda epoch, _: epoch.mean, **oracle.RETURN_MISTAKES}
    for step, how in steps.items():
        epoch = oracle.train_epoch(model.batches, start, lr, **how)
        if not close(model.weights, epoch.weights):
            continue
        for result, of in results.items():
            if close(value, of(epoch, batch_size)):
                raise Wrong(f"{found}\nIt looks as if {' Also, '.join(filter(None, (step, result)))}")
    raise Wrong(found)


def _other_targets(images: Tensor, batches: list[Tensor]) -> dict:
    sentence = "the results are compared with other images than went in: the target is the same shuffled batch."
    return {sentence: {"targets": images.split([len(batch) for batch in batches])}}


def _order(batches: list[Tensor], images: Tensor, batch_size: int) -> list[int]:
    """Which images the model saw, in order; Wrong unless each was seen once, in batches of the right size."""
    if not batches:
        raise Wrong("The model was never called: model(batch) gives the reconstruction of a batch.")
    seen = torch.cat(batches)
    apart = (seen.flatten(1)[:, None] - images.flatten(1)).abs().amax(dim=2)  # (seen, N)
    if apart.amin(dim=1).max() > 0:
        raise Wrong("The model was given something else than the images of the set.")
    order = apart.argmin(dim=1).tolist()
    missing = len(images) - len(set(order))
    if len(batches) > 1 and all(torch.equal(a, b) for a, b in zip(batches[0::2], batches[1::2], strict=False)):
        raise Wrong("The model runs on every batch twice: each batch's loss is the one that its step is made from.")
    if missing and len(order) == len(set(order)):
        dropped = "the last batch is dropped" if missing == len(images) % batch_size else "one pass takes all of them"
        raise Wrong(f"{missing} of {len(images)} images were never seen: {dropped}.")
    if missing:
        raise Wrong("Some images were seen several times, others never: shuffle without replacement (torch.randperm).")
    if len(order) > len(images):
        raise Wrong(f"The model saw {len(order)} images, the set has {len(images)}: one pass takes each once.")
    sizes, wanted = [len(batch) for batch in batches], [len(part) for part in images.split(batch_size)]
    if sizes != wanted:
        raise Wrong(f"The batches have {sizes} images, they should have {wanted}.")
    return order


# --- extract_features


class _Inner(nn.Module):
    """A linear map that, like batch norm, gives something else in train mode."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights + float(self.training)


class _Encoder(nn.Module):
    """What has a mode lies two levels down, as in every real network; keeps how it was called, copies of it too."""

    def __init__(self, weights: Tensor, calls: list[tuple[int, bool, bool]]):
        super().__init__()
        self.layers = nn.Sequential(nn.Sequential(_Inner(weights), nn.Dropout(0.0)))
        self.log = calls.append

    def forward(self, images: Tensor) -> Tensor:
        self.log((len(images), self.training, any(module.training for module in self.layers.modules())))
        return self.layers(images)


@exercise("week01")
def extract_features(student: Student) -> str:
    """extract_features(encoder, images, batch_size=256) -> (N, D): eval mode, no gradients, order and mode kept."""
    images, weights = student.uniform(300, 3, 4, 4), student.normal(48, 5)
    wanted = images.flatten(1) @ weights
    for n, batch_size, training in ((10, 4, True), (10, 4, False), (8, 4, True), (1, 4, True), (5, 16, False)):
        _one_extraction(student, images[:n], weights, wanted[:n], batch_size, training)
    _one_extraction(student, images, weights, wanted, None, True)
    _compare_features(student(lambda batch: batch.flatten(1) @ weights, images[:10], 4), wanted[:10], 4)
    return "In the order of the images, in eval mode, without gradients; the mode is restored; functions work too."


def _one_extraction(
    student: Student, images: Tensor, weights: Tensor, wanted: Tensor, batch_size: int | None, training: bool
) -> None:
    calls: list[tuple[int, bool, bool]] = []
    encoder = _Encoder(weights, calls).train(training)
    features = student(encoder, images) if batch_size is None else student(encoder, images, batch_size)
    size = batch_size or 256
    if any(inner and not outer for _, outer, inner in calls):
        raise Wrong(
            "Only the flag of the encoder itself is set, the layers inside are still in train mode: call "
            "encoder.eval(), which reaches all of them."
        )
    _compare_features(features, wanted, size)
    if any(outer or inner for _, outer, inner in calls):
        raise Wrong("The encoder is in train mode while it computes features: call encoder.eval() before.")
    if encoder.training != training:
        modes = ("train", "eval") if training else ("eval", "train")
        raise Wrong(f"The encoder came in {modes[0]} mode and is left in {modes[1]} mode: restore the mode.")
    if any(module.training != training for module in encoder.modules()):
        raise Wrong("Layers inside the encoder are left in the other mode: encoder.train(mode) sets that of all.")
    if not all(weights.requires_grad for weights in encoder.parameters()):
        raise Wrong("It leaves the weights of the encoder frozen: use torch.no_grad() instead of requires_grad.")
    if features.requires_grad:
        raise Wrong("The features carry a graph, which keeps every batch in memory: use torch.no_grad().")
    if not calls:
        return  # a copy of its own, called without the log
    if (most := max(number_of for number_of, *_ in calls)) > size:
        raise Wrong(f"{most} images went through the encoder at once, batch_size is {size}.")


def _compare_features(features: object, wanted: Tensor, batch_size: int) -> None:
    """Wrong unless features (N, D) are those wanted."""
    n = len(wanted)
    if isinstance(features, Tensor) and features.ndim == 2 and len(features) == n - n % batch_size < n:
        raise Wrong(f"It returns {len(features)} rows for {n} images: the last batch is dropped.")
    tensor(features, tuple(wanted.shape), "It returns")
    if close(features, wanted):
        return
    nearest = torch.cdist(features.detach().double(), wanted.double()).min(dim=1)
    if nearest.values.max() < 1e-4 and len(set(nearest.indices.tolist())) == n:
        raise Wrong("The order is lost: row n of the features belongs to image n, so do not shuffle.")
    if close(features - 1, wanted):
        raise Wrong("The features are those of train mode: call encoder.eval() before.")
    if close(features, wanted / wanted.norm(dim=1, keepdim=True)):
        raise Wrong("The features are normalised: return them as the encoder gives them.")
    if close(features, wanted[torch.arange(n) % batch_size]):
        raise Wrong("The features of the first batch stand in the place of all later ones.")
    raise Wrong("The features are not what the encoder gives for these images: return its results as they are.")
