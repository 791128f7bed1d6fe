"""Fresh answers to the bonuses, the steps and masked marginals: accepted, misnamed or told in numbers only until now.

Each row changes one thing in a right version; words are those of the message that names it.
"""

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell, verdict
from test_bonus import masks_with, relax_with
from test_bonus_jepa import NORMAL, STATISTIC, loss, sliced, written
from test_bonus_jepa_latent import CALL, blocks, step
from test_week05_step import step as moco
from test_week07_step import step as dino
from test_week12_answers import MARGINAL

from sslcourse.check import bonus, bonus_jepa, week05, week07, week12
from sslcourse.data import AMINO_ACIDS, parse_mutation

# --- LeJEPA

TRAPEZOIDS = "torch.trapezoid(gap * normal, t, dim=1)"
GAP = "(xt.cos().mean(dim=0) - normal) ** 2 + xt.sin().mean(dim=0) ** 2"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (TRAPEZOIDS, "((gap * normal)[:, :-1].sum(1) * t_max / (knots - 1))", "the last knot is left out"),
        (TRAPEZOIDS, "((gap * normal).mean(1) * t_max)", "the mean over the knots is taken times their range"),
        ("gap * normal", "gap * normal.sqrt()", "its root, or its power"),
        ("2 * len(x)", "2 * (len(x) - 1)", "or N - 1"),
        ("2 * len(x)", "4 * len(x)", "In every case yours is twice what it should be"),
        ("x.unsqueeze(-1) * t", "2 * math.pi * x.unsqueeze(-1) * t", "a factor of 2 pi"),
        (GAP, "(xt.cos().mean(dim=0) - normal + xt.sin().mean(dim=0)) ** 2", "added before they are squared"),
        (GAP, "((xt.cos() - normal) ** 2 + xt.sin() ** 2).mean(dim=0)", "before the mean over the N values"),
        ("linspace(0,", "linspace(0.1,", "the knots are not where they should be"),
    ],
)
def test_wrong_epps_pulley(old, new, words):
    assert_wrong(bonus_jepa.epps_pulley, written(STATISTIC, "epps_pulley", old, new), words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (".mean()", ".min()", "the smallest value that any direction has"),
        (".mean()", ".median()", "the median over the slices"),
        (".mean()", ".mean().sqrt()", "the root is taken"),
        ("z @ directions)", "z @ directions, 17, 5.0)", "17 knots up to 5"),
    ],
)
def test_wrong_sigreg(old, new, words):
    assert_wrong(bonus_jepa.sigreg, sliced(old, new), words)


NEAR = "(views - views.mean(dim=0)).square().mean()"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(1 - lam) * near", "2 * (1 - lam) * near", "the distance is doubled"),
        ("(1 - lam)", "(1 + lam)", "a weight is wrong"),
        ("lam * normal", "lam * normal / 2", "a weight is wrong"),
        ("    near", "    lam = 0.05\n    near", "the argument lam is not used"),
        (NEAR, "views.std(0, correction=0).mean()", "the root is taken"),
        ("views - views.mean(dim=0)", "views - (views.sum(0) - views) / max(len(views) - 1, 1)", "mean of the others"),
        ("for view in views]", "for view in views[len(views) > 1 :]]", "the first view is left out"),
        ("for view in views]).mean()", "for view in views]).max()", "largest or smallest value among the views"),
        (NORMAL, NORMAL.replace("in views", "in views - views.mean(0)"), "the deviations from the mean"),
        (NEAR, "(1 - F.cosine_similarity(views, views.mean(0, keepdim=True), dim=-1)).mean()", "the cosine of the"),
    ],
)
def test_wrong_lejepa_loss(old, new, words):
    assert_wrong(bonus_jepa.lejepa_loss, loss(old, new), words)


# --- I-JEPA

SIDES = "round(math.sqrt(area * aspect))", "round(math.sqrt(area / aspect))"
PLACE = "int(down * (grid - height + 1)), int(across * (grid - width + 1))"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("(0.85, 1.0)", "(0.85, 0.85)"), "contexts are cut from blocks of one size"),
        (("ratio * (shape[1]", "round(ratio) * (shape[1]"), "is never between 0.9 and 1.3"),
        (("int(across * (grid - width + 1))", "min(int(down * (grid - height + 1)), grid - width)"), "both axes"),
        ((PLACE, "int(down * grid), int(across * grid)"), "reaches over the edge is cut off"),
        (("area = grid**2 * (scale[0] + share * (scale[1] - scale[0]))",
          "area = (grid * (scale[0] + share * (scale[1] - scale[0]))) ** 2"), "the share is one of each side"),
        ((SIDES[0], "round(math.sqrt(area) * aspect)", SIDES[1], "round(math.sqrt(area) / aspect)"),
         "the shape stands outside of the root"),
        (("    while True", "    torch.manual_seed(0)\n    while True"), "torch's global random numbers"),
        (("    while True", "    generator = generator and torch.Generator().manual_seed(0)\n    while True"),
         "give one draw"),
    ],
)  # fmt: skip
def test_wrong_blocks(changes, words):
    assert_wrong(bonus_jepa.context_target_blocks, blocks(*changes), words)


TRUTH = "truth = F.layer_norm(whole, whole.shape[-1:])"
SEEN = "encoder(images, context)\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((TRUTH, "truth = whole - whole.mean(-1, keepdim=True)"), "the targets are normalised otherwise"),
        ((TRUTH, "truth = (whole - whole.mean(1, True)) / whole.std(1, keepdim=True)"), "over patches or images"),
        ((TRUTH, "truth = whole.softmax(-1)"), "the targets are made a softmax"),
        ((SEEN, "encoder(0 * images, context)\n"), "the encoder is given something else than the images"),
        (("target(images)", "target(images.flip(0))"), "in another order"),
        ((SEEN, "F.layer_norm(encoder(images, context), whole.shape[-1:])\n"), "something else than features"),
        (("    with torch", f"    {CALL}\n    with torch", f"    update(loss)\n    {CALL}\n", "    update(loss)\n"),
         "has moved before its features are taken"),
        (("update(loss)", "update(2 * loss)"), "the loss is doubled or halved"),
        ((f"    {CALL}\n", f"    for _ in targets: {CALL}\n"), "it moves 3 times"),
        ((CALL, "train.update_ema(encoder, target, 0.9 * momentum)"), "it should keep the momentum, 0.77"),
    ],
)  # fmt: skip
def test_wrong_jepa_step(changes, words):
    assert_wrong(bonus_jepa.jepa_step, step(*changes), words)


def test_images_one_by_one_are_right():
    whole = "torch.cat([target(one[None]) for one in images])"
    part = "torch.cat([encoder(one[None], context) for one in images])"
    assert_right(bonus_jepa.jepa_step, step("target(images)", whole, SEEN.strip(), part))


# --- the steps of weeks 5 and 7

LOSS = "info_nce(q, k, queue.keys, temperature)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((", temperature)\n", ", temperature ** 2)\n"), "divided by the temperature twice"),
        (
            (LOSS, "F.cross_entropy(F.normalize(q) @ F.normalize(k).T / temperature, torch.arange(len(q)))"),
            "as in SimCLR",
        ),
        (("queue.keys, temp", "torch.cat([queue.keys, queue.keys]), temp"), "counts twice"),
        (("update_ema(query, key, momentum)", "update_ema(query, key, (1 + momentum) / 2)"), "kept 0.885 of itself"),
    ],
)
def test_wrong_moco_step(changes, words):
    outcome, text = verdict(week05.moco_step, moco(*changes))
    assert outcome == "wrong" and words in text and "distances stand" not in text, text


def test_the_order_in_which_a_batch_joins_the_queue_does_not_matter():
    assert_right(week05.moco_step, moco("queue.enqueue(k)", "queue.enqueue(k.flip(0))"))
    one_for_all = moco("queue.enqueue(k)", "queue.enqueue(k[:1].expand_as(k))")
    assert_wrong(week05.moco_step, one_for_all, "what joins the queue")


def test_tensors_in_a_list_come_out_as_they_were():
    changed = dino("    with torch.no_grad():\n", "    crops[0].mul_(2)\n    with torch.no_grad():\n")
    assert_wrong(week07.dino_step, changed, "changes its argument crops in place")


# --- RELAX


def test_masks_do_not_seed_the_notebook():
    right = masks_with("size", "size")

    def sample_masks(n, grid, image_size, keep=0.5, generator=None):
        torch.manual_seed(0)
        return right(n, grid, image_size, keep, generator)

    assert_wrong(bonus.sample_masks, sample_masks, "It seeds torch's global random numbers")


def test_the_pixel_that_is_shown_is_one_that_differs():
    right = relax_with("s", "s")
    outcome, text = verdict(bonus.relax, lambda *case: tuple(x.T for x in right(*case)))
    assert outcome == "wrong" and "transposed" in text and "off by" not in text, text


# --- masked marginals


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("log_p = log_probs_at(sequence, position)", "log_p = seen.setdefault(wild, log_probs_at(sequence, position))",
         "serves wherever it occurs"),
        ("AMINO_ACIDS.index(wild)", "AMINO_ACIDS.index(sequence[position - 1])", "read beside its place"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence, len(sequence) - 1 - position)", "from the end"),
        ("for m in mutations", "for m in sorted(mutations)", "in another order than the mutations"),
        ("log_p[AMINO_ACIDS.index(mutant)] - log_p[AMINO_ACIDS.index(wild)]",
         "log_p[(ord(mutant) - 65) % 20] - log_p[(ord(wild) - 65) % 20]", "the amino acids are in another order"),
        ("torch.stack(scores)", "torch.stack(scores) / 2", "In every case yours is half"),
        ("torch.stack(scores)", "torch.stack(scores).clamp(max=0)", "cut off above 0"),
        ("torch.stack(scores)", "torch.stack(scores).cumsum(0)", "added up one after another"),
        ("torch.stack(scores)", "torch.stack(scores).softmax(0)", "a softmax of the right entries"),
    ],
)  # fmt: skip
def test_wrong_masked_marginal(old, new, words):
    assert old in MARGINAL
    source = MARGINAL.replace("scores = []", "scores, seen = [], {}").replace(old, new)
    names = {"torch": torch, "F": F, "AMINO_ACIDS": AMINO_ACIDS, "parse_mutation": parse_mutation}
    assert_wrong(week12.masked_marginal, cell(source, "masked_marginal", **names), words)
