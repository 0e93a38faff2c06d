#!/bin/sh
# Be reminded 15 minutes before the planned start; without "minute", at the real start.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/$STREAM_ID/reminder" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{"minute": 15}'
