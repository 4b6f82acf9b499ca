"""What the commands share: console, tables, progress, signals, exit codes, completion."""
