"""A network with an accumulator as two files: what comes before its sums, and what reads them."""
