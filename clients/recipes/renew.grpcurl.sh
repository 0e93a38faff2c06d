#!/bin/sh
# Fresh tokens for the role that you have in a stream, before the old ones end.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "$GRPC" livestream.v1.LiveStreamService/RenewTokens
