#!/bin/sh
# Create a live stream with the command of the Python package.
LIVESTREAM_TOKEN=$TOKEN livestream --target "$GRPC" create --title "Songs at dusk" --interest music --price 4.50
