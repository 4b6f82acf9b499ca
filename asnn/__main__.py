"""`python -m asnn`."""

from asnn.cli.app import main

main()
