#!/bin/sh
# For internal services: let a user into a paid stream. TOKEN has the scope access:write.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"live_stream_id\": \"$STREAM_ID\", \"user_id\": \"$USER_ID\"}" \
  "$GRPC" livestream.v1.AccessService/GrantAccess
