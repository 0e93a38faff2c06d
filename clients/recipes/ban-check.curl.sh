#!/bin/sh
# Is a person banned from a stream? Its creator and the person may ask.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream-ban/check/$PERSON_ID?liveStreamId=$STREAM_ID" \
  -H "Authorization: Bearer $TOKEN"
