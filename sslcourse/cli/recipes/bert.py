"""BERT on the toy reviews: week 3's training, run for longer on more texts.

References: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding".
"""

import torch
from torch import nn

import sslcourse
from sslcourse import data, models, train

EPOCHS, TEXTS, BATCH, MASKED, RATE, MAX_LENGTH = 12, 60_000, 64, 0.25, 2e-3, 16


def bert_reviews(seed: int) -> nn.Module:
    """Masked language modelling from random weights; the vocabulary is that of `data.reviews_tokenizer`."""
    mask_tokens, mlm_loss = (sslcourse.solution("week03", part) for part in ("mask_tokens", "mlm_loss"))
    tokenizer = data.reviews_tokenizer()
    vocab_size, mask_id = tokenizer.get_vocab_size(), tokenizer.token_to_id("[MASK]")
    tokens = data.encode(tokenizer, data.load_texts("reviews", "train", n=TEXTS, seed=seed).texts, MAX_LENGTH)

    torch.manual_seed(seed)
    model = models.bert(vocab_size, max_length=MAX_LENGTH)
    generator = torch.Generator().manual_seed(seed)

    def step(input_ids: torch.Tensor, attention_mask: torch.Tensor, special: torch.Tensor) -> torch.Tensor:
        inputs, labels = mask_tokens(input_ids, special, mask_id, vocab_size, MASKED, generator)
        hidden = model.bert(input_ids=inputs, attention_mask=attention_mask).last_hidden_state  # (N, L, D)
        chosen = labels != -100
        return mlm_loss(model.cls(hidden[chosen]), labels[chosen])  # the head only where it is asked

    train.fit(
        step,
        model,
        (tokens.input_ids, tokens.attention_mask, tokens.special),
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=RATE,
        weight_decay=0.01,
        clip=1.0,
        generator=torch.Generator().manual_seed(seed),
        label="BERT",
    )
    return model


def gaps_of_reviews(model: nn.Module) -> dict[str, float]:
    """Loss and accuracy at hidden words of 2,000 test reviews of seed 0, which no checkpoint has seen."""
    solved = (sslcourse.solution("week03", part) for part in ("mask_tokens", "mlm_loss", "mlm_accuracy"))
    mask_tokens, mlm_loss, mlm_accuracy = solved
    tokenizer = data.reviews_tokenizer()
    tokens = data.encode(tokenizer, data.load_texts("reviews", "test", seed=0).texts, MAX_LENGTH)
    generator = torch.Generator().manual_seed(0)
    inputs, labels = mask_tokens(
        tokens.input_ids, tokens.special, tokenizer.token_to_id("[MASK]"), tokenizer.get_vocab_size(), MASKED, generator
    )
    with torch.no_grad():
        logits = model(input_ids=inputs, attention_mask=tokens.attention_mask).logits
    return {"loss at hidden words": mlm_loss(logits, labels).item(), "accuracy": mlm_accuracy(logits, labels)}
