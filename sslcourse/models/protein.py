"""Protein language models of the ESM family: sequences in, logits, attention maps and features out.

`ProteinLM` wraps transformers' EsmForMaskedLM, small and untrained (`esm`) or published (`load_esm`), and speaks in
sequences and 0-based residues, so that nobody has to count special tokens. Three habits of ESM are dealt with here:

- attentions come back only from attn_implementation="eager";
- padding changes the logits unless an attention mask says where it is;
- token dropout zeroes masked tokens and rescales all others by how many there are, at inference too.

References: Rives et al. 2021, "Biological structure and function emerge from scaling unsupervised learning to 250
million protein sequences" (ESM-1b); Lin et al. 2023, "Evolutionary-scale prediction of atomic-level protein structure
with a language model" (ESM-2).
"""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sslcourse import arguments
from sslcourse.data.items import clipped
from sslcourse.data.proteins.alphabet import AMINO_ACIDS, EITHER, UNKNOWN, wrong_letters
from sslcourse.data.root import DataCorrupted, DataMissing, data_root, offline

ALPHABET = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")  # ESM-2's
CLS, PAD, EOS, MASK = (ALPHABET.index(token) for token in ("<cls>", "<pad>", "<eos>", "<mask>"))
_NUMBER = {token: n for n, token in enumerate(ALPHABET)}
_NUMBER[EITHER] = _NUMBER[UNKNOWN]
RESIDUES = torch.tensor([_NUMBER[letter] for letter in AMINO_ACIDS])  # (20,): tokens in the order of AMINO_ACIDS


class ProteinLM(nn.Module):
    """A masked language model of proteins. The wrapped network is `.network`, its width `.num_features`.

    `.places` is the most residues that a sequence may have, None where there is no limit. What is particular to ESM
    stands in the first lines of the class, so that another family can say otherwise (antibodies.py).
    """

    family, kind = "esm", "EsmForMaskedLM"  # transformers' names: of the network within, and of its class
    cls, pad, eos, mask = CLS, PAD, EOS, MASK  # numbers of the special tokens
    numbers = _NUMBER  # of every letter
    residues = RESIDUES

    def __init__(self, network: nn.Module):
        super().__init__()
        arguments.module("network", network)
        if not hasattr(network, self.family) or not hasattr(network, "config"):
            raise TypeError(f"network is a {type(network).__name__}; it should be an {self.kind} of transformers.")
        self.network = network
        self.num_features = network.config.hidden_size
        self.places = self._limit(network.config)

    @staticmethod
    def _limit(config) -> int | None:
        # Learnt places begin behind the number of padding; two of the tokens are <cls> and <eos>.
        learnt = getattr(config, "position_embedding_type", None) == "absolute"
        return config.max_position_embeddings - PAD - 3 if learnt else None

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def tokens(self, sequences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token numbers and attention mask, both int64 (N, T), T = longest + 2: <cls>, residues, <eos>, padding.

        Raises ValueError for no sequences, for letters that are no amino acids, and for a sequence that is longer than
        the model has places for.
        """
        sequences = self._checked(sequences)
        longest = max(map(len, sequences))
        rows = [[self.cls, *map(self.numbers.get, s), self.eos, *[self.pad] * (longest - len(s))] for s in sequences]
        ids = torch.tensor(rows, device=self.device)
        return ids, (ids != self.pad).long()

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits (N, T, V) over the alphabet, ESM's has V = 33 letters (ALPHABET), for token numbers (N, T)."""
        if not isinstance(ids, Tensor) or ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"ids is {arguments.shown(ids)}; it should be int64 (N, T), as tokens gives it.")
        arguments.tensor("ids", ids, "int64 (N, T)")
        if ids.dim() != 2 or not ids.numel():
            raise ValueError(f"ids has shape {tuple(ids.shape)}; it should be (N, T), as tokens gives it.")
        size = self.network.config.vocab_size
        if ids.device.type == "cpu" and not 0 <= ids.min() <= ids.max() < size:  # a GPU would have to wait
            raise ValueError(f"ids run from {ids.min()} to {ids.max()}; tokens run from 0 to {size - 1}.")
        mask = (ids != self.pad).long() if attention_mask is None else attention_mask
        if self.places is not None and ids.shape[1] - 2 > self.places:
            self._check_length(int((ids != self.pad).sum(dim=1).max()) - 2, "A row of ids")
        return self.network(input_ids=ids, attention_mask=mask).logits.float()

    @torch.no_grad()
    def attentions(self, sequence: str) -> tuple[Tensor, ...]:
        """One (1, heads, L + 2, L + 2) a layer; row i says where token i looks. Special tokens are still in.

        Raises ValueError for a network that returns no maps.
        """
        ids, mask = self.tokens([arguments.text("sequence", sequence)])
        out = _evaluated(self, lambda: self.network(input_ids=ids, attention_mask=mask, output_attentions=True))
        if not out.attentions or any(layer is None for layer in out.attentions):
            raise ValueError(
                "The network returned no attention maps, since its fast kernels never build them: load it with "
                'attn_implementation="eager".'
            )
        return out.attentions

    @torch.no_grad()
    def log_probs(self, sequences: Sequence[str], masked: Sequence[int | None] | None = None) -> Tensor:
        """Log probabilities (N, L, 20) of the amino acids, natural, for sequences of one length.

        masked: for each sequence the 0-based position that is masked, None for none. The other tokens of the alphabet
        are left out of the normalisation.
        """
        sequences = self._checked(sequences)
        if len({len(sequence) for sequence in sequences}) > 1:
            raise ValueError("log_probs takes sequences of one length; pass others one at a time.")
        ids, mask = self.tokens(sequences)
        for row, place in enumerate(self._places(masked, sequences)):
            if place is not None:
                ids[row, place + 1] = self.mask  # behind <cls>
        logits = _evaluated(self, lambda: self(ids, mask))[:, 1:-1]
        return logits[..., self.residues.to(ids.device)].log_softmax(dim=-1).cpu()

    @torch.no_grad()
    def hidden(self, sequences: Sequence[str], batch_size: int = 64, layer: int = -1) -> list[Tensor]:
        """Features of the residues, one float32 (L, D) a sequence, of the last layer or of another (0: embeddings)."""
        sequences = self._checked(sequences)
        batch_size = arguments.whole("batch_size", batch_size, 1)
        layers, layer = self.network.config.num_hidden_layers, arguments.whole("layer", layer)
        if not -layers - 1 <= layer <= layers:
            raise ValueError(f"layer is {layer}; it should be from 0, the embeddings, to {layers}, or -1, the last.")
        order = sorted(range(len(sequences)), key=lambda n: len(sequences[n]))  # similar lengths: little padding
        features: list[Tensor] = [torch.empty(0)] * len(order)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            ids, mask = self.tokens([sequences[n] for n in batch])
            given = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
            out = _evaluated(self, functools.partial(getattr(self.network, self.family), **given))
            states = out.last_hidden_state if layer == -1 else out.hidden_states[layer]
            for row, n in enumerate(batch):
                features[n] = states[row, 1 : len(sequences[n]) + 1].float().cpu()
        return features

    def _places(self, masked: Sequence[int | None] | None, sequences: list[str]) -> list[int | None]:
        if masked is None:
            return []
        if isinstance(masked, Tensor) and masked.dim() == 1:
            masked = masked.tolist()
        if isinstance(masked, str | Mapping) or not isinstance(masked, Iterable) or getattr(masked, "ndim", 1) != 1:
            raise TypeError(f"masked is {arguments.shown(masked)}; it should be a list, one entry a sequence.")
        masked = list(masked)
        if len(masked) != len(sequences):
            raise ValueError(f"masked has {len(masked)} places for {len(sequences)} sequences; give one for each.")
        most = [len(sequence) - 1 for sequence in sequences]
        return [
            None if place is None else arguments.whole(f"Position masked[{row}]", place, 0, most[row])
            for row, place in enumerate(masked)
        ]

    def _checked(self, sequences: Sequence[str]) -> list[str]:
        single = isinstance(sequences, str | Mapping | Tensor) or not isinstance(sequences, Iterable)
        sequences = [] if single or getattr(sequences, "ndim", 1) != 1 else list(sequences)
        if not sequences:
            raise ValueError("The model takes a list of sequences, one or more; put a single one in brackets.")
        for n, sequence in enumerate(sequences):
            if problem := wrong_letters(sequence):
                began = f" It begins with {sequence[:20]!r}." if sequence and isinstance(sequence, str) else ""
                raise ValueError(f"Sequence {n} {problem}{began}")
            self._check_length(len(sequence), f"Sequence {n}, which begins with {sequence[:20]!r},")
        return sequences

    def _check_length(self, residues: int, what: str) -> None:
        if self.places is not None and residues > self.places:
            raise ValueError(
                f"{what} has {residues} residues, and this model has {self.places} places: cut it into windows, leave "
                "it out, or take a model with rotary positions (ESM-2)."
            )


def _evaluated(model: nn.Module, call):
    """The result of a call in eval mode; modes are put back."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        return call()
    finally:
        for part, mode in modes:
            part.training = mode


def esm(
    hidden: int = 64,
    layers: int = 3,
    heads: int = 4,
    *,
    positions: str = "rotary",
    token_dropout: bool = True,
    max_length: int = 1024,
) -> ProteinLM:
    """An untrained model with ESM's architecture: norm before each block, token dropout, ESM's alphabet.

    positions: "rotary" as in ESM-2, relative and for any length; or "absolute" as in ESM-1b, a learnt vector for each
    place, for sequences of at most max_length residues. Raises ValueError for other positions and where heads do not
    divide hidden.
    """
    from transformers import EsmConfig, EsmForMaskedLM

    if arguments.text("positions", positions) not in ("rotary", "absolute"):
        raise ValueError(f"positions is {arguments.shown(positions)}; choose rotary or absolute.")
    sizes = {"hidden": hidden, "layers": layers, "heads": heads, "max_length": max_length}
    hidden, layers, heads, max_length = (arguments.whole(name, value, 1) for name, value in sizes.items())
    token_dropout = arguments.flag("token_dropout", token_dropout)
    if hidden % heads:
        raise ValueError(f"{heads} heads do not divide the {hidden} features; choose a multiple.")
    config = EsmConfig(
        vocab_size=len(ALPHABET),
        mask_token_id=MASK,
        pad_token_id=PAD,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * hidden,
        max_position_embeddings=max_length + 4,  # <cls>, <eos>, and ESM starts to count behind padding
        position_embedding_type=positions,
        token_dropout=token_dropout,
        emb_layer_norm_before=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    return ProteinLM(EsmForMaskedLM(config))


def load_esm(name: str) -> ProteinLM:
    """A published model in eval mode: a name of the hub such as facebook/esm2_t6_8M_UR50D, or a folder in its layout.

    Models of the hub are kept under the data root, in `huggingface`. Raises DataMissing where it is neither there nor
    to be had, DataCorrupted where its files cannot be read, ValueError for a model that is no ESM.
    """
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from safetensors import SafetensorError
    from transformers import AutoConfig, EsmForMaskedLM

    if not isinstance(name, str | Path) or not str(name).isprintable():
        raise TypeError(f"name is {arguments.shown(name)}; it should be a name of the hub or a folder.")
    cache = data_root() / "huggingface"
    local = {"cache_dir": cache, "local_files_only": offline()}
    try:
        config = AutoConfig.from_pretrained(name, **local)
        if config.model_type != "esm":
            raise ValueError(f"{name} is a model of type {config.model_type}, and this loads those of type esm.")
        network, found = EsmForMaskedLM.from_pretrained(
            name, config=config, attn_implementation="eager", output_loading_info=True, **local
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        if os.path.isdir(name) and any(Path(name).glob("*.safetensors")) and (Path(name) / "config.json").exists():
            raise _corrupted(name, error) from None
        raise DataMissing(
            f"The model {clipped(str(name))} is not in {cache} and could not be fetched ({_first(error)}): load "
            'it once where there is a network, with `python -c "from sslcourse import models; models.load_esm(...)"`, '
            "or pass a folder that holds it."
        ) from None
    except (SafetensorError, RuntimeError, EOFError) as error:
        raise _corrupted(name, error) from None
    if missing := sorted(found["missing_keys"]):  # transformers draws them at random and goes on
        raise DataCorrupted(
            f"The files of {name} lack {len(missing)} of the model's weights, such as {missing[0]!r}: delete them and "
            "load it again."
        )
    if network.config.vocab_size != len(ALPHABET):
        raise ValueError(f"{name} has {network.config.vocab_size} tokens; the alphabet of ESM-2 has {len(ALPHABET)}.")
    return ProteinLM(network).eval()


def _corrupted(name: str, error: Exception) -> DataCorrupted:
    return DataCorrupted(f"The files of {name} cannot be read ({_first(error)}): delete them and load it again.")


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120].rstrip(".")
