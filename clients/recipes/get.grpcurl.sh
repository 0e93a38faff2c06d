#!/bin/sh
# Show a live stream. With -emit-defaults also the fields that are empty or zero.
grpcurl -plaintext -emit-defaults -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "$GRPC" livestream.v1.LiveStreamService/GetStream
