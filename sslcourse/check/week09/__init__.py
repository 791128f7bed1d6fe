"""Checks of week 9: CLIP's loss and zero-shot classifier, AUROC and FPR95. Definitions: oracle.py.

The checks of the scores are in scores.py.
"""

from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, gives, gradients_agree, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week09 import oracle
from sslcourse.check.week09.scores import Mahalanobis, energy, knn_score, max_logit, mcm, msp

__all__ = ["Mahalanobis", "auroc", "clip_loss", "energy", "fpr_at_95_tpr", "knn_score", "max_logit", "mcm", "msp"]
__all__ += ["report", "sweep", "zero_shot_weights"]


# --- clip_loss


def _pairs(x: Tensor, t: Tensor, scale: float) -> str:
    return f"{len(x)} pair{'s' * (len(x) > 1)} in {x.shape[1]} dimensions and logit_scale = {float(scale):g}"


@exercise("week09")
def clip_loss(student: Student) -> str:
    """clip_loss(image_emb, text_emb, logit_scale) -> scalar (Radford et al. 2021, figure 3)."""
    x = student.normal(7, 6) * (0.5 + student.uniform(7, 1))
    t = (x + 1.2 * student.normal(7, 6)) * (0.5 + student.uniform(7, 1))
    few = *(by_hand(student.normal(3, 2)) for _ in range(2)), 2.0
    agree(
        student,
        [(x, t, 3.0), (x, t, 8.0), (t, x[[1, 0, 3, 2, 5, 4, 6]], 1.0)],
        oracle.clip_loss,
        oracle.CLIP_LOSS_MISTAKES,
        words=_pairs,
        small=few,
        hint="three pairs give a 3 x 3 matrix of cosines times 2, and the right ones stand on its diagonal.",
    )
    agree(student, [few, (x[:1], t[:1], 5.0), (x[:2], t[:2], 0.5)], oracle.clip_loss, words=_pairs)
    same = number(student(torch.ones(5, 3), torch.ones(5, 3), 10.0))
    if not close(same, log(5)):
        raise Wrong(f"When all 5 + 5 embeddings are equal {gives(same, log(5))} That is ln N.")
    sharp = number(student(torch.eye(4), torch.eye(4), 100.0))
    if not close(sharp, 0.0):
        raise Wrong(f"For four orthogonal pairs and logit_scale = 100 {gives(sharp, 0.0)}")

    # The scale is learnt, so it comes as a tensor and wants a gradient as well.
    gradients_agree(
        student,
        (x, t, torch.tensor(3.0)),
        oracle.clip_loss,
        names=("image_emb", "text_emb", "logit_scale"),
    )
    return "Equal to the definition at several scales; ln N for equal embeddings; gradients reach all three."


# --- zero_shot_weights


class _Encoder:
    """A text tower that knows nothing: the same text gets the same random vector, and texts that it saw are kept."""

    def __init__(self, student: Student, dim: int):
        self.student, self.dim, self.known = student, dim, {}

    def __call__(self, texts) -> Tensor:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            kind = "one string" if isinstance(texts, str) else "something that is no string"
            raise TypeError(f"encode_text takes a list of texts, and was given {kind}")
        for text in texts:
            if text not in self.known:
                self.known[text] = self.student.normal(self.dim) * (0.3 + 3 * self.student.uniform(1))
        return torch.stack([self.known[text] for text in texts])


@exercise("week09")
def zero_shot_weights(student: Student) -> str:
    """zero_shot_weights(class_names, templates, encode_text) -> (D, K)."""
    names = ["tree", "boat", "cat", "red car"]
    for templates in (["a {}", "a photo of a {}", "this is a {}, drawn"], ["{}"], ["the {} here", "{} there"]):
        encode = _Encoder(student, 5)
        w = student(names, templates, encode)
        if isinstance(w, Tensor) and tuple(w.shape) == (4, 5):
            raise Wrong("It returns (K, D), a row for each class: it should be (D, K), so that images @ weights works.")
        w = tensor(w, (5, 4), "It returns").detach()
        wanted = oracle.zero_shot_weights(names, templates, encode)
        if close(w, wanted):
            continue
        found = _prompts(encode, names, templates)
        said = f"With {len(templates)} template{'s' * (len(templates) > 1)}, "
        fits = {
            m.sentence
            for m in oracle.ZERO_SHOT_MISTAKES
            if any(_fits(v, w, names, templates, encode) for v in m.variants)
        }
        if len(fits) == 1 and len(templates) > 1:
            raise Wrong(f"{said}the weights are not those of the definition.\nIt looks as if {fits.pop()}")
        if found:
            raise Wrong(f"{said}{found}")
        column = int((w - wanted).abs().amax(dim=0).argmax())
        raise Wrong(
            f"{said}the weights of {names[column]!r} have length {float(w[:, column].norm()):.3f} and cosine "
            f"{float(w[:, column] @ wanted[:, column].float() / w[:, column].norm().clamp(min=1e-9)):.3f} with what "
            "they should be; the length should be 1."
        )
    return "The normalised mean of normalised prompts, for one template and several; a column for each class."


def _fits(variant, w: Tensor, names, templates, encode: _Encoder) -> bool:
    return close(w, variant(names, templates, encode))


def _prompts(encode: _Encoder, names, templates) -> str:
    """What is wrong with the texts that the encoder was given; empty where they are right."""
    should = {template.replace("{}", name) for name in names for template in templates}
    seen = set(encode.known)
    if odd := sorted(text for text in seen - should if "{" in text):
        return f"encode_text was given {odd[0]!r}: put a name in place of the braces, template.format(name)."
    return ""


# --- auroc and fpr_at_95_tpr


def _sides(inside: Tensor, outside: Tensor) -> str:
    return f"{len(inside)} in-distribution and {len(outside)} other scores"


@exercise("week09")
def auroc(student: Student) -> str:
    """auroc(in_scores, out_scores) -> float: how often an inside sample is above an outside one, ties half."""
    a, b = student.normal(23) + 0.8, student.normal(31)
    few = by_hand(student.normal(3) + 0.5), by_hand(student.normal(2))
    tied = [((3 * x).round() / 3) for x in (a, b)]
    agree(
        student,
        [(a, b), (b[:9], a), tuple(tied), (tied[0][:6], tied[1])],
        oracle.auroc,
        oracle.AUROC_MISTAKES,
        words=_sides,
        small=few,
        hint="three times two scores make six pairs: in how many of them is the inside one higher?",
    )
    agree(student, [few, (a[:1], b), (a, b[:1])], oracle.auroc, words=_sides)
    for case, wanted in (
        ((torch.ones(4), torch.zeros(6)), 1.0),
        ((torch.zeros(4), torch.ones(6)), 0.0),
        ((torch.ones(4), torch.ones(6)), 0.5),
        ((torch.tensor([-50.0, -49.0]), torch.tensor([-51.0])), 1.0),
    ):
        if not close(came := number(student(*case)), wanted):
            raise Wrong(f"For {case[0].tolist()} against {case[1].tolist()} {gives(came, wanted)}")
    # Any increasing function of the scores leaves the order, and so the area, as it was.
    if not close(number(student((a / 2).exp(), (b / 2).exp())), oracle.auroc(a, b)):
        raise Wrong("It changes when the exponential of all scores is taken: only their order may count.")
    return "Equal to the count over all pairs, ties half; 1, 0 and 1/2 where they should be; the order alone counts."


@exercise("week09")
def fpr_at_95_tpr(student: Student) -> str:
    """fpr_at_95_tpr(in_scores, out_scores) -> float: no interpolation, the highest threshold with TPR >= 0.95."""
    a, b = student.normal(47) + 1.2, student.normal(203)
    c, d = student.normal(40) + 0.7, student.normal(90) - 0.2
    few = by_hand(student.normal(5) + 0.5), by_hand(student.normal(4))
    agree(
        student,
        [(a, b), (c, d), ((5 * a).round() / 5, (5 * b).round() / 5), (a[:30], b), (c[:20], d)],
        oracle.fpr_at_95_tpr,
        oracle.FPR_MISTAKES,
        words=_sides,
        small=few,
        hint="95 % of five scores is all five: the threshold is the lowest of them.",
    )
    agree(student, [few, (a[:1], b), (a, b[:1]), (a[:19], b), (a[:21], b)], oracle.fpr_at_95_tpr, words=_sides)
    for case, wanted in (
        ((torch.ones(4), torch.zeros(6)), 0.0),
        ((torch.zeros(4), torch.ones(6)), 1.0),
        ((torch.ones(4), torch.ones(6)), 1.0),
        ((torch.tensor([-9.0, -8.0]), torch.tensor([-10.0])), 0.0),
    ):
        if not close(came := number(student(*case)), wanted):
            raise Wrong(f"For {case[0].tolist()} against {case[1].tolist()} {gives(came, wanted)}")
    return "The share of the others that reach the highest threshold that 95 % reach; nothing interpolated."
