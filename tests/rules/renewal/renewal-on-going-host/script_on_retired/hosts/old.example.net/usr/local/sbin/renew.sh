#!/bin/sh
set -e
certbot renew -q
