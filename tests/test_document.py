"""YAML with positions: what is read, where it stands, and what is refused."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dovetail.document import MAX_VALUES, Node, parse_document
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.text import printable

WORDS = st.text("abcdefgh_", min_size=1, max_size=6).filter(lambda word: word not in ("f", "e"))
SCALARS = st.one_of(
    st.integers(-(10**12), 10**12), st.floats(allow_nan=False), st.booleans(), st.none(), WORDS, st.text(max_size=12)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=25
)


def quoted(text: object) -> object:
    """Dump every text in quotes: YAML 1.1 and 1.2 disagree about which bare words are text."""
    dumper = type("Quoting", (yaml.SafeDumper,), {})
    dumper.add_representer(str, lambda d, value: d.represent_scalar("tag:yaml.org,2002:str", value, style='"'))
    return yaml.dump(text, Dumper=dumper, allow_unicode=False)


def harmless(value: object) -> object:
    """What a reader may hand on: texts and keys without what acts on a terminal."""
    if isinstance(value, dict):
        return {printable(key): harmless(each) for key, each in value.items()}
    if isinstance(value, list):
        return [harmless(each) for each in value]
    return printable(value) if isinstance(value, str) else value


@given(VALUES)
def test_reads_back_what_yaml_writes(value: object) -> None:
    assert parse_document(quoted(value)).plain() == harmless(value)


def test_texts_and_keys_are_one_printable_line_unless_lines_are_wanted() -> None:
    text = '"a\\nb\\e": "c\\nd\\a"\ne: |\n  f\n  g\n'
    assert parse_document(text).plain() == {"a b ": "c d ", "e": "f g "}
    assert parse_document(text, lines=True).plain() == {"a b ": "c\nd ", "e": "f\ng\n"}


@given(st.lists(st.tuples(WORDS, st.integers(0, 3)), min_size=1, max_size=8, unique_by=lambda pair: pair[0]))
def test_every_value_knows_its_line(entries: list[tuple[str, int]]) -> None:
    text, lines = "", {}
    for name, blank in entries:
        text += "\n" * blank
        lines[name] = text.count("\n") + 1
        text += f"{name}: {{inner: 1}}\n"
    for name, node in parse_document(text, file="a.yaml").mapping().items():
        assert (node.file, node.line, node.key) == ("a.yaml", lines[name], name)
        assert node.mapping()["inner"].key == f"{name}.inner"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-9", 1e-9),
        ("1E3", 1000.0),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("2026-11-22", "2026-11-22"),
        ("12:30", "12:30"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!float 3", 3.0),
        ("1_000", "1_000"),
    ],
)
def test_scalars_resolve_by_the_core_schema(text: str, value: object) -> None:
    read = parse_document(text).plain()
    assert read == value
    assert type(read) is type(value)


def test_tags_and_quotes_are_kept_for_the_reader() -> None:
    nodes = parse_document('- !Container {name: a}\n- "32nm"\n- 32nm').sequence()
    assert [node.tag for node in nodes] == ["!Container", None, None]
    assert [node.quoted for node in nodes] == [False, True, False]


def test_merge_keys_take_from_the_first_source_and_lose_to_their_own() -> None:
    text = "a: &a {x: 1, y: 2, l: [1]}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd: {<<<: *a, l: [0], y: 7}"
    read = parse_document(text).plain()
    assert read["c"] == {"x": 9, "y": 2, "z": 4, "l": [1]}
    assert read["d"] == {"l": [0, 1], "y": 7, "x": 1}


def test_deep_merge_joins_mappings_unless_told_not_to() -> None:
    text = "a: &a {in: {x: 1, y: 2}, k: [1]}\nb: {<<<: *a, in: {y: 5}, k: !nomerge [2]}"
    assert parse_document(text).plain()["b"] == {"in": {"y": 5, "x": 1}, "k": [2]}


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' is given twice (first in line 1)"),
        ("a: 1\na: 1.0", 2, "the key 'a' is given twice"),
        ("a: x\na: 'x'", 2, "the key 'a' is given twice"),
        ("a: [1, {b: 2}]\na: [1, {b: 3}]", 2, "the key 'a' is given twice"),
        ("a:\n\t- 1", 2, "a tab cannot indent"),
        ("a: [1, 2", 1, "is not YAML"),
        ("a: 1\n b: 2", 2, "is not YAML"),
        ("&a [*a]", 1, "contains itself"),
        ("x: *y", 1, "unknown alias '*y'"),
        (BOMB, 6, f"expands to more than {MAX_VALUES} values"),
        ("[" * 500, 1, "nested more than"),
        ("x: !!python/object/apply:os.system [ls]", 1, "the tag !!python/object/apply:os.system is refused"),
        ("x: !!python/name:os.system", 1, "is refused"),
        ("x: !include other.yaml", 1, "{{include('file.yaml')}}"),
        ("x: !include_loaded 3", 1, "written by {{include(...)}}"),
        ("a: 1\n---\nb: 2", 2, "more than one YAML document"),
        ("? [1]\n: 2", 1, "a key must be a word"),
        ("a: " + "9" * 5000, 1, "has 5000 digits"),
        ("a: \x07", 1, "is not YAML"),
        ("a: {<<: {x: 1}, <<: {y: 2}}", 1, "second merge key"),
        ("a: {<<: 3}", 1, "must be a mapping, found number 3"),
        ("a: !!int x", 1, "is tagged !!int"),
    ],
)
def test_what_is_refused(text: str, line: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_document(text, file="a.yaml")
    assert said in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("a.yaml", line)


def test_a_key_may_be_given_twice_where_both_say_the_same() -> None:
    assert parse_document("a: [1, {b: !x 2}]\nc: 3\na: [1, {b: !x 2}]").plain() == {"a": [1, {"b": 2}], "c": 3}


def test_unknown_and_missing_keys() -> None:
    node = parse_document("instance:\n  C: 3\n  HStride: 4").mapping()["instance"]
    with pytest.raises(InputError, match=r":3: instance: unknown key 'HStride', did you mean 'Hstride'\?"):
        node.mapping(known=("C", "Hstride"))
    with pytest.raises(InputError, match=r"instance: the key 'M' is missing"):
        node.mapping(required=("M",))


@pytest.mark.parametrize(
    ("text", "method", "said"),
    [
        ("x", "integer", "must be a number, found text 'x'"),
        ("1.5", "integer", "must be a whole number, found 1.5"),
        ("true", "number", "must be a number, found 'true'"),
        (".inf", "number", "must be a finite number"),
        ("3", "text", "must be text, found number 3"),
        ("[1]", "mapping", "must be a mapping, found a list"),
        ("{}", "sequence", "must be a list, found a mapping"),
        ("1", "boolean", "must be true or false, found number 1"),
        ("", "text", "must be text, found nothing"),
    ],
)
def test_wrong_types(text: str, method: str, said: str) -> None:
    with pytest.raises(InputError, match="a: " + said):
        getattr(parse_document(f"a: {text}").mapping()["a"], method)()


def test_numbers_have_a_minimum() -> None:
    assert parse_document("4.0").integer(minimum=4) == 4
    with pytest.raises(InputError, match="must be at least 1, found 0"):
        parse_document("0").integer(minimum=1)


def test_files_are_read_safely(tmp_path) -> None:
    good = tmp_path / "good.yaml"
    good.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_document(good).plain() == {"a": 1, "b": 2}
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(InputError, match=r"bad.yaml:2: is not UTF-8 text \(byte 0xff\)"):
        read_document(bad)
    with pytest.raises(InputError, match="no such file"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_document(tmp_path)
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * 8_000_001)
    with pytest.raises(InputError, match="is larger than"):
        read_document(big)


def test_an_empty_document_is_nothing() -> None:
    assert parse_document("# nothing\n") == Node(None, "<text>", 1)
