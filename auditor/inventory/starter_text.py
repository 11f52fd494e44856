"""The inventory that `auditor init` writes."""

from __future__ import annotations

from typing import Final

STARTER: Final = """\
# What is known of your estate beforehand. Every section but `version` may be left out.
# Check it with `auditor inventory check`; `auditor inventory schema` prints a JSON Schema for your editor.
version: 1
name: Example estate
owner: platform-team

# Your own domains. A name below them that resolves to nothing is reported as dangling.
domains: [example.net]

# Networks whose private addresses are their own: 10.20.0.1 in two of them is two machines.
networks:
  - name: dc1
    cidr: 10.20.0.0/16

hosts:
  # A host that can no longer write. `since` says since when; `successor` is the host that takes over.
  - name: old-web-01.example.net
    addresses: [10.20.4.17]
    lifecycle: read-only          # active (the default), read-only, retiring (with `on`) or retired
    since: 2026-06-20
    successor: web-01.example.net
    owner: web-team
    network: dc1

  - name: web-01.example.net
    names: [www-origin.example.net]
    addresses: [10.20.4.30]
    network: dc1

  # A range stands for each of its hosts, and a range of addresses gives each its own.
  - name: api[01:20].example.net
    addresses: [10.20.8.1-10.20.8.20]
    role: api
    network: dc1

# Where to collect from. Secrets never stand here: name an environment variable, or a command that prints the token.
# sources:
#   - kind: ssh
#     hosts: ["*.example.net"]
#     user: audit
#     sudo: true
#   - kind: prometheus
#     url: https://prometheus.example.net
#     token_env: PROMETHEUS_TOKEN
#   - kind: git
#     path: ../infrastructure
#     rev: main

# What you know there is nothing of counts as looked at, with your name beside it.
# absent:
#   - area: webhooks
#     reason: No system of ours sends webhooks; checked with all teams.
#     by: web-team
#     on: 2026-11-02

# Each host that stays must have been looked into, each part of it, for it may need what goes. Where nobody can or has
# to look, say why.
# not_collected:
#   - hosts: ["sw*.example.net"]
#     reason: Switches; their configuration is in the repository `network`, which is collected.
#     by: network-team
#     on: 2026-11-02

# What can't be collected, and matters when something must be put right in a hurry.
# services:
#   - name: Tracking
#     names: [track.example.net]
#     needs: ["api[01:20].example.net", "db-01.example.net:5432"]
#     certificate: "*.example.net"
#     critical: true
# procedures:
#   - name: Emergency reissue
#     kind: emergency-reissue
#     certificate: "*.example.net"
#     steps:
#       - name: Sign the request
#         duration: 45m
#         approvals: [Security lead, CTO]
#         mode: parallel
#         key_store: wildcard-key
#     approvers:
#       - name: Security lead
#         hours: Mon-Fri 09:00-17:00
#         time_zone: America/New_York
#       - name: CTO
#     last_rehearsed: never
# keys:
#   - name: wildcard-key
#     store: hsm
#     site: Virginia
"""
