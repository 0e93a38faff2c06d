#!/bin/sh
# Ask the server whether it serves.
grpcurl -plaintext "$GRPC" grpc.health.v1.Health/Check
