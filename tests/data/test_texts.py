"""Text sets: the toy world, the loaders on fakes in their real layouts, and what bad files and bad input are told."""

import gzip
import hashlib
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest
import torch

from sslcourse import data, weeks
from sslcourse.data import DataCorrupted, DataMissing, TextSet, load_texts, prefetch
from sslcourse.data.texts import reviews as toy
from sslcourse.data.texts.reviews import make_reviews

SHA256 = "9ae13fde3ec394b701d0664bde0e94c7b7e491f5a94170a4c1d092dbbf1ec941"


# ---- the toy


def test_same_texts_everywhere():
    """After a wanted change of the texts raise VERSION and note the new sum; else a platform draws differently."""
    drawn = make_reviews(300, seed=1000)
    digest = hashlib.sha256("\n".join(drawn.texts).encode() + bytes(drawn.labels.tolist()))
    assert digest.hexdigest() == SHA256, f"version {toy.VERSION}"


def test_every_review_says_what_its_factors_say():
    drawn = make_reviews(600, seed=1001)
    polarity = {word: sign for sign, words in enumerate(toy.WORDS) for word in words}
    topics = {aspect: n for n, aspects in enumerate(toy.TOPICS.values()) for aspect in aspects}
    for n, document in enumerate(drawn.documents):
        assert " ".join(document) == drawn.texts[n] and len(drawn.texts[n].split()) <= 14
        denied = [bool(set(toy.NEGATORS) & set(sentence.split())) for sentence in document]
        for sentence, denies in zip(document, denied, strict=True):
            words = sentence.split()
            assert {polarity[word] ^ denies for word in words if word in polarity} == {int(drawn.labels[n])}
            assert {topics[word] for word in words if word in topics} == {int(drawn.factors["topic"][n])}
        assert int(drawn.factors["negation"][n]) == any(denied)
    assert torch.equal(drawn.factors["sentiment"], drawn.labels)


def test_classes_topics_and_negation_are_balanced():
    drawn = make_reviews(1200, seed=1002)
    assert drawn.labels.bincount().tolist() == [600, 600]
    assert drawn.factors["topic"].bincount().tolist() == [200] * 6
    assert 0.4 < drawn.factors["negation"].double().mean() < 0.6  # 1 - 0.7 ** 2 = 0.51
    assert len({*toy.WORDS[0], *toy.WORDS[1]}) == len(toy.WORDS[0]) + len(toy.WORDS[1])
    assert len(toy.WORDS[0]) == len(toy.WORDS[1])


def test_single_words_do_not_tell_the_sentiment():
    """A bag of words with every label it could wish for stays near the share of sentences that deny nothing."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, test = make_reviews(4000, seed=1003), make_reviews(1000, seed=1004)
    counts = CountVectorizer()
    model = LogisticRegression(max_iter=1000).fit(counts.fit_transform(train.texts), train.labels)
    assert 0.6 < model.score(counts.transform(test.texts), test.labels) < 0.78
    model.fit(counts.transform(train.texts), train.factors["topic"])
    assert model.score(counts.transform(test.texts), test.factors["topic"]) == 1


def test_splits_and_seeds_of_the_toy_differ():
    sets = [load_texts("reviews", split, n=50, seed=seed) for split in ("train", "val", "test") for seed in (0, 1)]
    assert len({one.texts for one in sets}) == 6
    assert [one.split for one in sets[::2]] == ["train", "val", "test"]
    assert load_texts("reviews", "val", n=50).texts == sets[2].texts
    assert len(load_texts("reviews", "test")) == 2000
    for n in (0, 1.5):
        with pytest.raises(ValueError, match="whole number of reviews"):
            make_reviews(n)


# ---- text sets


def a_set(**changes) -> TextSet:
    parts = {"texts": ["a", "b", "c"], "labels": torch.tensor([0, 1, 0]), "class_names": ("no", "yes")}
    return TextSet(**parts | {"name": "set", "split": "train"} | changes)


def test_indexing_takes_all_that_belongs_to_a_text():
    drawn = make_reviews(40, seed=3)
    for index in (slice(3, 9), [3, 4, 5, 6, 7, 8], torch.arange(3, 9), (torch.arange(40) // 3) % 3 == 1):
        part = drawn[index]
        chosen = torch.arange(40)[index].tolist()
        assert part.texts == tuple(drawn.texts[i] for i in chosen)
        assert part.documents == tuple(drawn.documents[i] for i in chosen)
        assert torch.equal(part.factors["topic"], drawn.factors["topic"][index])
    assert drawn[2].texts == drawn.texts[2:3] and "40 texts, 2 classes, with factors, documents" in repr(drawn)


def test_subsets_are_balanced_and_nested():
    drawn = make_reviews(200, seed=4)
    few, more = drawn.subset(20, seed=1), drawn.subset(60, seed=1)
    assert few.labels.bincount().tolist() == [10, 10] and set(few.texts) <= set(more.texts)
    with pytest.raises(ValueError, match="has 200 texts, so n should be from 1 to 200, not 201"):
        drawn.subset(201)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"texts": ["a", " ", "c"]}, "Text 1 of set is empty"),
        ({"texts": "abc"}, "one string"),
        ({"texts": ["a", 1, "c"]}, "texts are strings"),
        ({"labels": torch.tensor([0.0, 1, 0])}, "torch.int64"),
        ({"labels": torch.tensor([0, 1])}, "3 texts but 2 labels"),
        ({"labels": torch.tensor([0, 1, 2])}, "run from 0 to 2; with 2 classes"),
        ({"factors": {"topic": torch.zeros(2)}}, "3 texts but 2 topic"),
        ({"documents": [["a"]]}, "3 texts but 1 documents"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, words):
    with pytest.raises((ValueError, TypeError), match=words):
        a_set(**changes)


def test_a_label_set_that_changes_between_splits_is_refused():
    data.same_classes(a_set(), a_set(split="test"))
    with pytest.raises(ValueError, match=r"label 1 \(yes\) occurs in set train and not in set test"):
        data.same_classes(a_set(), a_set(split="test", labels=torch.zeros(3, dtype=torch.int64)))
    with pytest.raises(ValueError, match="the same, in the same order"):
        data.same_classes(a_set(), a_set(class_names=("yes", "no")))


# ---- tokens


def test_tokens_of_a_toy_review():
    texts = make_reviews(2000, seed=5).texts
    tokenizer = data.train_tokenizer(texts, 400)
    tokens = data.encode(tokenizer, texts[:50], 16)
    assert tokens.input_ids.shape == tokens.attention_mask.shape == tokens.special.shape and not tokens.truncated
    for text, ids, mask, special in zip(texts[:50], *tokens[:3], strict=True):
        assert tokenizer.decode(ids[~special].tolist()) == text  # every word is a piece of its own
        assert [tokenizer.id_to_token(i) for i in ids[special & (mask == 1)].tolist()] == ["[CLS]", "[SEP]"]
        assert special[mask == 0].all() and (ids[mask == 0] == 0).all()
    assert data.train_tokenizer(texts, 400).get_vocab() == tokenizer.get_vocab()


def test_the_tokenizer_cuts_as_that_of_transformers():
    from transformers import BertTokenizer

    texts = make_reviews(500, seed=6).texts
    tokenizer = data.train_tokenizer(texts, 200)
    peer = BertTokenizer(vocab=tokenizer.get_vocab())
    odd = ["Superb, isn't it?", "unheard-of", "caf\u00e9 lovely", *texts[:20]]
    assert [tokenizer.encode(text).ids for text in odd] == [peer.encode(text) for text in odd]


def test_unknown_characters_long_and_empty_texts():
    tokenizer = data.train_tokenizer(make_reviews(500, seed=7).texts, 300)
    tokens = data.encode(tokenizer, ["soup was \u2603 .", "soup was superb . " * 20], 12)
    assert tokenizer.id_to_token(int(tokens.input_ids[0, 3])) == "[UNK]"
    assert not tokens.special[0, 3]  # an unknown word is a word
    assert tokens.input_ids.shape == (2, 12) and tokens.truncated == 1
    assert tokenizer.id_to_token(int(tokens.input_ids[1, -1])) == "[SEP]"  # the end is cut, not the mark
    for texts, words in ((["a", ""], "Text 1 is empty"), ([], "There are no texts"), ("soup", "one string")):
        with pytest.raises(ValueError, match=words):
            data.encode(tokenizer, texts, 12)
        with pytest.raises(ValueError, match=words):
            data.train_tokenizer(texts, 100)
    with pytest.raises(ValueError, match="Text 0 has no tokens"):
        data.encode(tokenizer, ["\u200b\u0000"], 12)
    with pytest.raises(ValueError, match="at least 3"):
        data.encode(tokenizer, ["soup"], 2)
    with pytest.raises(ValueError, match="above 5"):
        data.train_tokenizer(["soup"], 5)


# ---- fakes in the layouts of the hub and of plain copies


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root, offline."""
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    return tmp_path / "data" / "text"


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def hub_imdb(root, n=40):
    for split, labels in (("train", [0, 1]), ("test", [0, 1]), ("unsupervised", [-1])):
        texts = [f"{split} number {i}.<br /><br />It goes  on." for i in range(n)]
        path = root / "imdb" / "plain_text" / f"{split}-00000-of-00001.parquet"
        parquet(path, text=texts, label=[labels[i % len(labels)] for i in range(n)])


def test_imdb_as_the_hub_stores_it(root):
    hub_imdb(root)
    train, val, test, rest = (load_texts("imdb", split) for split in ("train", "val", "test", "unlabelled"))
    assert [len(s) for s in (train, val, test, rest)] == [36, 4, 40, 40]
    assert val.labels.bincount().tolist() == [2, 2] and not set(train.texts) & set(val.texts)
    assert test.texts[0] == "test number 0. It goes on." and test.labels[:3].tolist() == [0, 1, 0]
    assert set(rest.labels.tolist()) == {-1} and train.class_names == ("negative", "positive")


def test_a_part_in_several_files_has_to_be_whole(root):
    for n in (0, 1):
        path = root / "sst2" / "data" / f"validation-0000{n}-of-00002.parquet"
        parquet(path, idx=[0, 1], sentence=[f"good {n}", f"bad {n}"], label=[1, 0])
    assert load_texts("sst2", "test").texts == ("good 0", "bad 0", "good 1", "bad 1")
    path.unlink()
    with pytest.raises(DataMissing, match="sst2"):
        load_texts("sst2", "test")


def tsv(root, lines, name="sst2_dev.tsv"):
    root.mkdir(parents=True, exist_ok=True)
    content = "\n".join(["sentence\tlabel", *lines, ""]).encode()
    (root / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)


@pytest.mark.parametrize("name", ["sst2_dev.tsv", "sst2_dev.tsv.gz"])
def test_sst2_as_a_plain_copy(root, name):
    tsv(root, ['a "quoted" film \t1', "dull \t0"], name)
    test = load_texts("sst2", "test")
    assert test.texts == ('a "quoted" film', "dull") and test.labels.tolist() == [1, 0]


def test_imdb_as_one_file_with_a_column_split(root):
    texts = [f"text {n}" for n in range(30)]
    parquet(root / "imdb_part.parquet", split=["train"] * 20 + ["test"] * 10, text=texts, label=[0, 1] * 15)
    assert len(load_texts("imdb", "train")) == 18 and load_texts("imdb", "test").texts == tuple(texts[20:])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["good\t1", "bad"], "line 3: 1 fields where 2 should be"),
        (["good\t1", "bad\t0\t0"], "line 3: 3 fields"),
        (["good\t1", " \t0"], "line 3: the text is empty"),
        (["good\t1", "bad\t2"], "line 3: the label is '2', it should be 0 or 1"),
        (["good\t1", "", "bad\t0"], "line 3: 1 fields"),
        (["good\t1", "fine\t1"], "none of the class negative; its splits should hold the same classes"),
    ],
)
def test_bad_records_are_named(root, lines, words):
    tsv(root, lines)
    with pytest.raises(DataCorrupted, match=words) as caught:
        load_texts("sst2", "test")
    assert "sslcourse prefetch week03" in str(caught.value) and "sst2_dev.tsv" in str(caught.value)


def test_broken_files_are_named(root):
    root.mkdir(parents=True)
    (root / "imdb.parquet").write_bytes(b"PAR1 and then the download broke off")
    with pytest.raises(DataCorrupted, match="imdb.parquet is no whole parquet file"):
        load_texts("imdb", "train")
    parquet(root / "imdb.parquet", words=["a"], label=[0])
    with pytest.raises(DataCorrupted, match="no column 'text', only words, label"):
        load_texts("imdb", "train")
    (root / "sst2_dev.tsv.gz").write_bytes(gzip.compress(b"sentence\tlabel\ngood\t1\n")[:-9])
    with pytest.raises(DataCorrupted, match="cut off or is no text"):
        load_texts("sst2", "test")
    (root / "sst2_dev.tsv").write_text("text;label\ngood;1\n")
    with pytest.raises(DataCorrupted, match="line 1: the columns are"):
        load_texts("sst2", "test")


def test_absent_data_and_wrong_names(root):
    with pytest.raises(
        DataMissing, match="imdb .train. is not in .*text.*SSLCOURSE_OFFLINE.*sslcourse prefetch week03"
    ):
        load_texts("imdb", "train")
    with pytest.raises(ValueError, match="no text set 'yelp'; choose one of reviews, imdb, sst2"):
        load_texts("yelp")
    for name in ("reviews", "sst2"):
        with pytest.raises(ValueError, match=f"{name} has no split 'dev'; choose one of train,"):
            load_texts(name, "dev")


def hub(monkeypatch, answer):
    import huggingface_hub

    monkeypatch.delenv("SSLCOURSE_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)


def test_the_hub_is_asked_for_parquet_files(root, monkeypatch):
    asked = []

    def answer(repository, **how):
        asked.append((repository, how["repo_type"], how["allow_patterns"]))
        hub_imdb(root)

    hub(monkeypatch, answer)
    assert prefetch("week03", "tiny") == []
    assert len(load_texts("imdb", "train")) == 36 and len(load_texts("imdb", "test")) == 40
    assert asked == [("stanfordnlp/imdb", "dataset", "*.parquet")]


def test_refusal_absence_and_silence_of_the_hub(root, monkeypatch):
    import httpx
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    request = httpx.Request("GET", "https://huggingface.co")
    refused = RepositoryNotFoundError("no", response=httpx.Response(401, request=request))
    for error, words in (
        (refused, "the hub refused stanfordnlp/sst2: 401"),
        (LocalEntryNotFoundError("no network"), "the hub could not be reached"),
        (httpx.ConnectError("no route"), "could not be reached: ConnectError"),
    ):

        def answer(*_, error=error, **__):
            raise error

        hub(monkeypatch, answer)
        with pytest.raises(DataMissing, match=words):
            load_texts("sst2", "test")
        monkeypatch.setenv("SSLCOURSE_OFFLINE", "0")
        assert not (root / "sst2").exists()  # nothing is left behind
    hub(monkeypatch, lambda *_, **__: None)
    with pytest.raises(DataMissing, match="has no such part"):
        load_texts("sst2", "test")


def test_prefetch_of_week_3_looks_at_every_record(root, monkeypatch):
    monkeypatch.setitem(weeks.WEEKS, "week03", replace(weeks.find(3), weights={}))  # these have tests of their own
    hub_imdb(root)
    for split in ("train", "validation"):
        path = root / "sst2" / "data" / f"{split}-00000-of-00001.parquet"
        parquet(path, sentence=[f"{split} {n}" for n in range(20)], label=[0, 1] * 10)
    assert prefetch("week03", "small") == [root, root]
    parquet(path, sentence=["good", "bad"], label=[1, -1])
    with pytest.raises(DataCorrupted, match="record 2: the label is -1"):
        prefetch("week03", "small")


# ---- the real sets


@pytest.mark.real_data
@pytest.mark.parametrize("name, least", [("imdb", 5000), ("sst2", 800)])
def test_the_real_sets(name, least):
    try:
        train, val, test = (load_texts(name, split) for split in ("train", "val", "test"))
    except DataMissing as error:
        pytest.skip(f"{name} is not under the data root: {error}")
    data.same_classes(train, val, test)
    assert len(test) >= least and len(train) == pytest.approx(9 * len(val), abs=10)
    assert not any("<br" in text or "\n" in text for text in test.texts)
    assert torch.equal(load_texts(name, "test", n=100, seed=1).labels.bincount(), torch.tensor([50, 50]))
