"""Networks of NIR files in the forms of asnn's own networks, by what their simulator computes."""

import nir
import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, random_samples, source_of
from asnn.exporters.graph.ir import Neuron
from asnn.exporters.nir import export as nir_export
from asnn.exporters.nir.interpreter import run_nir
from tests.support.nir_files import graph_of_nodes, lif, network, weights

STEPS = 5


def layers(**changed):
    """Two layers, the first of which reads its own spikes through weights with a bias."""
    own = nir.Affine(weights(1, 8, 8), np.full(8, 0.2, np.float32))
    return graph_of_nodes(
        [6],
        3,
        "input>fc>rec.n>out>last>output, rec.n>rec.w>rec.n",
        **{"fc": nir.Linear(weights(0, 8, 6)), "rec.n": lif(8, **changed), "rec.w": own},
        out=nir.Linear(weights(2, 3, 8, scale=1)),
        last=lif(3, **changed),
    )


def computed(model, x):
    with torch.no_grad():
        return model.run(x).numpy()


def exported(model, folder, form="portable", **options):
    source = source_of(model)
    samples = random_samples(source.sample_shape, 16)
    return export_nir(source, folder / "m.nir", samples=samples, form=form, **options)


@pytest.mark.slow
def test_a_network_of_snntorch_with_a_loop_is_unrolled(tmp_path):
    """Neither the reset by subtraction nor the loop of the file is one that its importer runs."""
    model = network(layers(), steps=STEPS, semantics="snntorch")
    done = exported(model, tmp_path, target="snntorch")
    assert done.report.verified and done.report.spikes["network.rec_n"] > 0
    assert {"snntorch", "spikingjelly"} <= {each.runtime for each in done.report.parities}
    x = torch.rand(STEPS, 4, 6)
    file = nir.read(tmp_path / "m.nir")
    unrolled = x.transpose(0, 1).reshape(1, 4, -1).numpy()
    found = run_nir(file, unrolled)["output"][0]
    np.testing.assert_allclose(found, computed(model, x).mean(0), atol=1e-6)
    other = network(layers(), steps=STEPS, semantics="nir")
    assert np.abs(found - computed(other, x).mean(0)).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rec_n_t1_reset", "rec_n_t2_recurrent"])
def test_a_changed_weight_of_the_unrolled_file_is_found(name, tmp_path, monkeypatch):
    write = nir_export.write_nir

    def wrong(path, graph, **options):
        nodes = dict(graph.nodes)
        node = nodes[f"network.{name}"]
        nodes[f"network.{name}"] = nir.Linear(1.3 * node.weight)
        write(path, nir.NIRGraph(nodes, graph.edges, graph.metadata, type_check=False), **options)

    monkeypatch.setattr(nir_export, "write_nir", wrong)
    with pytest.raises(VerificationError, match="does not compute what the network does"):
        exported(network(layers(), steps=STEPS, semantics="snntorch"), tmp_path)


@pytest.mark.slow
def test_a_network_that_fires_at_its_threshold_has_a_lif_form(tmp_path):
    """v = x / 2 + v / 2 of eighths is at the threshold often; the next lower number is below."""
    values = {"tau": 2e-4, "r": 1.0, "v_threshold": 0.25}
    fc = nir.Linear(np.eye(4, dtype=np.float32))
    graph = graph_of_nodes([4], 4, "input>fc>n>output", fc=fc, n=lif(4, **values))
    model = network(graph, steps=STEPS, semantics="spikingjelly")
    done = exported(model, tmp_path, form="lif")
    (neuron,) = [n for n in source_of(model).graph.nodes if isinstance(n, Neuron)]
    assert done.report.verified and (neuron.threshold < 0.25).all()
    x = torch.randint(0, 5, (STEPS, 64, 4)) / 4
    found = run_nir(nir.read(tmp_path / "m.nir"), x.numpy())["output"]
    np.testing.assert_array_equal(found, computed(model, x))
    strict = computed(network(graph, steps=STEPS, semantics="nir"), x)
    assert (found > strict).any()


def refusal(model, form, folder):
    with pytest.raises(ConfigError) as refused:
        export_nir(source_of(model), folder, samples=None, form=form)
    return refused.value


def test_what_has_no_form_is_refused_with_one_that_has(tmp_path):
    own = refusal(network(layers(), steps=STEPS), "portable", tmp_path)
    assert "resets its membrane to zero, which NIR cannot unroll" in own.what
    assert own.remedy == "use --form given, which writes the nodes as they are; or --form lif"
    late = refusal(network(layers(), steps=STEPS, semantics="snntorch-zero"), "lif", tmp_path)
    assert "no node for a product of two signals" in late.why
    assert late.remedy.endswith("or use --form given, which writes the nodes as they are")
    soft = refusal(network(layers(), steps=STEPS, semantics="snntorch"), "lif", tmp_path)
    assert "its reset is 'subtract'" in soft.why
    assert soft.remedy.startswith("use --form portable; or use --form given")
    assert "neuron." not in soft.remedy  # a key of recipes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("semantics", "form"), [("nir", "given"), ("snntorch-zero", "given"), ("snntorch", "given")]
)
def test_the_forms_that_refusals_name_are_written(semantics, form, tmp_path):
    model = network(layers(), steps=STEPS, semantics=semantics)
    assert exported(model, tmp_path, form=form).report.verified
