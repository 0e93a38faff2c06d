#!/bin/sh
# Watch a live stream: get the Agora tokens of the audience.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/join" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d "{\"liveStreamId\": \"$STREAM_ID\", \"deviceType\": \"iOS\", \"country\": \"TR\"}"
