"""Files that somebody else made, read within bounds of time and memory, without running code."""
