"""The checks of context_target_blocks and jepa_step: right in any style, each mistake told by its own message."""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

from sslcourse import train
from sslcourse.check import bonus_jepa as check

# --- context_target_blocks

BLOCKS = """
def block(grid, scale, shape, generator):
    share, ratio, down, across = torch.rand(4, generator=generator).tolist()
    area = grid**2 * (scale[0] + share * (scale[1] - scale[0]))
    aspect = shape[0] + ratio * (shape[1] - shape[0])
    height = min(grid, max(1, round(math.sqrt(area * aspect))))
    width = min(grid, max(1, round(math.sqrt(area / aspect))))
    top, left = int(down * (grid - height + 1)), int(across * (grid - width + 1))
    mask = torch.zeros(grid, grid, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask.flatten()

def context_target_blocks(grid, n_targets, generator=None):
    while True:
        targets = torch.stack([block(grid, (0.15, 0.2), (0.75, 1.5), generator) for _ in range(n_targets)])
        context = block(grid, (0.85, 1.0), (1.0, 1.0), generator) & ~targets.any(dim=0)
        if context.any():
            return context, targets
"""


def blocks(*changes):
    source = BLOCKS
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return cell(source, "context_target_blocks", torch=torch, math=math)


def like_the_authors(grid, n_targets, generator=None):
    """One size for all targets of a call, sides rounded down to below the grid, as their collator does."""

    def size(low, high, small, large):
        a = grid**2 * (low + (high - low) * torch.rand(1, generator=generator).item())
        r = small + (large - small) * torch.rand(1, generator=generator).item()
        h, w = round(math.sqrt(a * r)), round(math.sqrt(a / r))
        return max(1, min(h, max(1, grid - 1))), max(1, min(w, max(1, grid - 1)))

    def place(h, w):
        top = torch.randint(0, grid - h + 1, (1,), generator=generator).item()
        left = torch.randint(0, grid - w + 1, (1,), generator=generator).item()
        rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        return ((rows >= top) & (rows < top + h) & (columns >= left) & (columns < left + w)).reshape(-1)

    h, w = size(0.15, 0.2, 0.75, 1.5)
    targets = [place(h, w) for _ in range(n_targets)]
    hidden = torch.stack(targets).sum(dim=0) > 0
    context = place(*size(0.85, 1.0, 1.0, 1.0)) & ~hidden
    return (context, targets) if bool(context.any()) else like_the_authors(grid, n_targets, generator)


def test_right_blocks(seeds):
    assert_right(check.context_target_blocks, blocks())


ADDED_A_HALF = blocks("round(math.sqrt(area * aspect))", "int(math.sqrt(area * aspect) + 0.5)")


@pytest.mark.parametrize("right", [like_the_authors, ADDED_A_HALF])
def test_right_blocks_in_other_styles(right):
    assert_right(check.context_target_blocks, right)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((" & ~targets.any(dim=0)", ""), "what is to be predicted would be seen"),
        (("if context.any()", "if True"), "the context came out empty"),
        (("(0.15, 0.2)", "(0.5, 0.6)"), "15 to 20 %"),
        (("(0.15, 0.2)", "(0.02, 0.03)"), "15 to 20 %"),
        (("(0.75, 1.5)", "(3.0, 4.0)"), "height / width"),
        (("(0.75, 1.5)", "(1.0, 1.0)"), "never higher than wide"),
        (("(0.75, 1.5)", "(1 / 1.5, 1 / 0.75)"), "height and width are swapped"),
        (("(0.15, 0.2)", "(0.175, 0.175)"), "the share is drawn at random too"),
        (("block(grid, (0.85, 1.0), (1.0, 1.0), generator) &", "torch.ones(grid**2, dtype=torch.bool) &"),
         "always everything but the targets"),
        (("block(grid, (0.85, 1.0)", "block(grid, (0.3, 0.4)"), "is not what a block of 85 to 100 %"),
        (("int(down * (grid - height + 1)), int(across * (grid - width + 1))",
          "int(down * max(1, grid - height)), int(across * max(1, grid - width))"), "the last row or column"),
        (("int(down * (grid - height + 1)), int(across * (grid - width + 1))", "0, 0"), "lies at 1 place"),
        (("for _ in range(n_targets)])", "for _ in range(1)]).expand(n_targets, -1).clone()"), "all the same block"),
        (("return mask.flatten()", "return mask.flatten() & (torch.rand(grid**2, generator=generator) < 0.7)"),
         "is no rectangle"),
        (("torch.rand(4, generator=generator)", "torch.rand(4)"), "global random numbers"),
        (("return context, targets", "return targets, context"), "it should be"),
        (("return context, targets", "return context.float(), targets"), "it should be torch.bool"),
        (("return context, targets", "return context"), "context, targets"),
    ],
)  # fmt: skip
def test_wrong_blocks(changes, words):
    assert_wrong(check.context_target_blocks, blocks(*changes), words)


# --- jepa_step

STEP = """
def jepa_step(encoder, predictor, target, update, images, context, targets, momentum):
    with torch.no_grad():
        whole = target(images)
        truth = F.layer_norm(whole, whole.shape[-1:])
    h = encoder(images, context)
    losses = [(predictor(h, context, block) - truth[:, block]).square().mean() for block in targets]
    loss = torch.stack(losses).mean()
    update(loss)
    train.update_ema(encoder, target, momentum)
    return loss.detach()
"""
NUMBERS = """
def jepa_step(encoder, predictor, target, update, images, context, targets, momentum):
    context = context.nonzero().squeeze(1)
    places = [mask.nonzero().squeeze(1) for mask in targets]
    y = nn.LayerNorm(target(images).shape[-1], elementwise_affine=False)(target(images).detach())
    h = encoder(images, context)
    loss = 0.0
    for p in places:
        loss = loss + F.mse_loss(predictor(h, context, p), y[:, p]) / len(places)
    update(loss)
    with torch.no_grad():
        for new, old in zip(encoder.parameters(), target.parameters()):
            old.lerp_(new, 1 - momentum)
    return loss.item()
"""


def step(*changes, source=STEP):
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return cell(source, "jepa_step", torch=torch, F=F, nn=nn, train=train)


def test_right_step(seeds):
    assert_right(check.jepa_step, step())


@pytest.mark.parametrize(
    "right",
    [
        step(source=NUMBERS),
        step("    with torch.no_grad():\n", "    if True:\n", "target(images)\n", "target(images).detach()\n"),
        step("target(images)\n", "target(images)\n        del h0\n", "    with torch", "    h0 = 0\n    with torch"),
    ],
)
def test_right_step_in_other_styles(right):
    assert_right(check.jepa_step, right)


CALL = "train.update_ema(encoder, target, momentum)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("predictor(h, context, block) - truth[:, block]", "predictor(h, context, context) - truth[:, context]"),
         "the context itself is predicted"),
        (("    with torch.no_grad():\n", "    if True:\n"), "a gradient reaches the target encoder"),
        (("predictor(h, context, block)", "predictor(h)"), "positions are not given to the predictor"),
        (("predictor(h, context, block)", "predictor(h, context)"), "positions are not given to the predictor"),
        (("predictor(h, context, block)", "predictor(h, block=block)"), "positions are not given to the predictor"),
        (("predictor(h, context, block)", "predictor(h, block, context)"), "context and block are swapped"),
        (("predictor(h, context, block)", "predictor(h, block, block)"), "is not told where its features lie"),
        (("encoder(images, context)", "encoder(images)"), "the encoder is given all patches"),
        (("encoder(images, context)", "encoder(images, ~targets.any(0))"), "other patches than the context"),
        (("encoder(images, context)", "encoder(images)[:, context]"), "the encoder is given all patches"),
        (("= target(images)", "= encoder(images)"), "the encoder is given all patches"),
        (("= target(images)", "= encoder(images)"), "come from the encoder that learns"),
        (("= target(images)", "= encoder(images, torch.ones_like(context))"), "come from the encoder that learns"),
        (("= target(images)", "= encoder(images, torch.arange(len(context)))"), "come from the encoder that learns"),
        (("encoder(images, context)", "encoder(images, torch.ones_like(context))[:, context]"), "given all patches"),
        (("truth = F.layer_norm(whole, whole.shape[-1:])", "truth = whole"), "the targets are not normalised"),
        (("truth = F.layer_norm(whole, whole.shape[-1:])", "truth = F.normalize(whole, dim=-1)"), "by their length"),
        (("for block in targets]", "for block in targets[:1]]"), "is never predicted"),
        (("for block in targets]", "for block in [targets.any(0)]]"), "all targets at once"),
        (("torch.stack(losses).mean()", "torch.stack(losses).sum()"), "the losses of the blocks are summed"),
        ((".square().mean()", ".square().sum(-1).mean()"), "summed over the dimensions"),
        ((".square().mean()", ".abs().mean()"), "not squared"),
        (("truth[:, block]", "truth[:, targets[0]]"), "it should be"),
        (("    update(loss)\n", ""), "update(loss) is never called"),
        ((CALL, "pass"), "It has not moved"),
        ((CALL, "train.update_ema(target, encoder, momentum)"), "runs the wrong way"),
        ((CALL, "train.update_ema(encoder, target, 1 - momentum)"), "the wrong way round"),
        ((CALL, "train.update_ema(encoder, target, 0.996)"), "the momentum is 0.996"),
        ((f"    update(loss)\n    {CALL}\n", f"    {CALL}\n    update(loss)\n"), "before the update"),
        (("return loss.detach()", "return"), "returns None"),
        (("encoder(images, context)\n", "encoder(images, context).detach()\n"), "detached from the encoder"),
        (("update(loss)", "update(loss.detach())"), "carries no gradient"),
        (("    h = encoder", f"    {CALL}\n    h = encoder"), "it should"),
    ],
)  # fmt: skip
def test_wrong_step(changes, words):
    assert_wrong(check.jepa_step, step(*changes), words)


def test_smooth_l1_is_named():
    wrong = step("(predictor(h, context, block) - truth[:, block]).square().mean()",
                 "F.smooth_l1_loss(predictor(h, context, block), truth[:, block])")  # fmt: skip
    assert_wrong(check.jepa_step, wrong, "the smooth L1 loss")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("-F.cosine_similarity(predictor(h, context, block), truth[:, block], dim=-1).mean()", "the cosine is taken"),
        ("(predictor(h, context, block) - truth[:, block]).square().sum()", "the squares are summed"),
        ("(predictor(h, context, block) - truth[:, block].flip(1)).square().mean()", "patches in another order"),
        ("(predictor(h, context, block) - F.layer_norm(whole, whole.shape[1:])[:, block]).square().mean()",
         "over all patches together"),
    ],
)  # fmt: skip
def test_other_losses_are_named(written, words):
    assert_wrong(check.jepa_step, step("(predictor(h, context, block) - truth[:, block]).square().mean()", written),
                 words)  # fmt: skip


def test_targets_of_parts_are_named():
    wrong = step("truth[:, block]", "F.layer_norm(target(images, block), whole.shape[-1:]).detach()")
    assert_wrong(check.jepa_step, wrong, "a part of the image only")
