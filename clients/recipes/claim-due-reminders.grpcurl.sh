#!/bin/sh
# For internal services: take the reminders that are due. Send the same request_id again if the answer was lost.
# TOKEN has the scope reminders:claim.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" \
  -d "{\"limit\": 100, \"request_id\": \"$(date +%s)\"}" \
  "$GRPC" livestream.v1.ReminderService/ClaimDueReminders
