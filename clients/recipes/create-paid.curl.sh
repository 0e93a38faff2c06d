#!/bin/sh
# Create a paid, scheduled live stream with one guest (GUEST_ID) and an image (THUMBNAIL, a file).
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/create" \
  -H "Authorization: Bearer $TOKEN" \
  -F title="Two pianos" -F liveStreamType=duoself -F "guests=[\"$GUEST_ID\"]" -F price=9.99 \
  -F plannedStartDate="$START" -F durationGoal=90 -F "thumbnail=@$THUMBNAIL"
