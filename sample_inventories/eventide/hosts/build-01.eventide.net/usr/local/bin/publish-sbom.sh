#!/bin/sh
set -eu
tar -C /srv/sbom -czf /srv/sbom-latest.tar.gz .
curl -fsS --max-time 60 -T /srv/sbom-latest.tar.gz https://artifacts.int.eventide.net/sbom/
