"""`asnn data`: what a data set holds."""
