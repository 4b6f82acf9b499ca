"""The kernels as operators of torch, in the namespace `asnn`: schema, shapes and gradients.

`torch.compile`, `torch.export`, fake tensors and dispatch modes see these operators. Eager code
calls the same functions directly: for small layers the dispatcher costs as much as the kernel.

- `norm_statistics`: mean and variance of each batch norm;
- `fused_layer`: batch norm, neuron over all steps, pool;
- `normed_sum`: batch norm and sum, where two paths meet;
- `pole_filter`: exponential filters over time;
- `spike_convolution`: convolution of spikes.

An exported program that holds them runs after `import asnn.kernels.operators`.
"""

from . import fused_layer, norm_statistics, normed_sum, pole_filter, spike_convolution

__all__ = ["fused_layer", "norm_statistics", "normed_sum", "pole_filter", "spike_convolution"]
