"""What a training step keeps and holds, by T: constant for tandem learning and (what it
keeps) for represented neurons, not for surrogates."""

import pytest
import torch

from studies.memory import ONLINE, WAYS, TrainingStep, largest_tensor, saved_bytes

BATCH = 4


def measured(way, steps):
    step = TrainingStep(WAYS[way](steps), BATCH)
    step()
    return saved_bytes(step), largest_tensor(step)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["tandem", "tandem, freeze none"])
def test_tandem_learning_keeps_and_holds_the_same_for_any_number_of_steps(way):
    few, many = measured(way, 2), measured(way, 32)
    assert few == many
    # The largest tensor is one step of a layer, or a weight into which a norm is folded in float64:
    # no code or output of all steps.
    assert many[1] <= max(4 * BATCH * 16 * 28 * 28, 8 * 32 * 7 * 7 * 128)


@pytest.mark.slow
def test_surrogates_do_not():
    """Negative control, with the same network."""
    few, many = measured("surrogate", 2), measured("surrogate", 32)
    assert many[0] > 5 * few[0] and many[1] > 5 * few[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_represented_neurons_keep_the_same_for_any_number_of_steps(name):
    few, many = (measured(f"dsr {name}, layers together", steps)[0] for steps in (2, 32))
    assert few == many
    few, many = (measured(f"dsr {name}, layers one by one", steps)[0] for steps in (2, 32))
    # At least the inputs of two layers with 256 neurons or more, of each step.
    assert many - few >= 30 * 4 * BATCH * 2 * 256


@pytest.mark.slow
def test_rules_that_learn_at_every_step_keep_the_same_for_any_number_of_steps():
    found = {}
    for way, make in ONLINE.items():
        few, many = make(3), make(24)
        few(), many()
        found[way] = saved_bytes(few), saved_bytes(many)
    assert found["online decolle"][0] == found["online decolle"][1] > 0
    assert found["online glm, hidden neurons"] == (0, 0)  # it writes its gradients itself
    # Negative control, with the same network.
    assert found["online network by bptt"][1] > 4 * found["online network by bptt"][0]


def test_bytes_are_those_of_the_tensors():
    """From a formula: y = x w keeps x, and here nothing else."""
    x, weight = torch.ones(3, 5), torch.ones(5, 7, requires_grad=True)

    def step():
        (x @ weight).sum()

    assert saved_bytes(step) == 4 * 3 * 5

    def twice():
        step()
        step()

    assert saved_bytes(twice) == 4 * 3 * 5  # the first is dropped before the second
    assert largest_tensor(step) == 4 * 3 * 7
