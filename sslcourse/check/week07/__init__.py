"""Checks of week 7, DINO. Definitions and named mistakes are in the oracles."""

from math import log

import torch
from torch import Tensor, nn

from sslcourse.check.compare import agree, close, gives, gradients_agree, number, tensor, told, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week07 import collapse_oracle, head_oracle, oracle
from sslcourse.check.week07.given import cosine_schedule, knn_accuracy, multi_crop
from sslcourse.check.week07.spread import koleo, sinkhorn
from sslcourse.check.week07.step import examine_step

__all__ = ["DINOHead", "DINOLoss", "byol_loss", "collapse_report", "cosine_schedule", "dino_step", "knn_accuracy"]
__all__ += ["koleo", "multi_crop", "report", "sinkhorn", "sweep"]


# --- DINOHead


def _module(student: Student, *arguments) -> nn.Module:
    """An instance of the submitted class."""
    module = student(*arguments)
    if not isinstance(module, nn.Module):
        raise Wrong("It should be a class that inherits from nn.Module, so that its parts are trained and moved.")
    return module


def _trained(head: nn.Module, sizes: tuple[int, int, int, int]) -> dict[str, list[nn.Parameter]]:
    """The trained parameters by what they are, told by their shapes; Wrong where some are missing or too many."""
    n_in, n_out, hidden, bottleneck = sizes
    shapes = {
        "w1": (hidden, n_in),
        "w2": (hidden, hidden),
        "w3": (bottleneck, hidden),
        "hidden biases": (hidden,),
        "b3": (bottleneck,),
        "prototypes": (n_out, bottleneck),
    }
    found: dict[str, list[nn.Parameter]] = {name: [] for name in shapes}
    said = f"For DINOHead({n_in}, {n_out}, {hidden}, {bottleneck}): "
    for name, parameter in head.named_parameters():
        if not parameter.requires_grad:
            continue
        shape = tuple(parameter.shape)
        what = next((what for what, wanted in shapes.items() if wanted == shape), None)
        if what is not None:
            found[what].append(parameter)
        elif shape == (n_out,):
            raise Wrong(f"{said}{name!r} of shape {shape} is a bias in the last layer: it has none, bias=False.")
        elif shape in {(n_out, 1), (1, bottleneck), (1, 1), ()}:
            raise Wrong(
                f"{said}the norm of the last layer, {name!r} of shape {shape}, is trained: fix it at 1, "
                "requires_grad_(False)."
            )
        elif shape == (bottleneck, n_out):
            raise Wrong(f"{said}{name!r} has shape {shape}: keep a prototype in a row, ({n_out}, {bottleneck}).")
        else:
            raise Wrong(f"{said}a trained parameter {name!r} of shape {shape} has no place in three layers and a last.")
    wanted = {"hidden biases": 2}
    for what, parameters in found.items():
        if len(parameters) != wanted.get(what, 1):
            raise Wrong(
                f"{said}{len(parameters)} trained parameters of shape {shapes[what]} where there should be "
                f"{wanted.get(what, 1)}. Three linear layers with biases, in to hidden to hidden to bottleneck, then a "
                "last layer from the bottleneck to the prototypes without one."
            )
    return found


@exercise("week07")
def DINOHead(student: Student) -> str:
    """class DINOHead(in_dim, out_dim, hidden_dim=256, bottleneck_dim=64): (N, in_dim) to cosines (N, out_dim)."""
    if not isinstance(student.submission, type):
        raise Wrong("It should be a class that inherits from nn.Module.")
    for sizes, n in (((5, 9, 7, 4), 6), ((6, 3, 8, 5), 1)):
        head = _module(student, *sizes)
        parameters = _trained(head, sizes)
        if parameters["prototypes"][0].detach().std(dim=0).max() < 1e-6:
            raise Wrong("All prototypes start equal, so all outputs are and stay equal: draw them at random.")
        with torch.no_grad():  # lengths far from 1: what is not normalised shows
            for same in parameters.values():
                for parameter in same:
                    fan = parameter.shape[-1] if parameter.dim() > 1 else 4
                    parameter.copy_(2 * student.normal(*parameter.shape) * fan**-0.5)
        w = {name: same[0].detach().double() for name, same in parameters.items() if name != "hidden biases"}
        x = student.normal(n, sizes[0])
        value = tensor(student.run(head, x), (n, sizes[1]), f"For x of shape {tuple(x.shape)} it returns")
        _forward_agrees(value, x.double(), w, [b.detach().double() for b in parameters["hidden biases"]])

        _head_learns(value, x.double(), w, parameters)
        head.zero_grad()
        if not close(student.run(head, x), value):
            raise Wrong("A second pass of the same images gives other values: nothing in the head is random.")
        twin = _module(student, *sizes)  # as the notebook makes its teacher
        twin.load_state_dict(head.state_dict())
        if not close(student.run(twin, x), value):
            raise Wrong("A second head with the same state_dict gives other values: the teacher is made in this way.")

    left_out = _module(student, 6, 10)
    _trained(left_out, (6, 10, 256, 64))
    return "Three layers with GELU, length 1, cosines with prototypes whose norm is fixed; a twin does the same."


def _head_learns(value: Tensor, x: Tensor, w: dict[str, Tensor], parameters: dict[str, list[nn.Parameter]]) -> None:
    """Gradients reach every parameter, and those of the weight matrices are the definition's."""
    if not value.requires_grad:
        raise Wrong("The values are right, but carry no gradient, so nothing could learn: do not detach them.")
    value.square().sum().backward()
    for what, same in parameters.items():
        if any(parameter.grad is None or not parameter.grad.any() for parameter in same):
            raise Wrong(f"The values are right, but no gradient reaches {what}: something is detached on the way.")
    biases = [b.detach().double() for b in parameters["hidden biases"]]
    for b1, b2 in (biases, biases[::-1]):
        exact = {name: weight.clone().requires_grad_() for name, weight in w.items()} | {"b1": b1, "b2": b2}
        out = head_oracle.HEAD(x, exact)
        if close(value, out):
            break
    names = ["w1", "w2", "w3"]  # the rows of the last layer may be held at length 1 in several ways
    for name, wanted in zip(names, torch.autograd.grad(out.square().sum(), [exact[n] for n in names]), strict=True):
        size = wanted.abs().max()
        if not close(parameters[name][0].grad / size, wanted / size, 1e-2):
            raise Wrong(
                f"The values are right, but the gradient of {name} is not: is the length that is divided by detached?"
            )


def _forward_agrees(value: Tensor, x: Tensor, w: dict[str, Tensor], biases: list[Tensor]) -> None:
    """The output is the definition's; the two hidden biases have one shape, so both orders are tried."""
    orders = [w | {"b1": biases[0], "b2": biases[1]}, w | {"b1": biases[1], "b2": biases[0]}]
    wanted = [head_oracle.head(x, weights) for weights in orders]
    if any(close(value, right) for right in wanted):
        return
    worst = min((value.detach().double() - right).abs().max().item() for right in wanted)
    found = f"For x of shape {tuple(x.shape)} and random weights the output is off by up to {worst:.3g}."
    fitting = [
        mistake.sentence
        for mistake in head_oracle.HEAD_MISTAKES
        if any(close(value, wrong(x, weights)) for wrong in mistake.variants for weights in orders)
    ]
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0]}")
    for right in wanted:  # every column times a number of its own, the same in all rows
        times = value.detach().double() / right
        if len(x) > 1 and close(times, times[:1].expand_as(times), 1e-3) and times.min() > 0:
            if close(times, times[:1, :1].expand_as(times), 1e-3):
                raise Wrong(
                    f"{found} Every output is {float(times[0, 0]):.3g} times what it should be: the rows of the last "
                    "layer have length 1, and temperatures belong to the loss."
                )
            raise Wrong(
                f"{found}\nIt looks as if the norm of the last layer's rows is fixed, but not at 1: weight_norm leaves "
                "them as they are drawn, fill them with 1."
            )
    raise Wrong(
        f"{found}\nLayer, GELU, layer, GELU, layer, length 1, then the cosine with every prototype: no output may be "
        f"above 1 in size, your largest is {value.detach().abs().max():.3f}."
    )


# --- DINOLoss


def _calls(student: Student, n: int, k: int, teacher: int, views: int, count: int = 3) -> list[tuple[list, list]]:
    """Calls of student and teacher views, lists of (n, k); outputs of related size, with a mean that is not 0."""
    calls = []
    for _ in range(count):
        shared, lead = 0.3 * student.normal(n, k), 0.2 * student.normal(k)
        draw = lambda: shared + lead + 0.15 * student.normal(n, k)  # noqa: B023, E731
        calls.append(([draw() for _ in range(views)], [draw() for _ in range(teacher)]))
    return calls


def _doubled(calls):
    return [([v.double() for v in s], [v.double() for v in t]) for s, t in calls]


def _center(loss: nn.Module, k: int) -> Tensor:
    if "center" in dict(loss.named_parameters()):
        raise Wrong("center is a parameter, which an optimiser would train: use self.register_buffer.")
    if "center" not in dict(loss.named_buffers()):
        raise Wrong("It has no buffer called center: self.register_buffer('center', torch.zeros(out_dim)).")
    if loss.center.numel() != k:
        raise Wrong(f"center has shape {tuple(loss.center.shape)}, it should hold {k} numbers, one for each prototype.")
    if loss.center.requires_grad or loss.center.grad_fn is not None:
        raise Wrong("The centre carries a gradient, and with it the graphs of all earlier steps: detach the outputs.")
    return loss.center.detach().double().flatten()


@exercise("week07")
def DINOLoss(student: Student) -> str:
    """class DINOLoss(out_dim, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9): forward(student, teacher)."""
    if not isinstance(student.submission, type):
        raise Wrong("It should be a class that inherits from nn.Module.")
    # (images, prototypes, teacher's views, student's views, settings)
    for n, k, teacher, views, settings in (
        (4, 5, 2, 5, (0.1, 0.2, 0.7)),
        (3, 4, 2, 2, (0.2, 0.3, 0.6)),
        (1, 6, 1, 3, (0.3, 0.1, 0.0)),
        (2, 3, 2, 4, ()),
    ):
        calls = _calls(student, n, k, teacher, views)
        loss = _module(student, k, *settings)
        if _center(loss, k).any():
            raise Wrong("The centre does not start at 0.")
        values, centers = [], []
        for index, (s, t) in enumerate(calls):
            if index == 1:
                loss.eval()  # the centre moves in every call
            values.append(number(student.run(loss, [v.clone() for v in s], [v.clone() for v in t])))
            centers.append(_center(loss, k))
        _runs_agree(values, centers, calls, settings)
    _gradients_of_the_loss(student)

    zeros = [torch.zeros(3, 7)] * 2
    if not close(came := number(student.run(_module(student, 7), zeros, zeros)), log(7)):
        raise Wrong(f"For equal outputs and 7 prototypes {gives(came, log(7))} That is ln K.")
    far = [torch.tensor([[400.0, 0.0, -400.0]]) * sign for sign in (1, -1)]
    if not torch.tensor(number(student.run(_module(student, 3), far, far))).isfinite():
        raise Wrong("With outputs of 400 and -400 the loss is not finite: use log_softmax for the student.")
    return "All pairs of different views, with the old centre, then the new; gradients reach the student only."


def _runs_agree(values: list[float], centers: list[Tensor], calls: list, settings: tuple) -> None:
    """Losses of calls in a row and the centres after them are the definition's."""
    exact = _doubled(calls)
    wanted, right_centers = oracle.dino(exact, *settings)
    same = [close(*pair) for pair in zip(values, wanted, strict=True)]
    (s, t), n = calls[0], len(calls[0][0][0])
    words = f"{n} image{'s' * (n > 1)}, {len(t)} of the teacher's views and {len(s)} of the student's"
    if not all(same):
        first = same.index(False)
        which = "" if first == 0 else f", in call {first + 1},"
        found = f"On {words}{which} {gives(values[first], float(wanted[first]))}"
        fitting = [
            mistake.sentence
            for mistake in oracle.DINO_MISTAKES
            if any(
                all(map(close, values, came)) and not all(map(close, wanted, came))
                for came in (wrong(exact, *settings) for wrong in mistake.variants)
            )
        ]
        if len(fitting) > 1:  # a centre that never moves and one that is not used give the same losses
            moved = any(center.any() for center in centers)
            fitting = [sentence for sentence in fitting if ("never updated" in sentence) != moved]
        if len(fitting) == 1:
            raise Wrong(f"{found}\nIt looks as if {fitting[0]}")
        if first > 0:
            raise Wrong(f"{found} The first call is right, where the centre is 0: look at how the centre moves.")
        raise Wrong(f"{found}\nWith the centre at 0, take the mean over all pairs i != j of -sum p_t log p_s.")
    for call, (came, right) in enumerate(zip(centers, right_centers, strict=True)):
        if not close(came, right):
            raise Wrong(
                f"The losses are right, but after call {call + 1} the centre is not: for prototype 0 "
                f"{gives(float(came[0]), float(right[0]))} It moves in every call, in eval mode too, to "
                "m of the old one and 1 - m of the mean over all rows of all the teacher's views."
            )


def _gradients_of_the_loss(student: Student) -> None:
    (s, t), *_ = _calls(student, 3, 4, 2, 4, count=1)
    inputs = [v.clone().requires_grad_() for v in s]
    targets = [v.clone().requires_grad_() for v in t]
    module = _module(student, 4, 0.1, 0.2)
    value = student.run(module, inputs, targets)
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it: do not detach it.")
    came = torch.autograd.grad(value, inputs + targets, allow_unused=True)
    exact = [v.double().requires_grad_() for v in s]
    (loss, *_), _ = oracle.dino([(exact, [v.double() for v in t])], 0.1, 0.2)
    wanted = torch.autograd.grad(loss, exact)
    for i, gradient in enumerate(came[len(s) :]):
        if gradient is not None and gradient.any():
            raise Wrong(f"The value is right, but a gradient reaches the teacher's view {i}: detach its outputs.")
    for i, (gradient, right) in enumerate(zip(came, wanted, strict=False)):
        if gradient is None or not close(gradient / right.abs().max(), right / right.abs().max(), 1e-3):
            raise Wrong(f"The value is right, but the gradient for the student's view {i} is not: is a part detached?")
    _center(module, 4)  # it holds on to no graph


# --- dino_step


@exercise("week07")
def dino_step(student: Student) -> str:
    """dino_step(student, teacher, loss, update, crops, momentum) -> loss (Caron et al. 2021, algorithm 1)."""
    return examine_step(student)


# --- collapse_report


@exercise("week07")
def collapse_report(student: Student) -> str:
    """collapse_report(teacher_probs (N, K)) -> (mean entropy, entropy of the mean), in nats."""
    p = student.normal(6, 4).mul(1.5).softmax(dim=1)
    flat, peaked = torch.full((5, 8), 1 / 8), torch.eye(8)[:1].expand(5, 8).clone()
    named = (
        (f"{len(p)} random answers over {p.shape[1]} prototypes", p),
        ("one answer", p[:1]),
        ("uniform answers over 8 prototypes", flat),
        ("the same one-hot answer five times", peaked),
        ("eight different one-hot answers", torch.eye(8)),
    )
    all_came = [[*map(number, two_parts(student(x), "mean_entropy, entropy_of_mean", "two numbers"))] for _, x in named]
    all_wanted = [collapse_oracle.collapse_report(probs.double()) for _, probs in named]
    for (words, probs), came, wanted in zip(named, all_came, all_wanted, strict=True):
        if all(map(close, came, wanted)):
            continue
        if any(value != value for value in came):
            raise Wrong(f"For {words} an entropy is not a number: 0 log 0 counts as 0.")
        number_, n = ("first", 0) if not close(came[0], wanted[0]) else ("second", 1)
        found = f"For {words}, the {number_} number: {gives(came[n], wanted[n])}"
        mistakes = collapse_oracle.COLLAPSE_MISTAKES
        fitting = {sentence for sentence, wrong in mistakes if all(map(close, came, wrong(probs)))}
        fact = told(*([pair[n] for pair in side] for side in (all_came, all_wanted)))
        raise Wrong(f"{found}\nIt looks as if {fitting.pop()}" if len(fitting) == 1 else f"{found}{fact}")
    return "Both entropies, in nats; ln K and ln K for uniform, 0 and 0 for one prototype, 0 and ln K for the ideal."


# --- byol_loss


@exercise("week07")
def byol_loss(student: Student) -> str:
    """byol_loss(predictions, targets) -> scalar: mean squared distance of directions (Grill et al. 2020, eq. 2)."""
    q = student.normal(6, 5) * (0.5 + student.uniform(6, 1))
    z = (q + student.normal(6, 5)) * (0.5 + student.uniform(6, 1))
    agree(
        student,
        [(q, z), (z, q), (q[:1], z[:1])],
        collapse_oracle.byol_loss,
        collapse_oracle.BYOL_MISTAKES,
        words=lambda q, z: f"{len(q)} vectors in {q.shape[1]} dimensions",
        hint="Length 1 for both, then the squared distance of each pair, then the mean.",
    )
    for what, other, wanted in (("equal", q, 0.0), ("opposite", -q, 4.0)):
        if not close(came := number(student(q, 2 * other)), wanted):
            raise Wrong(f"For {what} directions {gives(came, wanted)}")
    gradients_agree(student, (q, z), lambda q, z: collapse_oracle.byol_loss(q, z.double()), names=("predictions",))
    inputs = [x.clone().requires_grad_() for x in (q, z)]
    student(*inputs).backward()
    if inputs[1].grad is not None and inputs[1].grad.any():
        raise Wrong("The value is right, but a gradient reaches the targets: the teacher learns from nothing, detach.")
    return "Equal to the definition; 0 for equal directions, 4 for opposite ones; gradients reach the predictions only."
