"""Week 6: vision transformers and distillation, one number at a time, as the papers write them.

References: Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1 to 4 and appendix D.7 (attention distance);
Vaswani et al. 2017, "Attention is all you need", eq. 1; Hinton et al. 2015, "Distilling the knowledge in a neural
network", section 2; Touvron et al. 2021, "Training data-efficient image transformers & distillation through
attention", eq. 3.
"""

from collections.abc import Callable
from functools import partial
from math import erf, exp, sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- patches


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Patch after patch, row by row; within a patch pixel after pixel, row by row; of a pixel channel after channel."""
    n, channels, height, width = images.shape
    p, rows = patch_size, []
    for image in images:
        for top in range(0, height, p):
            for left in range(0, width, p):
                pixels = [image[:, top + i, left + j] for i in range(p) for j in range(p)]
                rows.append(torch.stack(pixels).reshape(-1))
    return torch.stack(rows).reshape(n, -1, p * p * channels)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    n, _, size = patches.shape
    p, (rows, columns) = patch_size, grid
    images = patches.new_zeros(n, size // p**2, rows * p, columns * p)
    for k in range(rows * columns):
        for i in range(p):
            for j in range(p):
                at = (i * p + j) * images.shape[1]
                place = k // columns * p + i, k % columns * p + j
                images[:, :, place[0], place[1]] = patches[:, k, at : at + images.shape[1]]
    return images


def _ordered(images: Tensor, p: int, order: str) -> Tensor:
    """Patches and values in another order: of r, c (place of the patch), i, j (place in it) and k (channel)."""
    n, channels, height, width = images.shape
    six = images.reshape(n, channels, height // p, p, width // p, p)
    axes = {"k": 1, "r": 2, "i": 3, "c": 4, "j": 5}
    return six.permute(0, *(axes[letter] for letter in order)).reshape(n, -1, p * p * channels)


PATCHIFY_MISTAKES = (
    Mistake(
        "the channels come first within a patch: the order of its values is (row, column, channel).",
        (partial(_ordered, order="rckij"),),
    ),
    Mistake(
        "the patches are counted column by column: go along the first row of patches, then along the second.",
        (partial(_ordered, order="crijk"),),
    ),
    Mistake(
        "the patches are counted column by column, and the channels come first within a patch.",
        (partial(_ordered, order="crkij"),),
    ),
    Mistake(
        "the pixels of a patch are read column by column: read them row by row.",
        (partial(_ordered, order="rcjik"), partial(_ordered, order="rckji")),
    ),
    Mistake(
        "rows and columns are swapped everywhere: height comes before width, for patches and within them.",
        (partial(_ordered, order="crjik"), partial(_ordered, order="crkji")),
    ),
    Mistake(
        "the values are only cut into pieces of the right length: a plain reshape runs along whole rows of the "
        "image. Split H into (rows, p) and W into (columns, p), then permute.",
        (
            lambda images, p: images.reshape(len(images), -1, p * p * images.shape[1]),
            lambda images, p: images.permute(0, 2, 3, 1).reshape(len(images), -1, p * p * images.shape[1]),
            partial(_ordered, order="ricjk"),
            partial(_ordered, order="krcij"),
        ),
    ),
)


# --- attention


def softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    powers = [exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def attention(x: Tensor, weights: dict[str, Tensor], num_heads: int) -> tuple[Tensor, Tensor]:
    """x: (N, L, D). weights: qkv.weight, proj.weight and the biases. Returns (N, L, D), (N, heads, L, L)."""
    n, length, dim = x.shape
    d = dim // num_heads
    out, looks = torch.zeros_like(x), x.new_zeros(n, num_heads, length, length)
    for sample in range(n):
        qkv = _linear(x[sample], weights, "qkv")  # (L, 3D): all queries, all keys, all values
        joined = torch.zeros_like(x[sample])
        for head in range(num_heads):
            own = slice(head * d, (head + 1) * d)
            q, k, v = (qkv[:, part * dim : (part + 1) * dim][:, own] for part in range(3))
            for i in range(length):
                share = softmax([float(q[i].dot(k[j])) / sqrt(d) for j in range(length)])
                looks[sample, head, i] = torch.tensor(share, dtype=x.dtype)
                joined[i, own] = sum(share[j] * v[j] for j in range(length))
        out[sample] = _linear(joined, weights, "proj")
    return out, looks


def _linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", torch.zeros((), dtype=x.dtype))


def _attention(
    x: Tensor,
    weights: dict[str, Tensor],
    num_heads: int,
    *,
    scale: Callable = lambda d, dim: d**-0.5,
    over: int = 3,
    split: str = "parts first",
    swapped: bool = False,
    joined: str = "tokens first",
    project: bool = True,
) -> tuple[Tensor, Tensor]:
    """attention with something wrong; right with the defaults."""
    n, length, dim = x.shape
    d = dim // num_heads
    qkv = _linear(x, weights, "qkv")
    if split == "heads first":  # every head's queries, keys and values side by side
        q, k, v = qkv.view(n, length, num_heads, 3, d).permute(3, 0, 2, 1, 4)
    elif split == "heads inside":  # heads interleaved instead of slices
        q, k, v = qkv.view(n, length, 3, d, num_heads).permute(2, 0, 4, 1, 3)
    elif split == "tokens taken for heads":
        q, k, v = (part.reshape(n, num_heads, length, d) for part in qkv.chunk(3, dim=2))
    else:
        q, k, v = qkv.view(n, length, 3, num_heads, d).permute(2, 0, 3, 1, 4)
    if swapped:
        q, k = k, q
    looks = (q @ k.transpose(2, 3) * scale(d, dim)).softmax(dim=over)
    out = looks @ v  # (N, heads, L, d)
    if joined == "tokens first":
        out = out.transpose(1, 2)
    out = out.reshape(n, length, dim)
    return (_linear(out, weights, "proj") if project else out), looks


def _wrong(**what) -> partial:
    return partial(_attention, **what)


ATTENTION_MISTAKES = (
    Mistake(
        "the scores are divided by the root of D: each head's scores are sums over its own d = D / heads values, so "
        "divide by the root of d.",
        (_wrong(scale=lambda d, dim: dim**-0.5),),
    ),
    Mistake("the scores are not divided by the root of d = D / heads.", (_wrong(scale=lambda d, dim: 1.0),)),
    Mistake(
        "the scores are divided by d: by its square root, which is the spread of a sum of d products.",
        (_wrong(scale=lambda d, dim: 1 / d),),
    ),
    Mistake("the scores are multiplied by the root of d: divide by it.", (_wrong(scale=lambda d, dim: d**0.5),)),
    Mistake(
        "the softmax runs over the queries: every query shares out its attention over the keys, the last dimension.",
        (_wrong(over=2),),
    ),
    Mistake("the softmax runs over the heads: it runs over the keys, the last dimension.", (_wrong(over=1),)),
    Mistake(
        "heads and tokens are swapped when reshaping: (N, L, D) becomes (N, L, heads, d) by a view, and only a "
        "transpose brings the heads before the tokens.",
        (_wrong(split="tokens taken for heads"), _wrong(split="tokens taken for heads", joined="as it lies")),
    ),
    Mistake(
        "the heads' outputs are joined without bringing the tokens back to the front: transpose (N, heads, L, d) to "
        "(N, L, heads, d) before the reshape.",
        (_wrong(joined="as it lies"),),
    ),
    Mistake(
        "the output of qkv is cut in another order than timm's: first all queries, then all keys, then all values, "
        "and within each head after head.",
        (_wrong(split="heads first"), _wrong(split="heads inside")),
    ),
    Mistake("queries and keys are swapped: the scores are q k^T, a row for each query.", (_wrong(swapped=True),)),
    Mistake("the output does not pass through proj.", (_wrong(project=False),)),
)


# --- block and ViT


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x - mean).square().mean(dim=-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return torch.tensor([v * (1 + erf(v / sqrt(2))) / 2 for v in x.flatten().tolist()], dtype=x.dtype).view(x.shape)


def block(x: Tensor, weights: dict[str, Tensor], num_heads: int) -> Tensor:
    """One pre-norm block (Dosovitskiy et al. 2021, eq. 2 and 3) with the weights of a state dict."""

    def inside(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}

    x = x + attention(layer_norm(x, *inside("norm1.").values()), inside("attn."), num_heads)[0]
    hidden = gelu(_linear(layer_norm(x, *inside("norm2.").values()), weights, "mlp.fc1"))
    return x + _linear(hidden, weights, "mlp.fc2")


# --- distillation


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float = 4.0, alpha: float = 0.7
) -> Tensor:
    """Hinton et al. 2015, section 2: alpha T^2 KL(teacher || student) + (1 - alpha) CE, mean over the batch."""
    total = 0.0
    for s, t, y in zip(student_logits, teacher_logits, labels.tolist(), strict=True):
        p = (t / temperature).exp() / (t / temperature).exp().sum()
        q = (s / temperature).exp() / (s / temperature).exp().sum()
        kl = sum(p[k] * (p[k].log() - q[k].log()) for k in range(len(s)))
        hard = -(s.exp() / s.exp().sum())[y].log()
        total = total + alpha * temperature**2 * kl + (1 - alpha) * hard
    return total / len(labels)


def _distillation_loss(
    s: Tensor,
    t: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    alpha: float = 0.7,
    *,
    reverse: bool = False,
    factor: Callable = lambda T: T**2,
    complement: bool = False,
    student_probs: bool = False,
    over: str = "batch",
    entropy: bool = False,
    soften_teacher: bool = True,
    soften_student: bool = True,
    soften_labels: bool = False,
    fixed: tuple[float | None, float | None] = (None, None),
) -> Tensor:
    """distillation_loss with something wrong; right with the defaults."""
    T, alpha = fixed[0] or temperature, fixed[1] or alpha
    log_q = (s / (T if soften_student else 1)).log_softmax(dim=1)
    log_p = (t / (T if soften_teacher else 1)).log_softmax(dim=1)
    if reverse:
        log_p, log_q = log_q, log_p
    other = log_q.exp() if student_probs else log_q
    terms = log_p.exp() * ((0 if entropy else log_p) - other)  # (N, K)
    soft = {"batch": terms.sum(dim=1).mean(), "all": terms.mean(), "nothing": terms.sum()}[over]
    hard = torch.nn.functional.cross_entropy(s / T if soften_labels else s, labels)
    a, b = (1 - alpha, alpha) if complement else (alpha, 1 - alpha)
    return a * factor(T) * soft + b * hard


def _loss(**what) -> partial:
    return partial(_distillation_loss, **what)


DISTILLATION_MISTAKES = (
    Mistake(
        "the divergence is taken in the wrong direction: KL(teacher || student) weighs the classes by the teacher's "
        "probabilities. F.kl_div takes the student's log-probabilities first, then the target.",
        (_loss(reverse=True),),
    ),
    Mistake(
        "the factor T^2 is missing: without it the soft part's gradient shrinks as the temperature grows.",
        (_loss(factor=lambda T: 1),),
    ),
    Mistake("the soft part is multiplied by T: it should be T^2.", (_loss(factor=lambda T: T),)),
    Mistake("the soft part is divided by T^2: multiply by it.", (_loss(factor=lambda T: T**-2),)),
    Mistake(
        "alpha is the wrong way round: it weighs the teacher's part, and 1 - alpha the labels.",
        (_loss(complement=True),),
    ),
    Mistake(
        "the student's probabilities stand where their logarithms should: F.kl_div takes log_softmax as its first "
        "argument.",
        (_loss(student_probs=True),),
    ),
    Mistake(
        "the mean runs over the classes too: sum over classes, mean over the batch (reduction='batchmean').",
        (_loss(over="all"),),
    ),
    Mistake("the soft part is summed over the batch: take the mean.", (_loss(over="nothing"),)),
    Mistake(
        "the soft part is a cross-entropy: take the teacher's entropy away, as a divergence does. (The gradient is the "
        "same, but the loss then does not reach 0 for a perfect copy.)",
        (_loss(entropy=True),),
    ),
    Mistake("the teacher's logits are not divided by the temperature.", (_loss(soften_teacher=False),)),
    Mistake(
        "the student's logits are not divided by the temperature in the soft part.", (_loss(soften_student=False),)
    ),
    Mistake(
        "the temperature softens the cross-entropy with the labels too: only the comparison with the teacher is soft.",
        (_loss(soften_labels=True),),
    ),
    Mistake("the argument temperature is not used.", (_loss(fixed=(4.0, None)), _loss(fixed=(1.0, None)))),
    Mistake("the argument alpha is not used.", (_loss(fixed=(None, 0.7)), _loss(fixed=(None, 0.5)))),
)


def hard_distillation_loss(
    class_logits: Tensor, distill_logits: Tensor, teacher_logits: Tensor, labels: Tensor
) -> Tensor:
    """Touvron et al. 2021, eq. 3 with two heads: half to the labels, half to the teacher's choice."""
    total = 0.0
    for c, d, t, y in zip(class_logits, distill_logits, teacher_logits, labels.tolist(), strict=True):
        choice = max(range(len(t)), key=lambda k: float(t[k]))
        total = total - (c.exp() / c.exp().sum())[y].log() / 2 - (d.exp() / d.exp().sum())[choice].log() / 2
    return total / len(labels)


def _hard(c, d, t, labels, *, first=None, second=None, weights=(0.5, 0.5)) -> Tensor:
    ce = torch.nn.functional.cross_entropy
    choice = t.argmax(dim=1)
    a = {None: (c, labels), "swapped": (c, choice)}[first]
    b = {None: (d, choice), "labels": (d, labels), "soft": (d, t.softmax(dim=1)), "one head": (c, choice)}[second]
    return weights[0] * ce(*a) + weights[1] * ce(*b)


HARD_MISTAKES = (
    Mistake(
        "the heads are swapped: the class head learns the labels, the distillation head the teacher's choice.",
        (partial(_hard, first="swapped", second="labels"),),
    ),
    Mistake(
        "the distillation head learns the labels too, not the teacher's choice.", (partial(_hard, second="labels"),)
    ),
    Mistake(
        "the target is the teacher's probabilities: hard distillation takes its most probable class.",
        (partial(_hard, second="soft"),),
    ),
    Mistake("the distillation head is not used.", (partial(_hard, second="one head"),)),
    Mistake("the two parts are added: each counts half.", (partial(_hard, weights=(1, 1)),)),
)


# --- attention distance


def attention_distance(weights: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Dosovitskiy et al. 2021, appendix D.7: mean distance in pixels between a query and what it looks at, per head."""
    n, heads, length, _ = weights.shape
    rows, columns = grid
    result = torch.zeros(heads, dtype=torch.float64)
    for head in range(heads):
        for i in range(rows * columns):
            for j in range(rows * columns):
                down, right = i // columns - j // columns, i % columns - j % columns
                distance = patch_size * sqrt(down**2 + right**2)
                result[head] += sum(float(weights[k, head, i, j]) for k in range(n)) * distance
    return result / (n * length)


def _distance(
    weights: Tensor,
    grid: tuple[int, int],
    patch_size: int,
    *,
    unit: str = "pixels",
    swapped=False,
    kind="l2",
    over="mean",
) -> Tensor:
    rows, columns = reversed(grid) if swapped else grid
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).double()
    if unit == "pixels":
        place = place * patch_size
    apart = place[:, None] - place  # (L, L, 2)
    distance = {
        "l2": apart.square().sum(2).sqrt(),
        "l1": apart.abs().sum(2),
        "squared": apart.square().sum(2),
        "flat": (torch.arange(len(place))[:, None] - torch.arange(len(place))).abs() * float(patch_size),
    }[kind]
    seen = (weights.double() * distance).sum(dim=3)  # (N, heads, L)
    return {
        "mean": seen.mean(dim=(0, 2)),
        "sum": seen.sum(dim=2).mean(dim=0),
        "all": (weights.double() * distance).mean(dim=(0, 2, 3)),
    }[over]


DISTANCE_MISTAKES = (
    Mistake(
        "the distance is counted in patches: multiply by patch_size for pixels.", (partial(_distance, unit="patches"),)
    ),
    Mistake(
        "rows and columns of the grid are swapped: patch l stands in row l // columns and column l % columns.",
        (partial(_distance, swapped=True),),
    ),
    Mistake(
        "the distances are added along rows and columns: take the straight line.", (partial(_distance, kind="l1"),)
    ),
    Mistake("the distance is squared: take its root.", (partial(_distance, kind="squared"),)),
    Mistake(
        "the distance is the difference of the patches' numbers: patches stand in a grid, so compare rows and columns.",
        (partial(_distance, kind="flat"),),
    ),
    Mistake("the queries are summed: take the mean over them.", (partial(_distance, over="sum"),)),
    Mistake(
        "the mean runs over the keys too: the weights of a query already sum to 1, so sum over keys.",
        (partial(_distance, over="all"),),
    ),
)
