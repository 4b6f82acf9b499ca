"""What happens to files when processes are killed or stopped, clocks jump and disks are full.

Each module is a program that prints its figures as JSON and ends with 1 if a promise did not hold.
docs/runs.md lists them, with their figures.
"""
