#!/bin/sh
# What a person streams now and in the next two days. With a token, each stream says whether you will be reminded of it.
curl -sS --fail-with-body \
  "$HTTP/api/v2/live-stream/user/$PERSON_ID/upcoming-live-streams?minutesBefore=0&minutesAfter=2880"
