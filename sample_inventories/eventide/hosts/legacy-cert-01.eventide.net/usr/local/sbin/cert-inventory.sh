#!/bin/sh
# Writes the names and ends of all certificates here, and sends the list to the SIEM.
set -eu

out=/srv/certs/inventory.csv
: > "$out"
for cert in /etc/letsencrypt/live/*/cert.pem; do
    end=$(openssl x509 -in "$cert" -noout -enddate | cut -d= -f2)
    printf '%s,%s\n' "$cert" "$end" >> "$out"
done

curl -fsS --max-time 30 -T "$out" https://siem.int.eventide.net/ingest/certificates
