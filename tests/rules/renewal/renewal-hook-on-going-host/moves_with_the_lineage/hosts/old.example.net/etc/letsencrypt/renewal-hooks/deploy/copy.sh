#!/bin/sh
cp "$RENEWED_LINEAGE/fullchain.pem" /srv/certs/site.pem
rsync -a /srv/certs/ certs@web1.example.net:/etc/ssl/
