#!/bin/sh
# Streams with you as a guest, a hundred at a time. PAGE_TOKEN is empty at first, then next_page_token of the answer
# before.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"sort_by\": \"GUEST_STREAM_SORT_PLANNED_START_DATE\", \"page_size\": 100, \"page_token\": \"$PAGE_TOKEN\"}" \
  "$GRPC" livestream.v1.FeedService/ListGuestStreams
