#!/bin/sh
# Create a free live stream: one a day, because the same Idempotency-Key answers with the same stream.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/create" \
  -H "Authorization: Bearer $TOKEN" \
  -H "Idempotency-Key: songs-at-dusk-$(date +%F)" \
  -F title="Songs at dusk" -F interest=music -F durationGoal=60
