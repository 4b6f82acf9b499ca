"""`python -m asnn.cli`, and `python -m asnn_cli` from a checkout."""

from asnn.cli.app import main  # pyright: ignore[reportMissingImports]

main()
