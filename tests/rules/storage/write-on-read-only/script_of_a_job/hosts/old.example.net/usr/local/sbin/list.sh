#!/bin/sh
set -eu
ls /srv > /srv/list.csv
