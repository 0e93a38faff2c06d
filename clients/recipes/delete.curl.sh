#!/bin/sh
# Delete your stream: it is absent from every answer afterwards. One that is active must end first.
curl -sS --fail-with-body -X DELETE "$HTTP/api/v1/live-stream/$STREAM_ID" -H "Authorization: Bearer $TOKEN"
