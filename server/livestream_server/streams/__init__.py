"""Live streams: their announcement, their states, and who takes part in them."""
