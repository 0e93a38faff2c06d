#!/bin/sh
# Who watches a live stream now? The first 20 whose name contains "o".
curl -sS --fail-with-body -G "$HTTP/api/v1/live-stream/$STREAM_ID/viewers" \
  -H "Authorization: Bearer $TOKEN" -d page=1 -d limit=20 --data-urlencode search=o
