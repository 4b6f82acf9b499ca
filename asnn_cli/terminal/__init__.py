"""Shared by the commands: console, tables, progress, signals, exit codes, completion."""
