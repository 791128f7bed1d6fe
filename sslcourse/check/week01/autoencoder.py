"""The check of week 1's autoencoder: sizes, ranges, the bottleneck, and what learns."""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise


@exercise("week01")
def ConvAutoencoder(student: Student) -> str:
    """ConvAutoencoder(in_channels, image_size, latent_dim, base_channels=16) with encode, decode and forward."""
    if not (isinstance(student.submission, type) and issubclass(student.submission, nn.Module)):
        raise Wrong("It should be a class that inherits from nn.Module.")
    latents = []
    for channels, size, latent_dim in ((3, 32, 6), (1, 28, 5), (3, 64, 7), (3, 96, 8)):
        with student.meaning(_maps_of(size)):
            model = student(channels, size, latent_dim, 4)
            images = student.uniform(3, channels, size, size)
            latents.append(_latent(student, model, images, latent_dim).flatten())
            _decoded(student, model, images, latent_dim)
        _whole_range(student, model, images, latent_dim)
        _no_bypass(student, model, images)
        _rows_apart(student, model, images)
    default, narrow = student(3, 32, 6), student(3, 32, 6, 4)
    single = student.uniform(1, 3, 32, 32)
    _latent(student, default, single, 6)
    if _size(student, default, single) == _size(student, narrow, single):
        raise Wrong("base_channels is not used, 4 and 16 make the same network: give it to both convolutional halves.")
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


def _maps_of(size: int) -> str:
    side = -(-size // 8)
    return f"Images of {size} pixels have maps of {side} x {side}: ceil(size / 8), with 4 * base_channels channels."


def _size(student: Student, model: nn.Module, images: Tensor) -> int:
    """How many parameters it has, once it has been used: lazy layers have none before."""
    student.run(model, images)
    return sum(weights.numel() for weights in model.parameters())


def _latent(student: Student, model: nn.Module, images: Tensor, latent_dim: int) -> Tensor:
    model.eval()
    what = f"At {images.shape[-1]} pixels encode returns"
    z = tensor(student.run(model.encode, images), (len(images), latent_dim), what)
    if not close(student.run(model.encode, images), z, 1e-5):
        raise Wrong(
            "encode gives other results for the same images: make the layers in __init__, so that they last, and add "
            "no noise to the latent vector."
        )
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


def _whole_range(student: Student, model: nn.Module, images: Tensor, latent_dim: int) -> None:
    """With large weights, black and white are within reach, and far latent vectors; what is squashed keeps away.

    All weights grow for a moment, since latent vectors alone cannot drive a decoder with a normalisation inside.
    """
    before = [weights.detach().clone() for weights in model.parameters()]
    if not before:
        return  # none is registered, which is said below
    with torch.no_grad():
        small = student.run(model.encode, images)
        for weights in model.parameters():
            weights *= 30
        far = student.run(model.decode, 100 * student.normal(16, latent_dim))
        latent = student.run(model.encode, images)
        for weights, value in zip(model.parameters(), before, strict=True):
            weights.copy_(value)
    if float(latent.abs().max()) <= 1 + 1e-4 and not close(latent, small, 1e-6):
        raise Wrong(
            "However large the weights, no latent number is beyond 1: it looks as if a tanh, or another function that "
            "keeps it small, stands behind the last layer of the encoder, or the latent vector is divided by its "
            "length. The encoder ends in a linear layer."
        )
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
        raise Wrong(
            "What encode makes of an image depends on the other images of the batch: flatten each, flatten(1), and "
            "take no mean or maximum over the batch."
        )
    if not close(student.run(model.decode, latent[:1]), student.run(model.decode, latent)[:1]):
        raise Wrong(
            "What decode makes of a vector depends on the others: give each its own maps, unflatten(1, ...), and "
            "take no mean or maximum over the batch."
        )


def _everything_learns(student: Student, model: nn.Module, images: Tensor) -> None:
    """Gradients of the reconstruction error reach the weights that encode uses, and others: the decoder's.

    A layer of few units may be dead by chance, all of them below 0: then the weights are drawn anew.
    """
    for _ in range(4):
        problem = _what_does_not_learn(student, model, images)
        if not problem:
            return
        with torch.no_grad():
            for weights in model.parameters():
                fan = weights[0].numel() if weights.dim() > 1 else 1
                weights.copy_(1.5 * student.normal(*weights.shape) / fan**0.5)
    raise Wrong(problem)


def _what_does_not_learn(student: Student, model: nn.Module, images: Tensor) -> str:
    """A sentence about it; empty where everything does."""
    model.train()
    encoder = _reached(model, student.run(model.encode, images).square().sum())
    everything = _reached(model, (student.run(model, images) - images).square().mean())
    for half, learns in (("encoder", encoder and encoder <= everything), ("decoder", everything - encoder)):
        if not learns:
            return (
                f"No gradient reaches the weights of the {half}: something is detached on the way, or the layers are "
                "not on self (a list of layers is an nn.ModuleList)."
            )
    if name := _used_without_gradient(student, model, images):
        return f"The weights {name} shape the result, but no gradient reaches them: they are detached or frozen."
    return ""


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
