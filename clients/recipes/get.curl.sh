#!/bin/sh
# Show a live stream.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/$STREAM_ID" -H "Authorization: Bearer $TOKEN"
