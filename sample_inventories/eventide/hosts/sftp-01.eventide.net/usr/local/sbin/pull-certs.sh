#!/bin/sh
# Fetches the wildcard from the certificate server and reloads the gateway if it has changed.
set -eu

rsync -a --chmod=F0640 certs@legacy-cert-01.eventide.net:/srv/certs/eventide.net/ /etc/ssl/eventide.new/
if ! cmp -s /etc/ssl/eventide.new/fullchain.pem /etc/ssl/eventide/fullchain.pem; then
    cp -a /etc/ssl/eventide.new/. /etc/ssl/eventide/
    systemctl reload proftpd.service
fi
