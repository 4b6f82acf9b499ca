"""What is drawn for a sample in an evaluation, and figures over several draws."""

import statistics

import pytest
import torch

from asnn.coding.draws import drawing, sample_keys
from asnn.core.errors import ConfigError
from asnn.datasets import Batches
from asnn.measure import evaluate
from asnn.measure.repeats import draws, repeated
from tests.measure.test_evaluation import CLASSES, SAMPLES, network, samples

OPTIONS = {"classes": CLASSES, "full_scale": 255.0}


def rate(**options):
    return network(coding="rate", coding_options=options)


@pytest.mark.parametrize("options", [{}, {"seed": 7}])
def test_spikes_do_not_depend_on_the_batch_size(options):
    model, split = rate(**options), samples()
    found = [evaluate(model, split, batch_size=size, **OPTIONS) for size in (1, 8, 64, 256)]
    spikes = {one.spikes_per_sample for one in found}
    assert len(spikes) == 1, "a total of whole numbers"
    assert len({one.accuracy for one in found}) == 1
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-5)
    other = rate(seed=8) if options else model
    control = evaluate(other, split, draw=0 if options else 1, **OPTIONS)
    assert control.spikes_per_sample not in spikes


def test_shares_of_processes_and_shuffled_batches_draw_the_same():
    split, code = samples(), rate().coding

    def drawn(**options) -> torch.Tensor:
        found = torch.full((code.steps, SAMPLES, 1, 6, 6), -1.0)
        for x, targets in Batches(split, full_scale=255.0, **options):
            with drawing(sample_keys(targets.samples, 0)):
                found[:, targets.samples] = code.encode(x)
        return found

    whole = drawn(batch_size=SAMPLES)
    assert whole.min() == 0
    shares = torch.maximum(*(drawn(batch_size=5, part=(rank, 2)) for rank in range(2)))
    assert torch.equal(shares, whole)
    assert torch.equal(drawn(batch_size=23, shuffle=True), whole)


def test_mean_and_deviation_over_draws():
    model, split = rate(), samples()
    first = evaluate(model, split, **OPTIONS)
    found = repeated(model, split, first, 4, **OPTIONS)
    each = [evaluate(model, split, draw=draw, **OPTIONS) for draw in range(4)]
    spikes = [one.spikes_per_sample for one in each]
    assert found["draws"] == 4
    assert found["spikes_per_sample"] == {
        "mean": pytest.approx(sum(spikes) / 4),
        "deviation": pytest.approx(statistics.stdev(spikes)),
        "each": spikes,
    }
    assert found["spikes_per_sample"]["deviation"] > 0
    assert "samples_per_second" not in found and "confusion" not in found


@pytest.mark.parametrize(
    ("model", "repeats", "reason"),
    [
        (lambda: network(coding="temporal"), 3, "neither the code 'temporal' nor a neuron draws"),
        (lambda: rate(seed=7), 3, "coding.seed = 7 gives equal samples equal spikes"),
        (rate, 1, "a deviation needs 2 draws"),
    ],
)
def test_nothing_to_repeat_is_refused(model, repeats, reason):
    with pytest.raises(ConfigError) as caught:
        repeated(model(), samples(), None, repeats, **OPTIONS)
    assert reason in caught.value.why


def test_a_neuron_can_say_that_it_draws():
    model = network(coding="temporal")
    assert not draws(model)
    model.body[0].draws = True
    assert draws(model)
