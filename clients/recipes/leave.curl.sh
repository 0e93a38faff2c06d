#!/bin/sh
# Leave a live stream: absent at once for all others. Add "role" if you have two roles in it.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/$STREAM_ID/leave" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{}'
