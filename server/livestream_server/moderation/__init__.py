"""Bans: whom creators shut out of their streams."""
