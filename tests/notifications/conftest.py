"""The notifications of a service are seen by what they do to its participants."""

from tests.participants.conftest import backstage

__all__ = ["backstage"]
