"""How many files, and so connections, a worker may have open."""

import resource


def allow_open_files() -> None:
    """Raise the limit to what the system allows this user: by itself it is often 1,024, less than our connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
