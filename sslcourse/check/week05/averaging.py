"""The check of update_ema: every parameter averaged, every buffer copied, at all levels of a network."""

import copy

import torch
from torch import nn

from sslcourse.check.compare import close, gives
from sslcourse.check.machinery import Student, Wrong


class _Net(nn.Module):
    """Parameters and buffers at the top, in children, and in children of children, as in MoCo's own network."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros(2))
        self.backbone = nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)), nn.ReLU())
        self.head = nn.Linear(5, 2)


def _pair(student: Student) -> tuple[nn.Module, nn.Module]:
    """Two small networks of one structure with different numbers in every parameter and buffer."""

    def network(batches: int) -> nn.Module:
        net = _Net()
        with torch.no_grad():
            for value in (*net.parameters(), *net.buffers()):
                value.copy_(student.normal(*value.shape) if value.is_floating_point() else torch.tensor(batches))
        return net

    return network(7), network(3)


def _parameters_moved(old: nn.Module, before: nn.Module, young: nn.Module, momentum: float) -> None:
    """Every parameter of the teacher is where the moving average puts it."""
    names = [name for name, _ in old.named_parameters()]
    triples = list(zip(old.parameters(), before.parameters(), young.parameters(), strict=True))
    rights = [momentum * was + (1 - momentum) * new for _, was, new in triples]
    same = [close(came, right) for (came, _, _), right in zip(triples, rights, strict=True)]
    if all(same):
        return

    def all_are(reading) -> bool:
        return all(close(came, reading(was, new)) for came, was, new in triples)

    if all_are(lambda was, new: was):
        raise Wrong("The teacher has not changed: change its parameters in place, the caller has no other.")
    if all_are(lambda was, new: momentum * new + (1 - momentum) * was):
        raise Wrong(
            f"It looks as if the momentum is the wrong way round: with momentum = {momentum} the teacher keeps "
            f"{momentum:.0%} of itself and takes {1 - momentum:.0%} of the student."
        )
    if all_are(lambda was, new: new):
        raise Wrong("The teacher has become a copy of the student: it takes 1 - momentum of it only.")
    for fixed in (0.9, 0.99, 0.996, 0.999, 0.5):
        if all_are(lambda was, new, fixed=fixed: fixed * was + (1 - fixed) * new):
            raise Wrong(f"It looks as if the momentum is {fixed}, whatever is given: use the argument.")
    unequal = (lambda was, new: momentum * (was + new), lambda was, new: (1 - momentum) * (was + new))
    unequal += (lambda was, new: momentum * was + new, lambda was, new: was + (1 - momentum) * new)
    if any(map(all_are, unequal)):
        raise Wrong("It looks as if the shares do not sum to 1: momentum of the teacher, 1 - momentum of the student.")

    n = same.index(False)
    (came, was, new), right = triples[n], rights[n]
    still = [name for name, (came, was, _) in zip(names, triples, strict=True) if close(came, was)]
    if any(same) and len(still) == same.count(False):  # what is wrong has not moved, all else is right
        deeper = [name.count(".") for name, ok in zip(names, same, strict=True) if not ok]
        reached = [name.count(".") for name, ok in zip(names, same, strict=True) if ok]
        inside = " Networks hold networks: parameters() goes through all levels." if min(deeper) > max(reached) else ""
        raise Wrong(
            f"{len(still)} of {len(names)} parameters of the teacher have not moved, {still[0]!r} for one: treat all "
            f"of parameters() alike.{inside}"
        )
    worst = int((came - right).abs().argmax())
    raise Wrong(
        f"With momentum = {momentum}, a weight of {names[n]!r} that is {float(was.flatten()[worst]):.4f} in the "
        f"teacher and {float(new.flatten()[worst]):.4f} in the student: "
        f"{gives(float(came.flatten()[worst]), float(right.flatten()[worst]))}"
    )


def _buffers_copied(old: nn.Module, before: nn.Module, young: nn.Module, momentum: float) -> None:
    names = [name for name, _ in old.named_buffers()]
    triples = list(zip(old.buffers(), before.buffers(), young.buffers(), strict=True))
    wrong = [n for n, (came, _, new) in enumerate(triples) if not close(came, new, 1e-6)]
    if not wrong:
        return
    if all(close(triples[n][0], triples[n][1], 1e-6) for n in wrong):
        others = " Others are copied: treat all of buffers() alike." if len(wrong) < len(names) else ""
        raise Wrong(
            f"The buffers are forgotten: {names[wrong[0]]!r} still has the teacher's values. Running statistics of "
            f"batch norm, for example, are to be copied.{others}"
        )
    for n in wrong:
        came, was, new = triples[n]
        average = momentum * was + (1 - momentum) * new
        if close(came, average) or (not came.is_floating_point() and close(came, average.to(came.dtype))):
            raise Wrong(f"The buffers are averaged: {names[n]!r} is no weight, copy it from the student.")
    raise Wrong(f"The buffer {names[wrong[0]]!r} of the teacher is not the student's: copy it.")


def examine_average(student: Student) -> str:
    young, old = _pair(student)
    for momentum, frozen, again in (
        (0.9, True, False), (0.8, False, True), (0.25, False, False), (1.0, True, False), (0.0, True, True)
    ):  # fmt: skip
        if not again:  # else a second step of the same two
            young, old = _pair(student)
        else:
            young.load_state_dict(_pair(student)[0].state_dict())
        old.requires_grad_(not frozen)
        before, kept = copy.deepcopy(old), copy.deepcopy(young)
        weights = list(old.parameters())
        student(young, old, momentum)

        if not all(map(close, young.state_dict().values(), kept.state_dict().values())):
            raise Wrong("It changes the student: only the teacher moves.")
        if any(now is not was for now, was in zip(old.parameters(), weights, strict=True)):
            raise Wrong("It replaces the teacher's parameters by new ones: change the values in place.")
        if any(not weight.is_leaf for weight in weights):
            raise Wrong("The teacher's parameters have become part of the graph: average under torch.no_grad().")
        with torch.no_grad():
            _parameters_moved(old, before, young, momentum)
            _buffers_copied(old, before, young, momentum)
            shared = {value.data_ptr() for value in young.state_dict().values()}
        if any(value.data_ptr() in shared for value in old.state_dict().values()):
            raise Wrong("Teacher and student now share memory: the student's next step would move both. Copy values.")
    return "Parameters averaged in place, buffers copied, at four momenta; the student and the graph are left alone."
