"""Reminders: who wants to be called before a stream or at its start."""
