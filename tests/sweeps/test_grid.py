"""Grids from options: values, commas inside values, folder names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.sweeps import Axis, parse_axis, parse_seeds
from asnn.sweeps.grid import axis_text, display, expand, folder_names, value_text


@pytest.mark.parametrize(
    ("text", "keys", "values"),
    [
        ("coding.name=direct,hybrid", ("coding.name",), (("direct",), ("hybrid",))),
        ("train.lr=1e-3, 0.003", ("train.lr",), ((0.001,), (0.003,))),
        ("a.b=[4,8],[16,32]", ("a.b",), (([4, 8],), ([16, 32],))),
        ("a.b=true,1,\"1\",'a,b;c'", ("a.b",), ((True,), (1,), ("1",), ("a,b;c",))),
        ("a.b={x = [1,2], y = 'p,q'}", ("a.b",), (({"x": [1, 2], "y": "p,q"},),)),
        ('a.b="say \\"a,b\\"",c', ("a.b",), (('say "a,b"',), ("c",))),
        ("a.b=x=1,y=2", ("a.b",), (("x=1",), ("y=2",))),
        ("a.b=f(1,2),g", ("a.b",), (("f(1,2)",), ("g",))),
        ('a.b="",x', ("a.b",), (("",), ("x",))),
        ("a.b=x,y;c.d=1,2", ("a.b", "c.d"), (("x", 1), ("y", 2))),
    ],
)
def test_parsed_axes(text, keys, values):
    axis = parse_axis(text)
    assert (axis.keys, axis.values) == (keys, values)
    # True equals 1 in Python, but not in a recipe.
    assert [[type(v) for v in row] for row in axis.values] == [
        [type(v) for v in row] for row in values
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("coding.name", "is not of the form section.key=value,value"),
        ("name=a,b", "is not of the form section.key=value,value"),
        ("coding.=a", "is not of the form section.key=value,value"),
        ("a.b=x;c=1", "is not of the form section.key=value,value"),
        ("a.b=x,,y", "has an empty value"),
        ("a.b=", "has an empty value"),
        ("a.b=x,", "has an empty value"),
        ("a.b=[1,2", "has an unclosed ["),
        ("a.b='x", "has an unclosed '"),
        ("a.b=x,y;c.d=1", "different numbers of values: .*a.b 2, c.d 1"),
        ("a.b=x;a.b=y", "names a key twice"),
        ("a.b=x,y,x", "has a value twice"),
    ],
)
def test_invalid_axes(text, says):
    with pytest.raises(ConfigError, match=says.replace("[", r"\[") if "unclosed" in says else says):
        parse_axis(text)


def test_equal_rows_are_refused_and_equal_columns_are_not():
    assert parse_axis("a.b=x,x;c.d=1,2").values == (("x", 1), ("x", 2))
    assert parse_axis("a.b=1,true").values == ((1,), (True,))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | numbers | texts
settings = scalars | st.lists(scalars, max_size=3)


@given(st.lists(settings, min_size=1, max_size=4, unique_by=repr), st.booleans())
def test_axis_text_round_trip(values, together):
    keys = ("train.one", "train.two") if together else ("train.one",)
    axis = Axis(keys, tuple((value, index)[: len(keys)] for index, value in enumerate(values)))
    assert repr(parse_axis(axis_text(axis))) == repr(axis)


@given(settings)
def test_value_text_round_trip(value):
    from asnn.learning import parse_override

    found = parse_override(f"a.b={value_text(value)}")[1]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.slow
@given(st.text(max_size=30))
def test_parser_accepts_or_refuses_any_text(text):
    try:
        axis = parse_axis(f"a.b={text}")
    except ConfigError:
        return
    assert axis.values


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [0, 1, 2]), ("1", [0]), ("0,3,7", [0, 3, 7]), ("5,", [5]), (" 1, 2 ", [1, 2])],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "a", "1,,2", ",", "99999999"])
def test_invalid_seeds(text):
    with pytest.raises(ConfigError, match="is not valid"):
        parse_seeds(text)


@pytest.mark.parametrize(("text", "named"), [("1,1", "twice: 1"), ("3,5,3,5,3,4", "twice: 3, 5")])
def test_a_seed_that_is_named_twice_is_named_in_the_message(text, named):
    with pytest.raises(ConfigError, match=named):
        parse_seeds(text)
    assert parse_seeds("1,2") == [1, 2]


def test_the_product_of_two_axes():
    axes = [parse_axis("a.b=x,y"), parse_axis("c.d=1,2;e.f=3,4")]
    assert [dict(point) for point in expand(axes)] == [
        {"a.b": "x", "c.d": 1, "e.f": 3},
        {"a.b": "x", "c.d": 2, "e.f": 4},
        {"a.b": "y", "c.d": 1, "e.f": 3},
        {"a.b": "y", "c.d": 2, "e.f": 4},
    ]
    assert expand([]) == [()]


def test_folder_names_by_hand():
    points = expand([parse_axis("model.widths=[4,8],[16]"), parse_axis("train.lr=1e-3,0.5")])
    assert folder_names(points) == [
        "model.widths=4-8,train.lr=0.001",
        "model.widths=4-8,train.lr=0.5",
        "model.widths=16,train.lr=0.001",
        "model.widths=16,train.lr=0.5",
    ]
    similar = folder_names([(("a.b", "x/y"),), (("a.b", "x_y"),), (("a.b", "X_y"),)])
    assert all(re.fullmatch(r"a\.b=[xX]_y~[0-9a-f]{8}", name) for name in similar)
    assert len(set(similar)) == 3


@given(st.lists(st.tuples(texts, settings), min_size=1, max_size=5, unique_by=repr))
def test_folder_names_are_portable_and_unique(pairs):
    points = [(("data.path", text), ("train.x", value)) for text, value in pairs]
    names = folder_names(points)
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert len(name.encode()) <= 255 - len(",seed=9223372036854775807") - 20
        assert not set(name) & set('/\\:*?"<>| \t\0[]{}') and name not in ("", ".", "..")


def test_displayed_values():
    assert [display(value) for value in ("x", 1, 0.5, True, ["a", 2])] == [
        "x",
        "1",
        "0.5",
        "true",
        '["a", 2]',
    ]
