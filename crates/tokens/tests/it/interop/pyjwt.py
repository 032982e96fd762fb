"""Verifies and signs tokens with PyJWT: a question as JSON on standard input, the answer as JSON on standard output."""

import base64
import json
import sys

import jwt

# The times are those of the tests, not of the clock.
OPTIONS = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


def key_of(given):
    return base64.b64decode(given["bytes"]) if "bytes" in given else given["pem"]


def verified(asked):
    key = jwt.PyJWK.from_dict(asked["jwk"]) if "jwk" in asked else key_of(asked["key"])
    return jwt.decode(asked["token"], key, algorithms=[asked["alg"]], options=OPTIONS)


def signed(asked):
    headers = {"kid": asked["kid"]} if "kid" in asked else {}
    return jwt.encode(asked["claims"], key_of(asked["key"]), algorithm=asked["alg"], headers=headers)


question = json.load(sys.stdin)
answer = {"verified": [verified(one) for one in question["verify"]], "signed": [signed(one) for one in question["sign"]]}
json.dump(answer, sys.stdout)
