"""A page that people read: what a run is, what it does and what it costs, in one HTML file."""
