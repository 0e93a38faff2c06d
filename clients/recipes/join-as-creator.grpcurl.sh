#!/bin/sh
# Go live: get the Agora tokens of the host. Only for the creator of the stream.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\", \"role\": \"ROLE_HOST\"}" \
  "$GRPC" livestream.v1.LiveStreamService/JoinStream
