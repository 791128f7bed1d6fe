"""The check of week 3 about hiding words.

What mask_tokens draws is random, so it is judged by what must hold at every position and by shares over some ten
thousand positions, each allowed five standard deviations.
"""

import math

import torch
from torch import Tensor

from sslcourse.check.compare import tensor
from sslcourse.check.machinery import Student, Wrong, exercise

IGNORED = -100
_WORDS, _MASK_ID = 1000, 3


def _corpus(student: Student) -> tuple[Tensor, Tensor]:
    """Ids (300, 64) between 20 and 60, so that a random word is seldom one of them; ends and padding special."""
    ids = torch.randint(20, 60, (300, 64), generator=student.generator)
    length = torch.randint(50, 65, (300, 1), generator=student.generator)
    place = torch.arange(64)
    special = (place == 0) | (place >= length - 1)
    return ids.masked_fill(special, 1), special


def _masked(student: Student, ids: Tensor, special: Tensor, p: float, generator=None) -> tuple[Tensor, Tensor]:
    result = student(ids, special, _MASK_ID, _WORDS, p, generator)
    if result is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("It should return two tensors: `return inputs, labels`.")
    inputs, labels = (
        tensor(part, tuple(ids.shape), f"{name} is") for name, part in zip(("inputs", "labels"), result, strict=True)
    )
    for name, part in (("inputs", inputs), ("labels", labels)):
        if part.is_floating_point() or part.dtype == torch.bool:
            raise Wrong(f"{name} is {part.dtype}; ids are whole numbers (torch.int64).")
    return inputs, labels


def _places(ids: Tensor, special: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """The chosen places (bool); Wrong where a label or an input cannot be."""
    chosen = labels != IGNORED
    if (inputs == IGNORED).any():
        raise Wrong("The inputs hold -100, which is for labels: is it `return inputs, labels`, in this order?")
    if chosen[~special].all() and (inputs == ids)[special].all():
        raise Wrong("It sets labels at positions that were not chosen: these get -100, which the loss leaves out.")
    if chosen.any() and not (chosen & ~special).any():
        raise Wrong("Chosen are the special tokens and nothing else: where special_tokens_mask is True, never choose.")
    if (chosen & special).any() and not (inputs != ids)[special].any() and not (chosen & (inputs != ids)).any():
        raise Wrong("Labels stand where nothing was chosen, and -100 where words were: it is the other way round.")
    if (inputs != ids)[special].any() and not (chosen & special).any():
        raise Wrong(
            "Words are changed at positions that were not chosen, special tokens among them: only chosen ones, whose "
            "label is the original word, become [MASK] or another word."
        )
    if (chosen & special).any() or (inputs != ids)[special].any():
        raise Wrong("Special tokens are masked: where special_tokens_mask is True, nothing is ever chosen.")
    if (inputs == labels)[chosen & (labels == _MASK_ID)].any() or (labels != ids)[chosen].any():
        raise Wrong("The labels are not the original words: at a chosen position the label is the id that stood there.")
    if (changed := (inputs != ids) & ~chosen).any():
        n, place = changed.nonzero()[0].tolist()
        raise Wrong(
            f"Position {place} of row {n} is changed, but its label is -100: what was replaced must be predicted, so "
            "labels stand at all chosen positions and nowhere else."
        )
    return chosen


def _near(share: float, wanted: float, n: int) -> bool:
    return abs(share - wanted) < 5 * math.sqrt(max(wanted * (1 - wanted), 0.01) / n)


def _independence(chosen: Tensor, words: Tensor, p: float) -> None:
    """Rows differ in what is chosen, and in how much."""
    if not chosen.any():
        return
    of_row = (chosen & words).sum(1)
    if ((of_row == 0) | (of_row == words.sum(1))).all():
        raise Wrong("It looks as if one draw decides for a whole row: each position is chosen by its own.")
    both = words[0] & words[1]
    if torch.equal(chosen[0, both], chosen[1, both]) and torch.equal(chosen[0, :40], chosen[2, :40]):
        raise Wrong("It looks as if one draw is shared by all rows: the same positions are chosen in every text.")
    counts, expected = chosen.sum(1).double(), words.sum(1) * p
    if (counts - expected).square().mean() < 0.3 * (expected * (1 - p)).mean():
        raise Wrong(
            "It chooses nearly the same number of words in every row: each position is chosen independently with "
            "probability p, so the number varies."
        )


def _choice(chosen: Tensor, special: Tensor, p: float) -> None:
    """Every position with probability p, independently."""
    words = ~special
    _independence(chosen, words, p)
    everywhere = ((chosen | special).all(0) & words.any(0)).nonzero()
    if len(everywhere) and not chosen[words].all():
        raise Wrong(
            f"Position {int(everywhere[0])} is chosen in every text that has a word there: each is chosen with "
            "probability p, independently."
        )
    share = chosen[words].double().mean().item()
    if not _near(share, p, int(words.sum())):
        found = f"With p = {p} it chooses {share:.1%} of the words."
        if p != 0.15 and _near(share, 0.15, int(words.sum())):
            raise Wrong(f"{found}\nIt looks as if the argument p is not used.")
        if abs(p - 0.5) > 0.05 and _near(share, 1 - p, int(words.sum())):
            raise Wrong(
                f"{found}\nIt looks as if 1 - p is taken for p: a uniform number is below p with probability p."
            )
        if _near(share, p * words.numel() / int(words.sum()), int(words.sum())):
            raise Wrong(
                f"{found}\nIt looks as if p is raised to make up for special tokens: p is the probability of each word."
            )
        if not chosen.any():
            raise Wrong(f"{found}\nNo label differs from -100: nothing would be learnt.")
        if _near(share, 0.8 * p, int(words.sum())) or _near(share, 0.9 * p, int(words.sum())):
            raise Wrong(
                f"{found}\nIt looks as if only replaced positions have a label: the tenth that is kept is chosen, too, "
                "and has to be predicted."
            )
        raise Wrong(f"{found}\nEach word is chosen with probability p.")


# What becomes of the chosen words: shares of [MASK], of another word, and of those kept. Draws may be shared or not.
_SHARES = {
    "random words overwrite masks: only what has not become [MASK] may become another word.": (
        (0.4, 0.5, 0.1),
        (0.72, 0.1, 0.18),
        (0.0, 0.9, 0.1),
        (0.0, 1.0, 0.0),
        (0.7, 0.1, 0.2),
        (0.08, 0.9, 0.02),
        (0.4, 0.6, 0.0),
    ),
    "the masks are lost: the second step starts from input_ids again, not from what the first has made.": (
        (0.0, 0.1, 0.9),
    ),
    "the three shares are swapped.": ((0.1, 0.8, 0.1), (0.1, 0.1, 0.8)),
    "no chosen word is replaced.": ((0.0, 0.0, 1.0),),
    "words are kept among those that should become [MASK]: nine tenths of the chosen are replaced, a tenth is not.": (
        (0.64, 0.16, 0.2),
    ),
}


def _one_for_all(student: Student, ids: Tensor, special: Tensor, found: str) -> None:
    """Where all chosen words meet one fate: whether that is so in every call, and where nearly all are chosen."""
    fates = []
    for _ in range(16):
        inputs, labels = _masked(student, ids[:10], special[:10], 0.95)
        chosen = labels != IGNORED
        fates.append(((inputs == _MASK_ID) & chosen).sum().item() / max(int(chosen.sum()), 1))
    if min(fates) < 0.02 and max(fates) > 0.98 and all(min(fate, 1 - fate) < 0.02 for fate in fates):
        raise Wrong(f"{found}\nIt looks as if one draw decides for all words: every chosen position has its own.")
    if all(0.75 < fate < 0.93 for fate in fates):
        raise Wrong(
            f"{found}\nIt looks as if one draw decides both whether a word is chosen and what becomes of it: draw anew "
            "for the second, or divide the range below p itself."
        )


def _shares(student: Student, ids: Tensor, special: Tensor, inputs: Tensor, chosen: Tensor) -> None:
    """80 % [MASK], 10 % random, 10 % kept, decided for every chosen position by itself."""
    n = int(chosen.sum())
    is_mask, is_kept = (inputs == _MASK_ID) & chosen, (inputs == ids) & chosen
    mask, kept = is_mask.sum().item() / n, is_kept.sum().item() / n
    random = 1 - mask - kept
    found = f"Of the chosen words {mask:.0%} become [MASK], {random:.0%} another word, {kept:.0%} are kept."
    wanted = "It should be 80 %, 10 % and 10 %."
    uniform = (is_mask.sum(1) == chosen.sum(1)) | (is_mask.sum(1) == 0)
    if 1 in (mask, kept) or random > 0.97:
        _one_for_all(student, ids, special, found)
    if mask == 1:
        raise Wrong(f"{found}\nIt looks as if all chosen words become [MASK]: {wanted}")
    if uniform.double().mean() > 0.5 and 0.5 < mask < 0.95:
        raise Wrong(f"{found}\nIt looks as if one draw decides for a whole row: every chosen position has its own.")
    if _near(mask, 0.8, n) and _near(random, 0.1, n) and _near(kept, 0.1, n):
        return
    if (
        not mask
        and (words := inputs[chosen & ~is_kept]).numel()
        and (words == words.mode().values).double().mean() > 0.7
    ):
        raise Wrong(
            f"{found}\nMost chosen words become {int(words.mode().values)}: mask_id, which is {_MASK_ID}, is meant."
        )
    for sentence, shares in _SHARES.items():
        if any(all(map(_near, (mask, random, kept), share, (n, n, n))) for share in shares):
            raise Wrong(f"{found} {wanted}\nIt looks as if {sentence}")
    if kept < 0.005 and _near(mask, 0.8 / 0.9, n):
        raise Wrong(
            f"{found}\nIt looks as if only replaced positions have a label: the tenth that is kept is chosen, too, and "
            "has to be predicted."
        )
    if _near(mask, 0.8, n) and random < 0.03:
        raise Wrong(
            f"{found} {wanted}\nTen per cent of the chosen are half of the fifth that is left after [MASK]; was it a "
            "tenth of that fifth, or none?"
        )
    if _near(mask, 0.8, n) and kept < 0.03:
        raise Wrong(f"{found} {wanted}\nHalf of those that do not become [MASK] stay as they are.")
    raise Wrong(f"{found} {wanted}")


def _replacements(words: Tensor) -> None:
    """Random words come from the whole vocabulary, each drawn anew."""
    if not 0 <= words.min() <= words.max() < _WORDS:
        raise Wrong(f"A random word has id {words.max()}; with vocab_size = {_WORDS} ids run from 0 to {_WORDS - 1}.")
    few = f"{len(words)} random words are only {len(words.unique())} different ones: draw one per position."
    if len(words.unique()) <= 5:
        raise Wrong(few)
    quarters = torch.bincount(words * 4 // _WORDS, minlength=4) / len(words)
    if (quarters - 0.25).abs().max() > 0.1:
        raise Wrong("The random words do not come from the whole vocabulary: draw ids from 0 to vocab_size - 1.")
    if len(words.unique()) < 0.3 * len(words):
        raise Wrong(few)


def _few_words(student: Student) -> None:
    """A vocabulary of seven, of which the last is never in the texts: it shows whether 0 and the last id count."""
    ids = torch.tensor([0, 1, 2, 4, 5])[torch.randint(0, 5, (60, 40), generator=student.generator)]
    none = torch.zeros(60, 40, dtype=torch.bool)
    inputs, labels = student(ids, none, _MASK_ID, 7, 0.4)
    if not (labels[ids == 0] != IGNORED).any():
        raise Wrong("Words of id 0 are never chosen: only where special_tokens_mask is True nothing is.")
    if not (inputs == 6).any():
        raise Wrong(
            "With vocab_size = 7 the word 6 is never drawn: torch.randint leaves out its upper end already, so that it "
            "is vocab_size, and texts may hold fewer words than there are."
        )


@exercise("week03")
def mask_tokens(student: Student) -> str:
    """mask_tokens(input_ids, special_tokens_mask, mask_id, vocab_size, p=0.15, generator=None) -> (inputs, labels)."""
    ids, special = _corpus(student)
    replaced = []
    for p in (0.15, 0.4):
        inputs, labels = _masked(student, ids, special, p)
        chosen = _places(ids, special, inputs, labels)
        _choice(chosen, special, p)
        _shares(student, ids, special, inputs, chosen)
        replaced.append(inputs[chosen & (inputs != ids) & (inputs != _MASK_ID)])
    _replacements(torch.cat(replaced))
    _few_words(student)

    # Random numbers: from the generator where one is given, and new ones every time; some texts are enough for that.
    texts, ends = ids[:60], special[:60]
    first, second, third = (
        _masked(student, texts, ends, 0.15, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    if not all(map(torch.equal, first, second)):
        raise Wrong("Two generators of one seed give different results: pass `generator` to every draw.")
    if torch.equal(first[1], third[1]):
        raise Wrong("Generators of different seeds choose the same words: `generator` is not used.")
    shared = torch.Generator().manual_seed(7)
    steps = [_masked(student, texts, ends, 0.15, shared) for _ in range(2)]
    if torch.equal(steps[0][1], steps[1][1]):
        raise Wrong(
            "Two calls with one generator hide the same words: the generator is set back to its seed, or its state is "
            "not used up. Pass it to every draw and do not seed it, so that every step hides other words."
        )
    one, other = (_masked(student, texts, ends, 0.15)[1] for _ in range(2))
    if torch.equal(one, other):
        raise Wrong("A second call chooses the same words: do not seed the random numbers, every step needs new ones.")
    fates = [(inputs == _MASK_ID) | (labels == IGNORED) for inputs, labels in steps]
    both = (steps[0][1] != IGNORED) & (steps[1][1] != IGNORED)  # some 60 words were chosen twice
    if torch.equal(fates[0][both], fates[1][both]):
        raise Wrong("Two calls with one generator do the same to the same words: every draw is a new one.")
    if (_masked(student, texts, ends, 1e-9)[1] != IGNORED).any():  # not 0, which a function may refuse
        raise Wrong("With p = 0.000000001 it still chooses words.")
    left_out = student(ids, special, _MASK_ID, _WORDS)[1] != IGNORED
    if not _near(left_out[~special].double().mean().item(), 0.15, int((~special).sum())):
        raise Wrong("Without p it should choose 15 % of the words: the default is 0.15.")
    return (
        "15 % of the words are chosen, each by its own draw; 80 % of them masked, 10 % replaced by words of the whole "
        "vocabulary, 10 % kept; labels stand at chosen positions only, special tokens are left alone."
    )
