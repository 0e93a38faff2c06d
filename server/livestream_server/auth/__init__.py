"""Who is calling: bearer tokens (JWT) verified into a `Caller`."""
