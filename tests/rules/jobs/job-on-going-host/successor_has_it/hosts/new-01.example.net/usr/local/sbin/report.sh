#!/bin/sh
curl -fsS -T /var/lib/report.csv https://collect.example.org/report
