#!/bin/sh
# What a person hosts now, and what has ended: one line each. No token is needed.
curl -sS --fail-with-body -w '\n' "$HTTP/api/v1/live-stream/user/$PERSON_ID/{active-stream,past-streams}"
