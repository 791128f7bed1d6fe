"""The checks of week 6's networks: attention, the block and the whole transformer. Definitions: oracle.py."""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week06 import oracle
from sslcourse.check.week06.named import mistaken
from sslcourse.check.week06.patches_oracle import patchify

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
            if saw := mistaken(value, wanted, wrong, x.double(), weights, heads):
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

    patches = patchify((images.double() - 0.45) / 0.25, 2)
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
