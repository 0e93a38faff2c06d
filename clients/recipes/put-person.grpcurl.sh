#!/bin/sh
# For internal services: record a person. TOKEN has the scope people:write.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"person\": {\"_id\": \"$PERSON_ID\", \"username\": \"jane\", \"name\": \"Jane\", \"surname\": \"Doe\"},
       \"updated_at\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"}" \
  "$GRPC" livestream.v1.PeopleService/PutPerson
