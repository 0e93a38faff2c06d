"""Live streams: their announcement, their states, and the chairs in them."""
