#!/bin/sh
# Tell the service what Agora would tell it: the host is in the channel. Signed with the secret of the notifications.
now=$(date +%s)
body="{\"noticeId\": \"recipe-$now-$$\", \"productId\": 1, \"eventType\": 103, \"notifyMs\": ${now}000, \"payload\":
  {\"channelName\": \"$CHANNEL\", \"uid\": $AGORA_UID, \"clientSeq\": $now, \"ts\": $now, \"platform\": 7}}"
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$AGORA_NOTIFICATION_SECRET" | sed 's/.* //')
curl -sS --fail-with-body "$HTTP/api/v1/agora/notifications" \
  -H "Agora-Signature-V2: $signature" -H "Content-Type: application/json" --data-raw "$body"
