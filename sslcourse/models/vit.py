"""A vision transformer to read: patches become tokens, and tokens look at each other.

    images (N, C, H, W) -> normalise -> patch_embed (N, L, D) + pos_embed -> class token + blocks -> norm -> class token

Attributes bear timm's names (`patch_embed.proj`, `cls_token`, `pos_embed`, `blocks.0.attn.qkv`, ...), so that weights
go over in both directions. `embed` and `encode` are the two halves of `forward`: what lies between them is one vector
for each patch, and `encode` takes any subset of these (masked autoencoders).

References: Dosovitskiy et al. 2021, "An image is worth 16x16 words: transformers for image recognition at scale";
Vaswani et al. 2017, "Attention is all you need"; Touvron et al. 2021 (DeiT) for the initialisation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslcourse import arguments
from sslcourse.models.normalise import standard

EPS = 1e-6  # of every layer norm, as in timm and in the authors' code; torch's own default is 1e-5


class ViT(nn.Module):
    """Images (N, C, H, W), uint8 or float in [0, 1], to the class token's features (N, D); num_features = D = dim.

    image_size: pixels of a side, of square images; others can be passed later, their position embeddings are then
    interpolated. patch_size: pixels of a side; it divides the image size. dim: of a token; num_heads divides it.
    Raises ValueError for sizes that do not fit each other, or below 1.
    """

    def __init__(
        self, image_size: int, patch_size: int, in_channels: int = 3, dim: int = 96, depth: int = 4, num_heads: int = 3
    ):
        super().__init__()
        sizes = {"image_size": image_size, "patch_size": patch_size, "in_channels": in_channels, "dim": dim}
        sizes |= {"depth": depth, "num_heads": num_heads}
        image_size, patch_size, in_channels, dim, depth, num_heads = (
            arguments.whole(name, value) for name, value in sizes.items()
        )
        if min(image_size, patch_size, in_channels, dim, depth, num_heads) < 1:
            raise ValueError("Every size of a ViT (image, patch, channels, dim, depth, heads) should be at least 1.")
        if image_size % patch_size:
            raise ValueError(
                f"Patches of {patch_size} pixels do not fill an image of {image_size}; "
                f"take a patch_size that divides it, such as {_divisor(image_size, patch_size)}."
            )
        self.num_features, self.patch_size = dim, patch_size
        self.side = image_size // patch_size  # patches along one side
        self.normalise = standard(in_channels)
        self.patch_embed = PatchEmbed(patch_size, in_channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.side**2, dim))  # of the class token, then of the patches
        self.blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self._draw_weights()

    def _draw_weights(self) -> None:
        """Small normal weights and no biases, as in timm."""
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.encode(self.embed(images))[:, 0]  # (N, D)

    def embed(self, images: Tensor) -> Tensor:
        """Patches as tokens, each with the embedding of its own place; row by row, (N, L, D)."""
        arguments.images("images", images)
        x = self.patch_embed(self.normalise(images))  # (N, D, rows, columns)
        rows, columns = x.shape[2:]
        return x.flatten(2).transpose(1, 2) + self._places(rows, columns)

    def encode(self, patches: Tensor) -> Tensor:
        """All tokens after the last block and norm, the class token first: (N, L, D) to (N, 1 + L, D), any L."""
        width = self.pos_embed.shape[-1]
        if not isinstance(patches, Tensor) or not patches.is_floating_point():
            raise TypeError(f"patches is {arguments.shown(patches)}; it should be float (N, L, {width}).")
        arguments.tensor("patches", patches, f"float (N, L, {width})")
        if patches.dim() != 3 or patches.shape[2] != width:
            raise ValueError(f"patches has shape {tuple(patches.shape)}; it should be (N, L, {width}), as embed gives.")
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        x = torch.cat([first, patches.to(first.dtype)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def attention_weights(self, images: Tensor) -> list[Tensor]:
        """For every block, who looks at whom: (N, heads, 1 + L, 1 + L), rows sum to 1; token 0 is the class token."""
        with torch.no_grad():
            self(images)
        return [block.attn.last_weights for block in self.blocks]

    def _places(self, rows: int, columns: int) -> Tensor:
        """The position embeddings of a grid of patches, (1, rows * columns, D), stretched where the grid is another."""
        places = self.pos_embed[:, 1:]
        if (rows, columns) == (self.side, self.side):
            return places
        grid = places.transpose(1, 2).unflatten(2, (self.side, self.side))  # (1, D, side, side)
        grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True)
        return grid.flatten(2).transpose(1, 2)


class PatchEmbed(nn.Module):
    """Images (N, C, H, W) to one vector for each patch, (N, D, H / p, W / p): a linear map, as a strided convolution.

    Raises ValueError for images that patches do not fill.
    """

    def __init__(self, patch_size: int, in_channels: int, dim: int):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"Images of {height} x {width} pixels are not filled by patches of {self.patch_size}; "
                "crop or resize them to a multiple."
            )
        return self.proj(x)


class Attention(nn.Module):
    """Multi-head self-attention, tokens (N, L, D) to (N, L, D); heads are slices of D (Vaswani et al. 2017, eq. 1).

    Computed by torch's fused kernel, which never forms the weights. `last_weights` forms them when somebody asks, from
    the queries and keys of the last pass. Raises ValueError for a dim that num_heads does not divide.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        if dim % num_heads:
            raise ValueError(
                f"{num_heads} heads do not divide dim = {dim}; take a dim that is a multiple of num_heads."
            )
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)  # queries, keys, values, and within each head after head
        self.proj = nn.Linear(dim, dim)
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, L, d) each
        self._last = q.detach(), k.detach()
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).flatten(2))

    @property
    def last_weights(self) -> Tensor | None:
        """(N, heads, L, L) of the last pass, rows (queries) sum to 1, no gradient; None before the first pass."""
        if self._last is None:
            return None
        q, k = self._last
        return (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)


class Mlp(nn.Module):
    """What every token does by itself: one hidden layer, four times as wide, with the exact GELU."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Tokens look at each other, then each thinks by itself; norms stand before, so that the sum stays a plain sum."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _divisor(image_size: int, patch_size: int) -> int:
    """The divisor of image_size nearest to patch_size."""
    return min((p for p in range(1, image_size + 1) if image_size % p == 0), key=lambda p: abs(p - patch_size))
