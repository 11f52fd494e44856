#!/bin/sh
ls /srv > /srv/list.csv
