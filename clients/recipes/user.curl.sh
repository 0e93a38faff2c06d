#!/bin/sh
# What a user hosts now, and what has ended: one line each. No token is needed.
curl -sS --fail-with-body -w '\n' "$HTTP/api/v1/live-stream/user/$USER_ID/{active-stream,past-streams}"
