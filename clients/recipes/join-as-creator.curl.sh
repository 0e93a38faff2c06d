#!/bin/sh
# Go live: get the Agora tokens of the host. Only for the creator of the stream.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/join-as-creator" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d "{\"liveStreamId\": \"$STREAM_ID\"}"
