"""The faster search gives the answers of nirtorch's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nirtorch import nir_interpreter

from asnn.exporters.verification.graph_search import fast_search, path_search

NAMES = st.sampled_from("abcdefg")


@given(st.lists(st.tuples(NAMES, NAMES), max_size=16), st.lists(st.tuples(NAMES, NAMES)))
def test_paths(edges, questions) -> None:
    search = path_search()
    for start, end in questions:
        assert search(start, end, edges) == nir_interpreter._can_reach(start, end, edges)


def test_two_graphs_are_not_mixed_up() -> None:
    search, first, second = path_search(), [("a", "b")], [("b", "a")]
    assert [search("a", "b", edges) for edges in (first, second, first)] == [True, False, True]


def test_it_is_in_place_inside_the_block_only() -> None:
    original = nir_interpreter._can_reach
    with fast_search():
        assert nir_interpreter._can_reach is not original
        assert nir_interpreter._can_reach("a", "c", [("a", "b"), ("b", "c")])
    assert nir_interpreter._can_reach is original
