"""Checks of week 6: vision transformers and distillation. Definitions: oracle.py, distillation_oracle.py.

feature_distillation_loss is examined in features.py.
"""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import agree, close, gives, gradients_agree, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week06 import distillation_oracle as distillation
from sslcourse.check.week06 import oracle
from sslcourse.check.week06.features import examine_features

__all__ = ["Block", "SelfAttention", "ViT", "attention_distance", "distillation_loss", "feature_distillation_loss"]
__all__ += ["hard_distillation_loss", "patchify", "report", "sweep", "unpatchify"]


# --- patchify and unpatchify


def _mistaken(value: Tensor, wanted: Tensor, mistakes, *arguments) -> str:
    """The sentence of the one mistake that gives this value; empty where none does or several do."""
    fitting = {
        mistake.sentence
        for mistake in mistakes
        for wrong in mistake.variants
        if (out := wrong(*arguments)).shape == value.shape and close(value, out) and not close(out, wanted)
    }
    return f"\nIt looks as if {fitting.pop()}" if len(fitting) == 1 else ""


@exercise("week06")
def patchify(student: Student) -> str:
    """patchify(images, patch_size) -> (N, L, p * p * C): patches row by row, values in order (p, p, C)."""
    # Two rows of three patches, so that rows and columns cannot be taken for each other; three channels.
    for n, channels, rows, columns, p in ((2, 3, 2, 3, 2), (1, 1, 3, 2, 4), (3, 3, 1, 1, 4), (2, 4, 2, 2, 1)):
        images = student.uniform(n, channels, rows * p, columns * p)
        shape = (n, rows * columns, p * p * channels)
        value = tensor(
            student(images, p), shape, f"On images of shape {tuple(images.shape)}, patch_size {p}, it returns"
        )
        wanted = oracle.patchify(images, p)
        if close(value, wanted, 1e-6):
            continue
        found = (
            f"On images of shape {tuple(images.shape)} with patch_size = {p} the values are not where they should be."
        )
        if saw := _mistaken(value, wanted, oracle.PATCHIFY_MISTAKES, images, p):
            raise Wrong(found + saw)
        small = torch.arange(16.0).view(1, 1, 4, 4) / 100
        came = tensor(student(small, 2), (1, 4, 4), "It returns")
        first, should = (100 * came[0, 0]).round().int().tolist(), [0, 1, 4, 5]
        if first == should:
            raise Wrong(f"{found} One channel of 4 x 4 pixels comes out right: look at several channels or images.")
        raise Wrong(
            f"{found}\nTry a small case by hand: of one channel of 4 x 4 pixels numbered 0 to 15 row by row, the first "
            f"patch of 2 x 2 should be {should}; yours is {first}."
        )
    whole = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8, generator=student.generator)
    value = tensor(student(whole, 2), (2, 4, 12), "On uint8 images it returns")
    if value.dtype != torch.uint8:
        raise Wrong(
            f"uint8 images come back as {value.dtype}: patches are pixels in another order, nothing else changes."
        )
    return "Every value is where it should be, for grids of different shapes, one and several channels."


@exercise("week06")
def unpatchify(student: Student) -> str:
    """unpatchify(patches, patch_size, grid) -> (N, C, H, W), the inverse of patchify; grid (rows, columns)."""
    for rows, columns, p, channels in ((2, 3, 2, 3), (3, 1, 4, 1)):
        patches = student.uniform(2, rows * columns, p * p * channels)
        shape = (2, channels, rows * p, columns * p)
        value = tensor(student(patches, p, (rows, columns)), shape, "It returns")
        if not close(value, oracle.unpatchify(patches, p, (rows, columns)), 1e-6):
            raise Wrong(
                f"For a grid of {rows} x {columns} patches of {p} pixels it is not the inverse of patchify: split the "
                "values into (p, p, C) and permute back."
            )
    return "The inverse of patchify."


# --- SelfAttention


def _module(student: Student, *arguments, names: tuple[str, ...]) -> nn.Module:
    """An instance of the submitted class with these attributes."""
    if not isinstance(student.submission, type):
        raise Wrong("It should be a class that inherits from nn.Module.")
    module = student(*arguments)
    if not isinstance(module, nn.Module):
        raise Wrong("It should be a class that inherits from nn.Module, so that its layers are trained.")
    for name in names:
        try:
            module.get_submodule(name)
        except AttributeError:
            raise Wrong(f"It has no layer `{name}`: the attributes bear timm's names, {', '.join(names)}.") from None
    return module


def _linear(module: nn.Module, name: str, sizes: tuple[int, int]) -> None:
    layer = module.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise Wrong(f"`{name}` is a {type(layer).__name__}, it should be an nn.Linear.")
    if (layer.in_features, layer.out_features) != sizes:
        came = f"from {layer.in_features} to {layer.out_features}"
        raise Wrong(f"`{name}` maps {came}, it should map from {sizes[0]} to {sizes[1]}.")


def _fill(student: Student, module: nn.Module) -> dict[str, Tensor]:
    """Draw all weights, large enough to make every part matter; the state in float64."""
    owners: dict[int, str] = {}
    for name, weights in module.named_parameters(remove_duplicate=False):
        first = owners.setdefault(id(weights), name)
        if first != name:
            raise Wrong(f"{first} and {name} are one and the same tensor: make a layer of its own for each place.")
    with torch.no_grad():
        for name, weights in module.named_parameters():
            fan = weights.shape[-1] if weights.dim() > 1 else 4
            norm = name.rpartition(".")[0].endswith(("norm", "norm1", "norm2")) and name.endswith("weight")
            weights.copy_(student.normal(*weights.shape) * fan**-0.5 * 1.5 + norm)
    return {name: value.detach().double() for name, value in module.named_parameters()}


@exercise("week06")
def SelfAttention(student: Student) -> str:
    """class SelfAttention(dim, num_heads): qkv, proj, forward(x) -> (N, L, D), last_weights (N, heads, L, L)."""
    for dim, heads, shape in ((12, 3, (2, 5, 12)), (8, 2, (1, 4, 8)), (6, 1, (3, 2, 6))):
        module = _module(student, dim, heads, names=("qkv", "proj"))
        _linear(module, "qkv", (dim, 3 * dim))
        _linear(module, "proj", (dim, dim))
        weights = _fill(student, module)
        x = student.normal(*shape)
        value = tensor(student.run(module, x), shape, f"For x of shape {shape} and {heads} heads it returns")
        wanted, looks = oracle.attention(x.double(), weights, heads)
        if not close(value, wanted):
            worst = (value.detach().double() - wanted).abs().max().item()
            found = f"For x of shape {shape} and {heads} heads the output is off by up to {worst:.3g}."
            wrong = [
                type(mistake)(mistake.sentence, tuple(_output_of(variant) for variant in mistake.variants))
                for mistake in oracle.ATTENTION_MISTAKES
            ]
            if saw := _mistaken(value, wanted, wrong, x.double(), weights, heads):
                raise Wrong(found + saw)
            if not close(student.run(module, x), value):
                raise Wrong(f"{found} Two passes of the same tokens differ: there is no dropout in here.")
            raise Wrong(
                f"{found}\nFor each head: softmax(q k^T / sqrt(d)) v, with d = D / heads; join the heads, then proj. "
                "Print the shape after every step."
            )
        _weights_kept(module, looks, x)
        _attention_learns(student, module, x, heads)
        _attention_again(student, module, weights, heads, (shape[0] + 1, shape[1] + 2, dim))
    return "Equal to the definition for one, two and three heads; weights of the last pass kept; gradients are right."


def _attention_learns(student: Student, module: nn.Module, x: Tensor, heads: int) -> None:
    """Gradients reach the tokens and every weight matrix, through the attention weights too."""
    module.zero_grad()
    inputs = x.clone().requires_grad_()
    out = student.run(module, inputs)
    if out.requires_grad:
        out.square().sum().backward()
    matrices = {name: p for name, p in module.named_parameters() if p.dim() > 1}
    if inputs.grad is None or not all(p.grad is not None and p.grad.any() for p in matrices.values()):
        raise Wrong("The values are right, but no gradient comes through: something is detached on the way.")
    exact = {name: p.detach().double().requires_grad_() for name, p in module.named_parameters()}
    right = torch.autograd.grad(
        oracle.ATTENTION(x.double(), exact, heads)[0].square().sum(), [exact[name] for name in matrices]
    )
    for (name, p), wanted in zip(matrices.items(), right, strict=True):
        if not close(p.grad / wanted.abs().max(), wanted / wanted.abs().max(), 1e-2):
            raise Wrong(
                f"The values are right, but the gradient of {name} is not: are the attention weights detached before "
                "they are used? Keep a detached copy only."
            )


def _attention_again(student: Student, module: nn.Module, weights: dict, heads: int, shape: tuple) -> None:
    """A second pass, of other tokens and another number of them, and then the same once more."""
    x = student.normal(*shape)
    value = tensor(student.run(module, x), shape, f"In a second pass, for x of shape {shape}, it returns")
    wanted, looks = oracle.attention(x.double(), weights, heads)
    if not close(value, wanted):
        raise Wrong(f"The first pass is right, a second one of other tokens, {shape}, is not: what was kept of it?")
    kept = getattr(module, "last_weights", None)
    if not isinstance(kept, Tensor) or kept.shape != looks.shape or not close(kept, looks):
        raise Wrong("`last_weights` is right after the first pass and not after a second: set it in every forward.")
    if not close(student.run(module, x), value):
        raise Wrong("Two passes of the same tokens give different outputs: there is no dropout in here.")


def _output_of(variant):
    return lambda *arguments: variant(*arguments)[0]


def _weights_kept(module: nn.Module, looks: Tensor, x: Tensor) -> None:
    kept = getattr(module, "last_weights", None)
    if kept is None:
        raise Wrong("The output is right, but `last_weights` is not kept: set self.last_weights in forward.")
    kept = tensor(kept, tuple(looks.shape), "`last_weights` is")
    if close(kept, looks.transpose(2, 3)) and not close(looks, looks.transpose(2, 3)):
        raise Wrong("`last_weights` is transposed: a row is a query, and its weights over the keys sum to 1.")
    if not close(kept, looks):
        if not close(kept.sum(dim=3), torch.ones(looks.shape[:3])):
            raise Wrong("`last_weights` holds the scores: keep the weights after the softmax, whose rows sum to 1.")
        raise Wrong("`last_weights` is not what the output is made of: keep the weights of the last pass.")


# --- the given Block and ViT


def _all_learn(module: nn.Module, value: Tensor) -> None:
    if value.requires_grad:
        value.square().sum().backward()
    for name, p in module.named_parameters():
        if p.requires_grad and (p.grad is None or not p.grad.any()):
            raise Wrong(f"The values are right, but no gradient reaches {name}: something is detached on the way.")


def _trained(weights: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]) -> None:
    """These parameters exist in these shapes."""
    for name, shape in shapes.items():
        if name not in weights:
            raise Wrong(f"It has no trained parameter `{name}`; it should have one of shape {shape}.")
        if tuple(weights[name].shape) != shape:
            raise Wrong(f"`{name}` has shape {tuple(weights[name].shape)}, it should be {shape}.")


def _norms(dim: int, *names: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (dim,) for name in names for part in ("weight", "bias")}


@exercise("week06")
def Block(student: Student) -> str:
    """class Block(dim, num_heads): pre-norm, residual; norm1, attn, norm2, mlp.fc1, mlp.fc2."""
    names = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    module = _module(student, 8, 2, names=names)
    weights = _fill(student, module)
    _trained(weights, _norms(8, "norm1", "norm2"))
    x = student.normal(2, 4, 8) * 0.1
    value = tensor(student.run(module, x), (2, 4, 8), "It returns")
    if not close(value, oracle.block(x.double(), weights, 2)):
        raise Wrong(
            "The output is not x + attn(norm1(x)), then x + mlp(norm2(x)), with norms of eps 1e-6 and the exact GELU."
        )
    _all_learn(module, value)
    return "Pre-norm, two residual steps, timm's names."


@exercise("week06")
def ViT(student: Student) -> str:
    """class ViT(image_size, patch_size, in_channels=3, dim=96, depth=4, num_heads=3): images to (N, dim)."""
    names = ("patch_embed", "blocks.0.attn.qkv", "blocks.1.mlp.fc2", "norm")
    module = _module(student, 6, 2, 3, 8, 2, 2, names=names)
    weights = _fill(student, module)
    embeddings = {"cls_token": (1, 1, 8), "pos_embed": (1, 10, 8)}
    patches = {"patch_embed.weight": (8, 12), "patch_embed.bias": (8,)}
    norms = _norms(8, "norm", *(f"blocks.{depth}.{name}" for depth in range(2) for name in ("norm1", "norm2")))
    _trained(weights, embeddings | patches | norms)
    if getattr(module, "num_features", None) != 8:
        raise Wrong("num_features should be dim, as in every backbone.")
    images = student.uniform(2, 3, 6, 6)
    value = tensor(student.run(module, images), (2, 8), "It returns")

    patches = oracle.patchify((images.double() - 0.45) / 0.25, 2)
    x = patches @ weights["patch_embed.weight"].T + weights["patch_embed.bias"]
    x = torch.cat([weights["cls_token"].expand(2, -1, -1), x], dim=1) + weights["pos_embed"]
    for depth in range(2):
        prefix = f"blocks.{depth}."
        inside = {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}
        x = oracle.block(x, inside, 2)
    x = oracle.layer_norm(x, weights["norm.weight"], weights["norm.bias"])
    if not close(value, x[:, 0], 1e-3):
        raise Wrong("The output is not the class token after patches, positions, blocks and the last norm.")
    _all_learn(module, value)
    return "Patches, positions, class token, blocks and norm as in the paper."


# --- distillation


def _batch(student: Student, n: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.randint(classes, (n,), generator=student.generator)
    return 2 * student.normal(n, classes), 3 * student.normal(n, classes), labels


def _logits(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *settings: float) -> str:
    images = f"{len(labels)} image{'s' * (len(labels) > 1)} of {student_logits.shape[1]} classes"
    return images + (f" (temperature {settings[0]}, alpha {settings[1]})" if len(settings) == 2 else "")


@exercise("week06")
def distillation_loss(student: Student) -> str:
    """distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.7) -> scalar."""
    batch = _batch(student, 6, 5)
    if not torch.tensor(number(student(*batch, 4.0, 0.7))).isfinite():
        raise Wrong(
            "For ordinary logits it is NaN. F.kl_div takes the logarithm of its target without log_target=True: "
            "the target is the teacher's softmax, or its log_softmax with log_target=True."
        )
    few = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    agree(
        student,
        [(*batch, 4.0, 0.7), (*batch, 2.0, 0.3), (*batch, 1.0, 1.0), (*batch, 3.0, 0.0), (*batch, 8.0, 0.9)],
        distillation.distillation_loss,
        distillation.DISTILLATION_MISTAKES,
        words=_logits,
        small=(*few, 2.0, 0.5),
        hint="with T = 2 the teacher says softmax([1, 0]) and the student softmax([0.5, 0]).",
    )
    agree(student, [(*_batch(student, 1, 2), 4.0, 0.5), (*_batch(student, 300, 3), 5.0, 0.8)],
          distillation.distillation_loss, words=_logits)  # fmt: skip
    left_out, wanted = (
        number(student(*batch)),
        float(distillation.distillation_loss(*(x.double() for x in batch[:2]), batch[2])),
    )
    if not close(left_out, wanted):
        raise Wrong(f"Without temperature and alpha {gives(left_out, wanted)} The defaults are 4 and 0.7.")

    # A perfect copy, and logits that a softmax in the open would not survive.
    s, _, y = batch
    if not close(came := number(student(s, s, y, 4.0, 1.0)), 0.0):
        raise Wrong(
            f"For a student that equals its teacher, with alpha = 1, {gives(came, 0.0)} Nothing is left to learn."
        )
    large = number(
        student(torch.tensor([[200.0, -200.0]]), torch.tensor([[200.0, -200.0]]), torch.tensor([0]), 1.0, 0.5)
    )
    if not close(large, 0.0):
        raise Wrong(f"With logits of 200 and -200 {gives(large, 0.0)} Use log_softmax, not the logarithm of softmax.")

    gradients_agree(student, (*batch, 4.0, 0.7), distillation.distillation_loss, names=("student_logits",))
    teacher = batch[1].clone().requires_grad_()
    learner = s.clone().requires_grad_()
    student(learner, teacher, y).backward()
    if teacher.grad is not None and teacher.grad.any():
        raise Wrong("The value is right, but a gradient reaches the teacher: it is fixed, detach its logits.")
    return (
        "Equal to the definition at five temperatures and weights; 0 for a perfect copy; a gradient for the "
        "student, none for the teacher."
    )


@exercise("week06")
def hard_distillation_loss(student: Student) -> str:
    """hard_distillation_loss(class_logits, distill_logits, teacher_logits, labels) -> scalar (DeiT, eq. 3)."""

    def batch(n: int, classes: int) -> tuple[Tensor, ...]:
        s, t, labels = _batch(student, n, classes)
        return s, student.normal(n, classes), t, labels

    cases = [batch(6, 5), batch(1, 3), batch(8, 4)]
    agree(
        student,
        cases,
        distillation.hard_distillation_loss,
        distillation.HARD_MISTAKES,
        words=lambda c, d, t, y: f"{len(y)} images of {c.shape[1]} classes",
        hint="half the cross-entropy of the class head to the labels, half of the other head to the argmax.",
    )
    c, d, t, y = (x.clone().requires_grad_() if x.is_floating_point() else x for x in cases[0])
    loss = student(c, d, t, y)
    if not getattr(loss, "requires_grad", False):
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it.")
    loss.backward()
    if any(head.grad is None or not head.grad.any() for head in (c, d)):
        raise Wrong("The value is right, but one of the two heads gets no gradient.")
    return "Half to the labels, half to the teacher's choice, each by its own head."


@exercise("week06")
def feature_distillation_loss(student: Student) -> str:
    """feature_distillation_loss(student_features (N, D), teacher_features (N, E), mapping) -> scalar."""
    return examine_features(student)


# --- attention distance


@exercise("week06")
def attention_distance(student: Student) -> str:
    """attention_distance(weights, grid, patch_size) -> (heads,): mean distance in pixels, weighted by attention."""
    for n, heads, grid, p in ((2, 3, (2, 3), 4), (1, 2, (3, 1), 2), (3, 1, (2, 2), 8)):
        length = grid[0] * grid[1]
        weights = student.normal(n, heads, length, length).mul(2).softmax(dim=3)
        what = f"On {n} x {heads} heads over a grid of {grid} patches of {p} pixels"
        value = student(weights, grid, p)
        value = tensor(value, (heads,), f"{what} it returns")
        wanted = oracle.attention_distance(weights.double(), grid, p)
        if close(value, wanted):
            continue
        k = int((value.double() - wanted).abs().argmax())
        found = f"{what}, for head {k} {gives(value[k].item(), wanted[k].item())}"
        if saw := _mistaken(value, wanted, oracle.DISTANCE_MISTAKES, weights.double(), grid, p):
            raise Wrong(found + saw)
        raise Wrong(
            f"{found}\nTry a case by hand: a head that always looks at its own patch has distance 0, and one of two "
            "patches side by side that looks at the other has patch_size."
        )
    itself = torch.eye(6).expand(2, 2, 6, 6)
    if not close(value := student(itself, (2, 3), 4), torch.zeros(2)):
        raise Wrong(f"For heads that look at their own patch only {gives(float(value[0]), 0.0)}")
    return "Equal to the definition on grids that are not square; 0 for heads that look at themselves."
