"""Bans: users who may not enter, or not chat in, a stream."""
