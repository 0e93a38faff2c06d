#!/bin/sh
# Create a live stream.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d '{"title": "Songs at dusk", "live_stream_type": "LIVE_STREAM_TYPE_SOLO", "interest": "music"}' \
  "$GRPC" livestream.v1.LiveStreamService/CreateStream
