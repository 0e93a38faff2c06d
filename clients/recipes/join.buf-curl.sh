#!/bin/sh
# Watch a live stream: get the Agora tokens of the audience.
buf curl --protocol grpc -H "Authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\", \"role\": \"ROLE_AUDIENCE\"}" \
  "http://$GRPC/livestream.v1.LiveStreamService/JoinStream"
