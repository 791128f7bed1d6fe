# ruff: noqa
"""The solved exercises of week09; generated from notebooks/source/week09_clip_ood.py: edit that."""


import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week09 as check
from sslcourse.data import expect
from sslcourse.evaluate import inputs
from sslcourse.plot.schematics.two_towers import two_towers


def clip_loss(image_emb: torch.Tensor, text_emb: torch.Tensor, logit_scale: torch.Tensor | float) -> torch.Tensor:
    """Symmetric cross-entropy over all pairs of a batch (Radford et al. 2021, figure 3).

    image_emb, text_emb: (N, D), row n of both being a pair; not normalised. logit_scale: factor of the cosines.
    Returns a scalar, in nats: the mean of both directions. Gradients reach all three.
    """
    z, t = F.normalize(image_emb, dim=1), F.normalize(text_emb, dim=1)      # (N, D)
    logits = logit_scale * z @ t.T                                          # (N, N), images in rows
    partner = torch.arange(len(z), device=z.device)
    return (F.cross_entropy(logits, partner) + F.cross_entropy(logits.T, partner)) / 2


def zero_shot_weights(
    class_names: Sequence[str], templates: Sequence[str], encode_text: Callable[[list[str]], torch.Tensor]
) -> torch.Tensor:
    """Weights of a classifier made of prompts (Radford et al. 2021, section 3.1.4), (D, K), columns of length 1.

    templates: such as "a photo of a {}". encode_text: texts to embeddings (n, D), not normalised.
    """
    expect.strings(class_names, "class_names")
    expect.strings(templates, "templates")
    if not len(class_names) or not len(templates):
        raise ValueError("class_names and templates need at least one each, such as 'tree' and 'a photo of a {}'.")
    if plain := [template for template in templates if "{}" not in template]:
        raise ValueError(f"The template {plain[0]!r} has no {{}} to put a class name in.")
    columns = []
    for name in class_names:
        t = F.normalize(encode_text([template.format(name) for template in templates]), dim=1)     # (M, D)
        columns.append(F.normalize(t.mean(dim=0), dim=0))
    return torch.stack(columns, dim=1)


def msp(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Largest softmax probability of logits / T (Hendrycks and Gimpel 2017): (N, K) to (N,)."""
    return (inputs.features(logits, "logits") / temperature).softmax(dim=1).max(dim=1).values


def max_logit(logits: torch.Tensor) -> torch.Tensor:
    """Largest logit (Hendrycks et al. 2022): (N, K) to (N,)."""
    return inputs.features(logits, "logits").max(dim=1).values


def energy(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """+T log sum exp(logits / T), minus the energy of Liu et al. (2020): (N, K) to (N,)."""
    return temperature * (inputs.features(logits, "logits") / temperature).logsumexp(dim=1)


def mcm(image_emb: torch.Tensor, text_weights: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Maximum concept matching (Ming et al. 2022): the largest softmax probability of cosines / T, (N,).

    image_emb: (N, D), not normalised; text_weights: (D, K), columns of length 1.
    """
    z = F.normalize(inputs.features(image_emb, "image_emb"), dim=1)
    return (z @ text_weights / temperature).softmax(dim=1).max(dim=1).values


def knn_score(train_x: torch.Tensor, x: torch.Tensor, k: int = 1) -> torch.Tensor:
    """Minus the Euclidean distance to the k-th nearest training sample, all of length 1 (Sun et al. 2022): (N,).

    train_x: (M, D), x: (N, D), not normalised; 1 <= k <= M.
    """
    train_x, x = inputs.features(train_x, "train_x"), inputs.features(x, "x")
    if not 1 <= k <= len(train_x):
        raise ValueError(f"k is {k}, but there are {len(train_x)} training samples; take 1 <= k <= {len(train_x)}.")
    bank = F.normalize(train_x.double(), dim=1)
    rows = F.normalize(x.double(), dim=1).split(512)                        # all distances at once may not fit
    return torch.cat([-torch.cdist(part, bank).kthvalue(k, dim=1).values for part in rows]).to(x.dtype)


class Mahalanobis:
    """Minus the squared Mahalanobis distance to the nearest class mean (Lee et al. 2018), and relative to one Gaussian
    over all training data (Ren et al. 2021)."""

    def fit(self, train_x: torch.Tensor, train_y: torch.Tensor) -> "Mahalanobis":
        """Means and covariances. train_x: (N, D) features; train_y: (N,) whole numbers."""
        x, train_y = inputs.features(train_x, "train_x").double(), torch.as_tensor(train_y)
        if train_y.shape != (len(x),):
            raise ValueError(f"train_y has shape {tuple(train_y.shape)}; expected ({len(x)},): one label a sample.")

        def gaussians(y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
            """One mean for each number in y, one covariance: a function (N, D) to minus the smallest distance (N,)."""
            means = torch.stack([x[y == k].mean(dim=0) for k in range(int(y.max()) + 1)])       # (K, D)
            deviations = x - means[y]                                       # (N, D), from the own mean
            covariance = deviations.T @ deviations / len(x)
            ridge = 1e-6 * covariance.trace() / len(covariance)
            factor = torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance)).to(x))

            def minus_distance(points: torch.Tensor) -> torch.Tensor:
                points = inputs.features(points, "x").to(means)
                white, centres = (
                    torch.linalg.solve_triangular(factor, part.T, upper=False).T for part in (points, means)
                )
                return -torch.cdist(white, centres).square().min(dim=1).values

            return minus_distance

        numbers = train_y.unique(return_inverse=True)[1].to(x.device)
        self.classes, self.background = gaussians(numbers), gaussians(torch.zeros_like(numbers))
        return self

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N,): minus the smallest squared distance."""
        if not hasattr(self, "classes"):
            raise RuntimeError("There is nothing to compare with yet: call fit(train_x, train_y) first.")
        return self.classes(x)

    def relative_score(self, x: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N,): score(x) minus that of one Gaussian over all training data."""
        return self.score(x) - self.background(x)


def auroc(in_scores: torch.Tensor, out_scores: torch.Tensor) -> float:
    """Chance that an in-distribution score is higher than another one, ties half. (N,), (M,) to a float."""
    a, b = inputs.scores(in_scores, "in_scores"), inputs.scores(out_scores, "out_scores")
    return ((a[:, None] > b).double().mean() + (a[:, None] == b).double().mean() / 2).item()


def fpr_at_95_tpr(in_scores: torch.Tensor, out_scores: torch.Tensor) -> float:
    """Share of out_scores at or above the highest threshold that at least 95 % of in_scores reach."""
    a, b = inputs.scores(in_scores, "in_scores"), inputs.scores(out_scores, "out_scores")
    needed = -(-95 * len(a) // 100)                                         # rounded up, in whole numbers
    threshold = a.sort(descending=True).values[needed - 1]
    return (b >= threshold).double().mean().item()


def asif(
    image_x: torch.Tensor,
    text_x: torch.Tensor,
    image_anchors: torch.Tensor,
    text_anchors: torch.Tensor,
    k: int,
    power: float = 1.0,
) -> torch.Tensor:
    """Similarity (N, M) of N images and M texts whose encoders were never joined (Norelli et al. 2023).

    image_x: (N, D), text_x: (M, E); image_anchors: (A, D) and text_anchors: (A, E), row a of both being a pair. Of the
    cosines to the anchors every row keeps the k largest, those below 0 as 0, raised to `power`.
    """
    if len(image_anchors) != len(text_anchors):
        raise ValueError(f"There are {len(image_anchors)} anchor images and {len(text_anchors)} captions; give pairs.")
    if not 1 <= k <= len(image_anchors):
        raise ValueError(f"k is {k}, but there are {len(image_anchors)} anchors; take 1 <= k <= {len(image_anchors)}.")

    def described(x: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
        cosines = F.normalize(x, dim=1) @ F.normalize(anchors, dim=1).T         # (n, A)
        values, places = cosines.topk(k, dim=1)
        kept = torch.zeros_like(cosines).scatter(1, places, values.clamp(min=0) ** power)
        return F.normalize(kept, dim=1)

    return described(image_x, image_anchors) @ described(text_x, text_anchors).T
