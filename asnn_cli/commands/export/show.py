"""How each runtime of a verification compares with the network, on the terminal."""

from __future__ import annotations

from typing import Any

from ...terminal import console


def show_report(report: Any) -> None:
    """Show how each runtime compares with the network."""
    rows = []
    for parity in report.parities:
        found = parity.as_dict()
        flips = sum(sum(steps) for steps in found["spike_mismatches"].values())
        rows.append(
            [
                parity.runtime,
                "-" if parity.error else f"{found['greatest_logit_difference']:.1e}",
                f"{100 * found['argmax_agreement']:.2f}",
                str(flips) if found["spike_mismatches"] else "-",
                f"{found['ms_per_sample']:.2f}",
                "yes" if parity.agrees else ("NO" if parity.gates else "-"),
            ]
        )
    if not rows:
        return  # the file was not run
    heads = ["runtime", "logits ±", "same %", "flips", "ms/sample", "agrees"]
    console.table(f"{len(report.samples)} samples", heads, rows)
    if report.driven is not None and report.driven.neurons:
        shares = list(report.driven.neurons.values())
        fired, silent = (sum(share[i] for share in shares) / len(shares) for i in (0, 1))
        console.note(
            f"given random input, {report.driven.layers} layers alone: {console.percent(fired)} of "
            f"the neurons fired and {console.percent(silent)} were silent at least once"
        )
    for name, value in report.accuracy.items():
        console.note(f"accuracy of the {name} on these samples: {console.percent(value)}")
    for name in report.quiet:
        console.note(
            f"warning: {name} fires never or always on these samples, so that later layers are "
            "hardly tested: verify with more samples (--samples N), or look at its spike rate and "
            "schedule (asnn eval): a threshold or leak may have to change"
        )


def show_spikes(parity: Any) -> None:
    """Show the spikes of a runtime that fires otherwise than the network, layer by layer."""
    from ....formats.errors import sanitize

    if not any(counts.any() for counts in parity.spike_mismatches.values()):
        return
    rows, nodes = [], parity.about.get("layers", {})  # of the file, by the layer of the network
    for name, counts in parity.spike_mismatches.items():
        network, file = parity.spikes[name]
        first = str(int((counts > 0).argmax())) if counts.any() else "-"
        node = nodes.get(name, name)
        label = name if node == name else f"{name} ({sanitize(node, 24)})"
        rows.append([label, f"{network:,.0f}", f"{file:,.0f}", f"{int(counts.sum()):,}", first])
    total = [sum(each) for each in zip(*parity.spikes.values(), strict=True)]
    differ = sum(int(counts.sum()) for counts in parity.spike_mismatches.values())
    if len(rows) > 1:
        rows.append(["all", f"{total[0]:,.0f}", f"{total[1]:,.0f}", f"{differ:,}", ""])
    heads = ["layer", "network", "file", "differ", "first step"]
    console.table(f"spikes in {parity.runtime}", heads, rows)


def show_conditions(graph: Any) -> None:
    """Show on what condition the file of a torch module computes what the module does."""
    if "holds_while" in graph.about:
        console.note(f"note: exact while {graph.about['holds_while']}")
    if "dequantised" in graph.about:
        console.note(
            f"note: the weights of {graph.about['dequantised']} are dequantised; torch also rounds "
            "their inputs to 8 bits of the range of a batch, the file does not"
        )
