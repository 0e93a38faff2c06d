#!/bin/sh
# Follow what happens to a live stream, one line per event; resumes by itself, ends with the stream or Ctrl-C.
LIVESTREAM_TOKEN=$TOKEN livestream --target "$GRPC" watch "$STREAM_ID"
