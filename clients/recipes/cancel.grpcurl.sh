#!/bin/sh
# Call a stream off before it starts, as its creator or guest.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "$GRPC" livestream.v1.LiveStreamService/CancelStream
