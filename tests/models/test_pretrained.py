"""Networks with weights: shipped files fit strictly and are as good as they say, others are refused."""

import hashlib
import json
import os

import pytest
import torch
import transformers
from local_server import Server
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import resnet50

import sslcourse
from sslcourse import augment, data, models, train, weeks
from sslcourse.cli import checkpoints
from sslcourse.data.fetch import Download
from sslcourse.data.images import scenes
from sslcourse.data.texts import reviews
from sslcourse.models import pretrained, published

NAME = "moco_scenes_conv4"
SHIPPED = dict(pretrained.SHIPPED)
every_checkpoint = pytest.mark.parametrize("name", SHIPPED)


# ---- what ships


@every_checkpoint
def test_a_checkpoint_loads_strictly_in_eval_mode(name):
    model = models.load_pretrained(name)
    stored = load_file(pretrained.FOLDER / f"{name}.safetensors")
    assert model.state_dict().keys() == stored.keys() and not any(part.training for part in model.modules())
    for key, value in model.state_dict().items():
        assert stored[key].dtype in (torch.float16, torch.int64)
        torch.testing.assert_close(value, stored[key].to(value.dtype), rtol=0, atol=0)
        assert value.isfinite().all(), key
    if isinstance(model, models.ProteinLM):
        assert model(model.tokens(["ACDEF", "GHIKL"])[0]).shape == (2, 7, 33)
        return
    if isinstance(model, transformers.PreTrainedModel):
        assert model(input_ids=torch.ones(2, 9, dtype=torch.int64)).logits.shape == (2, 9, model.config.vocab_size)
        return
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    if name.startswith("autoencoder_"):
        assert model(images).shape == images.shape
        return
    assert model(images).shape == (2, model.num_features)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.real_data] * (row.version is None)) for name, row in SHIPPED.items()],
)
def test_a_checkpoint_is_as_good_as_it_says(name):
    """As its measure says; of one that takes minutes, as the same on a small part of the data does."""
    row = pretrained.SHIPPED[name]
    said = pretrained.notes(pretrained.FOLDER / f"{name}.safetensors")
    assert (said["name"], said["seed"], said["toy"], said["version"]) == (name, row.seed, row.toy, row.version)
    noted = said["again" if row.again else "quality"]
    again = checkpoints.function(row.again or row.measure)(models.load_pretrained(name))
    assert noted.keys() == again.keys()
    for measure, value in again.items():
        assert value == pytest.approx(noted[measure], abs=0.01), measure  # another processor, other rounding


@pytest.mark.parametrize("name", [name for name, row in SHIPPED.items() if row.resumes])
def test_a_long_training_says_how_long_it_took(name):
    said = pretrained.notes(pretrained.FOLDER / f"{name}.safetensors")
    assert said["seconds"] > 60 and all(0.1 < value < 1 for value in said["quality"].values())
    assert said["again"].keys() == said["quality"].keys()


def test_bert_reviews_numbers_the_pieces_as_its_tokenizer_does():
    """A vocabulary of other numbers would fit the shapes and make nonsense; gaps are filled as the grammar does."""
    tokenizer, model = data.reviews_tokenizer(), models.load_pretrained("bert_reviews")
    assert tokenizer.get_vocab_size() == model.config.vocab_size
    for word in ("superb", "awful"):
        tokens = data.encode(tokenizer, [f"soup was {word} and [MASK] ."], 16)
        logits = model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
        likely = logits[tokens.input_ids == tokenizer.token_to_id("[MASK]")][0].topk(8).indices.tolist()
        kind = reviews.WORDS[int(word == "superb")]
        assert all(tokenizer.id_to_token(place) in kind for place in likely)


def test_the_whole_autoencoder_is_week_8s_and_paints_scenes():
    """Its state is that of the exercise's own network, whose forward pass then predicts what is hidden."""
    MAE, mae_loss = (sslcourse.solution("week08", part) for part in ("MAE", "mae_loss"))
    whole, network = models.load_pretrained("mae_scenes_whole"), MAE(32, 8, dim=96, depth=3, num_heads=3)
    network.load_state_dict(whole.state_dict())
    images = data.as_float(data.load_images("scenes", "test", n=100, seed=3).images)
    torch.testing.assert_close(whole(images), network.encoder(images))
    patches = sslcourse.solution("week06", "patchify")(images, 8)
    mask = augment.random_mask(100, 16, 0.5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        error = mae_loss(network.eval()(images, mask), patches, mask).item()
    assert error < 0.45 < mae_loss(torch.zeros_like(patches), patches, mask).item()


def test_the_table_is_that_of_the_files_and_all_are_small():
    assert (pretrained.FOLDER / "README.md").read_text(encoding="utf-8") == checkpoints.table()
    files = list(pretrained.FOLDER.glob("*.safetensors"))
    assert sorted(file.stem for file in files) == sorted(pretrained.SHIPPED)
    assert sum(file.stat().st_size for file in files) <= checkpoints.LARGEST


def test_making_one_writes_a_file_that_loads(monkeypatch, tmp_path, capsys):
    """The whole way of `make checkpoints`, with a recipe that trains nothing."""
    row = pretrained.Shipped(
        lambda: models.backbone("conv4"), "nothing", f"{__name__}:untrained", f"{__name__}:mean", 3, "scenes", 1
    )
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "checkpoints")
    monkeypatch.setattr(pretrained, "SHIPPED", {"test": row})
    monkeypatch.setattr(checkpoints, "function", lambda place: globals()[place.split(":")[1]])
    assert checkpoints.main([]) == 0
    torch.testing.assert_close(
        models.load_pretrained("test").stage1[0].weight, untrained(3).stage1[0].weight, rtol=1e-3, atol=1e-4
    )
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["README.md", "test.safetensors"]
    row = "| `test` | nothing | 3 | scenes version 1 | 159,984 | 0 | "
    content = (tmp_path / "checkpoints" / "test.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    assert f"{row}mean 0.500 | {len(content):,} | `{digest}` |" in checkpoints.table()
    with pytest.raises(SystemExit):
        checkpoints.main(["missing"])
    assert "choose among test" in capsys.readouterr().err
    monkeypatch.setattr(checkpoints, "LARGEST", 1000)
    assert checkpoints.main([]) == 1


def test_a_long_training_goes_on_where_it_was_cut_off(monkeypatch, tmp_path):
    """Cut off in its second epoch, called again: as if it had not been, with the seconds of both, measured twice."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "sslcourse" / "checkpoints")
    places = {"recipe": f"{__name__}:long", "measure": f"{__name__}:mean", "again": f"{__name__}:mean"}
    places |= {"seed": 3, "toy": "cifar10", "version": None, "resumes": True}
    row = pretrained.Shipped(lambda: nn.Linear(3, 1), "long", **places)
    monkeypatch.setattr(pretrained, "SHIPPED", {"test": row})
    monkeypatch.setattr(checkpoints, "function", lambda place: globals()[place.split(":")[1]])
    monkeypatch.setenv("CUT", "7")
    with pytest.raises(KeyboardInterrupt):
        checkpoints.make("test")
    state = checkpoints.unfinished("test")
    assert state.is_file() and state.parent == tmp_path / "runs" / "checkpoints"
    before = torch.load(state, weights_only=True)["history"]
    assert len(before["loss"]) == 1

    monkeypatch.delenv("CUT")
    path = checkpoints.make("test")
    said = pretrained.notes(path)
    assert not state.exists() and said["seconds"] > before["seconds"] and said["version"] is None
    assert said["again"] == said["quality"] == {"mean": 0.5}
    whole = long(3, tmp_path / "other.pt")
    torch.testing.assert_close(models.load_pretrained("test").weight, whole.weight, rtol=1e-3, atol=1e-4)
    assert "| cifar10 |" in checkpoints.table()


def long(seed, file):
    torch.manual_seed(seed)
    network = nn.Linear(3, 1)

    def cut(step):  # at a step that no function given to fit holds: it would be another training
        if str(step) == os.environ.get("CUT"):
            raise KeyboardInterrupt

    order, x = torch.Generator().manual_seed(seed), torch.randn(20, 3)
    history = train.fit(
        lambda batch: network(batch).square().mean(),
        network,
        x,
        epochs=3,
        batch_size=4,
        lr=0.1,
        generator=order,
        checkpoint=file,
        after_step=cut,
    )
    if history.stopped:
        raise KeyboardInterrupt
    return network


def test_a_new_row_is_made_listed_and_loaded(monkeypatch, tmp_path):
    name = "supervised_cifar10_conv4"
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "checkpoints")
    row = pretrained.Shipped(
        lambda: models.backbone("conv4"), "it", f"{__name__}:untrained", f"{__name__}:mean", 3, "cifar10", None
    )
    monkeypatch.setattr(pretrained, "SHIPPED", {name: row})
    monkeypatch.setattr(checkpoints, "function", lambda place: globals()[place.split(":")[1]])
    assert checkpoints.main([name]) == 0
    expected = untrained(3)
    for key, value in models.load_pretrained(name).state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key].half().to(value.dtype), rtol=0, atol=0)
    written = (tmp_path / "checkpoints" / "README.md").read_text()
    assert f"| `{name}` | it | 3 |" in written and "| mean 0.500 |" in written


def untrained(seed):
    torch.manual_seed(seed)
    return models.backbone("conv4")


def mean(network):
    return {"mean": 0.5}


# ---- files that will not do


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A copy of the shipped file, to be spoilt."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    content = (pretrained.Path(pretrained.__file__).parents[1] / "checkpoints" / f"{NAME}.safetensors").read_bytes()
    (tmp_path / f"{NAME}.safetensors").write_bytes(content)
    return tmp_path


def rewrite(folder, weights=None, **said):
    """The file with other weights or other notes."""
    path = folder / f"{NAME}.safetensors"
    weights, said = weights or load_file(path), pretrained.notes(path) | said
    save_file(weights, path, metadata={"sslcourse": json.dumps(said)})


def refused(error, words):
    with pytest.raises(error) as caught:
        models.load_pretrained(NAME)
    assert words in str(caught.value) and "\n" not in str(caught.value), caught.value


def test_a_copy_loads(folder):
    rewrite(folder)
    assert models.load_pretrained(NAME).num_features == 128


def test_missing_unexpected_and_misshapen_weights(folder):
    weights = load_file(folder / f"{NAME}.safetensors")
    first, *rest = sorted(weights)
    rewrite(folder, {key: weights[key] for key in rest})
    refused(ValueError, f"the file lacks '{first}'")
    rewrite(folder, weights | {"head.weight": torch.zeros(3), "other": torch.zeros(2)})
    refused(ValueError, "has an unexpected 'head.weight' and 1 more")
    rewrite(folder, weights | {first: torch.zeros(5)})
    refused(ValueError, f"'{first}' has shape (5,) in the file, it should be")


@pytest.mark.parametrize("bytes_kept", [0, 5, 300, -1000])
def test_a_truncated_file(folder, bytes_kept):
    path = folder / f"{NAME}.safetensors"
    path.write_bytes(path.read_bytes()[:bytes_kept])
    refused(ValueError, "is damaged or cut short")


def test_foreign_files(folder):
    path = folder / f"{NAME}.safetensors"
    path.write_bytes(b"<html>404</html>" * 50)
    refused(ValueError, "is damaged or cut short")
    save_file({"weight": torch.zeros(2)}, path)
    refused(ValueError, "is not a checkpoint of this course")
    path.unlink()
    refused(FileNotFoundError, "run `make checkpoints`")


def test_the_file_of_another_checkpoint(folder):
    rewrite(folder, name="dino_scenes")
    refused(ValueError, "holds the checkpoint dino_scenes, not moco_scenes_conv4")


def test_another_version_of_the_toy_world(folder, monkeypatch):
    rewrite(folder, version=0)
    refused(ValueError, "was trained on scenes version 0, moco_scenes_conv4 should be on scenes version 1")
    monkeypatch.setattr(scenes, "VERSION", 2)
    refused(ValueError, "was trained on version 1 of scenes, which are at version 2 by now")


def test_unknown_names():
    with pytest.raises(ValueError, match="did you mean moco_scenes_conv4"):
        models.load_pretrained("moco_scene_conv4")
    with pytest.raises(ValueError, match="choose one of moco_scenes_conv4"):
        models.load_pretrained("xyz")


# ---- published weights


@pytest.fixture
def server():
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SSLCOURSE_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "data"


def as_authors(folder, change=None):
    """A file in the layout of the authors' checkpoint, with one number stored for each weight, so that it is small."""
    net = resnet50(weights=None)
    net.fc = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))
    state = {}
    for n, (key, value) in enumerate(net.state_dict().items()):
        one = torch.full((), 0.01 + n % 7 / 100).to(value.dtype).expand(value.shape)
        state |= {f"module.encoder_q.{key}": one, f"module.encoder_k.{key}": 2 * one[..., :1] if one.dim() else one}
    state |= {"module.queue": torch.zeros(1).expand(128, 65536), "module.queue_ptr": torch.zeros(1).long()}
    change and change(state)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "moco_v2_800ep_pretrain.pth.tar"
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state, "optimizer": {}}, path)
    return path.read_bytes()


def publish(monkeypatch, content, *urls):
    digits = hashlib.md5(content).hexdigest()[:8]
    wanted = Download(urls, digits, ("moco_v2_800ep_pretrain.pth.tar",))
    monkeypatch.setitem(published.WEIGHTS, "moco_v2_resnet50", wanted)


def test_moco_v2_is_fetched_verified_and_loaded(server, root, tmp_path, monkeypatch):
    content = as_authors(tmp_path)
    publish(monkeypatch, content, server.serve("/bad", content, "corrupt"), server.serve("/moco.pth.tar", content))
    monkeypatch.setitem(weeks.WEEKS, "week98", weeks.Week("week98", "", "", {}, {}, {"full": ("moco_v2_resnet50",)}))
    assert data.prefetch("week98", "full") == [root / "checkpoints"]
    model = models.load_pretrained("moco_v2_resnet50")
    assert server.asked == ["/bad", "/moco.pth.tar"]  # fetched once, from the mirror that sent the right file
    assert model.num_features == 2048 and not model.training
    assert model.net.conv1.weight.unique().item() == pytest.approx(0.01)  # of the query encoder, which comes first
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 2048)
    assert model.normalise.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_moco_v2_with_another_sum(server, root, tmp_path, monkeypatch):
    content = as_authors(tmp_path)
    publish(monkeypatch, content, server.serve("/moco.pth.tar", content, "corrupt"))
    with pytest.raises(data.DataMissing, match="another MD5 sum"):
        models.load_pretrained("moco_v2_resnet50")
    assert not list(root.rglob("*.tar"))
    (root / "checkpoints" / "moco_v2_800ep_pretrain.pth.tar").write_bytes(content[:-10])
    with pytest.raises(data.DataCorrupted, match="delete it"):
        models.load_pretrained("moco_v2_resnet50")


def test_moco_v2_offline(root, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    with pytest.raises(data.DataMissing, match="SSLCOURSE_OFFLINE is set"):
        models.load_pretrained("moco_v2_resnet50")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("module.encoder_q.layer1.0.conv1.weight"),
        lambda state: state.update({"module.encoder_q.layer9.weight": torch.zeros(1)}),
        lambda state: state.update({"module.encoder_q.conv1.weight": torch.zeros(64, 3, 3, 3)}),
        lambda state: state.clear(),
    ],
)
def test_moco_v2_of_another_network(root, monkeypatch, change):
    content = as_authors(root / "checkpoints", change)
    publish(monkeypatch, content)
    with pytest.raises(ValueError, match="does not hold MoCo's query encoder"):
        models.load_pretrained("moco_v2_resnet50")


def test_the_address_and_sum_are_those_of_the_authors():
    download = published.WEIGHTS["moco_v2_resnet50"]
    assert download.urls[0].startswith("https://dl.fbaipublicfiles.com/moco/") and download.md5 == "a04e12f8"
