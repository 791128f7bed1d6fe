"""Networks that others trained and published, fetched into the data root on first use.

References: Chen et al. 2020, "Improved baselines with momentum contrastive learning" (MoCo v2; weights and the first
eight digits of their MD5 sums at github.com/facebookresearch/moco, licence CC BY-NC 4.0).
"""

from pathlib import Path

import torch
from torch import nn

from sslcourse.data.fetch import Download, fetch
from sslcourse.data.root import DataCorrupted, DataMissing, data_root, offline
from sslcourse.models.normalise import Normalise, Normalised

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation that the weights were made with
_MOCO = "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"
WEIGHTS = {
    "moco_v2_resnet50": Download((_MOCO,), "a04e12f8", ("moco_v2_800ep_pretrain.pth.tar",)),
}


def fetch_weights(name: str) -> Path:
    """The verified file of published weights; fetched where it is not there. DataMissing where it is not to be had."""
    folder, download = data_root() / "checkpoints", WEIGHTS[name]
    path = folder / download.files[0]
    if not path.exists():
        reason = "SSLCOURSE_OFFLINE is set"
        try:
            if not offline():
                fetch(name, folder, [download])
        except ConnectionError as error:
            reason = str(error)
        if not path.exists():
            raise DataMissing(
                f"The weights {name} are not at {path} ({reason}); with network, `sslcourse prefetch week05 --scale "
                "full` fetches them, and SSLCOURSE_DATA names another folder."
            )
    if not download.matches(path):
        raise DataCorrupted(f"{path} is corrupted (its MD5 sum is not {download.md5}...); delete it to fetch it anew.")
    return path


def moco_v2_resnet50() -> nn.Module:
    """ResNet-50 after 800 epochs of MoCo v2 on ImageNet (Chen et al. 2020): (N, 3, H, W) to (N, 2048).

    The query encoder without its head, in the class of torchvision that the authors trained.
    """
    from torchvision.models import resnet50

    path = fetch_weights("moco_v2_resnet50")
    net = resnet50(weights=None)
    net.fc = nn.Identity()

    # The file holds a training: query and key encoder, each with its head `fc`, and the queue.
    saved = torch.load(path, map_location="cpu", weights_only=True)
    state = saved.get("state_dict", {}) if isinstance(saved, dict) else {}
    encoder, head = "module.encoder_q.", "module.encoder_q.fc."
    state = {
        key.removeprefix(encoder): value
        for key, value in state.items()
        if key.startswith(encoder) and not key.startswith(head)
    }
    own = net.state_dict()
    wrong = sorted(own.keys() ^ state.keys()) or [key for key in own if own[key].shape != state[key].shape]
    if wrong:
        raise ValueError(
            f"{path} does not hold MoCo's query encoder: {wrong[0]!r} is missing, unexpected or misshapen."
        )
    net.load_state_dict(state)
    model = Normalised(net, 3, 2048)
    model.normalise = Normalise(*IMAGENET)
    return model
