#!/bin/sh
# Follow what happens to a live stream, as Server-Sent Events. To resume: -H "Last-Event-ID: 7".
curl -sS -N --fail-with-body "$HTTP/api/v1/live-stream/$STREAM_ID/events" -H "Authorization: Bearer $TOKEN"
