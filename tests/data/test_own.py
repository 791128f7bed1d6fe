"""Splits of a student's own data, with groups against all choices there are; and strings that are lists of letters."""

import copy
import itertools

import numpy as np
import pytest
import torch

from sslcourse import models
from sslcourse.data import ImageSet, TextSet, encode, own, train_tokenizer


def test_the_names_are_handed_on():
    assert own.__all__ == ["OwnSet", "cluster", "own_images", "own_proteins", "own_texts", "split_own"]
    assert all(callable(getattr(own, name)) for name in own.__all__)


def test_a_split_shares_every_class():
    labels = torch.tensor([0] * 8 + [1] * 2 + [2] * 5)
    fitted, tested = own.split_own(labels, 0.25, seed=1)
    assert sorted(fitted.tolist() + tested.tolist()) == list(range(15))
    assert labels[tested].bincount().tolist() == [2, 1, 1] and labels[fitted].unique().tolist() == [0, 1, 2]
    assert torch.equal(own.split_own(labels, 0.25, seed=1)[1], tested)
    assert not torch.equal(own.split_own(labels, 0.25, seed=2)[1], tested)
    assert len(own.split_own(torch.full((8,), -1))[1]) == 2


# --- groups


def distance(labels, groups, inside, test) -> float:
    """Of the classes' shares from `test`, added up; infinite where a class is missing on a side. inside: a set."""
    total = 0.0
    for y in set(labels):
        of_class = [group for label, group in zip(labels, groups, strict=True) if label == y]
        n = sum(group in inside for group in of_class)
        if not 0 < n < len(of_class):
            return float("inf")
        total += abs(n / len(of_class) - test)
    return total


def best(labels, groups, test) -> float:
    """The smallest distance of all choices of groups."""
    names = sorted(set(groups))
    choices = itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(len(names) + 1))
    return min(distance(labels, groups, set(choice), test) for choice in choices)


def check(labels, groups, test, seed=0) -> float:
    """Split, check that it is one and that groups stay together; the distance that was reached."""
    fitted, tested = own.split_own(torch.tensor(labels), test, seed, groups)
    assert sorted(fitted.tolist() + tested.tolist()) == list(range(len(labels)))
    assert fitted.equal(fitted.sort().values) and tested.equal(tested.sort().values)
    named = np.array([str(group) for group in groups])
    assert not set(named[fitted]) & set(named[tested])
    return distance(labels, groups, {groups[n] for n in tested.tolist()}, test)


@pytest.mark.parametrize("seed", range(20))
def test_few_groups_are_chosen_as_well_as_can_be(seed):
    rng = np.random.default_rng(1000 + seed)
    n, test = int(rng.integers(20, 60)), float(rng.choice([0.2, 0.25, 0.5, 0.7]))
    groups = [f"patient {g}" for g in rng.integers(0, rng.integers(4, 9), n)]
    labels = rng.integers(0, 3, n).tolist()
    wanted = best(labels, groups, test)
    if wanted == float("inf"):
        with pytest.raises(ValueError, match="group"):
            own.split_own(torch.tensor(labels), test, 0, groups)
    else:
        assert check(labels, groups, test, seed) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_many_groups_come_near(seed):
    """40 patients of 5 to 30 slices, each of one of four classes; and 2,000 clusters, mostly of one protein."""
    rng = np.random.default_rng(2000 + seed)
    sizes = rng.integers(5, 31, 40)
    groups = np.repeat(np.arange(40), sizes)
    assert check((groups % 4).tolist(), groups.tolist(), 0.25, seed) / 4 < 0.01
    groups = (rng.pareto(1.0, 3000) * 300).astype(int).clip(max=2000)
    assert check(rng.integers(0, 5, 3000).tolist(), groups.tolist(), 0.3, seed) / 5 < 0.005


def test_groups_may_be_a_list_of_tensors_or_pairs():
    """Tensors are equal by their numbers, but each is a key of its own to a dictionary."""
    groups = torch.arange(40) // 4
    labels = torch.arange(40) % 2
    wanted = own.split_own(labels, 0.3, 0, groups)[1]
    for given in (list(groups), [(0, g) for g in groups.tolist()], [np.str_(g) for g in groups.tolist()]):
        assert own.split_own(labels, 0.3, 0, given)[1].equal(wanted)


def test_thousands_of_groups_and_a_hundred_classes():
    labels = torch.arange(8_000) % 100
    fitted, tested = own.split_own(labels, 0.25, 0, range(8_000))
    assert labels[tested].bincount(minlength=100).tolist() == [20] * 100 and len(fitted) == 6_000


def test_splits_differ_with_the_seed_and_only_with_it():
    groups = torch.arange(60) // 3
    labels = torch.arange(60) % 2
    same, again, other = (own.split_own(labels, 0.3, seed, groups)[1] for seed in (1, 1, 2))
    assert same.equal(again) and not same.equal(other)
    assert own.split_own(labels, 0.3, 1, groups.numpy())[1].equal(same)
    assert own.split_own(labels, 0.3, 1, [f"p{g}" for g in groups.tolist()])[1].equal(same)


def test_homologues_stay_together():
    rng = np.random.default_rng(1000)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    families = ["".join(rng.choice(letters, 60)) for _ in range(12)]
    sequences = [family[:n] + letters[n % 20] + family[n + 1 :] for family in families for n in range(5, 45, 8)]
    groups = own.cluster(sequences)
    fitted, tested = own.split_own(torch.tensor([n // 30 for n in range(60)]), 0.25, 0, groups)
    assert len(set(groups.tolist())) == 12 and not set(groups[fitted].tolist()) & set(groups[tested].tolist())


def test_without_classes_groups_are_dealt_alone():
    groups = [n // 4 for n in range(40)]
    fitted, tested = own.split_own(torch.full((40,), -1), 0.3, 0, groups)
    assert len(tested) == 12 and not {n // 4 for n in fitted.tolist()} & {n // 4 for n in tested.tolist()}


def test_a_chain_of_classes_has_two_splits():
    """60 classes of two samples, each sharing a group with the next: groups must alternate, which few moves find."""
    labels = [y for y in range(60) for _ in range(2)]
    groups = [g for y in range(60) for g in (y, y + 1)]
    assert check(labels, groups, 0.5) == 0


def test_a_share_that_groups_do_not_allow_is_said(capsys):
    own.split_own(torch.zeros(10, dtype=torch.int64), 0.25, 0, ["a"] * 6 + ["b"] * 4)
    assert "so 40% of class 0 are in the test part; 25% were asked for" in capsys.readouterr().out
    own.split_own(torch.zeros(40, dtype=torch.int64), 0.25, 0, [n // 2 for n in range(40)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("labels", "groups", "sentence"),
    [
        (
            [0, 0, 1, 1],
            ["a", "a", "b", "c"],
            "All 2 samples of class 0 are of one group, 'a', so they cannot be in both",
        ),
        ([0, 0, 0], [5, 5, 5], "All 3 samples of class 0 are of one group, 5"),
        # Three classes over three groups, two by two: two parts always leave one class whole.
        ([0, 0, 1, 1, 2, 2], [1, 2, 2, 3, 1, 3], "No choice of groups has every class in both parts"),
        (
            [y for y in range(21) for _ in range(2)],
            [g % 21 for y in range(21) for g in (y, y + 1)],
            "No choice of groups",
        ),
        ([0, 0, 1, 1], [1, 2, 3], "3 groups for 4 labels; give one for every sample"),
        ([0, 0, 1, 1], ["a", "b", "", "c"], r"Sample 2 has no group \(''\)"),
        ([0, 0, 1, 1], ["a", None, "b", "c"], r"Sample 1 has no group \(None\)"),
        ([0, 0, 1, 1], [1.0, 2.0, 3.0, float("nan")], r"Sample 3 has no group \(nan\)"),
        ([0, 0, 1, 1], [1.0, 2.0, 3.0, np.float32("nan")], "Sample 3 has no group"),
        ([0, 0, 1, 1], ["a", " ", "b", "c"], r"Sample 1 has no group \(' '\)"),
        ([0, 0, 1, 1], (), "There are no groups; name their column where the set is read"),
        ([0, 0, 1], [1, 2, 3], "Class 1 has 1 sample; a class needs at least two"),
    ],
)
def test_groups_that_allow_no_split(labels, groups, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        own.split_own(torch.tensor(labels), 0.5, 0, groups)
    assert "\n" not in str(caught.value)


def test_splits_that_will_not_do():
    two = torch.tensor([0, 0])
    with pytest.raises(ValueError, match="Class 1 has 1 sample; a class needs at least two"):
        own.split_own(torch.tensor([0, 0, 1]))
    for test in (0, 1.0, -0.5, float("nan"), True, "0.5", None):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            own.split_own(two, test=test)
    for labels in ([0, 0], two.numpy(), two.float(), two[None], two.bool(), two.to(torch.complex64)):
        with pytest.raises(TypeError, match="labels should be an int64 tensor"):
            own.split_own(labels)
    for groups in ("ab", [[1], [2]], 7, {1, 2}, {1: 1, 2: 2}, [object(), object()], torch.zeros(2, 2)):
        with pytest.raises(TypeError, match="groups"):
            own.split_own(two, groups=groups)
    with pytest.raises(ValueError, match="There are no labels"):
        own.split_own(two[:0])
    with pytest.raises(TypeError, match="seed is 1.5"):
        own.split_own(two, seed=1.5)


def test_groups_that_nobody_read_are_not_forgotten(tmp_path):
    """None would split without any; a set whose column of groups was not named has empty ones."""
    (tmp_path / "a.csv").write_text("text,who\na,x\nb,y\n", encoding="utf-8")
    unread = own.own_texts(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="There are no groups; name their column"):
        own.split_own(unread.labels, groups=unread.groups)
    assert own.own_texts(tmp_path / "a.csv", group="who")[[1]].groups == ("y",)


def test_a_set_of_parts_that_do_not_fit():
    with pytest.raises(TypeError, match="items of some is one string, 'MKTAY'; give a list of strings"):
        own.OwnSet("MKTAY", torch.zeros(5, dtype=torch.int64), ("a",), "some")
    with pytest.raises(ValueError, match="There are 5 labels for the 2 items of some; give one each"):
        own.OwnSet(("MKT", "MKV"), torch.zeros(5, dtype=torch.int64), ("a",), "some")
    with pytest.raises(TypeError, match="labels of some should be an int64 tensor"):
        own.OwnSet(("MKT", "MKV"), [0, 0], ("a",), "some")


# --- texts longer than a model's places


def test_a_text_longer_than_the_places():
    """The shipped BERT has 16; torch's own words are of sizes of tensors."""
    bert = models.load_pretrained("bert_reviews")
    assert bert(input_ids=torch.ones(2, 16, dtype=torch.int64)).logits.shape == (2, 16, 286)
    for call in (bert, bert.bert, copy.deepcopy(bert)):
        with pytest.raises(ValueError, match="texts have 17 tokens, .* this model has 16 places: encode them with"):
            call(input_ids=torch.ones(2, 17, dtype=torch.int64))
    words = models.TextTransformer(20, length=8)
    assert words(torch.ones(2, 8, dtype=torch.int64)).shape == (2, 64)
    with pytest.raises(ValueError, match="texts have 9 words, and this model has 8 places"):
        words(torch.ones(2, 9, dtype=torch.int64))
    with pytest.raises(ValueError, match="ids run from 20 to 20; the tower has numbers from 0 to 19"):
        words(torch.full((2, 8), 20))


# --- a string is a list of its letters, and never meant so


def test_a_bare_string_is_refused():
    labels, images = torch.tensor([0]), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    tokenizer = train_tokenizer(["a cat", "a dog"], 40, min_frequency=1)
    for call in (
        lambda: models.Vocabulary("a cat"),
        lambda: models.Vocabulary(["a cat"]).encode("cat"),
        lambda: ImageSet(images, labels, "c", "some", "all"),
        lambda: ImageSet(images, labels, ("c",), "some", "all", captions="c"),
        lambda: TextSet("t", labels, ("c",), "some", "all"),
        lambda: TextSet(["t"], labels, "c", "some", "all"),
        lambda: train_tokenizer("a cat", 40),
        lambda: encode(tokenizer, "a cat", 8),
    ):
        with pytest.raises((TypeError, ValueError), match=r"list of (strings|texts)|are one string"):
            call()
    with pytest.raises(TypeError, match="Entry 1 of texts is 3; every one should be a text"):
        models.Vocabulary(["a cat", 3])
    assert models.Vocabulary(text for text in ["a cat"]).words == ("a", "cat")
