"""`fit` against a bare loop, Lightning and the Hugging Face Trainer over the same steps.

    python benchmarks/fit.py

A small convolutional network, where the fixed cost of a step weighs most. The bare loop ends with the same weights,
bit by bit.
"""

import copy
import tempfile

import torch
import torch.nn.functional as F
from rows import compare, one_thread, peer, show

from sslcourse.models import backbone
from sslcourse.train import fit
from sslcourse.train.schedule import learning_rate_share

N, BATCH = 2048, 128
STEPS = N // BATCH


def bare(model, x, y, seed: int = 0) -> None:
    """What one would write in a notebook: shuffle, schedule, forward, backward, update, loss added up."""
    total = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for step, index in enumerate(torch.randperm(N, generator=generator).split(BATCH)):
        optimizer.param_groups[0]["lr"] = 1e-3 * learning_rate_share(step, STEPS, round(0.1 * STEPS))
        loss = F.cross_entropy(model(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()


def ours(model, x, y, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    fit(
        lambda x, y: F.cross_entropy(model(x), y),
        model,
        (x, y),
        epochs=1,
        batch_size=BATCH,
        generator=generator,
        progress=False,
    )


def lightning(model, x, y) -> None:
    import logging
    import warnings

    import lightning as L
    from lightning.pytorch.trainer.connectors import callback_connector

    # stable-pretraining, a peer of the tests, adds callbacks of its own to every Trainer of the environment.
    callback_connector._load_external_callbacks = lambda group: []
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, _):
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=STEPS + 1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    L.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(Module(), loader)


def hugging_face(model, x, y) -> None:
    from transformers import Trainer, TrainingArguments

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x, labels):
            return {"loss": F.cross_entropy(self.model(x), labels)}

    data = [{"x": image, "labels": label} for image, label in zip(x, y, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        steps = {
            "num_train_epochs": 1,
            "per_device_train_batch_size": BATCH,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 2,
        }
        quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}
        settings = TrainingArguments(
            output_dir=folder,
            learning_rate=1e-3,
            max_grad_norm=0.0,
            use_cpu=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            **steps,
            **quiet,
        )
        Trainer(Wrapped(), settings, train_dataset=data).train()


def rows():
    one_thread()
    torch.manual_seed(0)
    data = torch.randint(0, 256, (N, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (N,))
    start = torch.nn.Sequential(body := backbone("conv4"), torch.nn.Linear(body.num_features, 10))
    a, b = copy.deepcopy(start), copy.deepcopy(start)
    ours(a, *data), bare(b, *data)
    for one, other in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)

    def fresh(train):
        return lambda: train(copy.deepcopy(start), *data)

    peers = {
        "bare loop": fresh(bare),
        "Lightning": peer("lightning") and fresh(lightning),
        "Hugging Face Trainer": peer("transformers") and fresh(hugging_face),
    }
    yield from compare(f"{STEPS} steps of {BATCH}", fresh(ours), peers, {"bare loop": 0.95}, rounds=3)


if __name__ == "__main__":
    show(rows())
