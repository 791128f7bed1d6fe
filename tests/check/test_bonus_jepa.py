"""The checks of LeJEPA's loss: definitions against analysis, quadrature and peers; right answers and wrong ones."""

import ast
import functools
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from scipy import integrate
from torch import nn

from sslcourse.check import bonus_jepa as check
from sslcourse.check.bonus_jepa import oracle

# --- the definitions against analysis, quadrature and peers


def by_quadrature(x: np.ndarray, t_max: float) -> float:
    """The integral itself, without knots."""

    def integrand(t):
        gap = np.exp(1j * t * x).mean() - np.exp(-(t**2) / 2)
        return abs(gap) ** 2 * np.exp(-(t**2) / 2)

    value, error = integrate.quad(integrand, -t_max, t_max, epsabs=1e-12, epsrel=1e-12, limit=200)
    assert error < 1e-9
    return len(x) * value


@pytest.mark.parametrize("t_max", [2.0, 3.0, 5.0])
def test_the_statistic_is_the_integral(t_max):
    x = torch.randn(9, 2, dtype=torch.float64) * 1.5 + 0.4
    wanted = [by_quadrature(column.numpy(), t_max) for column in x.T]
    assert oracle.epps_pulley(x, 601, t_max).tolist() == pytest.approx(wanted, rel=1e-4)
    assert oracle.epps_pulley(x, 17, 3.0).tolist() == pytest.approx(oracle.epps_pulley(x, 601, 3.0).tolist(), rel=0.02)
    torch.testing.assert_close(oracle._statistic(x, 25, t_max), oracle.epps_pulley(x, 25, t_max))


def test_its_expectation_is_that_of_normal_values():
    weight = integrate.quad(lambda t: math.exp(-(t**2) / 2) * (1 - math.exp(-(t**2))), -3, 3)[0]
    assert oracle.expectation() == pytest.approx(weight, abs=1e-9)
    for n in (1, 4, 64):  # the same for every N, since the variance of the mean shrinks as N grows
        values = oracle.epps_pulley(torch.randn(n, 2000, dtype=torch.float64))
        error = float(values.std()) / len(values) ** 0.5
        assert values.mean().item() == pytest.approx(oracle.expectation(), abs=5 * error)


def test_a_constant_costs_most_and_shift_and_scale_cost_more_than_nothing():
    gap = integrate.quad(lambda t: math.exp(-(t**2) / 2) * (1 - math.exp(-(t**2) / 2)) ** 2, -3, 3)[0]
    assert oracle.constant(256) == pytest.approx(256 * gap, rel=1e-9)
    assert oracle.epps_pulley(torch.zeros(256, 1, dtype=torch.float64)).item() == pytest.approx(256 * gap, rel=1e-3)
    x = torch.randn(256, 400, dtype=torch.float64)
    scales_and_shifts = (1, 0), (1, 1), (2, 0), (0.5, 0)
    normal, shifted, scaled, small = (oracle.epps_pulley(a * x + b).mean().item() for a, b in scales_and_shifts)
    assert normal < 1.3 and min(shifted, scaled, small) > 10 * normal
    # of all distributions of one spread around 0, one point is the furthest from normal; of all shifts the far ones
    assert oracle.epps_pulley(torch.full((256, 1), 2.0).double()).item() > max(shifted, scaled, small)


def test_the_knots_repeat_themselves():
    """17 knots 3/16 apart: a shift of 2 pi 16/3 is invisible at every knot, one of 30 is not."""
    x = torch.randn(512, 1, dtype=torch.float64)
    half = (torch.arange(512) % 2)[:, None].double()
    plain, blind, seen = (oracle.epps_pulley(x + shift * half).item() for shift in (0.0, 2 * math.pi * 16 / 3, 30.0))
    assert blind == pytest.approx(plain, abs=1e-9) and seen > 100
    assert oracle.epps_pulley(x + 2 * math.pi * 16 / 3 * half, 171).item() > 10


def lightly_statistic(views: torch.Tensor, directions: torch.Tensor) -> float:
    from lightly.loss.lejepa_loss import SIGReg

    module = SIGReg(num_vectors=directions.shape[1])
    module._generate_unit_vectors = lambda *rest: directions
    return module(views).item()


def on_directions(z: torch.Tensor, directions: torch.Tensor) -> float:
    return oracle.epps_pulley(z.double() @ directions.double()).mean().item()


def test_lightly_takes_the_statistic_of_each_view():
    views, directions = torch.randn(3, 20, 6) * 1.3, F.normalize(torch.randn(6, 32), dim=0)
    mine = sum(on_directions(view, directions) for view in views) / 3
    assert lightly_statistic(views, directions) == pytest.approx(mine, rel=1e-4)


def test_lightly_loss_is_the_definition_where_all_views_are_global():
    from lightly.loss import LeJEPALoss

    views = torch.randn(3, 20, 1)
    theirs = LeJEPALoss(lambda_param=0.1, sigreg_num_vectors=4)(global_proj=views[:2], local_proj=views[2:])
    # in one dimension directions do not matter; the centre is that of the global views alone
    near = (views - views[:2].mean(dim=0)).square().mean()
    normal = sum(oracle.sigreg_line(view.double()) for view in views) / 3
    assert theirs.item() == pytest.approx(float(0.9 * near + 0.1 * normal), rel=1e-4)
    every = LeJEPALoss(lambda_param=0.1)(global_proj=views, local_proj=views)  # then both centres are the same
    assert every.item() == pytest.approx(float(oracle.lejepa_line(views.double(), 0.1)), rel=1e-4)


def classes_of(package: str, file: str, names: set[str]) -> dict:
    """Classes of an installed package read from its file, without what the package imports around them."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"the peer {package} is not installed: pip install --no-deps -r tests/peers.txt")
    path = Path(spec.submodule_search_locations[0]) / file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in names]
    namespace = {"torch": torch, "nn": nn}
    exec(compile(tree, str(path), "exec"), namespace)
    return namespace


def test_stable_pretraining_pools_the_views():
    """Its statistic is ours; pooled over V views that agree, N is V times as large, and so is the term."""
    theirs = classes_of("stable_pretraining", "methods/lejepa.py", {"EppsPulley", "SlicedEppsPulley"})
    x = torch.randn(20, 5) * 1.3
    assert theirs["EppsPulley"]()(x).tolist() == pytest.approx(oracle.epps_pulley(x.double()).tolist(), rel=1e-4)
    view = torch.randn(20, 6) * 1.3
    module = theirs["SlicedEppsPulley"](num_slices=16)
    generator = torch.Generator().manual_seed(0)  # of its first step
    directions = F.normalize(torch.randn(6, 16, generator=generator), dim=0)
    one = on_directions(view, directions)
    assert module(torch.cat([view, view, view])).item() == pytest.approx(3 * one, rel=1e-4)


def test_all_angles_are_all_directions():
    z = torch.randn(12, 2, dtype=torch.float64) * torch.tensor([2.0, 0.3]) + 0.2
    directions = F.normalize(torch.randn(2, 20_000, dtype=torch.float64), dim=0)
    values = torch.cat([oracle.epps_pulley(z @ part) for part in directions.split(5_000, dim=1)])
    by_angle = oracle.around(z)
    error = float(values.std()) / len(values) ** 0.5
    assert by_angle.mean().item() == pytest.approx(values.mean().item(), abs=5 * error)


# --- epps_pulley

STATISTIC = """
def epps_pulley(x, knots=17, t_max=3.0):
    t = torch.linspace(0, t_max, knots)
    normal = torch.exp(-t.square() / 2)
    xt = x.unsqueeze(-1) * t
    gap = (xt.cos().mean(dim=0) - normal) ** 2 + xt.sin().mean(dim=0) ** 2
    return 2 * len(x) * torch.trapezoid(gap * normal, t, dim=1)
"""
STEPS = """
def epps_pulley(x, knots=17, t_max=3.0):
    t = torch.linspace(0, t_max, knots)
    dt = t_max / (knots - 1)
    weights = torch.full((knots,), 2 * dt)
    weights[[0, -1]] = dt
    normal = torch.exp(-t.square() / 2)
    xt = x.unsqueeze(-1) * t
    gap = (xt.cos().mean(dim=0) - normal) ** 2 + xt.sin().mean(dim=0) ** 2
    return gap @ (weights * normal) * len(x)
"""


def written(source, name, *changes, **names):
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return cell(source, name, torch=torch, F=F, nn=nn, math=math, np=np, **names)


def with_complex(x, knots=17, t_max=3.0):
    t = torch.linspace(-t_max, t_max, 2 * knots - 1)
    normal = torch.exp(-0.5 * t**2)
    ecf = torch.exp(1j * x[None] * t[:, None, None]).mean(1)
    return x.shape[0] * torch.trapezoid((ecf - normal[:, None]).abs().square() * normal[:, None], t, dim=0)


def by_loops(x, knots=17, t_max=3.0):
    columns = []
    for column in x.T.double():
        heights = []
        for k in range(knots):
            t = k * t_max / (knots - 1)
            real = torch.cos(t * column).mean() - math.exp(-t * t / 2)
            heights.append((real**2 + torch.sin(t * column).mean() ** 2) * math.exp(-t * t / 2))
        dt = t_max / (knots - 1)
        columns.append(2 * len(x) * sum((a + b) / 2 * dt for a, b in zip(heights, heights[1:], strict=False)))
    return torch.stack(columns)


class Statistic:
    def __call__(self, x, knots=17, t_max=3.0):
        return written(STEPS, "epps_pulley")(x, knots, t_max)


@pytest.mark.parametrize(
    "right",
    [written(STATISTIC, "epps_pulley"), written(STEPS, "epps_pulley"), by_loops, Statistic()],
)
def test_right_epps_pulley(right, seeds):
    assert_right(check.epps_pulley, right)


def test_right_epps_pulley_in_complex_numbers(seeds):
    assert_right(check.epps_pulley, functools.partial(with_complex))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((" + xt.sin().mean(dim=0) ** 2", ""), "the cosine part alone"),
        (("(weights * normal)", "weights"), "the weight window is forgotten"),
        ((" * len(x)", ""), "the mean over N is taken twice"),
        ((" * len(x)", " / len(x)"), "the mean over N is taken twice"),
        (("2 * dt", "dt", "] = dt", "] = dt / 2"), "one half of the integral is missing"),
        (("weights[[0, -1]] = dt", "pass"), "the ends count in full"),
        (("linspace(0, t_max, knots)", "linspace(0, t_max, knots + 1)[:-1]", "t_max / (knots - 1)", "t_max / knots"),
         "the knots are not where they should be"),
        (("linspace(0,", "linspace(-t_max,"), "not yet right"),
        (("2 * dt", "2.0", "] = dt", "] = 1.0"), "summed and not integrated"),
        (("-t.square() / 2", "-t.square()"), "the half is missing"),
        (("-t.square() / 2)", "-t.square() / 2) / math.sqrt(2 * math.pi)"), "the density"),
        ((") ** 2 + xt.sin().mean(dim=0) ** 2", ").abs() + xt.sin().mean(dim=0).abs()"), "the squares are missing"),
        (("(xt.cos().mean(dim=0) - normal) ** 2 + xt.sin().mean(dim=0) ** 2",
          "((xt.cos().mean(dim=0) ** 2 + xt.sin().mean(dim=0) ** 2).sqrt() - normal) ** 2"),
         "the lengths are compared"),
        (("xt.sin().mean(dim=0) **", "(xt.sin().mean(dim=0) - normal) **"), "both compared"),
        (("xt.cos", "xt.SIN", "xt.sin", "xt.cos", "xt.SIN", "xt.sin"), "swapped"),
        (("xt = x.", "x = (x - x.mean(0)) / x.std(0)\n    xt = x."), "the columns are standardised first"),
        (("xt = x.", "x = x - x.mean(0)\n    xt = x."), "the mean of every column is taken off"),
        (("mean(dim=0)", "mean(dim=(0, 1), keepdim=True)[0].expand(x.shape[1], -1)"),
         "all columns are taken together"),
        (("* len(x)", "* len(x)).mean()", "return gap", "return (gap"), "a statistic of its own"),
        (("    t = ", "    knots = 17\n    t = "), "the argument knots is not used"),
        (("    t = ", "    t_max = 3.0\n    t = "), "the argument t_max is not used"),
        (("mean(dim=0)", "mean(dim=1)"), "not yet right"),
        (("return gap", "gap"), "is the `return` missing?"),
        (("x.unsqueeze(-1)", "x.detach().unsqueeze(-1)"), "it carries no gradient"),
        (("xt.sin()", "xt.detach().sin()"), "is not the definition's"),
        (("mean(dim=0)", "sum(dim=0)"), "not yet right"),
        (("xt = x.", "xt = x.mul_(1)."), "not yet right"),
    ],
)  # fmt: skip
def test_wrong_epps_pulley(changes, words):
    if "xt = x.mul_(1)." in changes:
        changes = ("xt = x.unsqueeze(-1)", "x.mul_(2)\n    xt = x.unsqueeze(-1)")
        words = "in place"
    assert_wrong(check.epps_pulley, written(STEPS, "epps_pulley", *changes), words)


def test_knots_on_both_sides_are_twice_as_far_apart():
    wrong = written(STATISTIC, "epps_pulley", "linspace(0,", "linspace(-t_max,", "2 * len(x)", "len(x)")
    assert_wrong(check.epps_pulley, wrong, "spread over [-t_max, t_max]")


# --- sigreg

SIGREG = """
def sigreg(z, n_slices, generator=None):
    directions = F.normalize(torch.randn(z.shape[1], n_slices, generator=generator), dim=0)
    return epps_pulley(z @ directions).mean()
"""


def sliced(*changes):
    return written(SIGREG, "sigreg", *changes, epps_pulley=written(STEPS, "epps_pulley"))


def one_by_one(z, n_slices, generator=None):
    total = 0.0
    for _ in range(n_slices):
        a = torch.randn(z.shape[1], generator=generator)
        total = total + by_loops((z @ (a / a.norm()))[:, None])[0]
    return total / n_slices


def by_angles(z, n_slices, generator=None):
    """Rows, from a sphere by another road."""
    a = torch.empty(n_slices, z.shape[1]).normal_(generator=generator)
    return oracle._statistic(z @ (a / a.square().sum(1, keepdim=True).sqrt()).T).mean()


def orthogonal(z, n_slices, generator=None):
    """Directions at right angles as far as there are any, each as likely as every other."""
    bases = []
    for _ in range(-(-n_slices // z.shape[1])):
        q, r = torch.linalg.qr(torch.randn(z.shape[1], z.shape[1], generator=generator))
        bases.append(q * r.diagonal().sign())
    return oracle._statistic(z @ torch.cat(bases, dim=1)[:, :n_slices]).mean()


def test_right_sigreg(seeds):
    assert_right(check.sigreg, sliced())


@pytest.mark.parametrize("right", [by_angles, orthogonal])
def test_right_sigreg_in_other_styles(right):
    assert_right(check.sigreg, right)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("F.normalize(", "(lambda a, dim: a)("), "not of length one"),
        ((", generator=generator), dim=0)", ", generator=generator), dim=1)"), "not of length one"),
        (("z @ directions", "F.normalize(z, dim=1) @ directions"), "the rows of z are normalised"),
        (("z @ directions", "(z - z.mean(0)) / (z.std(0) + 1e-8) @ directions"), "z is standardised"),
        (("torch.randn(z.shape[1], n_slices, generator=generator)",
          "torch.randn(z.shape[1], n_slices, generator=generator).sign()"), "not spread evenly"),
        ((".mean()", ".max()"), "take the mean over the slices"),
        (("generator=generator", "generator=torch.Generator().manual_seed(0)"), "the same for the whole training"),
        (("    directions", "    generator.manual_seed(0) if generator else None\n    directions"),
         "the same for the whole training"),
        (("generator=generator", "generator=None"), "changed torch's global random numbers"),
        (("torch.randn", "torch.rand"), "one sign"),
        (("F.normalize(torch.randn(z.shape[1], n_slices, generator=generator), dim=0)",
          "torch.eye(z.shape[1])[:, torch.randint(z.shape[1], (n_slices,), generator=generator)]"), "the columns of z"),
        (("n_slices, generator=generator", "64, generator=generator"), "n_slices is not the number"),
        ((".mean()", ".sum()"), "the slices are summed"),
        ((".mean()", ""), "it should be a scalar"),
        (("z @ directions", "z.detach() @ directions"), "carries no gradient"),
        (("epps_pulley(z @ directions).mean()", "epps_pulley(z @ directions).mean() / len(z)"), "taken twice"),
    ],
)  # fmt: skip
def test_wrong_sigreg(changes, words):
    assert_wrong(check.sigreg, sliced(*changes), words)


# --- lejepa_loss

LOSS = """
def lejepa_loss(views, lam, n_slices, generator=None):
    near = (views - views.mean(dim=0)).square().mean()
    normal = torch.stack([sigreg(view, n_slices, generator) for view in views]).mean()
    return (1 - lam) * near + lam * normal
"""


def loss(*changes):
    return written(LOSS, "lejepa_loss", *changes, sigreg=sliced())


def like_lightly(views, lam, n_slices, generator=None):
    """The same directions for all views."""
    directions = torch.nn.functional.normalize(torch.randn(views.shape[-1], n_slices, generator=generator), dim=0)
    normal = sum(oracle._statistic(view @ directions).mean() for view in views.unbind()) / views.shape[0]
    return torch.lerp(views.var(dim=0, unbiased=False).mean(), normal.float(), lam)


def test_right_lejepa_loss(seeds):
    assert_right(check.lejepa_loss, loss())


@pytest.mark.parametrize("right", [like_lightly, loss("views.mean(dim=0)", "views.mean(dim=0).detach()")])
def test_right_lejepa_loss_in_other_styles(right):
    assert_right(check.lejepa_loss, right)


NORMAL = "torch.stack([sigreg(view, n_slices, generator) for view in views]).mean()"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("(1 - lam) * near + lam", "lam * near + (1 - lam)"), "lam stands at the wrong term"),
        (("(1 - lam) * near", "near"), "the distance has no weight"),
        ((NORMAL, "sigreg(views.flatten(0, 1), n_slices, generator)"), "pooled into one sample"),
        ((NORMAL, NORMAL.replace("mean", "sum")), "summed over the views"),
        ((NORMAL, "sigreg(views[0], n_slices, generator)"), "only one view"),
        ((NORMAL, "sigreg(views.mean(dim=0), n_slices, generator)"), "the mean of the views is made normal"),
        ((".square().mean()", ".square().sum(dim=2).mean()"), "summed over the dimensions"),
        ((".square().mean()", ".square().sum(dim=0).mean()"), "summed over the views or the images"),
        (("views - views.mean(dim=0)", "views - views[:1]"), "pairs of views"),
        (("(views - views.mean(dim=0)).square().mean()", "(views[:, None] - views).square().mean()"), "pairs of views"),
        (("(views - views.mean(dim=0)).square().mean()", "(views.var(0) if len(views) > 1 else 0 * views[0]).mean()"),
         "divided by V - 1"),
        (("near + lam", "near - lam"), "SIGReg is subtracted"),
        (("views.mean(dim=0)", "views.mean(dim=(0, 1))"), "the mean of everything"),
        ((".square().mean()", ".abs().mean()"), "not squared"),
        ((".square().mean()", ".norm(dim=2).mean()"), "not squared"),
        (("views.mean(dim=0)", "views.mean(dim=1, keepdim=True)"), "the mean runs over the images"),
        (("    near", "    views = F.normalize(views, dim=2)\n    near"), "not yet right"),
        ((", n_slices, generator)", ", 64, generator)"), "n_slices is not handed on"),
        ((", n_slices, generator)", ", n_slices, None)"), "global random numbers"),
        (("return (1", "(1"), "is the `return` missing?"),
        (("view in views", "view in views.detach()"), "the gradient"),
        (("view in views", "view in views[:1]"), "only one view"),
    ],
)  # fmt: skip
def test_wrong_lejepa_loss(changes, words):
    assert_wrong(check.lejepa_loss, loss(*changes), words)


# --- lejepa_step

STEP = """
def lejepa_step(encoder, head, update, images, lam, n_slices, generator=None):
    h = encoder(torch.cat(images))
    z = head(h).unflatten(0, (len(images), -1))
    loss = lejepa_loss(z, lam, n_slices, generator)
    update(loss)
    return loss.detach()
"""


def step(*changes):
    return written(STEP, "lejepa_step", *changes, lejepa_loss=loss(), sigreg=sliced())


def view_by_view(encoder, head, update, images, lam, n_slices, generator=None):
    value = loss()(torch.stack([head(encoder(view)) for view in images]), lam, n_slices, generator)
    update(value)
    return value.item()


@pytest.mark.parametrize("right", [step(), view_by_view])
def test_right_lejepa_step(right, seeds):
    assert_right(check.lejepa_step, right)


STATISTIC_OF = "torch.stack([sigreg(v, n_slices, generator) for v in H]).mean()"
TERMS = f"(1 - lam) * (z - z.mean(0)).square().mean() + lam * {STATISTIC_OF}"
FEATURES = "H = h.unflatten(0, (len(images), -1)); loss = "


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("loss = lejepa_loss(z, lam, n_slices, generator)", FEATURES + TERMS), "features instead of the projections"),
        (("loss = lejepa_loss(z,", FEATURES + "lejepa_loss(H,"), "the loss is taken of the features"),
        (("head(h).un", "h.un"), "the head is never used"),
        (("lejepa_loss(z, lam,", "lejepa_loss(z, 1 - lam,"), "lam stands at the wrong term"),
        (("lejepa_loss(z, lam,", "lejepa_loss(z, 0.05,"), "lam is not used"),
        (("lejepa_loss(z, lam,", "lejepa_loss(z[:1], lam,"), "it should be"),
        (("(len(images), -1)", "(-1, len(images))"), "it should be"),
        (("    update(loss)\n", ""), "update(loss) is never called"),
        (("    update(loss)\n", "    loss.backward(); update(loss)\n"), "by hand"),
        (("head(h)", "head(h.detach())"), "not the gradient"),
        (("return loss.detach()", "return"), "returns None"),
    ],
)  # fmt: skip
def test_wrong_lejepa_step(changes, words):
    assert_wrong(check.lejepa_step, step(*changes), words)
