#!/bin/sh
# What is live now, page by page; no token is needed.
curl -sS --fail-with-body "$HTTP/api/v1/live-stream/whats-live-now?page=1&limit=20"
