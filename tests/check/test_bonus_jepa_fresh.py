"""Answers of the bonus on JEPA, tried from outside: right in any style, and what was taken for right before."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell, verdict
from torch import nn

from sslcourse import train
from sslcourse.check import bonus_jepa as check
from sslcourse.solutions import bonus_jepa as solved

NAMES = dict(torch=torch, F=F, nn=nn, np=np, math=math, functools=functools, train=train,
             epps_pulley=solved.epps_pulley, sigreg=solved.sigreg, lejepa_loss=solved.lejepa_loss)  # fmt: skip

SOURCES = {
    "epps_pulley": """
def epps_pulley(x, knots=17, t_max=3.0):
    t = torch.linspace(0, t_max, knots, device=x.device)
    phi = torch.exp(-t ** 2 / 2)
    xt = x[:, :, None] * t
    re, im = torch.cos(xt).mean(dim=0), torch.sin(xt).mean(dim=0)
    err = (re - phi) ** 2 + im ** 2
    return 2 * x.shape[0] * torch.trapezoid(err * phi, t, dim=1)
""",
    "sigreg": """
def sigreg(z, n_slices, generator=None):
    d = torch.randn(z.shape[1], n_slices, generator=generator).to(z)
    return epps_pulley(z @ (d / d.norm(dim=0, keepdim=True))).mean()
""",
    "lejepa_loss": """
def lejepa_loss(views, lam, n_slices, generator=None):
    V = len(views)
    near = (views - views.mean(dim=0)).pow(2).mean()
    reg = sum(sigreg(views[v], n_slices, generator) for v in range(V)) / V
    return (1 - lam) * near + lam * reg
""",
    "lejepa_step": """
def lejepa_step(encoder, head, update, images, lam, n_slices, generator=None):
    z = head(encoder(torch.cat(images)))
    z = z.reshape(len(images), -1, z.shape[-1])
    loss = lejepa_loss(z, lam, n_slices, generator)
    update(loss)
    return loss.detach()
""",
    "context_target_blocks": """
def context_target_blocks(grid, n_targets, generator=None):
    def block(lo, hi, a, b):
        u = torch.rand(4, generator=generator).tolist()
        area, ratio = grid * grid * (lo + u[0] * (hi - lo)), a + u[1] * (b - a)
        h = min(grid, max(1, round(math.sqrt(area * ratio))))
        w = min(grid, max(1, round(math.sqrt(area / ratio))))
        top, left = int(u[2] * (grid - h + 1)), int(u[3] * (grid - w + 1))
        m = torch.zeros(grid, grid, dtype=torch.bool)
        m[top:top + h, left:left + w] = True
        return m.flatten()
    while True:
        targets = torch.stack([block(0.15, 0.2, 0.75, 1.5) for _ in range(n_targets)])
        context = block(0.85, 1.0, 1.0, 1.0) & ~targets.any(dim=0)
        if context.any():
            return context, targets
""",
    "jepa_step": """
def jepa_step(encoder, predictor, target, update, images, context, targets, momentum):
    with torch.no_grad():
        h = target(images)
        h = F.layer_norm(h, h.shape[-1:])
    z = encoder(images, context)
    loss = sum(F.mse_loss(predictor(z, context, b), h[:, b]) for b in targets) / len(targets)
    update(loss)
    train.update_ema(encoder, target, momentum)
    return loss.detach()
""",
}


def answer(name, *changes):
    source = SOURCES[name]
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return cell(source, name, **NAMES)


@pytest.mark.parametrize("name", SOURCES)
def test_right(name, seeds):
    assert_right(getattr(check, name), answer(name))


ROUND_H, ROUND_W = "round(math.sqrt(area * ratio))", "round(math.sqrt(area / ratio))"
DRAWN = "targets = torch.stack([block(0.15, 0.2, 0.75, 1.5) for _ in range(n_targets)])\n"
VIEW = "sigreg(views[v], n_slices, generator)"
RIGHT = [
    ("sigreg", "torch.randn(z.shape[1], n_slices, generator=generator)",
     "torch.empty(z.shape[1], n_slices).normal_(generator=generator)"),
    ("lejepa_loss", "views.mean(dim=0))", "views.mean(dim=0).detach())"),  # its gradient is 0 all the same
    ("lejepa_loss", "(views - views.mean(dim=0)).pow(2).mean()", "views.var(dim=0, unbiased=False).mean()"),
    # every view along the same directions
    ("lejepa_loss", "    reg = sum(sigreg(views[v], n_slices, generator) for v in range(V)) / V",
     "    d = F.normalize(torch.randn(views.shape[-1], n_slices, generator=generator), dim=0)\n"
     "    reg = sum(epps_pulley(v @ d).mean() for v in views) / V"),
    ("lejepa_step", "loss.detach()", "loss.item()"),
    ("context_target_blocks", ROUND_H, "int(np.rint(np.sqrt(area * ratio)))", ROUND_W,
     "math.floor(math.sqrt(area / ratio) + 0.5)"),
    ("jepa_step", "h = F.layer_norm(h, h.shape[-1:])",
     "h = (h - h.mean(-1, keepdim=True)) / (h.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), [(row[0], row[1:]) for row in RIGHT])
def test_right_in_other_styles(name, changes):
    assert_right(getattr(check, name), answer(name, *changes))


WRONG = [
    # taken for right before, at one seed at least
    ("epps_pulley", "t_max, knots,", "t_max, knots + 1,", "one knot more or less"),
    ("lejepa_loss", VIEW, "sigreg(views[v], n_slices // V, generator)", "n_slices is divided among the views"),
    ("lejepa_loss", VIEW, "sigreg(views[v], max(1, n_slices // V), generator)", "n_slices is divided among the views"),
    ("lejepa_loss", VIEW, "sigreg(views[v], n_slices * V, generator)", "n_slices is multiplied by the number of views"),
    ("lejepa_loss", VIEW, "sigreg(views[v], 64, generator)", "n_slices is not handed on"),
    ("lejepa_step", "n_slices, generator)\n", "n_slices)\n", "torch's global random numbers are used"),
    ("lejepa_step", "n_slices, generator)\n", "n_slices, torch.Generator().manual_seed(0))\n",
     "nothing is drawn from the generator"),
    ("lejepa_step", "    z = head", "    encoder.eval()\n    z = head", "the encoder is in eval mode"),
    ("lejepa_step", "    z = head", "    head.eval()\n    z = head", "    return", "    head.train()\n    return",
     "the head is in eval mode"),
    ("lejepa_step", "    return", "    with torch.no_grad():\n        head.last.weight.mul_(0.99)\n    return",
     "something other than update(loss)"),
    ("context_target_blocks", ROUND_H, ROUND_H.replace("round", "int"), ROUND_W, ROUND_W.replace("round", "int"),
     "sides are cut off by int()"),
    ("context_target_blocks", ROUND_H, ROUND_H.replace("round", "int"), "one of the two sides is cut off"),
    ("context_target_blocks", ROUND_H, ROUND_H.replace("round", "math.ceil"), ROUND_W,
     ROUND_W.replace("round", "math.ceil"), "sides are rounded up"),
    ("context_target_blocks", "a + u[1] * (b - a)", "a * (b / a) ** u[1]", "evenly in its logarithm"),
    ("context_target_blocks", "0.75, 1.5", "0.75, 4 / 3", "none has height / width above 1.42"),
    ("context_target_blocks", "u[1] * (b - a)", "u[0] * (b - a)", "one random number serves for share and shape"),
    ("context_target_blocks", "int(u[2] * (grid - h + 1)), int(u[3] * (grid - w + 1))",
     "round(u[2] * (grid - h)), round(u[3] * (grid - w))", "half of their share"),
    ("context_target_blocks", "max(1, round", "max(2, round", "On a grid of 2 x 2"),
    ("context_target_blocks", "int(u[2] * (grid - h + 1)), int(u[3] * (grid - w + 1))",
     "int(u[2] * grid), int(u[3] * grid)", "reaches over the edge is cut off there"),
    # these never came to an end
    ("context_target_blocks", "math.sqrt(area * ratio)", "area * ratio", "math.sqrt(area / ratio)", "area / ratio",
     "it does not come to an end"),
    ("context_target_blocks", f"    while True:\n        {DRAWN}", f"    {DRAWN}    while True:\n",
     "not drawn anew"),
    ("jepa_step", "sum(F.mse_loss(predictor(z, context, b), h[:, b]) for b in targets) / len(targets)",
     "sum(F.mse_loss(predictor(z, context, b), h[:, b], reduction='sum') for b in targets) / "
     "(len(h) * targets.sum() * h.shape[-1])", "a large block counts more"),
    # told without their name, or by another one
    ("epps_pulley", "2 * x.shape[0]", "2 * x.shape[1]", "the number of columns"),
    ("epps_pulley", "torch.trapezoid(err * phi, t, dim=1)", "torch.trapezoid(err * phi, dx=t_max / knots, dim=1)",
     "t_max / (knots - 1) apart"),
    ("epps_pulley", "torch.linspace(0, t_max, knots, device=x.device)", "torch.arange(knots) * t_max / knots",
     "err * phi, t,", "err * phi, dx=t_max / (knots - 1),", "t_max / (knots - 1) apart"),
    ("epps_pulley", "2 * x.shape[0] * torch.trapezoid(err * phi, t, dim=1)", "len(x) * (err * phi).mean(1)",
     "summed and not integrated"),
    ("lejepa_loss", VIEW, "sigreg(views[v], 16, generator)", "n_slices is not handed on"),
    ("epps_pulley", "+ im ** 2", "- im ** 2", "the sine part is subtracted"),
    ("epps_pulley", "linspace(0,", "linspace(-t_max,", "from -t_max to t_max"),
    ("lejepa_loss", "views - views.mean(dim=0)", "views[:2] - views[:2].mean(dim=0)", "only two of the views count"),
    ("lejepa_loss", ".pow(2).mean()", ".pow(2).mean() / views.shape[1]", "by the number of images once more"),
    ("lejepa_loss", "lam * reg", "lam * reg.sqrt()", "the root is taken of SIGReg"),
    ("lejepa_step", "update(loss)", "update(loss / len(images))", "multiplied or divided by something"),
    ("lejepa_step", "z.reshape(len(images), -1, z.shape[-1])", "z.reshape(-1, len(images), z.shape[-1])",
     "views and images are mixed up"),
    ("jepa_step", "h[:, b]", "h[:, :int(b.sum())]", "patches elsewhere than in the block"),
    ("jepa_step", "predictor(z, context, b)", "predictor(z, b, b)", "not told where its features lie"),
    ("jepa_step", "predictor(z, context, b)", "predictor(z, b, context)", "context and block are swapped"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "words"), [(name, changes, words) for name, *changes, words in WRONG])
def test_wrong(name, changes, words):
    assert_wrong(getattr(check, name), answer(name, *changes), words)


@pytest.mark.parametrize("short", [1.0, 1.5])
def test_what_holds_in_every_case_holds_in_the_one_by_hand(short):
    right = answer("epps_pulley")
    text = verdict(check.epps_pulley, lambda x, *rest: 1.3 * (short if len(x) == 2 else 1) * right(x, *rest))[1]
    assert "by hand" in text and ("In every case yours is 1.3 times" in text) is (short == 1)


def test_a_cube_has_corners(seeds):
    cube = answer("sigreg", "torch.randn(z.shape[1], n_slices, generator=generator)",
                  "(2 * torch.rand(z.shape[1], n_slices, generator=generator) - 1)")  # fmt: skip
    assert_wrong(check.sigreg, cube, "directions that are spread evenly")
