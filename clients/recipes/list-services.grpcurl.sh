#!/bin/sh
# List the services of the server. Needs reflection, like all recipes with grpcurl and buf curl.
grpcurl -plaintext "$GRPC" list
