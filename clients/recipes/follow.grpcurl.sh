#!/bin/sh
# Follow what happens to a live stream, for a minute at most. To resume: "resume_after": 7 beside the id.
grpcurl -plaintext -max-time 60 -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\"}" \
  "$GRPC" livestream.v1.WatchService/WatchStream
