"""The check of moco_step: right in any style, and each way to get the order or a part wrong is told by name."""

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell

import sslcourse
from sslcourse import train
from sslcourse.check import machinery
from sslcourse.check import week05 as check

PARTS = {name: sslcourse.solution("week05", name) for name in ("info_nce", "update_ema", "Queue")}

STEP = """
def moco_step(query, key, queue, update, view0, view1, momentum, temperature):
    with torch.no_grad():
        k = key(view1)
    q = query(view0)
    loss = info_nce(q, k, queue.keys, temperature)
    update(loss)
    update_ema(query, key, momentum)
    queue.enqueue(k)
    return loss
"""
# The paper's algorithm 1, with nothing of the notebook but the queue.
PAPER = """
def moco_step(query, key, queue, update, view0, view1, momentum, temperature):
    q = F.normalize(query(view0), dim=1)
    k = F.normalize(key(view1), dim=1).detach()
    l_pos = torch.einsum("nc,nc->n", q, k)[:, None]
    l_neg = torch.einsum("nc,kc->nk", q, queue.keys.clone().detach())
    logits = torch.cat([l_pos, l_neg], dim=1) / temperature
    loss = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
    queue.enqueue(k)
    update(loss)
    for new, old in zip(query.parameters(), key.parameters()):
        old.data = old.data * momentum + new.data * (1.0 - momentum)
    return loss.item()
"""
BY_STATE = """
def moco_step(query, key, queue, update, view0, view1, momentum, temperature):
    with torch.inference_mode():
        keys = key(view1)
    keys = keys.clone()
    loss = info_nce(query(view0), keys, queue.keys, temperature=temperature)
    update(loss)
    queue.enqueue(keys)
    with torch.no_grad():
        new = query.state_dict()
        key.load_state_dict({n: momentum * w + (1 - momentum) * new[n] for n, w in key.state_dict().items()})
    return float(loss)
"""


def step(*changes, source=STEP):
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    return cell(source, "moco_step", torch=torch, F=F, train=train, **PARTS)


CALL = "update_ema(query, key, momentum)"
LOSS, UPDATE, EMA, ENQUEUE = (f"    {line}\n" for line in (
    "loss = info_nce(q, k, queue.keys, temperature)", "update(loss)", "update_ema(query, key, momentum)",
    "queue.enqueue(k)"))  # fmt: skip
NO_GRAD = "    with torch.no_grad():\n        k = key(view1)\n"


@pytest.mark.parametrize(
    "right",
    [
        step(),
        step(source=PAPER),
        step(source=BY_STATE),
        step(EMA + ENQUEUE, ENQUEUE + EMA),
        step(UPDATE + EMA + ENQUEUE, ENQUEUE + UPDATE + EMA),  # the loss has been computed: the queue may move on
        step("k = key(view1)", "order = torch.randperm(len(view1)); k = key(view1[order])[order.argsort()]"),
        step(
            "k = key(view1)",
            "order = torch.tensor([2, 0, 1, 3])[: len(view1)]; raw = key(view1[order]); k = raw[order.argsort()]",
            "enqueue(k)",
            "enqueue(raw)",
        ),
        step(NO_GRAD, "    k = key(view1).detach()\n", "update_ema(", "train.update_ema("),
        step("return loss", "return loss.detach()", "queue.enqueue(k)", "queue.enqueue(F.normalize(k, dim=1))"),
        sslcourse.solution("week05", "moco_step"),
    ],
)
def test_right_moco_step(right, seeds, monkeypatch):
    monkeypatch.setattr(machinery, "_is_reference", lambda *arguments: False)
    assert_right(check.moco_step, right)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((LOSS, ENQUEUE + LOSS, UPDATE + EMA + ENQUEUE, UPDATE + EMA), "the new keys join the queue before the loss"),
        ((UPDATE + EMA, EMA + UPDATE), "the moving average comes before the update"),
        ((NO_GRAD, EMA + NO_GRAD, UPDATE + EMA, UPDATE), "the moving average comes before the update"),
        ((NO_GRAD, "    k = key(view1)\n"), "carry a gradient"),
        ((NO_GRAD, "    k = key(view1)\n", "info_nce(q,", "attached(q,"), "gradient reaches"),
        (("k = key(view1)", "k = key(view1.flip(0))"), "in another order than the queries"),
        (("k = key(view1)", "k = key(view1).roll(1, 0)"), "in another order than the queries"),
        (("q = query(view0)", "q = F.normalize(query(view0), dim=0)"), "runs over the batch"),
        (("update(loss)", "update(loss / 2)"), "multiplied by something"),
        (("update(loss)", "update(2 * temperature * loss)"), "multiplied by something"),
        (("queue.keys, temp", "queue.keys[1:], temp"), "a part of the queue"),
        ((LOSS, "    logits = F.normalize(q) @ F.normalize(torch.cat([k, queue.keys])).T / temperature\n"
          "    loss = F.cross_entropy(logits, torch.arange(len(q)))\n"), "the new keys are among the negatives"),
        ((LOSS, "    logits = F.normalize(q) @ queue.keys.clone().T / temperature\n"
          "    loss = F.cross_entropy(logits, torch.zeros(len(q)).long())\n"), "the positive is missing"),
        ((LOSS, "    logits = torch.cat([(q * k).sum(1, True), q @ queue.keys.clone().T], 1) / temperature\n"
          "    loss = F.cross_entropy(logits, torch.zeros(len(q)).long())\n"), "embeddings are not normalised"),
        ((LOSS, "    qq = F.normalize(q)\n"
          "    logits = torch.cat([(qq * F.normalize(k)).sum(1, True), qq @ queue.keys.T], 1) / temperature\n"
          "    loss = F.cross_entropy(logits, torch.zeros(len(q)).long())\n" + ENQUEUE,
          ENQUEUE + "    return", "    return"),
         "still needs the old ones"),
        (("queue.enqueue(k)", "queue.enqueue(q)"), "fed with queries"),
        (("queue.enqueue(k)", "queue.enqueue(q.detach())"), "fed with queries"),
        (("queue.enqueue(k)", "queue.enqueue(key(view1).detach())"), "run 2 times"),
        (("queue.enqueue(k)", "queue.enqueue(torch.cat([q, k]))"), "is given (8, 5), it should be the new keys"),
        (("queue.enqueue(k)", "queue.enqueue(F.normalize(k, dim=0))"), "normalised over the batch"),
        ((ENQUEUE, ""), "enqueue is never called"),
        ((ENQUEUE, 2 * ENQUEUE), "enqueue is called 2 times"),
        (("key(view1)", "key(view0)"), "both encoders see view0"),
        (("query(view0)", "query(view1)"), "both encoders see view1"),
        (("key(view1)", "key(view0)", "query(view0)", "query(view1)"), "the views are swapped"),
        (("key(view1)", "query(view1)"), "the key encoder is never used"),
        (("query(view0)", "key(view0)"), "the query encoder is never used"),
        (("query(view0)", "(query(view0) + query(view1)) / 2"), "it sees view0 only"),
        (("info_nce(q, k, queue.keys", "info_nce(k, q, queue.keys"), "q and k are swapped"),
        (("info_nce(q, k, queue.keys", "info_nce(q, k, k"), "the negatives are the new keys"),
        (("info_nce(q, k, queue.keys", "info_nce(q, k, torch.cat([queue.keys, k])"), "the new keys are among"),
        ((", temperature)\n", ")\n"), "temperature is not used"),
        (("queue.keys, temperature", "queue.keys, 1 / temperature"), "multiplied by the temperature"),
        (("info_nce(q, k, queue.keys", "bare(q, k, queue.keys"), "only a part is normalised"),
        (("update(loss)", "update(-loss)"), "the sign is wrong"),
        (("update(loss)", "update(2 * loss)"), "it should be"),
        ((UPDATE, ""), "update(loss) is never called"),
        ((UPDATE, 2 * UPDATE), "update is called 2 times"),
        (("update(loss)", "loss.backward(); update(loss)"), "backward() is called by hand"),
        (("update(loss)", "update(loss.detach())"), "carries no gradient"),
        (("update(loss)", "update(loss.item())"), "of type float"),
        (("    q = query(view0)\n", "    with torch.no_grad():\n        q = query(view0)\n"), "carries no gradient"),
        ((CALL, "update_ema(key, query, momentum)"), "runs the wrong way"),
        ((CALL, "update_ema(query, key, 1 - momentum)"), "momentum is the wrong way round"),
        ((CALL, "update_ema(query, key, 0.99)"), "the momentum is 0.99 whatever"),
        ((CALL, "update_ema(query, key, 0.0)"), "a copy of the query encoder"),
        ((EMA, 2 * EMA), "it moves twice"),
        ((EMA, ""), "It has not moved"),
        ((CALL, "update_ema(query.first, key.first, momentum)"), "Only 2 of its 5 parameters"),
        (("return loss", "return"), "returns None"),
        (("return loss", "return queue.keys.mean()"), "it should return the loss"),
        (("moco_step(query, key,", "moco_step(key, query,"), "the views are swapped"),
    ],
)  # fmt: skip
def test_wrong_moco_step(changes, words):
    assert_wrong(check.moco_step, step(*changes, source=STEP + HELPERS), words)


HELPERS = """
def attached(q, k, queue, temperature):
    q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.clone().T], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))

def bare(q, k, queue, temperature):
    logits = torch.cat([(F.normalize(q, dim=1) * k).sum(1, keepdim=True), F.normalize(q, dim=1) @ queue.T], 1)
    return F.cross_entropy(logits / temperature, torch.zeros(len(q), dtype=torch.long))
"""


def test_a_step_with_the_real_parts_trains_in_fit():
    """The exercise as the notebook uses it: a whole training is the loop of the paper, written out."""

    def parts():
        torch.manual_seed(3)
        query, key = torch.nn.Linear(6, 4), torch.nn.Linear(6, 4).requires_grad_(False)
        return query, key, PARTS["Queue"](8, 4)

    images = torch.randn(16, 6)
    query, key, queue = parts()
    train.fit(
        lambda update, x: step()(query, key, queue, update, x, x.flip(1), 0.9, 0.5), [query, key, queue], images,
        epochs=3, batch_size=4, warmup=0.0, own_step=True, progress=False, generator=torch.Generator().manual_seed(1),
        optimizer=torch.optim.SGD(query.parameters(), lr=0.1),
    )  # fmt: skip
    slow_query, slow_key, slow_queue = parts()
    optimizer, generator = torch.optim.SGD(slow_query.parameters(), lr=0.1), torch.Generator().manual_seed(1)
    done = 0
    for _ in range(3):
        for x in images[torch.randperm(16, generator=generator)].split(4):
            optimizer.param_groups[0]["lr"] = 0.05 * (1 + torch.cos(torch.tensor(torch.pi * done / 12))).item()
            k = slow_key(x.flip(1))
            loss = PARTS["info_nce"](slow_query(x), k, slow_queue.keys, 0.5)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            PARTS["update_ema"](slow_query, slow_key, 0.9)
            slow_queue.enqueue(k)
            done += 1
    mine = *query.parameters(), *key.parameters(), queue.keys
    torch.testing.assert_close(mine, (*slow_query.parameters(), *slow_key.parameters(), slow_queue.keys))
