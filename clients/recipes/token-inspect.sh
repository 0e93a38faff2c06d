#!/bin/sh
# Say offline what is wrong with an Agora token. With AGORA_APP_CERTIFICATE set, also its signature is checked.
livestream token inspect "$AGORA_TOKEN" --channel "$CHANNEL" --uid "$AGORA_UID" --publish
