"""The scenario itself: who does what in which order, and what must come of it.

What every answer must be (its envelope, its tokens) is in `checks.py` and `tokens.py`; here is what is special.
"""

from livestream_run.dev.scenario.parts.joining import A_STREAM_FOR_TWO, NOT_LIKE_THAT, ON_AIR, WORTH_ITS_PRICE
from livestream_run.dev.scenario.parts.living import ANNOUNCED, COMING_AND_GOING, CURTAIN, IN_THE_END

PARTS = (
    A_STREAM_FOR_TWO,
    NOT_LIKE_THAT,
    ON_AIR,
    WORTH_ITS_PRICE,
    ANNOUNCED,
    COMING_AND_GOING,
    CURTAIN,
    IN_THE_END,
)
