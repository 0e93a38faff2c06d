#!/bin/sh
# Your streams, one line each: the one on air, those that have ended, those with you on stage, watched, and as a guest.
curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $TOKEN" \
  "$HTTP/api/v1/live-stream/{my-active-stream,my-past-streams,my-broadcasted-streams,my-watched-streams,guest-streams}"
