#!/bin/sh
cp "$RENEWED_LINEAGE/fullchain.pem" /srv/certs/site.pem
