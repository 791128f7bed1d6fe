"""Networks. Every backbone of images maps images (N, C, H, W), uint8 or float in [0, 1], to features (N, D) and has
`.num_features` = D.

Normalisation is the first layer of every backbone and stands nowhere else.
"""

from sslcourse.models.antibodies import AntibodyLM, load_antiberty
from sslcourse.models.autoencoder import conv_decoder, conv_encoder
from sslcourse.models.backbones import backbone
from sslcourse.models.bert import bert
from sslcourse.models.heads import projection_head
from sslcourse.models.normalise import Normalise
from sslcourse.models.pretrained import load_pretrained
from sslcourse.models.protein import ProteinLM, esm, load_esm
from sslcourse.models.sentences import SentenceEncoder, load_sentence_encoder
from sslcourse.models.text import TextTransformer, Vocabulary
from sslcourse.models.vit import ViT

__all__ = [
    "AntibodyLM",
    "Normalise",
    "ProteinLM",
    "SentenceEncoder",
    "TextTransformer",
    "ViT",
    "Vocabulary",
    "backbone",
    "bert",
    "conv_decoder",
    "conv_encoder",
    "esm",
    "load_antiberty",
    "load_esm",
    "load_pretrained",
    "load_sentence_encoder",
    "projection_head",
]
