#!/bin/sh
# When a renewal last succeeded, for the alert CertificateRenewalNotSucceeded.
set -eu

file=/var/lib/prometheus/node-exporter/certbot.prom
printf 'certbot_renewal_last_success_timestamp_seconds %s\n' "$(date +%s)" > "$file.new"
mv "$file.new" "$file"
