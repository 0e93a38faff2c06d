#!/bin/sh
# Lift a ban: the user may join again at once.
curl -sS --fail-with-body -X DELETE "$HTTP/api/v1/live-stream-ban/$BAN_ID" -H "Authorization: Bearer $TOKEN"
