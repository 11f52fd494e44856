#!/bin/sh
# Copies the renewed wildcard to where the push takes it from, and pushes it to all API servers.
# The push of 340 servers takes about four minutes.
set -eu

case "$RENEWED_LINEAGE" in
    */eventide.net) ;;
    *) exit 0 ;;
esac

install -d -m 0750 -g certs /srv/certs/eventide.net
install -m 0640 -g certs "$RENEWED_LINEAGE/fullchain.pem" /srv/certs/eventide.net/fullchain.pem
install -m 0640 -g certs "$RENEWED_LINEAGE/privkey.pem" /srv/certs/eventide.net/privkey.pem

exec ansible-playbook -i /opt/ansible/inventory/hosts.ini /opt/ansible/push-cert.yml
