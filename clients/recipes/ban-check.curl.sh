#!/bin/sh
# Is a user banned from a stream? Its creator and the user may ask.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream-ban/check/$USER_ID?liveStreamId=$STREAM_ID" \
  -H "Authorization: Bearer $TOKEN"
