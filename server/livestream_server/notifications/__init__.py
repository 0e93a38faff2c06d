"""Agora's notifications of its channels: received, stored, and handled."""
