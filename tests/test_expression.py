"""Arithmetic expressions: equal to Python's where allowed, refused by name elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.expression import MAX_MAGNITUDE, evaluate, evaluate_all, evaluate_node, evaluate_what_can_be

NAMES = {"depth": 192, "width": 16, "share": 0.25}
ATOMS = st.one_of(st.integers(0, 50).map(str), st.sampled_from(["depth", "width", "share", "2.5"]))
OPERATORS = ["+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", "and", "or"]
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda part: f"(-{part})"),
        inner.map(lambda part: f"(not {part})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"max({p[0]}, {p[1]})"),
        inner.map(lambda part: f"abs({part})"),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_means_what_python_means(text: str) -> None:
    try:
        wanted = eval(text, {"__builtins__": {"max": max, "abs": abs}}, dict(NAMES))
    except ZeroDivisionError:
        with pytest.raises(InputError, match="cannot compute"):
            evaluate(text, NAMES)
        return
    assert evaluate(text, NAMES) == wanted


@given(st.text(max_size=40))
def test_any_text_gives_a_value_or_one_message(text: str) -> None:
    try:
        value = evaluate(text, NAMES)
    except InputError:
        return
    assert isinstance(value, int | float | str)
    assert not isinstance(value, int) or abs(value) <= MAX_MAGNITUDE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max(1, ceil(log2(depth))) if depth >= 1 else 1", 8),
        ("width // 8 * 2 ** 10", 2048),
        ("'32nm'", "32nm"),
        ("1 < 2 < 3", True),
        ("round(2.567, 2)", 2.57),
        ("  1 + 1 ", 2),
        ("pow(2, 5) + comb(5, 2) + factorial(4)", 66),
        ("copysign(hypot(3, 4), -1)", -5.0),
        ("bool(3) and isclose(fmod(7, 4), 3)", True),
    ],
)
def test_examples(text: str, value: object) -> None:
    assert evaluate(text, NAMES) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, width, 'x']", [1, 16, "x"]),
        ("[0] * 3 + [1]", [0, 0, 0, 1]),
        ("2 * [1]", [1, 1]),
        ("sum([1, 2, width]) / len([1, 2])", 9.5),
        ("max([1, 4, 2]) + min([3, 2])", 6),
        ("'M=' + str(width // 2)", "M=8"),
    ],
)
def test_lists_and_texts_are_joined_and_counted(text: str, value: object) -> None:
    assert evaluate(text, {"width": 16}) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('ls')", "the call of '__import__('os').system' is not allowed"),
        ("open('x')", "the call of 'open' is not allowed"),
        ("cel(2)", "the call of 'cel' is not allowed in an expression, did you mean 'ceil'?"),
        ("depth.real", "attribute access"),
        ("depth[0]", "indexing"),
        ("[1, 2] + 3", "cannot compute with [1, 2]; it is no number"),
        ("[1] * 10 ** 9", "more than 1000 items"),
        ("[1] * -1.5", "it is no number"),
        ("str([1])", "str() takes numbers"),
        ("sum(3)", "sum() takes a list"),
        ("[x for x in [1]]", "is not allowed"),
        ("[1, 2][0]", "indexing"),
        ("average([1])", "functions of a user's Python are not run; --set gives a name a value"),
        ("lambda: 1", "'lambda' is not allowed"),
        ("[i for i in 9]", "is not allowed"),
        ("f'{depth}'", "an f-string"),
        ("1 << 60", "is not allowed"),
        ("1 in depth", "the comparison 'in'"),
        ("max(*depth)", "plain arguments"),
        ("'a' * 10", "it is no number"),
        ("9 ** 9 ** 9", "is too large"),
        ("pow(9, 999)", "is too large"),
        ("factorial(10 ** 6)", "factorial() of 1000000; at most 40 is computed"),
        ("comb(10 ** 9, 10 ** 8)", "at most 200 is computed"),
        ("2 ** 127 * 4", "beyond 2 ** 128"),
        ("10.0 ** 400", "cannot compute"),
        ("1e308 * 10", "too large"),
        ("(-1) ** 0.5", "no real value"),
        ("1 / 0", "division by zero"),
        ("dpeth + 1", "unknown name 'dpeth', did you mean 'depth'?"),
        ("LPDDR4", "text must stand in quotes"),
        ("65nm", "is no expression"),
        ("1 +", "is no expression"),
        ("-" * 900 + "1", "nested more than"),
        ("(" * 900 + "1" + ")" * 900, "at most 1000"),
        ("log2(0)", "cannot compute log2()"),
        ("b'x'", "is not allowed"),
        ("...", "is not allowed"),
        ("1j", "is not allowed"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(text, NAMES)
    assert said in str(caught.value)


def test_only_bare_text_is_an_expression() -> None:
    nodes = parse_document("- depth * 2\n- 'depth * 2'\n- 5\n- {a: depth}").sequence()
    assert [evaluate_node(node, NAMES) for node in nodes] == [384, "depth * 2", 5, {"a": "depth"}]
    with pytest.raises(InputError, match=r"<text>:1: \[0\]: unknown name 'depth'"):
        evaluate_node(nodes[0], {})


def test_names_mean_what_stands_above_then_outside_then_below() -> None:
    entries = parse_document("a: b + 1\nb: b * 2\nc: b\nd: a").mapping()
    assert evaluate_all(entries, {"b": 10}) == {"a": 11, "b": 20, "c": 20, "d": 11}
    assert evaluate_all(parse_document("a: z + 1\nz: 3").mapping(), {}) == {"a": 4, "z": 3}


def test_what_cannot_be_computed_is_left_out_where_that_is_asked() -> None:
    entries = parse_document("a: b + 1\nb: [1, 2]\nc: 3\nd: c * x\nf: d\ng: h\nh: g").mapping()
    assert evaluate_what_can_be(entries, {}) == {"b": [1, 2], "c": 3}


@pytest.mark.parametrize(
    ("text", "chain"),
    [("a: a + 1", "a -> a"), ("a: b\nb: c\nc: a", "a -> b -> c -> a"), ("a: b\nb: c\nc: b", "b -> c -> b")],
)
def test_cycles_are_named(text: str, chain: str) -> None:
    with pytest.raises(InputError, match=f"needs its own value: {chain}"):
        evaluate_all(parse_document(text).mapping(), {})


def test_long_chains_are_refused() -> None:
    text = "".join(f"n{i}: n{i + 1}\n" for i in range(200)) + "n200: 1\n"
    with pytest.raises(InputError, match="chain of more than"):
        evaluate_all(parse_document(text).mapping(), {})
