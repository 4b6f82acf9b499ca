"""The verbs of `asnn`: a file or a folder for each."""
