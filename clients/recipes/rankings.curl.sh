#!/bin/sh
# The most watched streams, who is live, and the most watched creators: one line each. No token is needed.
curl -sS --fail-with-body -w '\n' "$HTTP/api/v1/live-stream/{featured,catch-streamers,most-watched-creators}"
