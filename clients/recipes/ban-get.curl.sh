#!/bin/sh
# Look at a ban that you made: whether it stands, and who lifted it when.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream-ban/$BAN_ID" -H "Authorization: Bearer $TOKEN"
