"""Checks of week 3 about what goes into BERT: sentence pairs and embeddings."""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week03 import oracle

# --- sentence_pairs


def _drawn(student: Student, documents: list, n: int, seed: int | None = 0) -> list[tuple[str, str, bool]]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    before = [list(sentences) for sentences in documents]
    pairs = student(documents, n, generator)
    if documents != before:
        raise Wrong("It changes its argument documents in place: work on a copy, the caller still needs the original.")
    if pairs is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(pairs, list | tuple) or len(pairs) != n:
        size = len(pairs) if isinstance(pairs, list | tuple) else f"a {type(pairs).__name__}"
        raise Wrong(f"For n = {n} it should return a list of {n} triples, yours is {size}.")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 3 or not all(isinstance(part, str) for part in pair[:2]):
            raise Wrong(f"Each entry should be (first, second, is_next), two strings and a bool; one is {pair!r:.80}.")
        if isinstance(pair[2], str) or pair[2] not in (True, False):
            raise Wrong(f"is_next should be True or False; one is {pair[2]!r:.40}.")
    return [(first, second, bool(is_next)) for first, second, is_next in pairs]


@exercise("week03")
def sentence_pairs(student: Student) -> str:
    """sentence_pairs(documents, n, generator) -> list of (first, second, is_next): half and half for even n."""
    # Every sentence says where it stands; documents of one sentence have no next.
    lengths = [4, 1, 5, 3, 1, 4, 2, 6]
    documents = [[f"document {d} sentence {s}" for s in range(length)] for d, length in enumerate(lengths)]
    place = {text: (d, s) for d, sentences in enumerate(documents) for s, text in enumerate(sentences)}
    pairs = _drawn(student, documents, 800)
    for first, second, is_next in pairs:
        if first not in place or second not in place:
            raise Wrong(f"{(first if first not in place else second)!r:.80} is no sentence of the documents.")
        (d, s), (other, t) = place[first], place[second]
        follows = d == other and t == s + 1
        if is_next and d == other and t == s - 1:
            raise Wrong("A pair that is_next stands the wrong way round: the second sentence follows the first.")
        if is_next and d != other:
            raise Wrong("A pair from two documents is marked is_next: True means that the second follows the first.")
        if is_next and not follows:
            raise Wrong(
                f"Sentence {t} is given as the next of sentence {s}: the next one stands directly behind it, and the "
                "last sentence of a document has none."
            )
    for first, second, is_next in pairs:
        if not is_next and place[first][0] == place[second][0]:
            raise Wrong(
                "A negative comes from the same document: draw it from another one, else topic and style do not tell, "
                "and it may even be the true next sentence."
            )
    positives = sum(is_next for _, _, is_next in pairs)
    if positives != 400:
        raise Wrong(f"Of 800 pairs {positives} are is_next; half of them, 400, should be.")

    starts = {first for first, _, is_next in pairs if is_next}
    possible = sum(length - 1 for length in lengths)
    if len(starts) < 0.8 * possible:
        raise Wrong(
            f"In 400 positive pairs only {len(starts)} of {possible} possible first sentences occur: draw any sentence "
            "that has a next."
        )
    _negatives([(first, second) for first, second, is_next in pairs if not is_next], place, documents)
    if _drawn(student, documents, 40) != _drawn(student, documents, 40):
        raise Wrong("Two generators of one seed give different pairs: pass `generator` to every draw.")
    if _drawn(student, documents, 40, 1) == _drawn(student, documents, 40, 2):
        raise Wrong("Generators of different seeds give the same pairs: `generator` is not used.")
    shared = torch.Generator().manual_seed(3)
    if student(documents, 40, shared) == student(documents, 40, shared):
        raise Wrong("Two calls with one generator give the same pairs: it is set back in every call. Seed nothing.")
    return "Half are next sentences, half come from other documents; documents of one sentence give no next."


def _negatives(negatives: list[tuple[str, str]], place: dict, documents: list) -> None:
    """Their sentences come from everywhere, and the second from any other document."""
    firsts, seconds = ({pair[n] for pair in negatives} for n in (0, 1))
    if len(seconds) < 0.7 * len(place):
        raise Wrong("The negatives are always the same few sentences: draw them from all other documents.")
    met = {place[second][0] for second in seconds}
    if missing := [d for d in range(len(documents)) if d not in met]:
        if all(len(documents[d]) == 1 for d in missing):
            raise Wrong("Documents of one sentence never serve in a negative: only a positive needs a next sentence.")
        raise Wrong(
            f"In {len(negatives)} negatives no second sentence comes from document {missing[0]} of {len(documents)}: "
            "torch.randint leaves out its upper end already, so draw from all."
        )
    if len(firsts) <= len(documents) + 2:
        raise Wrong(f"The negatives have only {len(firsts)} different first sentences: draw any of a document.")
    if len({(place[first][0], place[second][0]) for first, second in negatives}) < 3 * len(documents):
        raise Wrong(
            "The second sentence of a negative comes from one or two documents only, the next ones for instance: draw "
            "any other document."
        )


# --- BertEmbeddings


def _embedding_mistakes(weights: list[Tensor], ids: Tensor, segments: Tensor) -> dict[str, Tensor]:
    """{sentence: what that mistake gives}."""
    token, position, segment, gain, bias = weights
    places = torch.arange(ids.shape[1])
    summed = token[ids] + position[places] + segment[segments]
    only = oracle.bert_embeddings(token, 0 * position, 0 * segment, gain, bias, ids, segments)
    return {
        "the layer norm is left out.": summed,
        "positions count from 1: the first is place 0.": oracle.bert_embeddings(
            token, position.roll(-1, 0), segment, gain, bias, ids, segments
        ),
        "the token vectors are multiplied by the root of their width, as in another transformer: add them as they "
        "are.": oracle.bert_embeddings(token * token.shape[1] ** 0.5, position, segment, gain, bias, ids, segments),
        "only the token vectors are normalised: add all three, then normalise.": (
            only + position[places] + segment[segments]
        ),
    }


@exercise("week03")
def BertEmbeddings(student: Student) -> str:
    """BertEmbeddings(vocab_size, hidden_size, max_length): token + position + segment, LayerNorm (eps 1e-12), dropout.

    Compared with the definition on its own weights: that the output has mean 0 and variance 1 would prove nothing, any
    layer norm makes it so.
    """
    module = student(11, 6, 8)
    if not isinstance(module, nn.Module):
        raise Wrong(f"It is a {type(module).__name__}, it should be an nn.Module.")
    tables = {"token": (11, 6), "position": (8, 6), "segment": (2, 6)}
    for name, shape in tables.items():
        weight = getattr(getattr(module, name, None), "weight", None)
        if not isinstance(weight, Tensor) or tuple(weight.shape) != shape:
            raise Wrong(f"Its attribute `{name}` should be an nn.Embedding of shape {shape}.")
    if not isinstance(getattr(module, "norm", None), nn.LayerNorm) or module.norm.eps != 1e-12:
        raise Wrong("Its attribute `norm` should be an nn.LayerNorm with eps=1e-12.")
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(student.normal(*weights.shape))
    module.eval()

    ids = torch.randint(0, 11, (3, 5), generator=student.generator)
    segments = torch.tensor([[0, 0, 0, 1, 1]]).expand(3, 5)
    weights = [getattr(module, name).weight.double() for name in tables]
    weights += [module.norm.weight.double(), module.norm.bias.double()]
    came = tensor(student.run(module, ids, segments), (3, 5, 6), "It returns")
    right = oracle.bert_embeddings(*weights, ids, segments)
    if not close(came, right):
        silent = [torch.zeros_like(part) for part in weights[:3]]
        for n, name in enumerate(tables):
            without = [silent[m] if m == n else weights[m] for m in range(3)]
            if close(came, oracle.bert_embeddings(*without, *weights[3:], ids, segments)):
                raise Wrong(f"It looks as if the {name} embedding is left out of the sum.")
        for sentence, parts in _embedding_mistakes(weights, ids, segments).items():
            if close(came, parts):
                raise Wrong(f"It looks as if {sentence}")
        raise Wrong("It is not LayerNorm(token + position + segment), computed with its own weights.")
    came = student.run(module, ids)
    if not close(came, oracle.bert_embeddings(*weights, ids, torch.zeros_like(ids))):
        raise Wrong("Without segment ids all tokens belong to segment 0.")
    try:
        student.run(module, torch.zeros(2, 9, dtype=torch.long))
    except Wrong:  # as it should be: there are 8 positions
        pass
    else:
        raise Wrong(
            "A text of 9 tokens gets through a model of 8 positions: refuse it, or it loses its order silently."
        )
    module.train()
    if not (student.run(module, ids) == 0).any():
        raise Wrong("In train mode nothing is dropped: dropout stands behind the layer norm.")
    return "Token, position and segment added, normalised, with dropout: equal to the definition on its own weights."
