"""The terms that all methods of the board share: images, encoder, epochs, batches, rates, and how they are judged."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from sslcourse import augment, data

SEEDS = (0, 1, 2)
TUNING_SEED = 1000  # rates are chosen on images and weights that no result on the board has seen
FURTHER = (1e-4, 3e-4, 3e-2, 1e-1)  # tried one by one, on either side of a grid of which an end is the best


@dataclass(frozen=True)
class Terms:
    """Of one world. crop, jitter and grey: the views of augment.simclr; temperature: of every contrastive loss.

    rates: the grid of peak learning rates from which each method takes the one whose probe is best on `val` validation
    images; FURTHER goes on with it. Equal epochs are not equal seconds: the board shows these.
    """

    world: str
    classes: int
    train: int
    val: int
    test: int
    epochs: int
    crop: tuple[float, float]
    jitter: float
    grey: float
    temperature: float
    batch_size: int = 128
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    encoder: str = "conv4"
    weight_decay: float = 1e-4
    clip: float = 3.0  # the largest norm of a gradient
    warmup: float = 0.1
    probe_Cs: tuple[float, ...] = (0.01, 0.1, 1.0)

    def noted(self) -> dict:
        """For the json, where tuples are lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def part(self, split: str, seed: int) -> data.ImageSet:
        """The images of a split; of a toy world drawn anew for every seed, of CIFAR-10 a subset of every class."""
        return data.load_images(self.world, split, n=getattr(self, split), seed=seed)

    def views(self) -> Callable:
        return augment.simclr(32, crop=self.crop, jitter=self.jitter, grey=self.grey)

    def light(self) -> Callable:
        """Crops and flips alone, for what has to see the colours: a reconstruction, and which way is up."""
        return augment.simclr(32, crop=self.crop, jitter=0, grey=0)


WORLDS = {
    terms.world: terms
    for terms in (
        Terms("scenes", 10, 3000, 1000, 2000, epochs=20, crop=(0.6, 1.0), jitter=0.4, grey=0.8, temperature=0.1),
        Terms("tissue", 9, 3000, 1000, 2000, epochs=20, crop=(0.6, 1.0), jitter=0.8, grey=0.8, temperature=0.1),
        Terms("cifar10", 10, 10_000, 2000, 10_000, epochs=20, crop=(0.2, 1.0), jitter=0.5, grey=0.2, temperature=0.2),
    )
}
