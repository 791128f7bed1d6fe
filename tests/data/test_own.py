"""A student's own data: read as it lies there, and refused in one sentence that says where."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslcourse.data import own


def save(path, size=(20, 10), colour=(255, 0, 0), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_subfolders_are_classes_in_alphabetical_order(tmp_path):
    save(tmp_path / "dog" / "a.png")
    save(tmp_path / "cat" / "b.jpg", colour=(0, 0, 255))
    save(tmp_path / "cat" / "a.PNG", size=(3, 9), colour=7, mode="L")
    write(tmp_path / "cat" / "notes.txt", "not an image")
    write(tmp_path / "cat" / ".DS_Store", "")
    (tmp_path / ".cache").mkdir()
    found = own.own_images(tmp_path, size=16)
    assert found.class_names == ("cat", "dog") and found.labels.tolist() == [0, 0, 1]
    assert found.images.shape == (3, 3, 16, 16) and found.images[2, :, 0, 0].tolist() == [255, 0, 0]
    assert found.images[0].unique().tolist() == [7]


def test_a_flat_folder_has_no_labels(tmp_path):
    save(tmp_path / "one.png")
    save(tmp_path / "two.png")
    (tmp_path / "empty").mkdir()
    found = own.own_images(tmp_path)
    assert found.labels.tolist() == [-1, -1] and found.class_names == ()


def test_the_middle_square_is_taken_upright(tmp_path):
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert own.own_images(tmp_path, size=10).images.unique().tolist() == [255]
    turned = Image.fromarray(np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[:, None], 10, 1))
    exif = turned.getexif()
    exif[0x0112] = 3  # the camera was upside down
    turned.save(tmp_path / "wide.png", exif=exif)
    assert own.own_images(tmp_path, size=10).images[0, 0, :, 0].tolist() == list(range(180, -1, -20))


def test_texts_with_and_without_classes(tmp_path):
    path = write(tmp_path / "reviews.csv", '\ufefftext,mood\n"good, really",up\nbad,down\n"two\nlines",up\n')
    found = own.own_texts(path, label="mood")
    assert found.items == ("good, really", "bad", "two\nlines") and found.name == "reviews"
    assert found.class_names == ("down", "up") and found.labels.tolist() == [1, 0, 1] and len(found) == 3
    assert own.own_texts(path).labels.tolist() == [-1, -1, -1]


def test_proteins_with_and_without_classes(tmp_path):
    path = write(tmp_path / "some.fasta", ">p1 human kinase\nmkt\nAYI\n\n>p2 lyase\nMX\n")
    found = own.own_proteins(path, classes=True)
    assert found.items == ("MKTAYI", "MX") and found.class_names == ("kinase", "lyase")
    assert own.own_proteins(path).class_names == ()


def test_a_split_shares_every_class(tmp_path):
    labels = torch.tensor([0] * 8 + [1] * 2 + [2] * 5)
    fitted, tested = own.split_own(labels, 0.25, seed=1)
    assert sorted(fitted.tolist() + tested.tolist()) == list(range(15))
    assert labels[tested].bincount().tolist() == [2, 1, 1] and labels[fitted].unique().tolist() == [0, 1, 2]
    assert torch.equal(own.split_own(labels, 0.25, seed=1)[1], tested)
    assert len(own.split_own(torch.full((8,), -1))[1]) == 2


def broken_image(folder):
    write(folder / "a.png", "this is text")


def cut_image(folder):
    save(folder / "a.png", size=(200, 200))
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])


def both(folder):
    save(folder / "a.png")
    save(folder / "cat" / "a.png")


def class_without_images(folder):
    save(folder / "cat" / "a.png")
    (folder / "dog").mkdir()


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda folder: None, "holds no images; images end in"),
        (lambda folder: write(folder / "a.txt", ""), "holds no images"),
        (broken_image, r"a.png cannot be read as an image \(.*\); remove it"),
        (cut_image, "a.png cannot be read as an image"),
        (both, "holds images and folders of images"),
        (class_without_images, "The class dog in .* has no images"),
    ],
)
def test_a_folder_that_will_not_do(made, sentence, tmp_path):
    made(tmp_path)
    with pytest.raises(ValueError, match=sentence) as caught:
        own.own_images(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "has no column 'text'; its columns are a, b"),
        ("text\nhello\n", "has no column 'mood'; its columns are text"),
        ("", "its columns are none"),
        ("text,mood\n", "has columns but no rows"),
        ("text,mood\nhello,up\n  ,up\n", "Row 2 .* nothing in column 'text'"),
        ("text,mood\nhello\n", "Row 1 .* nothing in column 'mood'"),
    ],
)
def test_a_table_that_will_not_do(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as caught:
        own.own_texts(write(tmp_path / "a.csv", text), label="mood")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (">p1 a\nMK-T\n", "record p1 .* '-' at position 3, which is no amino acid"),
        (">p1 a\nMKJ\n", "'J' at position 3"),
        (">p1 a\nMKT*\n", "stop signs"),
        (">p1 a\n>p2 a\nMK\n", "record p1 .* has no sequence"),
        ("", "holds no records"),
        ("MKT\n>p1 a\nMKT\n", "Line 1 .* before the first '>'"),
        (">p1\nMKT\n", "header 'p1' .* has no class"),
    ],
)
def test_a_fasta_that_will_not_do(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as caught:
        own.own_proteins(write(tmp_path / "a.fasta", text), classes=True)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_at_all(tmp_path):
    for name, load in (("a.csv", own.own_texts), ("a.fasta", own.own_proteins)):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\x80")
        with pytest.raises(ValueError, match="UTF-8"):
            load(tmp_path / name)
        with pytest.raises(FileNotFoundError, match="There is no file .*; check the path"):
            load(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        own.own_images(tmp_path / "none")


def test_splits_that_will_not_do():
    with pytest.raises(ValueError, match="Class 1 has 1 sample; a class needs at least two"):
        own.split_own(torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="above 0 and below 1"):
        own.split_own(torch.tensor([0, 0]), test=1.0)
