"""What every random function owes its caller: numbers from the generator it was given, and no other one touched."""

from collections.abc import Callable

import torch

from sslcourse.check.machinery import Student, Wrong


def examine(student: Student, draw: Callable, what: str) -> None:
    """draw: from a generator (or None) to a tensor; what: such as "mask"."""

    def same(a, b) -> bool:
        return bool((a == b).all())

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    before = torch.get_rng_state()
    first = draw(seeded(5))
    if not same(torch.get_rng_state(), before):
        raise Wrong(
            "It was given a generator, and changed torch's global random numbers (by torch.manual_seed, or by drawing "
            "from them): every random number should come from the generator, torch.rand(..., generator=generator)."
        )
    if not same(draw(seeded(5)), first):
        raise Wrong(f"Two generators of one seed give different {what}s: pass the generator to torch.rand.")
    if same(draw(seeded(6)), first):
        raise Wrong(f"Generators of different seeds give one {what}: pass the generator to torch.rand.")
    generator = seeded(5)
    if same(draw(generator), draw(generator)):
        raise Wrong(
            f"Two calls with one generator give the same {what}: it is set back in every call. Draw from it as it is, "
            "and seed nothing."
        )
    if generator.initial_seed() != 5:
        raise Wrong("It seeds the generator that it was given: draw from it as it is.")

    # Without one, torch's global generator: drawn from, and not seeded.
    torch.manual_seed(7)
    one, other = draw(None), draw(None)
    if torch.initial_seed() != 7:
        raise Wrong(
            "It seeds torch's global random numbers, which belong to the whole notebook: seed nothing, torch.rand "
            "draws from them as they are."
        )
    if same(one, other):
        raise Wrong(f"Without a generator two calls give the same {what}: draw it anew from torch's global generator.")
    torch.manual_seed(7)
    if not same(draw(None), one):
        raise Wrong(
            f"Without a generator the {what} does not repeat after torch.manual_seed: draw it with torch.rand, which "
            "takes torch's global generator."
        )
