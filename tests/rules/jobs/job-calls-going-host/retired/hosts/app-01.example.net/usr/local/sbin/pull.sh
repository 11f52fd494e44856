#!/bin/sh
set -eu
rsync -a files.example.net::export/ /srv/in/
