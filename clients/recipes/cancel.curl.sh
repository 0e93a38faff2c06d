#!/bin/sh
# Call a stream off before it starts, as its creator or guest.
curl -sS --fail-with-body -X POST "$HTTP/api/v1/live-stream/$STREAM_ID/cancel" -H "Authorization: Bearer $TOKEN"
