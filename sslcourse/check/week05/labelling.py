"""SCAN's self-labelling: its loss, one image at a time, the mistakes that have names, and the check.

Reference: Van Gansbeke et al. 2020, "SCAN: learning to classify images without labels", section 2.3. Their published
code weighs each image by the inverse frequency of its pseudo-label and divides by the sum of the weights; that is the
mean over the clusters that occur of the mean over each one's images.
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake, agree, by_hand, close, gives, number
from sslcourse.check.machinery import Student, Wrong


def self_label_loss(weak_logits: Tensor, strong_logits: Tensor, threshold: float = 0.99) -> Tensor:
    """Cross-entropy of the strong view with the confident guess on the weak one; clusters that occur count alike.

    0 where nobody is confident.
    """
    of_cluster: dict[int, list[Tensor]] = {}
    for weak, strong in zip(weak_logits, strong_logits, strict=True):
        p = weak.exp() / weak.exp().sum()
        if p.max() > threshold:
            guess = int(p.argmax())
            of_cluster.setdefault(guess, []).append(strong.exp().sum().log() - strong[guess])
    means = [sum(losses) / len(losses) for losses in of_cluster.values()]
    return sum(means) / len(means) if means else 0.0 * strong_logits.sum()


def _variant(
    weak: Tensor,
    strong: Tensor,
    threshold: float = 0.99,
    *,
    judged: str = "weak",
    guessed: str = "weak",
    learns: str = "strong",
    confident: str = "above",
    target: str = "hard",
    weigh: str = "inverse",
    reduce: str = "weights",
    fixed: float | None = None,
    sign: float = 1,
    logits=lambda x: x,
    counted: str = "kept",
) -> Tensor:
    views = {"weak": weak, "strong": strong}
    p = views[judged].softmax(dim=1)
    threshold = threshold if fixed is None else fixed
    keep = {
        "above": p.amax(dim=1) > threshold,
        "all": torch.ones(len(p), dtype=torch.bool),
        "below": p.amax(dim=1) <= threshold,
        "logits": views[judged].amax(dim=1) > threshold,
        "nobody": torch.zeros(len(p), dtype=torch.bool),
        "sigmoid": views[judged].sigmoid().amax(dim=1) > threshold,
        "margin": p.topk(2, dim=1).values.diff(dim=1)[:, 0].abs() > threshold,
        "entropy": -(p * p.log()).sum(dim=1) < 1 - threshold,
        "batch": views[judged].softmax(dim=0).amax(dim=1) > threshold,
        "agreed": (p.amax(dim=1) > threshold) & (strong.argmax(dim=1) == weak.argmax(dim=1)),
        "both": (p.amax(dim=1) > threshold) & (strong.softmax(dim=1).amax(dim=1) > threshold),
    }[confident]
    guess, log_q = views[guessed].argmax(dim=1), logits(views[learns]).log_softmax(dim=1)
    if target in ("hard", "confidence", "smoothed"):
        losses = -log_q.gather(1, guess[:, None])[:, 0]
    elif target == "soft":
        losses = -(views[guessed].softmax(dim=1) * log_q).sum(dim=1)
    elif target == "entropy":
        losses = -(log_q.exp() * log_q).sum(dim=1)
    elif target == "raw":
        losses = -views[learns].gather(1, guess[:, None])[:, 0]
    elif target == "squared":
        losses = (log_q.exp() - torch.nn.functional.one_hot(guess, p.shape[1])).square().sum(dim=1)
    elif target == "ignored":
        losses = torch.where(guess > 0, -log_q.gather(1, guess[:, None])[:, 0], 0.0)
    elif target == "shifted":
        losses = -log_q.gather(1, guess.roll(1)[:, None])[:, 0]
    else:  # the probability without its logarithm
        losses = -log_q.exp().gather(1, guess[:, None])[:, 0]
    counts = torch.bincount(guess[keep] if counted == "kept" else guess, minlength=p.shape[1]).to(losses)
    weights = {
        "inverse": 1 / counts.clamp(min=1),
        "none": torch.ones_like(counts),
        "frequency": counts,
        "root": counts.clamp(min=1).rsqrt(),
        "one more": 1 / (counts + 1),
        "logarithm": (1 / counts.clamp(min=1)).log1p(),
    }[weigh][guess] * keep
    if target == "confidence":
        weights = weights * p.amax(dim=1)
    if target == "smoothed":
        losses = 0.9 * losses - 0.1 * log_q.mean(dim=1)
    total = (weights * losses).sum()
    by = {
        "weights": weights.sum(),
        "batch": torch.tensor(len(p)).to(losses),
        "confident": keep.sum(),
        "clusters": torch.tensor(p.shape[1]).to(losses),
        "sum": torch.ones(()).to(losses),
    }[reduce]
    return sign * total / by.clamp(min=1e-12)


def _with(**what) -> partial:
    return partial(_variant, **what)


MISTAKES = (
    Mistake(
        "every image counts: only those whose largest probability on the weak view is above the threshold do.",
        (_with(confident="all"), _with(confident="all", weigh="none")),
    ),
    Mistake(
        "the threshold is compared with logits, or with a sigmoid of them: with the largest probability of a softmax.",
        (_with(confident="logits"), _with(confident="logits", weigh="none"), _with(confident="sigmoid")),
    ),
    Mistake("those below the threshold are kept: take those above.", (_with(confident="below"),)),
    Mistake(
        "no image is ever confident: the largest probability of an image is compared with the threshold, not its "
        "logarithm, and not the smallest.",
        (_with(confident="nobody"),),
    ),
    Mistake(
        "confidence is measured otherwise: it is the largest probability of an image, max(dim=1).",
        (_with(confident="margin"), _with(confident="entropy"), _with(confident="batch")),
    ),
    Mistake(
        "only images count on which both views agree, or are both sure: the weak view alone decides.",
        (_with(confident="agreed"), _with(confident="both")),
    ),
    Mistake(
        "the images of a cluster are counted among all: count the confident ones.",
        (_with(counted="all"),),
    ),
    Mistake(
        "the weight of an image is not 1 / (confident images of its pseudo-label).",
        (_with(weigh="one more"), _with(weigh="logarithm")),
    ),
    Mistake(
        "a softmax is taken before the cross-entropy, which takes one itself: give it the logits.",
        (_with(logits=lambda x: x.softmax(dim=1)), _with(logits=lambda x: x.log_softmax(dim=1).exp(), weigh="none")),
    ),
    Mistake(
        "the strong view's logits are divided by a temperature: take them as they are.",
        tuple(_with(logits=lambda x, t=t: x / t) for t in (0.1, 0.5, 0.07, 2.0)),
    ),
    Mistake("the pseudo-labels are smoothed: each is the likeliest cluster alone.", (_with(target="smoothed"),)),
    Mistake(
        "each image is weighed by its confidence: all above the threshold are alike but for the size of their cluster.",
        (_with(target="confidence"), _with(target="confidence", weigh="none"),
         _with(target="confidence", weigh="none", reduce="confident"), _with(target="confidence", reduce="confident")),
    ),
    Mistake(
        "the argument threshold is not used.",
        (_with(fixed=0.99), _with(fixed=0.95), _with(fixed=0.9), _with(fixed=0.5)),
    ),
    Mistake(
        "the clusters are not balanced: each that occurs counts alike, so weigh an image by 1 / (images of its "
        "pseudo-label), and divide by the sum of the weights.",
        (_with(weigh="none"), _with(weigh="root")),
    ),
    Mistake("the weights are the frequencies: take their inverse.", (_with(weigh="frequency"),)),
    Mistake(
        "the views are swapped: the weak view gives the pseudo-labels, the strong one learns them.",
        (_with(judged="strong", guessed="strong", learns="weak"),),
    ),
    Mistake(
        "the pseudo-labels are those of the strong view: it would teach itself what it says already.",
        (_with(judged="strong", guessed="strong"), _with(guessed="strong")),
    ),
    Mistake("the confidence is that of the strong view: the weak view decides who counts.", (_with(judged="strong"),)),
    Mistake(
        "the loss is that of the weak view: the strong view has to say the same.", (_with(learns="weak"),)
    ),
    Mistake(
        "the targets are probabilities: a pseudo-label is the likeliest cluster alone.",
        (_with(target="soft"), _with(target="soft", weigh="none")),
    ),
    Mistake("the logarithm is missing.", (_with(target="no logarithm"),)),
    Mistake(
        "the entropy of the strong view is taken: it is the cross-entropy with the pseudo-label.",
        (_with(target="entropy"),),
    ),
    Mistake(
        "logits stand where log probabilities should: take log_softmax, or F.cross_entropy.", (_with(target="raw"),)
    ),
    Mistake("squared errors are taken: it is the cross-entropy.", (_with(target="squared"),)),
    Mistake(
        "cluster 0 counts as no label: all clusters are alike.",
        (_with(target="ignored"), lambda w, s, t=0.99: _variant(w[w.argmax(1) > 0], s[w.argmax(1) > 0], t)),
    ),
    Mistake("the pseudo-labels belong to other images: row n of both views is image n.", (_with(target="shifted"),)),
    Mistake(
        "the sum is divided by the number of all images: divide by the sum of the weights.",
        (_with(weigh="none", reduce="batch"), _with(reduce="batch")),
    ),
    Mistake(
        "it is divided by the number of all clusters: those that nobody is confident about have no loss.",
        (_with(reduce="clusters"),),
    ),
    Mistake(
        "the losses are summed: take their weighted mean.", (_with(reduce="sum"), _with(weigh="none", reduce="sum"))
    ),
    Mistake(
        "the weighted losses are divided by the number of confident images: divide by the sum of the weights.",
        (_with(reduce="confident"),),
    ),
    Mistake("the sign is wrong: a likely pseudo-label makes the loss small.", (_with(sign=-1),)),
)  # fmt: skip


def _words(weak: Tensor, strong: Tensor, *_) -> str:
    return f"{len(weak)} images and {weak.shape[1]} clusters"


def _logits(
    student: Student, guesses: list[int], unsure: int, clusters: int, threshold: float
) -> tuple[Tensor, Tensor]:
    """(weak, strong): images that are sure of these clusters, one only just, then some that are not."""
    n = len(guesses) + unsure
    weak = 0.3 * student.normal(n, clusters)
    weak[torch.arange(len(guesses)), torch.tensor(guesses)] += 4.0  # about 0.95 of the probability
    weak[0, guesses[0]] += 4.0  # and one that any threshold lets through
    weak[len(guesses) :, 1] += 1.2  # about 0.5
    just = torch.full((clusters,), (0.97 - threshold) / (clusters - 1))
    just[guesses[-1]] = threshold + 0.03  # the difference to the next is below the threshold
    weak[len(guesses) - 1] = just.log() + 0.5
    weak = weak - 6.0 * student.uniform(n, 1)  # which no probability notices
    order = student.uniform(n).argsort()
    strong = weak.log_softmax(dim=1).clamp(min=-3) + 1.5 * student.normal(n, clusters)
    return weak[order], strong[order]


def examine_self_labels(student: Student) -> str:
    cases = []
    for guesses, unsure, clusters, threshold in (
        ([0, 0, 0, 0, 0, 1, 1, 3], 4, 5, 0.75),
        ([2, 2, 2, 1, 0], 3, 4, 0.7),
        ([0, 0, 0, 1], 2, 3, 0.8),
    ):
        cases.append((*_logits(student, guesses, unsure, clusters, threshold), threshold))
    few = by_hand(torch.tensor([[2.0, 0.0], [1.5, 0.0], [0.0, 3.0], [0.1, 0.0]])), by_hand(student.normal(4, 2)), 0.7
    agree(
        student,
        cases,
        self_label_loss,
        MISTAKES,
        words=_words,
        small=few,
        hint="three of the four images are sure, two of one cluster and one of the other; each cluster counts alike.",
    )
    agree(student, [few, (cases[0][0][:1] * 9, cases[0][1][:1], 0.5)], self_label_loss, words=_words)
    weak, strong = 1.5 * cases[0][0], cases[0][1]  # sure by 0.97 to 0.995
    left_out, wanted = number(student(weak, strong)), float(self_label_loss(weak.double(), strong.double()))
    if not close(left_out, wanted):
        raise Wrong(f"Without a threshold {gives(left_out, wanted)} The default is 0.99.")

    weak, strong, threshold = cases[0]
    _gradients(student, weak, strong, threshold)

    nobody = strong.clone().requires_grad_()
    loss = student(torch.zeros_like(weak), nobody, 0.9)
    if not close(number(loss), 0.0):
        raise Wrong(f"Where no image is confident {gives(number(loss), 0.0)} There is nothing to learn from.")
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Wrong("Where no image is confident the loss is 0, but carries no graph: the training would stop there.")
    loss.backward()
    if nobody.grad is not None and not close(nobody.grad, torch.zeros_like(nobody)):
        raise Wrong("Where no image is confident the gradient is not 0.")
    if not torch.tensor(number(student(100 * weak, 100 * strong, 0.5))).isfinite():
        raise Wrong("Logits a hundred times as large give no finite loss: take log_softmax of the strong view.")
    return "Equal to the definition; clusters count alike; 0 where nobody is sure; gradients reach strong_logits only."


def _gradients(student: Student, weak: Tensor, strong: Tensor, threshold: float) -> None:
    inputs = [x.clone().requires_grad_() for x in (weak, strong)]
    loss = student(*inputs, threshold)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it: do not detach it.")
    exact = strong.double().requires_grad_()
    (wanted,) = torch.autograd.grad(self_label_loss(weak.double(), exact, threshold), exact)
    came = torch.autograd.grad(loss, inputs, allow_unused=True)
    if came[1] is None or not close(came[1] / wanted.abs().max(), wanted / wanted.abs().max(), 1e-3):
        raise Wrong("The value is right, but the gradient for strong_logits is not the definition's.")
    if came[0] is not None and came[0].any():
        raise Wrong("The value is right, but a gradient reaches weak_logits: pseudo-labels are targets, detach them.")
