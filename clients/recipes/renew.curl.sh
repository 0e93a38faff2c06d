#!/bin/sh
# Fresh tokens for the role that you have in a stream, before the old ones end. Add "role" if you have two roles in it.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/$STREAM_ID/tokens" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{}'
