"""Data sets of events: recordings of event cameras, spike lists of audio."""
