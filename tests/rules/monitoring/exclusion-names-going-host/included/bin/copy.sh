#!/bin/sh
# --exclude old.example.net
rsync --exclude .git /srv/ old.example.net:/srv/
