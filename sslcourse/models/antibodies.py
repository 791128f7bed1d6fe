"""AntiBERTy: a BERT that read 558 million antibodies, and speaks as the other protein models of the course do.

Its own runner is not used: it spells residues for a tokenizer whose meaning changed between versions of transformers,
and then reads every one as unknown without a word. Here a residue gets its number from the order of the published
vocabulary, which is that of AMINO_ACIDS.

References: Ruffolo, Gray and Sulam 2021, "Deciphering antibody affinity maturation with language models and weakly
supervised learning" (weights in the package antiberty, licence MIT); Devlin et al. 2019 (BERT).
"""

import json

import torch

from sslcourse import arguments
from sslcourse.data.proteins.alphabet import AMINO_ACIDS, RARE, UNKNOWN
from sslcourse.data.wheels import fetch_wheel
from sslcourse.models.protein import ProteinLM

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *AMINO_ACIDS)
_HEADS = ("cls.species.", "cls.chain.", "cls.graft.")  # what else was trained with it; nothing here asks for these


class AntibodyLM(ProteinLM):
    """A masked language model of antibodies, heavy or light variable chains; `ProteinLM` says what it can do.

    Letters that are no amino acid (X, U, B, Z, O) are read as unknown.
    """

    family, kind = "bert", "BertForMaskedLM"
    pad, cls, eos, mask = (VOCABULARY.index(token) for token in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"))
    numbers = {letter: VOCABULARY.index(letter) for letter in AMINO_ACIDS}
    numbers |= dict.fromkeys(UNKNOWN + RARE, VOCABULARY.index("[UNK]"))
    residues = torch.tensor([VOCABULARY.index(letter) for letter in AMINO_ACIDS])

    @staticmethod
    def _limit(config) -> int:
        return config.max_position_embeddings - 2  # [CLS] and [SEP] take two


def antibody_lm(config: dict) -> AntibodyLM:
    """An untrained model of a published configuration (keys of transformers' BertConfig): seed torch beforehand."""
    from transformers import BertConfig, BertForMaskedLM

    wanted = ("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range")
    wanted += ("intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads")
    wanted += ("num_hidden_layers", "pad_token_id", "type_vocab_size", "vocab_size")
    settings = BertConfig(
        **{key: config[key] for key in wanted}, tie_word_embeddings=False, attn_implementation="eager"
    )
    return AntibodyLM(BertForMaskedLM(settings))


def load_antiberty(trained: bool = True) -> AntibodyLM:
    """AntiBERTy in eval mode: 8 layers, 512 features, 26 million parameters; trained=False: its architecture untrained.

    Raises DataMissing where the files are neither under the data root nor to be had, DataCorrupted where they are not
    what they should be.
    """
    trained = arguments.flag("trained", trained)
    folder = fetch_wheel("antiberty")
    model = antibody_lm(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    if trained:
        saved = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
        own = model.network.state_dict()
        state = {key: value for key, value in saved.items() if key in own}
        left = [key for key in saved if key not in own and not key.startswith(_HEADS) and ".pooler." not in key]
        missing = sorted(own.keys() - state.keys())
        if wrong := missing or [key for key in left if not key.endswith("position_ids")]:
            raise ValueError(f"{folder} does not fit BertForMaskedLM of this transformers: {wrong[0]!r} differs.")
        model.network.load_state_dict(state)
    return model.eval()
