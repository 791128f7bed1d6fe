"""The small BERT of week 3: its shapes, its first loss, and a width that heads cannot share."""

import math

import pytest
import torch

from sslcourse import models


def test_an_untrained_bert_guesses_and_ignores_padding():
    torch.manual_seed(0)
    model = models.bert(50, hidden_size=16, layers=1, max_length=8, initializer_range=0.02).eval()
    ids = torch.randint(5, 50, (4, 8))
    out = model(input_ids=ids, labels=ids)
    assert out.logits.shape == (4, 8, 50)
    assert out.loss.item() == pytest.approx(math.log(50), abs=0.2)
    assert model.config.intermediate_size == 32 and model.config.pad_token_id == 0

    mask = torch.arange(8).expand(4, 8) < 5
    cut = model.bert(input_ids=ids[:, :5], attention_mask=mask[:, :5].long()).last_hidden_state
    padded = model.bert(input_ids=ids.masked_fill(~mask, 0), attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(padded[:, :5], cut, rtol=0, atol=1e-5)


def test_one_seed_gives_one_network_and_attention_can_be_looked_at():
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(models.bert(20, hidden_size=8, heads=2, layers=1).eval())
    for one, other in zip(*(model.state_dict().values() for model in made), strict=True):
        assert torch.equal(one, other)
    looked = made[0].bert(input_ids=torch.ones(1, 6, dtype=torch.int64), output_attentions=True).attentions
    assert looked[0].shape == (1, 2, 6, 6)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="hidden_size is 10, which 4 heads cannot share; take a multiple of 4"):
        models.bert(20, hidden_size=10)
