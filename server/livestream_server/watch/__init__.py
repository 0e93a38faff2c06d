"""Watching: what happens to a stream, sent to everyone who watches it."""
