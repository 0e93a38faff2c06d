#!/bin/sh
# What a user streams now and in the next two days, with the window in hours (v1) and in minutes (v2): one line each.
# With a token, each stream says whether you will be reminded of it.
curl -sS --fail-with-body -w '\n' \
  "$HTTP/api/v1/live-stream/user/$USER_ID/upcoming-live-streams?hoursBefore=0&hoursAfter=48" \
  "$HTTP/api/v2/live-stream/user/$USER_ID/upcoming-live-streams?minutesBefore=0&minutesAfter=2880"
