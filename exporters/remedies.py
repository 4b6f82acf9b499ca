"""What a user can do about a network that a file cannot express: by where the network is from."""

from __future__ import annotations

from collections.abc import Mapping

from .graph.ir import Graph

GIVEN = "use --form given, which writes the nodes as they are"


def by_origin(graph: Graph, *, recipe: str, module: str, imported: str = GIVEN) -> str:
    """Return the remedy for a network of a recipe, of a torch module, or of a NIR file.

    Args:
        graph: of the network.
        recipe: what to change of a recipe.
        module: what to change of a module with neurons of snnTorch or asnn.
        imported: what to do with the network of a NIR file.
    """
    network = graph.about.get("network")
    if not isinstance(network, Mapping):
        return recipe
    if network.get("name") == "nir":
        return imported
    return module if "from" in network else recipe


def joined(*remedies: str) -> str:
    """Return the remedies that there are as one text."""
    return "; or ".join(each for each in remedies if each)
