"""Checks of week 8, masked image modelling. Definitions and mistakes: oracle.py, loss_oracle.py.

The masks are examined in masking.py, the losses on tokens in tokens.py.
"""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import agree, close, gives, gradients_agree, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week08 import loss_oracle, oracle
from sslcourse.check.week08.inputs import masks
from sslcourse.check.week08.masking import block_mask, random_mask
from sslcourse.check.week08.tokens import beit_loss, ibot_loss

__all__ = ["MAE", "beit_loss", "block_mask", "ibot_loss", "mae_loss", "random_mask", "report", "sweep"]


# --- MAE

# image_size, patch_size, in_channels, dim, depth, num_heads, decoder_dim, decoder_depth, decoder_heads
_SIZES = ((6, 2, 3, 8, 2, 2, 6, 1, 2), (8, 4, 1, 6, 1, 3, 4, 2, 1))
_PARTS = ("encoder.patch_embed", "encoder.norm", "decoder_embed", "decoder_norm", "decoder_pred")


def _network(student: Student, sizes: tuple[int, ...]) -> nn.Module:
    """An instance with weights that make every part matter."""
    if not isinstance(student.submission, type):
        raise Wrong("It should be a class that inherits from nn.Module.")
    network = student(*sizes)
    if not isinstance(network, nn.Module):
        raise Wrong("It should be a class that inherits from nn.Module, so that its layers are trained.")
    for name in _PARTS:
        try:
            network.get_submodule(name)
        except AttributeError:
            raise Wrong(f"It has no layer `{name}`: leave the given half of the class as it is.") from None
    with torch.no_grad():
        for name, weights in network.named_parameters():
            fan = weights.shape[-1] if weights.dim() == 2 else 4
            norm = name.rpartition(".")[0].endswith(("norm", "norm1", "norm2")) and name.endswith("weight")
            weights.copy_(student.normal(*weights.shape) * fan**-0.5 * 1.5 + norm)
    return network.eval()


def _state(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    weights = {name: value.detach().double() for name, value in network.named_parameters()}
    return oracle.inside(weights, prefix)


@exercise("week08")
def MAE(student: Student) -> str:
    """class MAE(nn.Module): encode_visible(patches, mask) -> (N, 1 + visible, D), forward(images, mask), features."""
    for sizes in _SIZES:
        size, patch, channels, dim, depth, heads, _, decoder_depth, decoder_heads = sizes
        length, n = (size // patch) ** 2, 3
        network = _network(student, sizes)
        # In the first of these every wrong number of tokens tells another mistake.
        for masked in (length // 3, length // 2, length - 1):
            mask = masks(student, n, length, masked)
            patches = student.normal(n, length, dim)
            value = student.run(network.encode_visible, patches, mask)
            again = student.run(network.encode_visible, patches, mask)
            if (
                isinstance(value, Tensor)
                and isinstance(again, Tensor)
                and value.shape == again.shape
                and not close(again, value.detach())
            ):
                raise Wrong(
                    "encode_visible gives other values when it is called again: it should change nothing, and draw "
                    "nothing at random."
                )
            _examine_encoding(value, patches, mask, _state(network, "encoder."), depth, heads)

            # The given half, which may have been changed by accident.
            hidden = student.normal(n, 1 + length - masked, dim)
            wanted = oracle.decode(hidden.double(), mask, _state(network), decoder_depth, decoder_heads)
            value = tensor(student.run(network.decode, hidden, mask), tuple(wanted.shape), "decode returns")
            if not close(value, wanted, 1e-3):
                raise Wrong(
                    "encode_visible is right, but decode is not as it was given: the patches are put back in the wrong "
                    "order, or a mask token, position or norm is missing."
                )
        images = student.uniform(n, channels, size, size)
        _examine_whole(student, network, images, mask, sizes)
    return "The encoder sees the visible patches alone, in order and at their own places; the rest is as given."


def _examine_encoding(value: object, patches: Tensor, mask: Tensor, weights: dict, depth: int, heads: int) -> None:
    n, length, dim = patches.shape
    visible = length - int(mask[0].sum())
    what = f"With {visible} of {length} patches visible encode_visible returns"
    if isinstance(value, Tensor) and value.dim() != 3:
        raise Wrong(f"{what} a tensor of shape {tuple(value.shape)}, it should be {(n, 1 + visible, dim)}.")
    if isinstance(value, Tensor) and value.shape[:2] == (n, 1 + length) and visible != length:
        raise Wrong(
            f"{what} {1 + length} tokens, it should be 1 + {visible}: masked patches, or mask tokens in their place, "
            "are fed to the encoder. It sees the visible ones only."
        )
    if isinstance(value, Tensor) and value.shape[:2] == (n, visible):
        raise Wrong(
            f"{what} {visible} tokens, it should be 1 + {visible}: self.encoder.encode puts the class token first."
        )
    if isinstance(value, Tensor) and value.shape[:2] == (n, 2 + visible):
        raise Wrong(
            f"{what} {2 + visible} tokens, it should be 1 + {visible}: is the class token there twice? "
            "self.encoder.encode puts it first."
        )
    wanted = oracle.encode_visible(patches.double(), mask, weights, depth, heads)
    inverted = (n, 1 + length - visible, dim)
    if isinstance(value, Tensor) and tuple(value.shape) == inverted != tuple(wanted.shape):
        raise Wrong(
            f"{what} {inverted[1]} tokens, it should be 1 + {visible}.\nIt looks as if the mask is inverted: True is a "
            "masked patch, and the encoder sees the others."
        )
    value = tensor(value, tuple(wanted.shape), what)
    if not value.requires_grad:
        raise Wrong("encode_visible carries no gradient, so nothing could learn from it: do not detach it.")
    if close(value, wanted, 1e-3):
        return
    found = f"With {visible} of {length} patches visible the tokens of encode_visible are not those of the definition."
    fitting = {
        mistake.sentence
        for mistake in oracle.ENCODER_MISTAKES
        for wrong in mistake.variants
        if (out := wrong(patches.double(), mask, weights, depth, heads)).shape == value.shape
        and close(value, out, 1e-3)
    }
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting.pop()}")
    if _permuted(value.detach().double(), wanted):
        raise Wrong(
            f"{found}\nIt looks as if the visible patches come out in the wrong order: keep the order in which they "
            "lie in the image (the class token first), since the decoder puts them back in that order."
        )
    raise Wrong(
        f"{found}\nAdd self.encoder.pos_embed[:, 1:] to all patches, pick those where the mask is False, "
        "(N, visible, D), then self.encoder.encode."
    )


def _permuted(value: Tensor, wanted: Tensor) -> bool:
    """Whether the tokens of every image are the wanted ones in another order."""
    apart = (value[:, :, None] - wanted[:, None]).abs().amax(dim=3)  # (N, tokens, tokens)
    near = apart < 1e-3 * max(1.0, float(wanted.abs().max()))
    return bool(near.any(dim=1).all() and near.any(dim=2).all())


def _examine_whole(student: Student, network: nn.Module, images: Tensor, mask: Tensor, sizes: tuple[int, ...]) -> None:
    """forward and features are made of the parts, and what is masked is not seen."""
    size, patch, channels, dim = sizes[:4]
    shape = (len(images), mask.shape[1], patch**2 * channels)
    value = tensor(student.run(network, images, mask), shape, "forward returns")
    hidden = (mask[:, :, None] * torch.ones(patch**2)).bool()  # pixels of masked patches
    side = size // patch
    hidden = hidden.unflatten(1, (side, side)).unflatten(3, (patch, patch)).transpose(2, 3).reshape(-1, 1, size, size)
    changed = student.run(network, torch.where(hidden, 1 - images, images), mask)
    if not close(changed, value.detach(), 1e-3):
        raise Wrong("The predictions change with the pixels of masked patches: these must not be seen.")
    if close(student.run(network, 1 - images, mask), value.detach(), 1e-3):
        raise Wrong("The predictions do not depend on the visible patches.")

    # What the loss is to train: all of the given layers.
    network.zero_grad()
    (value - student.uniform(*shape)).square().mean().backward()
    for name, weights in network.named_parameters():
        trained = weights.grad is not None and bool(weights.grad.any())
        if name.startswith(("encoder.", "decoder_", "mask_token")) and not trained:
            raise Wrong(
                f"No gradient of the loss reaches {name}: what it computes is detached, or under no_grad, or not used."
            )
    if not network.encoder.pos_embed.grad[:, 1:].any():
        raise Wrong(
            "No gradient of the loss reaches the positions of the patches: they are learned, do not detach them."
        )
    tensor(student.run(network.features, images), (len(images), dim), "features returns")


# --- mae_loss


def _patches(student: Student, n: int, length: int, size: int, masked: int) -> tuple[Tensor, Tensor, Tensor]:
    return student.normal(n, length, size), student.uniform(n, length, size), masks(student, n, length, masked)


def _words(predictions: Tensor, patches: Tensor, mask: Tensor, norm_pix: bool = True) -> str:
    n, length, size = predictions.shape
    images = f"{n} image{'s' * (n > 1)} of {length} patches of {size} values, {int(mask.sum())} of them masked"
    return f"{images} (norm_pix={norm_pix})"


@exercise("week08")
def mae_loss(student: Student) -> str:
    """mae_loss(predictions, patches, mask, norm_pix=True) -> scalar: over the masked patches only."""
    uneven = list(_patches(student, 3, 5, 6, 2))
    uneven[2] = uneven[2].clone()
    uneven[2][1] = torch.tensor([True, True, True, True, False])
    first, second, many = (
        _patches(student, *sizes)
        for sizes in ((2, 6, 12, 4), (4, 4, 3, 1), (260, 3, 8, 1))  # more than a batch of 256
    )
    small = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]]), torch.tensor([[[0.2, 0.6], [0.5, 0.1]]])
    agree(
        student,
        [(*case, norm) for case in (first, second, uneven, many) for norm in (True, False)],
        (loss_oracle.mae_loss, loss_oracle.mae_loss_per_image),
        loss_oracle.MAE_LOSS_MISTAKES,
        words=_words,
        small=(*small, torch.tensor([[False, True]]), False),
        hint="of the two patches only the second is masked, and norm_pix is False: two squares and their mean.",
    )
    default, wanted = number(student(*first)), float(loss_oracle.mae_loss(*(x.double() for x in first[:2]), first[2]))
    if not close(default, wanted):
        raise Wrong(f"Without norm_pix {gives(default, wanted)} The default is True.")

    # A patch of one colour has variance 0; the 1e-6 keeps its target at 0.
    flat = first[1].clone()
    flat[:, 0] = 0.5
    flat_case = (first[0], flat, first[2])
    came, wanted = (
        number(student(*flat_case)),
        float(loss_oracle.mae_loss(*(x.double() for x in flat_case[:2]), first[2])),
    )
    if not close(came, wanted, 1e-3):
        raise Wrong(f"Where a patch has one colour {gives(came, wanted)} Add 1e-6 to the variance before the root.")
    _nearly_flat(student, first)
    gradients_agree(student, (*first, True), loss_oracle.mae_loss, names=("predictions",))
    return "Equal to the definition with and without normalised targets; visible patches do not count."


def _nearly_flat(student: Student, case: tuple[Tensor, Tensor, Tensor]) -> None:
    """Patches of one image with a deviation of 0.003: there it matters which 1e-6 is added, and where."""
    predictions, patches, mask = case
    patches = patches.clone()
    patches[0] = 0.1 + 0.003 * student.normal(*patches.shape[1:])
    came = number(student(predictions, patches, mask))
    exact = predictions.double(), patches.double(), mask
    wanted = float(loss_oracle.mae_loss(*exact))
    if close(came, wanted, 1e-3):
        return
    named = next((why for why, wrong in loss_oracle.NEARLY_FLAT if close(came, float(wrong(*exact)))), "")
    raise Wrong(
        f"Where patches are nearly of one colour (a standard deviation of 0.003) {gives(came, wanted)}"
        + (f"\nIt looks as if {named}" if named else " The target is (x - mean) / sqrt(var + 1e-6).")
    )
