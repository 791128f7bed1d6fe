"""One epoch of SimCLR on 1,024 images of 32 x 32 pixels against lightly's transforms and loader, on the same network.

    python benchmarks/epoch.py

The bound is the network, which both have to run: the row "steps alone" is our epoch with views that were made before.
"""

import torch
from rows import bounded, compare, one_thread, peer, show
from torch.utils.data import DataLoader, Dataset

from sslcourse import augment, solution
from sslcourse.models import backbone, projection_head
from sslcourse.train import fit

N, BATCH = 1024, 256


def rows():
    one_thread()
    torch.manual_seed(0)
    images = torch.randint(0, 256, (N, 3, 32, 32), dtype=torch.uint8)
    body = backbone("conv4")
    net = torch.nn.Sequential(body, projection_head(body.num_features, 128, 64))
    nt_xent, view = solution("week04", "nt_xent"), augment.simclr(32)
    still = images / 255

    def ours():
        fit(
            lambda x: nt_xent(*map(net, augment.two_views(x, view)), 0.5),
            net,
            images,
            epochs=1,
            batch_size=BATCH,
            progress=False,
        )

    def alone():
        fit(lambda x: nt_xent(net(x), net(x), 0.5), net, still, epochs=1, batch_size=BATCH, progress=False)

    peers = {"lightly": epoch_of_lightly(images, net) if peer("lightly.transforms") else None, "steps alone": alone}
    found = compare(f"SimCLR, {N} images", ours, peers, {"lightly": 5}, rounds=2)
    yield from bounded(found, "steps alone", "the network's steps, with views at no cost,")


def epoch_of_lightly(images, net):
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform
    from torchvision.transforms.v2.functional import to_pil_image

    transform = SimCLRTransform(
        input_size=32,
        cj_strength=0.5,
        min_scale=0.2,
        gaussian_blur=0.0,
        normalize=None,  # ours normalises in the network
    )

    class Pictures(Dataset):
        pictures = [to_pil_image(image) for image in images]

        def __len__(self):
            return len(self.pictures)

        def __getitem__(self, index):
            return transform(self.pictures[index])

    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
    criterion, optimizer = NTXentLoss(0.5), torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)

    def epoch():
        net.train()
        for a, b in loader:
            loss = criterion(net(a), net(b))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


if __name__ == "__main__":
    show(rows())
