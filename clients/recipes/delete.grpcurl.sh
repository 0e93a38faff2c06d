#!/bin/sh
# Delete your stream: it is absent from every answer afterwards. One that is active must end first.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "$GRPC" livestream.v1.LiveStreamService/DeleteStream
