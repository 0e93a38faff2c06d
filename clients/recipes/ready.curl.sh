#!/bin/sh
# Ask the gateway whether it and the service behind it take calls.
curl -sS --fail-with-body "$HTTP/readyz"
