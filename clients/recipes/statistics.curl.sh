#!/bin/sh
# How was a stream watched? While it runs, until now.
curl -sS --fail-with-body "$HTTP/api/v1/participant/stream/$STREAM_ID/statistics" \
  -H "Authorization: Bearer $TOKEN"
