"""Encoded samples: their steps, figures and errors, in bounded memory."""
