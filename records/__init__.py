"""The folder of a run: its files, what they say, and how a run is opened."""
