#!/bin/sh
# Show a live stream.
buf curl --protocol grpc -H "Authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "http://$GRPC/livestream.v1.LiveStreamService/GetStream"
