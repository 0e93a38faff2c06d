#!/bin/sh
# List the bans that stand in your streams, here those of one user by username.
curl -sS --fail-with-body --get "$HTTP/api/v1/live-stream-ban" \
  -H "Authorization: Bearer $TOKEN" -d "bannedUser=$BANNED_USER" -d "page=1" -d "limit=20"
