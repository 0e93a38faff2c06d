#!/bin/sh
# Ban a user from your stream: BLOCK shuts them out at once, CHAT_ONLY only silences.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream-ban" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d "{\"liveStreamId\": \"$STREAM_ID\", \"targetUserId\": \"$USER_ID\", \"actionType\": \"BLOCK\", \"reason\": \"spam\"}"
