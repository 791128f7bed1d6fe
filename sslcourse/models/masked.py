"""A masked autoencoder as it is shipped: the encoder and, beside it, a decoder that was trained on it.

Week 8 writes the masked autoencoder itself; here are only its parts under the names that it gives them, so that the
state of one is the state of the other:

    network = MAE(32, 8, dim=96, depth=3, num_heads=3)
    network.load_state_dict(models.load_pretrained("mae_scenes_whole").state_dict())

Reference: He et al. 2022, "Masked autoencoders are scalable vision learners".
"""

import torch
from torch import Tensor, nn

from sslcourse.models.vit import EPS, Block, ViT


class WithDecoder(nn.Module):
    """Images (N, C, H, W) to the class token's features (N, D), as the encoder alone; `num_features` is D.

    encoder: a ViT. dim, depth, heads: of the decoder, whose blocks are those of a ViT. in_channels: of the images that
    it predicts.
    """

    def __init__(self, encoder: ViT, dim: int = 64, depth: int = 1, heads: int = 4, in_channels: int = 3):
        super().__init__()
        self.encoder, self.num_features = encoder, encoder.num_features
        self.decoder_embed = nn.Linear(encoder.num_features, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1 + encoder.side**2, dim))
        self.decoder_blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(dim, eps=EPS)
        self.decoder_pred = nn.Linear(dim, encoder.patch_size**2 * in_channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(images)
