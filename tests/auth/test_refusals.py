"""The attacks on bearer tokens that are known, each with the cause that the log must show."""

import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from livestream_server.auth.jwt import Authenticator
from tests.auth.forging import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    LEEWAY,
    NOW,
    SECRET,
    USER,
    Clock,
    cause_of_refusal,
    claims,
    encoded,
    headed,
    settings,
    signed,
    token,
)

GOOD = token()
HEADER = {"alg": "HS256", "typ": "JWT"}


def with_text(**texts: str) -> str:
    """A well signed token whose payload has JSON that no writer would produce."""
    names = claims() | dict.fromkeys(texts, "")
    return signed(
        HEADER, "{" + ",".join(f'"{name}":{texts.get(name, json.dumps(names[name]))}' for name in names) + "}"
    )


def bearer(value: str) -> str:
    return f"Bearer {value}"


HOSTILE = {
    # Algorithms
    "alg none without a signature": (f"{encoded({'alg': 'none'})}.{encoded(claims())}.", "malformed"),
    "alg none with a signature": (headed(alg="none"), "wrong_algorithm"),
    "alg NoNe": (headed(alg="NoNe"), "wrong_algorithm"),
    "alg in lower case": (headed(alg="hs256"), "wrong_algorithm"),
    "alg of the same key, longer hash": (signed({"alg": "HS512"}, claims(), digest="sha512"), "wrong_algorithm"),
    "alg HS384": (signed({"alg": "HS384"}, claims(), digest="sha384"), "wrong_algorithm"),
    "alg RS256 with an HMAC": (headed(alg="RS256"), "wrong_algorithm"),
    "alg a number": (headed(alg=256), "wrong_algorithm"),
    "alg a list": (headed(alg=["HS256"]), "wrong_algorithm"),
    "alg null": (headed(alg=None), "wrong_algorithm"),
    "alg absent": (signed({"typ": "JWT"}, claims()), "wrong_algorithm"),
    "alg twice": (signed('{"alg":"HS256","alg":"none"}', claims()), "malformed"),
    # Header
    "kid that leaves its folder": (headed(kid="../../dev/null"), "malformed_key_id"),
    "kid with a query": (headed(kid="x' UNION SELECT 'a"), "malformed_key_id"),
    "kid a list": (headed(kid=["a", "b"]), "malformed_key_id"),
    "kid null": (headed(kid=None), "malformed_key_id"),
    "kid empty": (headed(kid=""), "malformed_key_id"),
    "kid very long": (headed(kid="k" * 129), "malformed_key_id"),
    "kid with a newline": (headed(kid="k\n"), "malformed_key_id"),
    "jku": (headed(jku="http://127.0.0.1:1/keys"), "unknown_header"),
    "x5u": (headed(x5u="http://127.0.0.1:1/chain"), "unknown_header"),
    "x5c": (headed(x5c=["MIIB"]), "unknown_header"),
    "a key of its own": (headed(jwk={"kty": "oct", "k": encoded(SECRET)}), "unknown_header"),
    "crit": (headed(crit=["exp"], exp=NOW), "unknown_header"),
    "b64 false": (headed(b64=False, crit=["b64"]), "unknown_header"),
    "zip": (headed(zip="DEF"), "unknown_header"),
    "typ of an ID token": (headed(typ="id+jwt"), "wrong_type"),
    "typ null": (headed(typ=None), "wrong_type"),
    "typ a list": (headed(typ=["JWT"]), "wrong_type"),
    "header a list": (signed(["HS256"], claims()), "malformed"),
    "header in UTF-16": (signed(json.dumps(HEADER).encode("utf-16"), claims()), "malformed"),
    "header with a byte order mark": (signed("\ufeff" + json.dumps(HEADER), claims()), "malformed"),
    # Times
    "expired by a second": (token(iat=NOW - 3600, exp=NOW - LEEWAY - 1), "expired"),
    "expired just now": (token(iat=NOW - 3600, exp=NOW - LEEWAY), "expired"),
    "issued ahead": (token(iat=NOW + LEEWAY + 1), "not_yet_valid"),
    "valid from ahead": (token(nbf=NOW + LEEWAY + 1), "not_yet_valid"),
    "nbf a text": (token(nbf=str(NOW)), "malformed_time"),
    "nbf null": (token(nbf=None), "malformed_time"),
    "exp a text": (token(exp=str(NOW + 3600)), "malformed_time"),
    "exp with a fraction": (token(exp=NOW + 3600.5), "malformed_time"),
    "exp Infinity": (with_text(exp="Infinity"), "malformed"),
    "exp NaN": (with_text(exp="NaN"), "malformed"),
    "exp 1e400": (with_text(exp="1e400"), "malformed_time"),
    "exp 10 to the 400": (token(exp=10**400), "malformed"),
    "exp and iat 10 to the 400": (token(exp=10**400 + 60, iat=10**400), "malformed"),
    "exp of too many digits to read": (with_text(exp="9" * 2900), "malformed"),
    "exp negative": (token(exp=-1), "wrong_life"),
    "exp and iat negative": (token(exp=-1, iat=-2), "expired"),
    "exp true": (token(exp=True), "malformed_time"),
    "exp a list": (token(exp=[NOW + 3600]), "malformed_time"),
    "iat a text": (token(iat=str(NOW)), "malformed_time"),
    "iat true": (token(iat=True), "malformed_time"),
    "life of more than a day": (token(exp=NOW + 86_401), "wrong_life"),
    "life of nothing": (token(exp=NOW), "wrong_life"),
    # Claims that are missing
    "no exp": (token(exp=ABSENT), "missing_claim"),
    "no iat": (token(iat=ABSENT), "missing_claim"),
    "no sub": (token(sub=ABSENT), "missing_claim"),
    "no iss": (token(iss=ABSENT), "missing_claim"),
    "no aud": (token(aud=ABSENT), "missing_claim"),
    "no claims": (signed(HEADER, {}), "missing_claim"),
    # For whom and from whom
    "aud of another": (token(aud="billing"), "wrong_audience"),
    "aud that begins like ours": (token(aud=AUDIENCE + "-staging"), "wrong_audience"),
    "aud that is a part of ours": (token(aud=AUDIENCE[:-1]), "wrong_audience"),
    "aud in another case": (token(aud=AUDIENCE.upper()), "wrong_audience"),
    "aud of us and another": (token(aud=[AUDIENCE, "billing"]), "wrong_audience"),
    "aud of us twice": (token(aud=[AUDIENCE, AUDIENCE]), "wrong_audience"),
    "aud of nobody": (token(aud=[]), "wrong_audience"),
    "aud an object": (token(aud={AUDIENCE: 1}), "wrong_audience"),
    "aud null": (token(aud=None), "wrong_audience"),
    "iss that begins like ours": (token(iss=ISSUER + ".evil.example"), "wrong_issuer"),
    "iss that ours begins with": (token(iss=ISSUER[:-1]), "wrong_issuer"),
    "iss with a slash": (token(iss=ISSUER + "/"), "wrong_issuer"),
    "iss a list": (token(iss=[ISSUER]), "wrong_issuer"),
    # Who
    "sub an object": (token(sub={"$ne": None}), "malformed_subject"),
    "sub a number": (token(sub=int(USER, 16)), "malformed_subject"),
    "sub null": (token(sub=None), "malformed_subject"),
    "sub empty": (token(sub=""), "malformed_subject"),
    "sub with a lone surrogate": (with_text(sub=f'"{USER[:-1]}\\ud800"'), "malformed_subject"),
    "sub too long": (token(sub=USER + "0"), "malformed_subject"),
    "sub too short": (token(sub=USER[:-1]), "malformed_subject"),
    "sub in upper case": (token(sub=USER.upper()), "malformed_subject"),
    "sub with a newline": (token(sub=USER + "\n"), "malformed_subject"),
    "sub in Arabic digits": (token(sub="\u0661" * 24), "malformed_subject"),
    "sub twice": (signed(HEADER, json.dumps(claims())[:-1] + f', "sub": "{"0" * 24}"}}'), "malformed"),
    "scope twice": (signed(HEADER, json.dumps(claims())[:-1] + ', "scope": "a", "scope": "b"}'), "malformed"),
    "a name twice, further in": (with_text(iss='{"a":1,"a":2}'), "malformed"),
    "scope a list": (token(scope=["users:write"]), "malformed_scope"),
    "scope null": (token(scope=None), "malformed_scope"),
    # Signature
    "signature by another secret": (signed(HEADER, claims(), secret="x" * 40), "bad_signature"),
    "signature by an empty secret": (signed(HEADER, claims(), secret=""), "bad_signature"),
    "signature of another token": (
        f"{GOOD.rpartition('.')[0]}.{token(iat=NOW - 1).rpartition('.')[2]}",
        "bad_signature",
    ),
    "signature cut short": (GOOD[:-3], "bad_signature"),
    "signature with loose bits": (GOOD[:-1] + chr(ord(GOOD[-1]) + 1), "malformed"),
    "signature empty": (GOOD.rpartition(".")[0] + ".", "malformed"),
    "signature absent": (GOOD.rpartition(".")[0], "malformed"),
    "payload changed": (f"{GOOD.split('.')[0]}.{encoded(claims(sub='0' * 24))}.{GOOD.split('.')[2]}", "bad_signature"),
    # Size and shape
    "a megabyte": (signed(HEADER, claims(note="x" * 1_000_000)), "too_long"),
    "one character too long": ("a" * 4091 + ".bb.cc", "too_long"),
    "payload 100,000 deep": (signed(HEADER, "[" * 100_000), "too_long"),
    "payload 300 deep": (signed(HEADER, '{"a":' * 300 + "1" + "}" * 300), "missing_claim"),
    "payload deeper than Python reads": (signed(HEADER, "[" * 2900), "malformed"),
    "header deeper than Python reads": (signed("[" * 2900, "{}"), "malformed"),
    "payload a list": (signed(HEADER, [claims()]), "malformed"),
    "payload not JSON": (signed(HEADER, "sub=1"), "malformed"),
    "payload not UTF-8": (signed(HEADER, b'{"sub":"\xff"}'), "malformed"),
    "payload in UTF-16": (signed(HEADER, json.dumps(claims()).encode("utf-16")), "malformed"),
    "payload followed by more": (signed(HEADER, json.dumps(claims()) + "{}"), "malformed"),
    "a dot too many": (GOOD + ".x", "malformed"),
    "no dots": (GOOD.replace(".", ""), "malformed"),
    "only dots": ("..", "malformed"),
    "full-width dots": (GOOD.replace(".", "\uff0e"), "malformed"),
    "a NUL at the end": (GOOD + "\0", "malformed"),
    "a newline at the end": (GOOD + "\n", "malformed"),
    "a blank inside": (GOOD.replace(".", ". "), "malformed"),
    "a byte order mark": ("\ufeff" + GOOD, "malformed"),
    "padding": (GOOD + "=", "malformed"),
    "a lone surrogate": (GOOD + "\ud800", "malformed"),
    "first segment of impossible length": (f"a{GOOD[GOOD.index('.') :]}", "malformed"),
}

NOT_BEARER = {
    "empty": ("", "not_bearer"),
    "only the scheme": ("Bearer", "malformed"),
    "only the scheme and a blank": ("Bearer ", "malformed"),
    "no scheme": (GOOD, "not_bearer"),
    "another scheme": (f"Basic {GOOD}", "not_bearer"),
    "Bearer doubled": (f"Bearer Bearer {GOOD}", "malformed"),
    "Bearer with a colon": (f"Bearer: {GOOD}", "not_bearer"),
    "a blank before": (f" Bearer {GOOD}", "not_bearer"),
    "a blank after": (f"Bearer {GOOD} ", "malformed"),
    "two blanks": (f"Bearer  {GOOD}", "malformed"),
    "a tab": (f"Bearer\t{GOOD}", "not_bearer"),
    "no blank": (f"Bearer{GOOD}", "not_bearer"),
    "two tokens": (f"Bearer {GOOD}, Bearer {GOOD}", "malformed"),
    "a long s in the scheme that is no s": (f"Bearer\u017f {GOOD}", "not_bearer"),
}

TABLE = {name: (bearer(value), cause) for name, (value, cause) in HOSTILE.items()} | NOT_BEARER


@pytest.mark.parametrize(("authorization", "cause"), TABLE.values(), ids=TABLE.keys())
async def test_every_known_attack_is_refused_in_the_same_words(
    authenticator: Authenticator, authorization: str, cause: str
) -> None:
    """Whoever forges tokens gets in, or learns from the answer how far the forgery went."""
    assert await cause_of_refusal(authenticator, authorization) == cause


async def test_the_token_that_the_attacks_vary_is_good(authenticator: Authenticator) -> None:
    """The table above would prove nothing: everything could be refused for a reason of its own."""
    assert (await authenticator.authenticate(bearer(GOOD))).id == USER


async def test_a_public_key_is_no_shared_secret(clock: Clock, tmp_path: Path) -> None:
    """Key confusion (CVE-2022-29217): whoever knows the public key could sign as anybody."""
    pem = (
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (file := tmp_path / "key.pem").write_bytes(pem)
    authenticator = Authenticator(settings(secret=None, algorithms="RS256", public_key_file=file), clock=clock)
    await authenticator.start()
    for algorithm, cause in (("HS256", "wrong_algorithm"), ("RS256", "bad_signature"), ("PS256", "wrong_algorithm")):
        forged = signed({"alg": algorithm}, claims(), secret=pem.decode())
        assert await cause_of_refusal(authenticator, bearer(forged)) == cause


async def test_without_an_audience_of_ours_a_token_for_someone_is_refused(clock: Clock) -> None:
    """RFC 7519, section 4.1.3: in development, tokens of other services would be let in."""
    authenticator = Authenticator(settings(audience=None), clock=clock)
    await authenticator.start()
    for audience in (AUDIENCE, [AUDIENCE], [], None, [None]):
        assert await cause_of_refusal(authenticator, bearer(token(aud=audience))) == "wrong_audience"
    assert (await authenticator.authenticate(bearer(token(aud=ABSENT)))).id == USER


async def test_without_leeway_a_token_ends_on_the_second(clock: Clock) -> None:
    """The leeway would be more than the operator set."""
    authenticator = Authenticator(settings(leeway_seconds=0), clock=clock)
    await authenticator.start()
    last = bearer(token(iat=NOW - 60, exp=NOW + 1))
    assert (await authenticator.authenticate(last)).id == USER
    clock.now = NOW + 1
    assert await cause_of_refusal(authenticator, last) == "expired"


def test_the_table_signs_like_a_known_library() -> None:
    """Every attack would fail for its signature, not for what it tries."""
    assert (
        jwt.decode(GOOD, SECRET, ["HS256"], options={"verify_exp": False, "verify_iat": False, "verify_aud": False})
        == claims()
    )
