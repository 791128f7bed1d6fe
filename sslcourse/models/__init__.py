"""Networks. Every backbone maps images (N, C, H, W), uint8 or float in [0, 1], to features (N, D) and has
`.num_features` = D.

Normalisation is the first layer of every backbone and stands nowhere else.
"""

from sslcourse.models.autoencoder import conv_decoder, conv_encoder
from sslcourse.models.backbones import backbone
from sslcourse.models.heads import projection_head
from sslcourse.models.normalise import Normalise
from sslcourse.models.pretrained import load_pretrained
from sslcourse.models.text import TextTransformer, Vocabulary
from sslcourse.models.vit import ViT

__all__ = ["Normalise", "TextTransformer", "ViT", "Vocabulary", "backbone", "conv_decoder", "conv_encoder"]
__all__ += ["load_pretrained", "projection_head"]
