"""The forward of a torch module as nodes of the graph."""
