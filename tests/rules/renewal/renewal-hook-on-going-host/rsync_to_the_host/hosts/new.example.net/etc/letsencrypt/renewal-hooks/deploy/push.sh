#!/bin/sh
set -e
rsync -a "$RENEWED_LINEAGE/" certs@old.example.net:/srv/certs/
rsync -a "$RENEWED_LINEAGE/" certs@web1.example.net:/etc/ssl/site/
