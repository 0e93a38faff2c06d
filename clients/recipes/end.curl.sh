#!/bin/sh
# End your stream. With the scope streams:moderate in the token, anybody's.
curl -sS --fail-with-body -X POST "$HTTP/api/v1/live-stream/$STREAM_ID/end" -H "Authorization: Bearer $TOKEN"
