import pytest

from livestream_server.auth.jwt import Authenticator
from tests.auth.forging import Clock, settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def authenticator(clock: Clock) -> Authenticator:
    """HS256, with issuer, audience and 30 s of leeway."""
    authenticator = Authenticator(settings(), clock=clock)
    await authenticator.start()
    return authenticator
