"""Masked language modelling on the toy protein families: week 12's training, run for longer on more sequences.

References: Rives et al. 2021, "Biological structure and function emerge from scaling unsupervised learning to 250
million protein sequences"; Rao et al. 2021, "Transformer protein language models are unsupervised structure learners";
Meier et al. 2021, "Language models enable zero-shot prediction of the effects of mutations on protein function".
"""

import torch
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, train

EPOCHS, SEQUENCES, BATCH, RATE = 11, 60_000, 64, 3e-3


def esm_potts(seed: int) -> nn.Module:
    """The whole language model; every epoch sees new masks."""
    sequences = data.load_proteins("potts", "train", n=SEQUENCES, seed=seed).sequences
    torch.manual_seed(seed)
    model = models.esm(64, 3, 4, positions="absolute", max_length=len(sequences[0]))
    train.fit(
        lambda ids: train.masked_residue_loss(model, ids),
        model,
        model.tokens(sequences)[0],
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=RATE,
        weight_decay=0.01,
        clip=1.0,
        generator=torch.Generator().manual_seed(seed),
        label="ESM",
    )
    return model


def contacts_and_effects(model: nn.Module) -> dict[str, float]:
    """Precision at L of left-out families, and rank correlation of masked marginals; test sequences of seed 0.

    Five sequences of each family go through the contact regression of week 12, eight wild types are scanned. No
    checkpoint has seen seed 0.
    """
    from scipy.stats import spearmanr

    parts = ("attention_features", "ContactHead", "masked_marginal")
    features_of, head_of, masked_marginal = (sslcourse.solution("week12", part) for part in parts)
    some = data.load_proteins("potts", "test", n=20, seed=0)
    features = [features_of(model.attentions(sequence)) for sequence in some.sequences]
    labels = some.labels.tolist()
    precisions = []
    for family in sorted(set(labels)):
        others = [n for n, label in enumerate(labels) if label != family]
        head = head_of().fit([features[n] for n in others], [some.contacts[labels[n]] for n in others])
        precisions += [
            evaluate.precision_at_l(head(features[n]), some.contacts[family])
            for n, label in enumerate(labels)
            if label == family
        ]

    scan = data.load_proteins("potts_scan", "test", n=8, seed=0)
    correlations = []
    for k, wild in enumerate(scan.wild_types):
        places = list(range(len(wild)))
        log_p = model.log_probs([wild] * len(wild), masked=places)[places, places]  # (L, 20)
        mine = scan[scan.labels == k]
        scored = masked_marginal(lambda sequence, position, log_p=log_p: log_p[position], wild, mine.mutations)
        correlations.append(float(spearmanr(scored, mine.scores).statistic))
    return {
        "precision at L": sum(precisions) / len(precisions),
        "Spearman of masked marginals": sum(correlations) / len(correlations),
    }
