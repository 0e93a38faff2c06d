"""Directories that nobody but the user may look into."""

from pathlib import Path


def make_private(directory: Path) -> None:
    """Create `directory`, or take its rights from everybody else if it is there (mode 0700); raises OSError."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)  # what was there before, and whatever the umask is
