"""Reminders: who wants to be told before a stream or at its start."""
