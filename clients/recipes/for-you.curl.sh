#!/bin/sh
# Live streams about what you like. Likewise for-you/scheduled and for-you/crowdfunding.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/for-you/live" -H "Authorization: Bearer $TOKEN"
