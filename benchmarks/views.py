"""Two SimCLR views of 256 images of 32 x 32 pixels, against kornia on the batch and torchvision image by image.

    python benchmarks/views.py

All do the same: random resized crop (0.2 to 1), flip, colour jitter of strength 0.5 on 80 % and greyscale on 20 % of
the images, with random numbers for each image. The bound is the matrix products without which neither the rows and
columns of a crop nor colours are changed, from matrices that are there already.
"""

import torch
from rows import bounded, compare, cpu_seconds, one_thread, peer, show
from torchvision.transforms import v2

from sslcourse import augment

N, SIZE = 256, 32
SCALE, JITTER, P_JITTER, P_GREY = (0.2, 1.0), (0.4, 0.4, 0.4, 0.1), 0.8, 0.2


def kornia(images: torch.Tensor) -> None:
    import kornia.augmentation as K

    view = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE), scale=SCALE),
        K.RandomHorizontalFlip(),
        K.ColorJitter(*JITTER, p=P_JITTER),
        K.RandomGrayscale(p=P_GREY),
    )
    view(images), view(images)


def torchvision(images) -> None:
    view = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, scale=SCALE),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*JITTER)], p=P_JITTER),
            v2.RandomGrayscale(P_GREY),
        ]
    )
    for picture in images:  # one at a time: a batch would share its random numbers
        view(picture), view(picture)


def products(images: torch.Tensor) -> None:
    """Of two views: rows and columns of each crop, and four changes of colour."""
    sides, colours = torch.rand(N, SIZE, SIZE), torch.rand(N, 3, 3)
    for _ in range(2):
        out = torch.bmm(images.view(N, 3 * SIZE, SIZE), sides).view(images.shape)
        for channel in out.unbind(dim=1):
            torch.bmm(sides, channel)
        for _ in range(4):
            torch.bmm(colours, out.flatten(2))


def rows():
    one_thread()
    stored = torch.randint(0, 256, (N, 3, SIZE, SIZE), dtype=torch.uint8)
    images, pictures = stored / 255, [v2.functional.to_pil_image(image) for image in stored]
    ours = augment.simclr(SIZE, jitter=0.5, grey=P_GREY)
    peers = {
        "kornia": peer("kornia") and (lambda: kornia(images)),
        "torchvision, tensors": lambda: torchvision(images),
        "torchvision, PIL": lambda: torchvision(pictures),
        "its products alone": lambda: products(images),
    }
    taken = {
        type(step).__name__: sorted(cpu_seconds(lambda step=step: step(images)) for _ in range(5))[2]
        for step in ours.transforms
    }
    profile = ", ".join(f"{name} {seconds / sum(taken.values()):.0%}" for name, seconds in taken.items())
    work = lambda: augment.two_views(images, ours)  # noqa: E731
    found = compare(f"two views of {N} images", work, peers, {"kornia": 5})
    for row in bounded(found, "its products alone", "the matrix products alone"):
        notes = filter(None, (row.note, f"profile: {profile}"))
        yield row._replace(note="; ".join(notes)) if row.against == "kornia" else row


if __name__ == "__main__":
    show(rows())
