"""What `asnn inspect` says of a file or a run, as plain values that go into JSON."""
