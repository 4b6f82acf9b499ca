"""Products of features."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.models.ode.terms import Terms, parse_terms


def test_terms_are_products_divided_by_the_sizes_of_their_features():
    sizes = [2.0, 0.5, 4.0]
    layer = Terms(["1", "x2", "x0*x1", "x1 * x1 * x2"], sizes).double()
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    a, b, c = x.unbind(-1)
    expected = torch.stack([torch.ones_like(a), c / 4, a * b / 1, b * b * c / 1], -1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-6, atol=1e-7)
    assert layer.scale.tolist() == [1.0, 4.0, 1.0, 1.0]


def test_features_of_a_term():
    assert parse_terms(["x0*x0", "1"], 1) == [[0, 0], []]
    for terms, match in (
        (["x3"], r"term 'x3' is not a product of features: a term is 1, or up to 4 of x0 to x2"),
        (["x0+x1"], "is not a product"),
        (["x0*x0*x0*x0*x0"], "up to 4"),
        (["x0*x1", "x1*x0"], "each term is given once"),
        ([], "at least one"),
    ):
        with pytest.raises(ConfigError, match=match):
            parse_terms(terms, 3)
