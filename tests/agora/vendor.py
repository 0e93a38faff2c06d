"""Agora's own builders with clock and salt held still, so that their bytes can be compared with ours."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from unittest.mock import patch

from agora_token_builder import RtcTokenBuilder as LegacyRtcTokenBuilder
from agora_token_builder import RtmTokenBuilder as LegacyRtmTokenBuilder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports all its older formats, which warn that they are old
    from agoraiotools import RtcTokenBuilder2, RtmTokenBuilder2

    # The package gives the module's name to a class.
    access_token2 = importlib.import_module("agoraiotools.AccessToken2")
legacy = importlib.import_module("agora_token_builder.AccessToken")

APP_ID = "970CA35de60c44645bbae8a215061b33"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
OTHER_CERTIFICATE = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Case:
    """What goes into a token. `life` is in seconds from `issued_at`."""

    issued_at: int = 1_800_000_000
    salt: int = 1
    channel: str = "late-night-jazz-k3v9x0q2mb"
    uid: int = 4711
    publish: bool = True
    user_id: str = "65a0c0ffee65a0c0ffee65a0"
    life: int = 600

    @property
    def ends(self) -> int:
        return self.issued_at + self.life

    @property
    def role(self) -> int:
        return 1 if self.publish else 2


def rtc_007(case: Case) -> str:
    with still(case):
        return RtcTokenBuilder2.build_token_with_uid(
            APP_ID, CERTIFICATE, case.channel, case.uid, case.role, case.life, case.life
        )


def rtm_007(case: Case) -> str:
    with still(case):
        return RtmTokenBuilder2.build_token(APP_ID, CERTIFICATE, case.user_id, case.life)


def both_007(case: Case) -> str:
    rtc = (case.channel, case.uid, case.role, *(case.life,) * 5)
    with still(case):
        return RtcTokenBuilder2.build_token_with_rtm2(APP_ID, CERTIFICATE, *rtc, case.user_id, case.life)


def rtc_006(case: Case) -> str:
    asked = (case.channel, case.uid, case.role, case.ends)
    with still(case):
        return LegacyRtcTokenBuilder.buildTokenWithUid(APP_ID, CERTIFICATE, *asked)


def rtm_006(case: Case) -> str:
    with still(case):
        return LegacyRtmTokenBuilder.buildToken(APP_ID, CERTIFICATE, case.user_id, 1, case.ends)


@contextmanager
def still(case: Case) -> Iterator[None]:
    clock = SimpleNamespace(time=lambda: float(case.issued_at))
    generator = SimpleNamespace(randint=lambda low, high: case.salt)
    with ExitStack() as patches:
        for module in (access_token2, legacy):
            patches.enter_context(patch.object(module, "time", clock))
            patches.enter_context(patch.object(module, "secrets", SimpleNamespace(SystemRandom=lambda: generator)))
        yield
