"""`livestream-server` with a bug for test_watchdog.py: the path /hang meets a pattern that never comes to an end."""

import re
import sys
from typing import Any

from livestream_gateway.guard import Guard
from livestream_run.__main__ import main

check = Guard._check


def check_slowly(self: Guard, scope: Any) -> None:
    if scope["path"] == "/hang":
        re.match(r"(a+)+$", "a" * 64 + "b")
    check(self, scope)


Guard._check = check_slowly

if __name__ == "__main__":
    sys.exit(main())
