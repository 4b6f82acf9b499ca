"""What a network answers on samples, in pictures, by the kind of its answer."""
