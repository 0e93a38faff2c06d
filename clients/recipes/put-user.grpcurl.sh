#!/bin/sh
# For internal services: record a user. TOKEN has the scope users:write.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"user\": {\"_id\": \"$USER_ID\", \"username\": \"jane\", \"name\": \"Jane\", \"surname\": \"Doe\"},
       \"updated_at\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"}" \
  "$GRPC" livestream.v1.UserService/PutUser
