"""Linear differential equations, solved by least squares."""
