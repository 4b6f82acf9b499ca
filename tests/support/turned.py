"""Images, and what p4 layers compute of them, turned by 90°."""

import torch


def turned(x, quarters=1):
    """`[..., H, W]` turned counter-clockwise."""
    return torch.rot90(x, quarters, (-2, -1))


def turned_back(x, quarters=1, *, rolls=True):
    """Channels `[T, B, 4 C, H, W]` of the four rotations, computed of a turned image, as those of
    the image; without the roll of the rotations it is the action on plain channels."""
    rotations = turned(x, -quarters).unflatten(2, (4, -1))
    return (rotations.roll(-quarters, 2) if rolls else rotations).flatten(2, 3)


def dyadic(module, generator, *, step=2**-6, largest=32):
    """Set all parameters and statistics to values whose sums float32 computes exactly: weights are
    multiples of 2⁻⁶, and norms, leaks and gains pass them on by factors that are powers of two."""
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith(("leak", "gain")):
                value.fill_(0.5)
            elif name.endswith("running_mean"):
                value.zero_()
            elif name.endswith("running_var"):
                value.fill_(1)
            elif value.dim() >= 2:
                drawn = torch.randint(-largest, largest + 1, value.shape, generator=generator)
                value.copy_(drawn * step)
    for part in module.modules():
        if hasattr(part, "running_var"):
            part.eps = 0.0
    return module
