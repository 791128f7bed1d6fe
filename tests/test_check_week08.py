"""The checks of week 8: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, verdict
from lightly.loss import IBOTPatchLoss
from torch import nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import sslcourse
from sslcourse.check import machinery
from sslcourse.check import week08 as check
from sslcourse.check.oracles import week08 as oracle
from sslcourse.check.oracles import week08_tokens as tokens

Reference = sslcourse.solution("week08", "MAE")


@pytest.fixture(params=range(3), ids=lambda seed: f"seed {seed}")
def seeds(request, monkeypatch):
    """Right stays right, whatever numbers are drawn."""
    monkeypatch.setattr(machinery, "SEED", request.param)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks(n, length, masked, seed=0):
    order = torch.rand(n, length, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return torch.zeros(n, length, dtype=torch.bool).scatter_(1, order[:, :masked], True)


# --- the definitions against peers and known levels


def peer(norm_pix=True):
    config = ViTMAEConfig(
        image_size=12, patch_size=4, num_channels=3, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, decoder_hidden_size=6, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=24, layer_norm_eps=1e-6, mask_ratio=2 / 3, norm_pix_loss=norm_pix,
    )  # fmt: skip
    torch.manual_seed(0)
    model = ViTMAEForPreTraining(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def in_our_names(state):
    """The weights of transformers' ViTMAE by the names of the exercise."""
    ours = {}
    for sides, (theirs, mine) in {"encoder": ("vit.layers", "encoder.blocks"),
                                  "decoder": ("decoder.decoder_layers", "decoder_blocks")}.items():  # fmt: skip
        del sides
        numbers = {int(name[len(theirs) + 1 :].split(".")[0]) for name in state if name.startswith(theirs + ".")}
        for number in numbers:
            inside = {k[len(f"{theirs}.{number}.") :]: v for k, v in state.items() if k.startswith(f"{theirs}.{number}.")}
            block = f"{mine}.{number}."
            for kind in ("weight", "bias"):
                parts = [next(v for k, v in inside.items() if k.endswith(f"{part}.{kind}") and key(k, part))
                         for part in ("query", "key", "value")]  # fmt: skip
                ours[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
                for wanted, found in PARTS.items():
                    ours[f"{block}{wanted}.{kind}"] = next(
                        v for k, v in inside.items() if any(k == f"{name}.{kind}" for name in found)
                    )
    plain = {
        "encoder.cls_token": "vit.embeddings.cls_token",
        "encoder.pos_embed": "vit.embeddings.position_embeddings",
        "encoder.patch_embed.proj.weight": "vit.embeddings.patch_embeddings.projection.weight",
        "encoder.patch_embed.proj.bias": "vit.embeddings.patch_embeddings.projection.bias",
        "encoder.norm.weight": "vit.layernorm.weight",
        "encoder.norm.bias": "vit.layernorm.bias",
        "mask_token": "decoder.mask_token",
        "decoder_pos_embed": "decoder.decoder_pos_embed",
    }
    plain |= {f"{n}.{k}": f"decoder.{n}.{k}" for n in ("decoder_embed", "decoder_norm", "decoder_pred")
              for k in ("weight", "bias")}  # fmt: skip
    return ours | {mine: state[theirs] for mine, theirs in plain.items()}
