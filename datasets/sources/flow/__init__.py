"""Windows of recordings, and what is known of their optical flow."""
