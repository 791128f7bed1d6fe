"""BERT as the library `transformers` has it, small and untrained.

References: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding".
"""

from torch import nn

from sslcourse import arguments


def bert(
    vocab_size: int,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 4,
    intermediate_size: int | None = None,
    max_length: int = 16,
    dropout: float = 0.0,
    initializer_range: float = 0.1,
) -> nn.Module:
    """A `transformers.BertForMaskedLM` from random weights, in train mode: seed torch beforehand.

    intermediate_size: width within a block, twice hidden_size where it is not given; max_length: positions, [CLS] and
    [SEP] included; padding has id 0, as `data.train_tokenizer` gives it. initializer_range: standard deviation of the
    first weights; BERT's own 0.02 is made for widths of 768. Eager attention: slower on GPUs, but one can look at it.
    Called on ids of more than max_length columns, it raises ValueError.
    """
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"vocab_size": vocab_size, "hidden_size": hidden_size, "layers": layers, "heads": heads}
    vocab_size, hidden_size, layers, heads = (arguments.whole(name, value, 1) for name, value in sizes.items())
    max_length = arguments.whole("max_length", max_length, 1)
    if intermediate_size is not None:
        intermediate_size = arguments.whole("intermediate_size", intermediate_size, 1)
    dropout = arguments.number("dropout", dropout, least=0, below=1)
    initializer_range = arguments.number("initializer_range", initializer_range, above=0)
    if hidden_size % heads:
        raise ValueError(f"hidden_size is {hidden_size}, which {heads} heads cannot share; take a multiple of {heads}.")
    network = BertForMaskedLM(
        BertConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=intermediate_size or 2 * hidden_size,
            max_position_embeddings=max_length,
            pad_token_id=0,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=initializer_range,
            attn_implementation="eager",
        )
    )
    network.bert.embeddings.register_forward_pre_hook(_check_places, with_kwargs=True)
    return network


def _check_places(embeddings: nn.Module, args: tuple, kwargs: dict) -> None:
    """Refuse texts that the positions do not suffice for: torch speaks of sizes of tensors then."""
    ids = args[0] if args else kwargs.get("input_ids")
    places = embeddings.position_embeddings.num_embeddings
    if ids is not None and ids.dim() == 2 and ids.shape[1] > places:
        raise ValueError(
            f"The texts have {ids.shape[1]} tokens, [CLS] and [SEP] included, and this model has {places} places: "
            f"encode them with max_length={places}, or take a model with more."
        )
