"""Where random generators and iterators are that a training uses, and where they were when it began.

A training moves them on, so that in the same notebook a second call finds them elsewhere than the first did; that alone
makes no other training of it. So the place where a training with a file left each of them stands for where it began.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from sslcourse.train import fingerprint, moving

_LEFT: dict[tuple[str, str], tuple[str, str]] = {}  # (file, place): (where it was left, where it had begun)


class Moving:
    """Of one training. plan: what must be as it was; told: what may differ, since the file puts it back, and is said;
    generators: what can be put back.

    A seed is compared with the code, so that a generator with one may stand elsewhere. One that does not tell its seed,
    and an iterator, must stand where they stood.
    """

    def __init__(
        self, file: str | Path, code: fingerprint.Reading, modules: list[nn.Module], given: Mapping[str, object]
    ) -> None:
        self.file, self.modules = os.path.realpath(os.path.expanduser(file)), modules
        self.all = {**given, **code.moving}
        now, closed = fingerprint.where(self.all, modules)
        self.generators = {place: one for place, one in self.all.items() if moving.is_random(one) and place in now}
        self.began = {place: self._began(place, text) for place, text in now.items()}
        self.plan, self.told = {}, {}
        for place, text in self.began.items():
            if place.startswith("watched"):
                continue
            if place in given or moving.is_everybodys(self.all[place]) or moving.seed_of(self.all[place]) is not None:
                self.told[f"the random numbers of {place} began elsewhere"] = text
            else:
                self.plan[f"state of {place}"] = text
        for place, kind in (closed | code.closed).items():  # never equal: not even to itself
            self.told[f"{place} cannot be compared with what it was ({kind})"] = os.urandom(8).hex()

    def _began(self, place: str, text: str) -> str:
        left, began = _LEFT.get((self.file, place), ("", ""))
        return began if text == left and os.path.exists(self.file) else text

    def remember(self) -> None:
        """At the end of the training, also one that was cut off."""
        now, _ = fingerprint.where(self.all, self.modules)
        for place, text in now.items():
            if place in self.began:
                _LEFT[self.file, place] = text, self.began[place]

    def tell_what_moved(self, label: str) -> None:
        """Print which iterators have moved on, since no file can keep where they are."""
        some = {place: one for place, one in self.all.items() if place not in self.generators}
        now, _ = fingerprint.where(some, self.modules)
        if moved := [place for place in now if now[place] != self.began[place]]:
            print(
                f"{label}: {', '.join(moved[:3])} moved on during the epoch and is not in the checkpoint, so that a "
                "resumed training would begin it anew: take its items from a list, by the number of the step."
            )
