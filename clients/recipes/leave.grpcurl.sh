#!/bin/sh
# Leave the audience of a live stream.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\", \"role\": \"ROLE_AUDIENCE\"}" \
  "$GRPC" livestream.v1.LiveStreamService/LeaveStream
