"""Watching: what happens to a stream, told to everyone who asks, while it happens."""
