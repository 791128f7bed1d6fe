"""Two SimCLR views of 256 images of 32 x 32 pixels: ours, kornia's and torchvision's, on one core.

    python benchmarks/views.py

All do the same: random resized crop (0.2 to 1), flip, colour jitter of strength 0.5 on 80 % and greyscale on 20 % of
the images. kornia works on the batch, torchvision image by image, once on tensors and once on PIL pictures. The four
alternate within one run and processor time is counted, so that a busy machine hits all alike; ratios are taken round by
round.
"""

import importlib.metadata
import statistics
import time

import torch
from torchvision.transforms import v2

from sslcourse import augment

ROUNDS, N, SIZE = 9, 256, 32
SCALE, JITTER, P_JITTER, P_GREY = (0.2, 1.0), (0.4, 0.4, 0.4, 0.1), 0.8, 0.2


def ours(images: torch.Tensor, _) -> None:
    augment.two_views(images, augment.simclr(SIZE, jitter=0.5, grey=P_GREY))


def kornia(images: torch.Tensor, _) -> None:
    import kornia.augmentation as K

    view = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE), scale=SCALE),
        K.RandomHorizontalFlip(),
        K.ColorJitter(*JITTER, p=P_JITTER),
        K.RandomGrayscale(p=P_GREY),
    )
    view(images), view(images)


def torchvision(images, pictures) -> None:
    view = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, scale=SCALE),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*JITTER)], p=P_JITTER),
            v2.RandomGrayscale(P_GREY),
        ]
    )
    for picture in images if pictures is None else pictures:  # one at a time: a batch would share its random numbers
        view(picture), view(picture)


def main() -> None:
    torch.set_num_threads(1)
    stored = torch.randint(0, 256, (N, 3, SIZE, SIZE), dtype=torch.uint8)
    images, pictures = stored / 255, [v2.functional.to_pil_image(image) for image in stored]
    contestants = {
        "ours": (ours, None),
        f"kornia {importlib.metadata.version('kornia')}": (kornia, None),
        "torchvision, tensors": (torchvision, None),
        "torchvision, PIL": (torchvision, pictures),
    }

    seconds = {name: [] for name in contestants}
    for _ in range(ROUNDS + 1):
        for name, (work, argument) in contestants.items():
            begin = time.process_time()
            work(images, argument)
            seconds[name].append(time.process_time() - begin)

    for name, values in seconds.items():
        ratios = sorted(theirs / mine for theirs, mine in zip(values[1:], seconds["ours"][1:], strict=True))
        print(
            f"{name:22} {1000 * statistics.median(values[1:]):7.1f} ms for two views of {N} images, "
            f"{statistics.median(ratios):5.2f} times ours ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
