#!/bin/sh
# Enter the stage: get the Agora tokens of a guest. Only for those whom the creator invited.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/join-as-guest" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d "{\"liveStreamId\": \"$STREAM_ID\"}"
