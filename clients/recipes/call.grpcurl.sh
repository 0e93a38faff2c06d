#!/bin/sh
# Any call of the contract. METHOD is for example livestream.v1.FeedService/ListStreamsLiveNow, REQUEST {"limit": 20}.
grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d "$REQUEST" "$GRPC" "$METHOD"
