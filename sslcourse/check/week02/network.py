"""The check of week 2's network, by a backbone that is linear, so that a linear head shows."""

import copy

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise


class _Backbone(nn.Module):
    """Features of images, linear in them; keeps what it was given and in which mode."""

    def __init__(self, features: int, weights: Tensor):
        super().__init__()
        self.num_features = features
        self.weights = nn.Parameter(weights)  # (C S S, D)
        self.calls: list[tuple[Tensor, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.calls.append((images.detach().clone(), self.training))
        return images.flatten(1) @ self.weights


@exercise("week02")
def RotationNet(student: Student) -> str:
    """RotationNet(backbone) with features(x) -> (N, D) and forward(x) -> (N, 4): a linear head on the features."""
    if not (isinstance(student.submission, type) and issubclass(student.submission, nn.Module)):
        raise Wrong("It should be a class that inherits from nn.Module.")
    for width, n in ((6, 5), (9, 1), (17, 3)):
        backbone = _Backbone(width, 0.3 * student.normal(48, width))
        with student.meaning(f"The backbone that the check gave has num_features = {width}."):
            weights = backbone.weights.detach().clone()
            model = student(backbone)
            _left_alone(backbone, weights)
        if not isinstance(model, nn.Module):
            raise Wrong(f"It makes a {type(model).__name__}, it should be an nn.Module.")
        if not callable(getattr(model, "features", None)):
            raise Wrong("It has no method features: features(x) gives the backbone's features, forward(x) the scores.")
        images = student.uniform(n, 3, 4, 4)
        one = " It was given a single image: one linear layer takes that in either mode." if n == 1 else ""
        with student.meaning(f"The backbone that the check gave has num_features = {width}.{one}"):
            _features_of(student, model, backbone, images)
            _logits(student, model, backbone, images)
    _trained_together(student, model, backbone, images)
    return "Features are those of the backbone, the four scores a linear map of them; gradients reach both parts."


def _left_alone(backbone: _Backbone, weights: Tensor) -> None:
    """A backbone that was given may have been trained, and goes on being trained."""
    if not torch.equal(backbone.weights, weights):
        raise Wrong("It changes the weights of the backbone that was given, which may have been trained: leave them.")
    if not backbone.weights.requires_grad:
        raise Wrong("It freezes the backbone: here backbone and head learn together, requires_grad stays as it is.")
    if not backbone.training:
        raise Wrong("After __init__ the backbone is in eval mode: the mode is left to who calls the model.")


def _features_of(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    if not any(part is backbone for part in model.modules()):
        raise Wrong(
            "The backbone that was given is not a part of the model: store it itself, `self.backbone = backbone`, no "
            "copy and not in a list, so that training the model trains it."
        )
    shape = (len(images), backbone.num_features)
    h = student.run(model.features, images)
    if isinstance(h, Tensor) and tuple(h.shape) == (len(images), 4):
        raise Wrong(f"features returns the 4 scores: it should return what goes into the head, of shape {shape}.")
    h = tensor(h, shape, "features returns")
    if not close(h, images.flatten(1) @ backbone.weights, 1e-5):
        raise Wrong("features is not what the backbone gives for these images: return its results as they are.")
    if not h.requires_grad:
        raise Wrong("features carries no gradient: whoever fine-tunes needs it, so no detach and no torch.no_grad().")
    for training in (True, False):
        model.train(training)
        backbone.calls.clear()
        student.run(model.features, images)
        student.run(model, images)
        if model.training != training or any(mode != training for _, mode in backbone.calls):
            raise Wrong("It changes between train and eval mode: that is left to who calls the model.")


def _logits(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    n = len(images)
    backbone.calls.clear()
    logits = student.run(model, images)
    if isinstance(logits, Tensor) and tuple(logits.shape) == (4 * n, 4):
        raise Wrong("forward returns four rows for every image: the images come rotated, do not rotate them again.")
    logits = tensor(logits, (n, 4), "forward returns")
    if not all(torch.equal(seen, images) for seen, _ in backbone.calls):
        raise Wrong("The backbone is given something else than the images.")
    if not close(student.run(model, images), logits, 1e-6):
        _other_scores(student, model, backbone, images)
    if n > 1 and close(logits, logits[:1].expand_as(logits), 1e-7):
        zero = "" if logits.any() else " All scores are 0: nn.Linear draws its first weights, leave them as they are."
        raise Wrong(f"forward gives the same for different images: does the head see the features?{zero}")

    # A linear map keeps sums: f(a) + f(b) = f(a + b) + f(0), and the backbone here is linear too.
    a, b = images, student.uniform(*images.shape) - 0.5
    fa, fb, both, none = (student.run(model, x) for x in (a, b, a + b, torch.zeros_like(a)))
    shares = n > 1 and bool(((logits >= 0) & (logits <= 1)).all())  # as of a sigmoid
    if close(logits.exp().sum(dim=1), torch.ones(n)) and not close(logits.sum(dim=1), torch.ones(n)):
        raise Wrong("forward returns log-probabilities: return the scores themselves, cross-entropy does the rest.")
    if shares or close(logits.exp().sum(dim=1), torch.ones(n)) or close(logits.sum(dim=1), torch.ones(n)):
        raise Wrong("forward returns probabilities: return the scores before the softmax, cross-entropy applies it.")
    if not close(fa + fb, both + none, 1e-5):
        raise Wrong("forward is not linear in the features: the head is one nn.Linear(num_features, 4), nothing else.")


def _other_scores(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    """Wrong: two calls give different scores. A head that is new in every call, or something random beside it."""
    own = [weights for weights in model.parameters() if weights is not backbone.weights]
    scores = student.run(model, images).sum()
    used = own and scores.requires_grad and torch.autograd.grad(scores, own, allow_unused=True)
    if not used or all(gradient is None for gradient in used):
        raise Wrong("forward gives other scores for the same images: make the head in __init__, so that it lasts.")
    training = model.training
    model.eval()
    first, second = (student.run(model, images) for _ in range(2))
    model.train(training)
    also = "" if close(first, second, 1e-6) else " Here it is random in eval mode, too, as F.dropout alone is."
    raise Wrong(
        "forward gives other scores for the same images, as with dropout: the head is one linear layer, nothing else."
        f"{also}"
    )


def _trained_together(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    """The head's weights and bias are there, belong to the model, and learn together with the backbone."""
    size = sum(weights.numel() for weights in model.parameters()) - backbone.weights.numel()
    wanted = 4 * backbone.num_features
    if size not in (wanted, wanted + 4):
        found = f"Beside the backbone the model has {size} parameters, for {backbone.num_features} features"
        raise Wrong(
            f"{found} it should be {wanted + 4}: one nn.Linear(backbone.num_features, 4), made in __init__ and kept on "
            "self, not in a list."
        )
    model.train()
    student.run(model, images).square().sum().backward()
    for part, weights in (("backbone", [backbone.weights]), ("head", model.parameters())):
        if not all(w.grad is not None and w.grad.any() for w in weights):
            raise Wrong(f"No gradient reaches the {part}: it is detached or frozen, and would not be trained.")
    model.eval()
    quiet = student.run(model, images)
    model.train()
    if not close(student.run(model, images), quiet, 1e-6):
        raise Wrong("In train mode the head gives other scores: it is one linear layer, without dropout or batch norm.")
    again = student(copy.deepcopy(backbone))
    if close(student.run(again, images), student.run(model, images), 1e-6):
        raise Wrong("Two models start with the same head: its weights are drawn at random, as nn.Linear does.")
