#!/bin/sh
# All streams in whatever state, the newest first; a slash at the end of the address makes no difference: one line each.
curl -sS --fail-with-body -w '\n' "$HTTP/api/v1/live-stream{,/}?limit=10" -H "Authorization: Bearer $TOKEN"
