"""NIR: writing the export graph as a NIR graph, and computing what a file says."""
