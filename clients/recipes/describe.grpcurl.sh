#!/bin/sh
# Show the fields of a request, with their types.
grpcurl -plaintext "$GRPC" describe livestream.v1.CreateStreamRequest
