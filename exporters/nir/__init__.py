"""NIR: the export graph as a NIR graph, and an interpreter of NIR files."""
