#!/bin/sh
# Your streams now and around now, with the window in hours (v1) and in minutes (v2): one line each.
curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $TOKEN" \
  "$HTTP/api/v1/live-stream/my-upcoming-live-streams?hoursAfter=48" \
  "$HTTP/api/v2/live-stream/my-upcoming-live-streams?minutesAfter=2880"
