#!/bin/sh
certbot -q renew
