#!/bin/sh
# Streams with you as a guest, a hundred at a time. CURSOR is empty at first, then next_cursor of the answer before.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"sort_by\": \"GUEST_STREAM_SORT_PLANNED_START_DATE\", \"limit\": 100, \"cursor\": \"$CURSOR\"}" \
  "$GRPC" livestream.v1.FeedService/ListGuestStreams
