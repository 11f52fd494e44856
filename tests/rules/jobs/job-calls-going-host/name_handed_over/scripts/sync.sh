#!/bin/bash
fetch() {
  rsync -a $1::log/ /srv/log/
}
fetch app-07.example.net
fetch old-01.example.net
