"""Finds the endpoint for the verb and the path of a request."""

import re
from collections.abc import Iterable, Mapping

from livestream_gateway.endpoint import Endpoint

_VARIABLE = re.compile(r"\{(\w+)\}")
_SPECIAL = re.compile(r"[{}*]")
_NONE: Mapping[str, str] = {}

ByVerb = dict[str, Endpoint]


class NoSuchPath(Exception):
    """Nothing of the contract has this path."""


class WrongVerb(Exception):
    """The path exists, for other verbs."""

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__()
        self.allowed = tuple(allowed)


class Router:
    """Finds endpoints by path, then by verb. HEAD goes where GET goes.

    A path without variables wins over one with them. A slash at the end makes another path.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._literal: dict[str, ByVerb] = {}
        templates: dict[str, ByVerb] = {}
        for endpoint in endpoints:
            path = endpoint.route.path
            verbs = (templates if _SPECIAL.search(path) else self._literal).setdefault(path, {})
            verbs[endpoint.route.verb] = endpoint
            if endpoint.route.verb == "GET":
                verbs["HEAD"] = endpoint
        # Of two templates that fit, the one whose literal segment comes first is meant.
        ordered = sorted(templates, key=lambda path: [segment.startswith("{") for segment in path.split("/")])
        self._templates = [(_compile_pattern(path), templates[path]) for path in ordered]

    def find(self, verb: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """The endpoint, and the values of the path's variables. Raises NoSuchPath or WrongVerb."""
        verbs, variables = self._literal.get(path), _NONE
        if verbs is None:
            verbs, variables = self._match_template(path)
        endpoint = verbs.get(verb)
        if endpoint is None:
            raise WrongVerb(verbs)
        return endpoint, variables

    def _match_template(self, path: str) -> tuple[ByVerb, Mapping[str, str]]:
        for pattern, verbs in self._templates:
            if match := pattern.fullmatch(path):
                return verbs, match.groupdict()
        raise NoSuchPath


def _compile_pattern(path: str) -> re.Pattern[str]:
    """One variable is one whole segment. Raises ValueError for what google.api.http knows beyond that."""
    segments = []
    for segment in path.split("/"):
        variable = _VARIABLE.fullmatch(segment)
        if not variable and _SPECIAL.search(segment):
            raise ValueError(f"unsupported path template: {path}")
        segments.append(f"(?P<{variable[1]}>[^/]+)" if variable else re.escape(segment))
    return re.compile("/".join(segments))
