#!/bin/sh
# End your stream. With the scope streams:moderate in the token, anybody's.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "$GRPC" livestream.v1.LiveStreamService/EndStream
