"""A student's own texts: a csv file comes out letter by letter, and a row that moved is refused by its line."""

import csv
import random

import pytest

from sslcourse.data.own import own_texts


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_texts_with_and_without_classes(tmp_path):
    path = write(tmp_path / "reviews.csv", '\ufefftext,mood\n"good, really",up\nbad,down\n"two\nlines",up\n')
    found = own_texts(path, label="mood")
    assert found.items == ("good, really", "bad", "two\nlines") and found.name == "reviews"
    assert found.class_names == ("down", "up") and found.labels.tolist() == [1, 0, 1] and len(found) == 3
    assert found.names == ("line 2", "line 3", "line 4") and found.groups == ()
    assert own_texts(path).labels.tolist() == [-1, -1, -1]
    some = found[[2, 0]]
    assert some.items == ("two\nlines", "good, really") and some.labels.tolist() == [1, 1]
    assert some.names == ("line 4", "line 2") and found[1:].items == found.items[1:]
    assert repr(found) == "OwnSet(reviews: 3 items, 2 classes)"


def test_whatever_csv_writes_comes_back(tmp_path):
    """Round trip through Python's own writer: quotes, commas, semicolons, tabs and line ends of every kind."""
    rng = random.Random(1000)
    pieces = ["a", "é", " ", ",", '"', "\n", "\r\n", "\r", ";", "\t", "\u2028", "\x0b", "'", "\\", "字", "=1"]
    rows = [("x" + "".join(rng.choices(pieces, k=12)), rng.choice("ab"), str(n % 7)) for n in range(300)]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        with open(tmp_path / "all.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=quoting).writerows([("text", "class", "who"), *rows])
        found = own_texts(tmp_path / "all.csv", label="class", group="who")
        assert found.items == tuple(text for text, _, _ in rows)
        assert [found.class_names[y] for y in found.labels] == [label for _, label, _ in rows]
        assert found.groups == tuple(who for _, _, who in rows) and found[:3].groups == ("0", "1", "2")
        assert "7 groups" in repr(found)


def test_long_texts_and_many_columns(tmp_path):
    long = "word, " * 50_000  # 300,000 characters; csv stops at 131,072
    limit = csv.field_size_limit()
    found = own_texts(write(tmp_path / "a.csv", f'text,label\n"{long}",pos\n'), label="label")
    assert found.items == (long,) and csv.field_size_limit() == limit
    header = ",".join(f"c{n}" for n in range(300_000))
    with pytest.raises(ValueError, match="its columns are c0, c1, .*, c7 and 299,992 more") as caught:
        own_texts(write(tmp_path / "b.csv", f"{header}\n"))
    assert len(str(caught.value)) < 400
    with pytest.raises(ValueError, match="has no column 'text'") as caught:
        own_texts(write(tmp_path / "c.csv", f'"{long}"\n'))
    assert len(str(caught.value)) < 400
    assert csv.field_size_limit() == limit


def test_spaces_before_a_quote_do_not_open_it(tmp_path):
    """To csv the quote would be part of the text then, and the comma behind it a separator."""
    found = own_texts(write(tmp_path / "a.csv", 'text, mood\n"a, b", "up"\n " c", down\n'), label="mood")
    assert found.items == ("a, b", " c") and found.class_names == ("down", "up")


def test_columns_without_a_name_may_be_empty_or_first(tmp_path):
    for text in ("text,mood,\na,up,\nb,down, \n", ",text,mood\n0,a,up\n1,b,down\n"):
        found = own_texts(write(tmp_path / "a.csv", text), label="mood")
        assert found.items == ("a", "b") and found.labels.tolist() == [1, 0]


def test_one_class_has_one_spelling(tmp_path):
    """é is one character, or e and an accent; nobody can see which."""
    path = write(tmp_path / "a.csv", "text,mood\na,gr\u00e9\nb, gre\u0301 \n")
    assert own_texts(path, label="mood").labels.tolist() == [0, 0]


def test_empty_lines_and_spaces_around_names_do_no_harm(tmp_path):
    found = own_texts(write(tmp_path / "a.csv", "text, label\r\n\r\ngood, up\r\nbad,down \r\n\r\n"), label="label")
    assert found.items == ("good", "bad") and found.class_names == ("down", "up")
    assert found.names == ("line 3", "line 4")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "has no column 'text'; its columns are a, b"),
        ("text\nhello\n", "has no column 'mood'; its columns are text"),
        ("", "its columns are none"),
        ("text,Mood\nhello,up\n", "has no column 'mood'; .* Did you mean 'Mood'"),
        ("text,mood,text\na,up,b\n", "has 2 columns 'text'; rename all but one"),
        ("text,mood\n", "has columns but no rows"),
        ("text,mood\nhello,up\n  ,up\n", "Line 3 .* nothing in column 'text'"),
        ('text,mood\nhello,up\n"",up\n', "Line 3 .* nothing in column 'text'"),
        ("text,mood\nhello,\n", "Line 2 .* nothing in column 'mood'"),
        ("text,mood\nhello\n", "Line 2 .* has 1 field, the header has 2: something is missing"),
        ("text,mood\nGreat film, I loved it,pos\n", "Line 2 .* has 3 fields, the header has 2: put a text with commas"),
        ('text,mood\n"one\ntwo\nthree",up\n\na,b,c\n', "Line 6 .* has 3 fields"),
        ('text,mood\na,up\n"one\ntwo,up\nb,up\n', "row that begins in line 3 .* quotes that do not fit"),
        ('text,mood\n"one" two,up\n', "row that begins in line 2 .* quotes that do not fit"),
        ("text;mood\nhello;up\n", "separates its columns by semicolons, not commas; save it anew"),
        ('"text";"mood"\n"hello, you";"up"\n', "by semicolons"),
        ("id;text;mood\n1;Great film, I loved it;up\n", "by semicolons"),
        ("text\tmood\nhello\tup\n", "by tabs"),
        ("id,n;text\n1,2;3\n", "by semicolons"),
        ("text,mood\nhe\0llo,up\n", "has a NUL character in line 2"),
        ("text,mood,\nGreat film, I loved it,pos\n", "Line 2 .* something in column 3, which has no name"),
        ('n, text, mood\n1, "Great film, I loved it"\n', "Line 2 .* has 2 fields, the header has 3: something is"),
        ("Text;Mood\nhello;up\n", "separates its columns by semicolons"),
        ("Text;Score,of ten;Mood\nhello;1,5;up\n", "separates its columns by semicolons"),
        ("sep=;\ntext;mood\nhello;up\n", "begins with a line for Excel, 'sep=;'"),
        ("text,mood\rhello,up\rgood, or not,up\r", "Line 3 .* has 3 fields"),
    ],
)
def test_a_table_that_will_not_do(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as caught:
        own_texts(write(tmp_path / "a.csv", text), label="mood")
    assert "\n" not in str(caught.value)


def test_what_is_no_text_in_utf8(tmp_path):
    for encoding in ("utf-16", "utf-16-le", "latin-1"):
        path = write(tmp_path / "a.csv", "text,mood\nhello,up\ncafé,up\n", encoding)
        with pytest.raises(ValueError, match="UTF-8") as caught:
            own_texts(path)
    assert "(line 3)" in str(caught.value)
    with pytest.raises(ValueError, match=r"\(line 3\)"):
        own_texts(write(tmp_path / "a.csv", "text,mood\rhello,up\rcafé,up\r", "latin-1"))
    with pytest.raises(FileNotFoundError, match="There is no file .*; check the path"):
        own_texts(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="is a folder or a device, no file"):
        own_texts(tmp_path)


def test_arguments_of_another_kind(tmp_path):
    path = write(tmp_path / "a.csv", "text,mood\nhello,up\n")
    with pytest.raises(TypeError, match="The file is given as NoneType"):
        own_texts(None)
    for lost in ("", "text,label\n" * 500, "~nobody-of-this-name/a.csv", "a\0b"):  # the content in place of the path
        with pytest.raises(FileNotFoundError, match="path") as caught:
            own_texts(lost)
        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=r"label is \['mood'\]; it should be the name of a column"):
        own_texts(path, label=["mood"])
    with pytest.raises(ValueError, match="The column 'mood' is asked for twice"):
        own_texts(path, label="mood", group="mood")
