#!/bin/sh
# Streams about what you like: live, scheduled, and those that a crowd may fund; one line each.
curl -sS --fail-with-body -w '\n' "$HTTP/api/v1/live-stream/for-you/{live,scheduled,crowdfunding}" \
  -H "Authorization: Bearer $TOKEN"
