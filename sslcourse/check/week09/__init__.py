"""Checks of week 9: CLIP's loss and zero-shot classifier. Definitions: oracle.py.

The checks of the scores are in scores.py and mahalanobis.py, those of AUROC and FPR95 in rates.py, CLIP without
training in without_training.py.
"""

from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, gives, gradients_agree, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week09 import oracle, zero_shot_oracle
from sslcourse.check.week09.mahalanobis import Mahalanobis
from sslcourse.check.week09.rates import auroc, fpr_at_95_tpr
from sslcourse.check.week09.scores import energy, knn_score, max_logit, mcm, msp
from sslcourse.check.week09.without_training import asif

__all__ = ["Mahalanobis", "asif", "auroc", "clip_loss", "energy", "fpr_at_95_tpr", "knn_score", "max_logit", "mcm"]
__all__ += ["msp", "report", "sweep", "zero_shot_weights"]


# --- clip_loss


def _pairs(x: Tensor, t: Tensor, scale: float) -> str:
    return f"{len(x)} pair{'s' * (len(x) > 1)} in {x.shape[1]} dimensions and logit_scale = {float(scale):g}"


def _clip_definition(x: Tensor, t: Tensor, scale: Tensor | float) -> Tensor:
    return (oracle.clip_loss if len(x) < 50 else oracle.clip_loss_at_once)(x, t, scale)


@exercise("week09")
def clip_loss(student: Student) -> str:
    """clip_loss(image_emb, text_emb, logit_scale) -> scalar (Radford et al. 2021, figure 3)."""
    x = student.normal(7, 6) * (0.5 + student.uniform(7, 1))
    t = (x + 1.2 * student.normal(7, 6)) * (0.5 + student.uniform(7, 1))
    many = student.normal(300, 4), student.normal(300, 4), 2.0  # more than a batch of 256
    few = *(by_hand(student.normal(3, 2)) for _ in range(2)), 2.0
    agree(
        student,
        [(x, t, 3.0), (x, t, 8.0), (t, x[[1, 0, 3, 2, 5, 4, 6]], 1.5), (x[:2], t[:2], 0.5), many],
        _clip_definition,
        oracle.CLIP_LOSS_MISTAKES,
        words=_pairs,
        small=few,
        hint="three pairs give a 3 x 3 matrix of cosines times 2, and the right ones stand on its diagonal.",
    )
    agree(student, [few, (x[:1], t[:1], 5.0)], oracle.clip_loss, words=_pairs)
    same = number(student(torch.ones(5, 3), torch.ones(5, 3), 10.0))
    if not close(same, log(5)):
        raise Wrong(f"When all 5 + 5 embeddings are equal {gives(same, log(5))} That is ln N.")

    # At the scale where CLIP ends, exponentials alone leave float32: right pairs, then pairs that are all wrong.
    eye = torch.eye(4)
    for texts, kind, wanted in ((eye, "right", 0.0), (eye.roll(1, dims=0), "wrong", 100.0)):
        sharp = number(student(eye, texts, 100.0))
        if not close(sharp, wanted):
            raise Wrong(
                f"For four orthogonal pairs, all {kind}, and logit_scale = 100 {gives(sharp, wanted)} exp(100) is more "
                "than float32 holds, and a probability of exp(-100) less: work with logarithms, by F.cross_entropy, "
                "log_softmax or logsumexp."
            )

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
        texts = texts if isinstance(texts, str) else list(texts)
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
    names = ["tree", "boat", "Cat", "red car"]
    for templates in (["a {}", "a photo of a {}", "this is a {}, drawn"], ["{}"], ["the {} here", "{} there"]):
        encode = _Encoder(student, 5)
        w = student(list(names), list(templates), encode)
        if isinstance(w, Tensor) and tuple(w.shape) == (4, 5):
            raise Wrong("It returns (K, D), a row for each class: it should be (D, K), so that images @ weights works.")
        seen, wanted = set(encode.known), zero_shot_oracle.zero_shot_weights(names, templates, encode)
        if isinstance(w, Tensor) and w.dim() == 2 and len(w) == 5 and w.shape[1] > 4:
            if close(w[:, -4:], wanted):
                raise Wrong("The weights of an earlier call are still in it: begin with an empty list in every call.")
            if w.shape[1] == 4 * len(templates):
                raise Wrong(f"It returns {w.shape[1]} columns, one for each prompt: average over those of a class.")
        w = tensor(w, (5, 4), "It returns").detach().double()
        if close(w, wanted):
            continue
        said = f"With {len(templates)} template{'s' * (len(templates) > 1)}, "
        fits = {
            m.sentence
            for m in zero_shot_oracle.ZERO_SHOT_MISTAKES
            if any(close(w, variant(names, templates, encode)) for variant in m.variants)
        }
        if len(fits) == 1 and len(templates) > 1:
            raise Wrong(f"{said}the weights are not those of the definition.\nIt looks as if {fits.pop()}")
        if found := _prompts(seen, names, templates):
            raise Wrong(f"{said}{found}")
        raise Wrong(f"{said}{_worst(w, wanted, names)}")
    return "The normalised mean of normalised prompts, for one template and several; a column for each class."


def _worst(w: Tensor, wanted: Tensor, names: list[str]) -> str:
    """How far the worst column is off: by its length or, where that is 1, by its direction."""
    column = int((w - wanted).abs().nan_to_num(nan=torch.inf).amax(dim=0).argmax())
    length = float(w[:, column].norm())
    if not close(length, 1.0, 1e-3):
        return f"the weights of {names[column]!r} have length {length:.4g}; it should be 1."
    cosine = float(w[:, column] @ wanted[:, column])
    return (
        f"the weights of {names[column]!r} have another direction than they should: the cosine of the two is "
        f"{cosine:.4f}. Each prompt of the class counts once, with length 1."
    )


def _prompts(seen: set[str], names: list[str], templates: list[str]) -> str:
    """What is wrong with the texts that the encoder was given; empty where they are right."""
    should = [template.replace("{}", name) for name in names for template in templates]
    if odd := sorted(text for text in seen - set(should) if "{" in text):
        return f"encode_text was given {odd[0]!r}: put a name in place of the braces, template.format(name)."
    missing = [text for text in should if text not in seen]
    if odd := sorted(seen - set(should)):
        return f"encode_text was given {odd[0]!r}, which is none of the prompts; such as {(missing or should)[0]!r} is."
    if missing:
        return f"encode_text was never given {missing[0]!r}: every template counts, for every class."
    return ""
