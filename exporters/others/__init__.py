"""Files that other tools wrote: what they compute, compared with a network or with another file."""
