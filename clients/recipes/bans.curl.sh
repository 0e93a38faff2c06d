#!/bin/sh
# List the bans that stand in your streams, here those of one person by username.
curl -sS --fail-with-body --get "$HTTP/api/v1/live-stream-ban" \
  -H "Authorization: Bearer $TOKEN" -d "bannedUser=$PERSON" -d "page=1" -d "limit=20"
